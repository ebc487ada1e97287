"""Semantic segmentation with fully convolutional networks, in JAX.

>>> import fcn_jax
>>> net = fcn_jax.load("runs/quickstart/fcn_alexnet")
>>> result = net("runs/quickstart/new_images/new_01.jpg")
>>> result.save("labels.png")

What a notebook needs is here, and imported when it is first asked for:

  prepare_dataset, load_dataset          a data set
  declare, build, describe, convert      a network, and its pretrained weights
  default_recipe, read_recipe            a training recipe
  train_and_evaluate, read_run           a training, and what it recorded
  evaluate, load, Predictor, Result      a trained network at work
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from fcn_jax.data import load_dataset
  from fcn_jax.data.prepare import prepare_dataset
  from fcn_jax.evaluation.evaluator import evaluate
  from fcn_jax.models import build, declare
  from fcn_jax.models.describe import describe
  from fcn_jax.prediction.predictor import Predictor, load
  from fcn_jax.prediction.result import Result
  from fcn_jax.runs.run import read_run
  from fcn_jax.training.loop import train_and_evaluate
  from fcn_jax.training.recipe import default_recipe, read_recipe
  from fcn_jax.weights.conversion import convert

__all__ = [
  "Predictor",
  "Result",
  "build",
  "convert",
  "declare",
  "default_recipe",
  "describe",
  "evaluate",
  "load",
  "load_dataset",
  "prepare_dataset",
  "read_recipe",
  "read_run",
  "train_and_evaluate",
]

_HOMES = {
  "Predictor": "fcn_jax.prediction.predictor",
  "Result": "fcn_jax.prediction.result",
  "build": "fcn_jax.models",
  "convert": "fcn_jax.weights.conversion",
  "declare": "fcn_jax.models",
  "default_recipe": "fcn_jax.training.recipe",
  "describe": "fcn_jax.models.describe",
  "evaluate": "fcn_jax.evaluation.evaluator",
  "load": "fcn_jax.prediction.predictor",
  "load_dataset": "fcn_jax.data",
  "prepare_dataset": "fcn_jax.data.prepare",
  "read_recipe": "fcn_jax.training.recipe",
  "read_run": "fcn_jax.runs.run",
  "train_and_evaluate": "fcn_jax.training.loop",
}


def __getattr__(name: str):
  # Imported when first asked for: every module of the package runs this file,
  # and most need neither JAX nor tfds.
  if name not in _HOMES:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
  value = getattr(importlib.import_module(_HOMES[name]), name)
  globals()[name] = value
  return value


def __dir__() -> list[str]:
  return sorted({*globals(), *__all__})
