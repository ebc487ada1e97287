"""Confusion matrices and the figures of the FCN authors."""

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

from fcn_jax import models
from fcn_jax.evaluation import metrics
from fcn_jax.models import geometry
from fcn_jax.models import layers as d
from fcn_jax.parity.comparison import Comparison, equal, near
from fcn_jax.parity.golden import FIGURE, Golden, size_name


def compare_metrics(golden: Golden) -> Iterator[Comparison]:
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
    ours = metrics.Counts(histogram)
    for metric, key in (
      ("pixel_accuracy", "overall_accuracy"),
      ("mean_accuracy", "mean_accuracy"),
      ("mean_iu", "mean_iu"),
      ("fw_iu", "fw_iu"),
    ):
      title, found, *_ = metrics.METRICS[metric]
      theirs = np.array(case[key], np.float64)  # null is NaN
      yield near(title, name, found(ours), theirs, FIGURE)
    theirs = np.array(case["per_class_iu"], np.float64)
    yield near("IoU of each class", name, ours.class_iu, theirs, FIGURE)


def compare_geometry(golden: Golden) -> Iterator[Comparison]:
  """Every net of geometry.json, at every height."""
  described, _ = golden.load("geometry")
  span = described["heights"]
  heights = np.arange(span["first"], span["last"] + 1, span["step"])
  declared = {
    name: models.declare(name, classes=21) for name in described["nets"]
  }
  for name, net in described["nets"].items():
    layers = declared[name]
    ours = geometry.sizes(layers, heights)
    stored = net["sizes"] | {
      blob: net["sizes"][other] for blob, other in net["same_size_as"].items()
    }
    for layer in layers:
      if layer.name in stored:
        theirs = stored[layer.name]
        case = f"{name}, {layer.name}"
        yield equal("heights of blobs", case, ours[layer.name], theirs)
    lost = stored.keys() - ours.keys()
    yield Comparison("blobs without counterpart", name, len(lost), len(stored))
    offsets = geometry.crop_offsets(layers)
    bottoms = {layer.name: below for layer, below in d.with_bottoms(layers)}
    for crop in net["crops"]:
      layer = crop["layer"]
      case = f"{name}, {layer}"
      yield equal("crop offsets", case, offsets[layer], crop["offset"])
      room = ours[bottoms[layer]] - offsets[layer] - ours[layer]
      theirs = crop["smallest_room_left"]
      yield equal("room beyond the crop", case, room.min(), theirs)
  for case in described["rectangles"]:
    name = case["net"]
    height, width = (
      geometry.sizes(declared[name], side) for side in case["input"]
    )
    names = [blob for blob in case["blobs"] if blob in height]
    ours = [[height[blob], width[blob]] for blob in names]
    theirs = [case["blobs"][blob] for blob in names]
    where = f"{name}, {size_name(case['input'])}"
    yield equal("sizes of rectangles", where, ours, theirs)
