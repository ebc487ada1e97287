"""fcn_jax.evaluation.scores: figures, intervals and tables by hand."""

import json
import math

import numpy as np
import pytest

from fcn_jax.evaluation.per_image import PerImage
from fcn_jax.evaluation.scores import Evaluation


def evaluation(*confusions, **arrays) -> Evaluation:
  """Of images of three classes."""
  confusions = np.array(confusions)
  valid = confusions.sum((1, 2))
  fields = {
    "class_names": ("ground", "cat", "dog"),
    "image_ids": tuple(f"id{i}" for i in range(len(confusions))),
    "confusions": PerImage.of(confusions),
    "losses": np.full(len(confusions), 0.5),
    "valid": valid,
    "right": np.trace(confusions, axis1=1, axis2=2),
    "pixels": valid + 3,
  }
  return Evaluation(**(fields | arrays))


def test_figures_by_hand():
  """Two images: 3 of 4 pixels right, then 1 of 2; 3 void pixels in each.

  Together ground 4 of 5 found, and seen once too often: IoU 4 / 6; the cat's
  only pixel is not: IoU 0; there is no dog.  DIGITS' mean is over the images.
  """
  found = evaluation(
    [[3, 1, 0], [0, 0, 0], [0, 0, 0]], [[1, 0, 0], [1, 0, 0], [0, 0, 0]]
  )
  figures = found.figures()
  assert figures["pixel_accuracy"] == pytest.approx(4 / 6)
  assert figures["mean_accuracy"] == pytest.approx((4 / 5 + 0) / 2)
  assert figures["mean_iu"] == pytest.approx((4 / 6 + 0) / 2)
  assert figures["fw_iu"] == pytest.approx(5 / 6 * 4 / 6)
  assert figures["digits_accuracy"] == pytest.approx((3 / 4 + 1 / 2) / 2)
  assert figures["mean_dice"] == pytest.approx((2 * 4 / (5 + 5) + 0) / 2)
  assert figures["loss"] == pytest.approx(0.5)
  assert math.isnan(figures["majority_baseline"].pop("boundary_iou"))
  assert figures["majority_baseline"] == {
    "class": "ground",
    "pixel_accuracy": pytest.approx(5 / 6),
    "mean_accuracy": pytest.approx(1 / 2),
    "mean_iu": pytest.approx(5 / 12),
    "fw_iu": pytest.approx(25 / 36),
    "digits_accuracy": pytest.approx((4 / 4 + 1 / 2) / 2),
    "mean_dice": pytest.approx((2 * 5 / (5 + 6) + 0) / 2),
  }
  ious = figures["per_class_iu"]
  assert list(ious) == ["ground", "cat", "dog"]
  assert ious["ground"] == pytest.approx(2 / 3)
  assert ious["cat"] == 0
  assert math.isnan(ious["dog"])
  assert (figures["images"], figures["void_pixels"]) == (2, 6)
  json.dumps(figures)


def test_the_loss_is_a_mean_over_images():
  """An image of void alone counts as what its loss is, 0."""
  empty = np.zeros((3, 3), int)
  found = evaluation(
    np.eye(3, dtype=int) * 2, empty, losses=np.array([0.5, 0.0])
  )
  assert found.loss == pytest.approx((0.5 + 0) / 2)
  assert found.scores["digits_accuracy"] == 1


def test_the_line_and_the_table_show_the_baseline():
  found = evaluation([[2, 1, 0], [1, 4, 0], [0, 0, 0]])
  line = found.summary()
  # IoU 2 / 4 and 4 / 6; of cats alone: 0 and 5 / 8.
  assert line.startswith("mean IoU 0.5833, pixel accuracy 0.7500, ")
  assert line.endswith(
    "loss 0.5000 (only cat: mean IoU 0.3125, pixel accuracy 0.6250)"
  )
  table = found.table().splitlines()
  assert table[0].split() == ["class", "IoU", "class", "accuracy", "pixels"]
  assert table[2].split() == ["cat", "0.6667", "0.8000", "5"]
  assert table[3].split() == ["dog", "-", "-", "0"]
  assert table[6].split() == ["mean", "IoU", "0.5833", "0.3125"]


def test_intervals_stand_beside_the_scores():
  """Two images, of ground alone: all right and half right; IoU 1 and 1 / 2."""
  found = evaluation(
    [[4, 0, 0], [0, 0, 0], [0, 0, 0]], [[2, 2, 0], [0, 0, 0], [0, 0, 0]]
  )
  intervals = found.intervals(resamples=500, seed=3)
  assert intervals.scores["pixel_accuracy"] == (0.5, 1)
  assert intervals.scores["digits_accuracy"] == (0.5, 1)
  table = found.table(intervals).splitlines()
  assert table[0].split() == [
    "class",
    "IoU",
    "95",
    "%",
    "interval",
    "class",
    "accuracy",
    "pixels",
  ]
  ends = "0.5000-1.0000"
  assert table[1].split() == ["ground", "0.7500", ends, "0.7500", "8"]
  assert table[2].split() == ["cat", "0.0000", "0.0000-0.0000", "-", "0"]
  assert table[3].split() == ["dog", "-", "-", "-", "0"]
  assert table[7].split() == ["pixel", "accuracy", "0.7500", ends, "1.0000"]
  assert table[10].split() == ["DIGITS'", "accuracy", "0.7500", ends, "1.0000"]
  assert table[-1] == (
    "The 95 % intervals are percentiles of 500 bootstrap resamples of the "
    "images (seed 3)."
  )
  # Columns stand below their headings.
  assert {line.index("0.7500") for line in (table[1], *table[7:8])} == {25}


def test_a_network_that_predicts_one_class_has_collapsed():
  everything = [[900, 0, 0], [100, 0, 0], [0, 0, 0]]
  assert evaluation(everything).collapsed_to == "ground"
  nearly = [[900, 0, 0], [98, 2, 0], [0, 0, 0]]
  assert evaluation(nearly).collapsed_to is None
  rightly = [[1000, 0, 0], [5, 0, 0], [0, 0, 0]]
  assert evaluation(rightly).collapsed_to is None
