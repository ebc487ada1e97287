"""The recipes in configs/."""

import runpy

from ml_collections import ConfigDict
from places import CONFIGS

FOLDER = CONFIGS
TRAINING = sorted(path.stem for path in FOLDER.glob("*fcn*.py"))


def load_config(name: str) -> ConfigDict:
  return runpy.run_path(str(FOLDER / f"{name}.py"))["get_config"]()
