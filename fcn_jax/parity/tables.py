"""Confusion matrices and the figures of the FCN authors."""

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

from fcn_jax.evaluation import metrics
from fcn_jax.parity.comparison import Comparison, equal, near
from fcn_jax.parity.golden import FIGURE, Golden


def compare(golden: Golden) -> Iterator[Comparison]:
  """Every case of metrics.json."""
  described, arrays = golden.load("metrics")
  for case in described["cases"]:
    name, classes = case["name"], case["classes"]
    histogram = np.zeros((classes, classes), np.int64)
    for i in range(case["images"]):
      label = jnp.asarray(arrays[f"{name}/label_{i}"][None])
      prediction = jnp.asarray(arrays[f"{name}/pred_{i}"][None])
      counts = metrics.confusion(label, prediction, classes)
      histogram += np.asarray(counts[0])
    yield equal("confusion matrix", name, histogram, arrays[f"{name}/hist"])
    ours = metrics.scores(histogram)
    for what, found, key in (
      ("pixel accuracy", ours.pixel_accuracy, "overall_accuracy"),
      ("mean accuracy", ours.mean_accuracy, "mean_accuracy"),
      ("mean IU", ours.mean_iu, "mean_iu"),
      ("frequency weighted IU", ours.fw_iu, "fw_iu"),
      ("IU of each class", ours.per_class_iu, "per_class_iu"),
    ):
      theirs = np.array(case[key], np.float64)  # null is NaN
      yield near(what, name, found, theirs, FIGURE)
