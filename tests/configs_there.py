"""The recipes in configs/."""

import pathlib
import runpy

from ml_collections import ConfigDict

FOLDER = pathlib.Path(__file__).parents[1] / "configs"
TRAINING = sorted(path.stem for path in FOLDER.glob("*fcn*.py"))


def load_config(name: str) -> ConfigDict:
  return runpy.run_path(str(FOLDER / f"{name}.py"))["get_config"]()
