"""The recipes in configs/, and one that stays as it is."""

import json
import runpy

from ml_collections import ConfigDict
from places import CONFIGS, ROOT

from fcn_jax.training import recipe

FOLDER = CONFIGS
TRAINING = sorted(path.stem for path in FOLDER.glob("*fcn*.py"))


def load_config(name: str) -> ConfigDict:
  return runpy.run_path(str(FOLDER / f"{name}.py"))["get_config"]()


# Every field of version 0.1.0's recipes, by their names.
STORED = json.loads((ROOT / "tests/stored/recipes_0_1_0.json").read_text())


def shapes_sgd() -> ConfigDict:
  """FCN-AlexNet on the made-up world with Caffe's SGD, as 0.1.0 trained it."""
  return ConfigDict(recipe.complete(STORED["shapes_fcn_alexnet"]))
