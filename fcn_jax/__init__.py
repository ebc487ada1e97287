"""Semantic segmentation with fully convolutional networks, in JAX.

>>> import fcn_jax
>>> net = fcn_jax.load("runs/quickstart/fcn_alexnet")
>>> result = net("runs/quickstart/new_images/new_01.jpg")
>>> result.save("labels.png")

load(directory) gives a trained network, load_dataset(name) a prepared data
set; see their docstrings, and those of Predictor and Result.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from fcn_jax.data import load_dataset
  from fcn_jax.prediction.predictor import Predictor, load
  from fcn_jax.prediction.result import Result

__all__ = ["Predictor", "Result", "load", "load_dataset"]

_HOMES = {
  "Predictor": "fcn_jax.prediction.predictor",
  "Result": "fcn_jax.prediction.result",
  "load": "fcn_jax.prediction.predictor",
  "load_dataset": "fcn_jax.data",
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
