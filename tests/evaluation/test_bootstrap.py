"""evaluation.bootstrap: by hand, by a plain loop, and how often it holds."""

import itertools
import json
import math
import time

import numpy as np
import pytest

from fcn_jax.evaluation import bootstrap, metrics
from fcn_jax.evaluation.per_image import PerImage
from fcn_jax.evaluation.stored_counts import StoredCounts


def of(confusions, **options) -> bootstrap.Intervals:
  """Where Caffe's rule counts what the matrices do."""
  confusions = np.array(confusions)
  return bootstrap.intervals(
    PerImage.of(confusions),
    np.trace(confusions, axis1=1, axis2=2),
    confusions.sum((1, 2)),
    **options,
  )


def test_one_image_leaves_no_doubt():
  """3 of 4 ground pixels, 1 of 2 cat pixels: IoU 3 / 5 and 1 / 3; no dog."""
  found = of([[[3, 1, 0], [1, 1, 0], [0, 0, 0]]])
  assert found.scores["pixel_accuracy"] == pytest.approx((4 / 6, 4 / 6))
  assert found.scores["mean_accuracy"] == pytest.approx((5 / 8, 5 / 8))
  assert found.scores["mean_iu"] == pytest.approx((7 / 15, 7 / 15))
  assert found.scores["fw_iu"] == pytest.approx((23 / 45, 23 / 45))
  assert found.scores["digits_accuracy"] == pytest.approx((2 / 3, 2 / 3))
  assert found.class_iu[:2] == pytest.approx(
    np.array([[3 / 5, 3 / 5], [1 / 3, 1 / 3]])
  )
  assert np.isnan(found.class_iu[2]).all()


def test_two_images_by_hand():
  """One image right, one wrong, of 10 ground pixels each.

  A quarter of the drawings hold the first image twice, a quarter the second,
  a half both: accuracy 1, 0 and 1 / 2. So the middle 95 % reach from 0 to 1.
  The cat is seen, never labelled: its IoU is 0 or unknown, never more.
  """
  found = of([[[10, 0], [0, 0]], [[0, 10], [0, 0]]], resamples=2000)
  assert found.scores["pixel_accuracy"] == (0, 1)
  assert found.scores["digits_accuracy"] == (0, 1)
  assert found.class_iu.tolist() == [[0, 1], [0, 0]]
  # Mean IoU of both: (1 / 2 + 0) / 2; of the first alone 1, of the second 0.
  assert found.scores["mean_iu"] == (0, 1)


def test_three_images_against_all_drawings():
  """27 drawings, equally likely: their quantiles are the limit."""
  confusions = np.array([[[5, 1], [2, 9]], [[1, 6], [0, 3]], [[30, 0], [1, 1]]])
  every = [
    metrics.mean_iu(metrics.Counts(confusions[list(chosen)].sum(0)))
    for chosen in itertools.product(range(3), repeat=3)
  ]
  # 2.5 % of 27 is less than one drawing: the ends are the extremes.
  found = of(confusions, resamples=4000)
  assert found.scores["mean_iu"] == pytest.approx((min(every), max(every)))


def test_it_is_a_plain_loop():
  rng = np.random.default_rng(5)
  confusions = rng.integers(0, 50, (7, 3, 3)) * rng.integers(0, 2, (7, 3, 3))
  confusions[:, 2] *= rng.integers(0, 2, (7, 1)) * 3
  confusions[4] = 0  # nothing but void
  right = np.trace(confusions, axis1=1, axis2=2) // 2
  valid = confusions.sum((1, 2))
  draw = np.random.default_rng(11)
  scores, digits = [], []
  for _ in range(60):
    chosen = [int(draw.integers(7)) for _ in range(7)]
    total = np.zeros((3, 3), int)
    for image in chosen:
      total += confusions[image]
    scores.append(metrics.Counts(total))
    shares = [right[i] / valid[i] for i in chosen if valid[i]]
    digits.append(sum(shares) / len(shares))
  found = bootstrap.intervals(
    PerImage.of(confusions), right, valid, resamples=60, seed=11
  )
  ends = (0.025, 0.975)
  for name in ("pixel_accuracy", "mean_accuracy", "mean_iu", "fw_iu"):
    values = [metrics.METRICS[name].of(score) for score in scores]
    assert found.scores[name] == pytest.approx(np.quantile(values, ends))
  assert found.scores["digits_accuracy"] == pytest.approx(
    np.quantile(digits, ends)
  )
  per_class = np.array([score.class_iu for score in scores])
  np.testing.assert_allclose(
    found.class_iu, np.nanquantile(per_class, ends, axis=0).T
  )


def test_it_holds_the_truth_about_as_often_as_it_says():
  """Images of 100 pixels, of which an image has 70 % right on average."""
  held = 0
  for seed in range(100):
    rng = np.random.default_rng(seed)
    right = rng.binomial(100, rng.beta(7, 3, 60))
    confusions = np.zeros((60, 2, 2), int)
    confusions[:, 0, 0], confusions[:, 0, 1] = right, 100 - right
    low, high = of(confusions, resamples=80).scores["pixel_accuracy"]
    held += low <= 0.7 <= high
  assert 0.90 <= held / 100 <= 0.99


def test_a_seed_gives_the_same_and_another_one_another():
  confusions = np.random.default_rng(0).integers(0, 9, (12, 2, 2))
  one, same, other = (of(confusions, resamples=50, seed=s) for s in (0, 0, 1))
  assert one.scores["mean_iu"] == same.scores["mean_iu"]
  assert one.scores["mean_iu"] != other.scores["mean_iu"]


def test_voc_takes_about_a_second():
  rng = np.random.default_rng(0)
  confusions = rng.integers(0, 10_000, (1449, 21, 21), np.int32)
  confusions *= rng.random(confusions.shape) < 0.1  # what is confused at all
  began = time.process_time()
  found = of(confusions)
  assert time.process_time() - began < 5
  whole = metrics.mean_iu(metrics.Counts(confusions.sum(0, dtype=np.int64)))
  assert found.scores["mean_iu"][0] < whole < found.scores["mean_iu"][1]


def test_figures_are_ready_for_json():
  found = of([[[3, 1], [0, 0]]], resamples=3, seed=4)
  figures = found.figures(("ground", "cat"))
  assert json.loads(json.dumps(figures)).keys() == figures.keys()
  assert figures["per_class_iu"] == {"ground": [0.75, 0.75], "cat": [0, 0]}
  assert (figures["resamples"], figures["seed"]) == (3, 4)
  assert figures["pixel_accuracy"] == [0.75, 0.75]
  assert figures["level"] == 0.95
  # No pixel was counted in bands.
  assert np.isnan(figures.pop("boundary_iou")).all()


def test_images_of_void_alone_have_no_interval():
  found = of(np.zeros((3, 2, 2), int), resamples=5)
  assert math.isnan(found.scores["pixel_accuracy"][0])
  assert math.isnan(found.scores["digits_accuracy"][1])


@pytest.mark.parametrize(("images", "resamples"), [(0, 10), (3, 0)])
def test_nothing_to_draw(images, resamples):
  with pytest.raises(ValueError, match="give no interval"):
    of(np.zeros((images, 2, 2), int), resamples=resamples)


def test_what_counters_found_is_drawn_with_the_images():
  """Of two images: 1 of 2 band pixels, then 3 of 4 (see the metric)."""
  bands = np.array([[[2, 1, 1]], [[4, 3, 3]]])
  confusions = PerImage.of(np.ones((2, 1, 1), int))
  none = np.zeros(2, int)
  found = bootstrap.intervals(
    confusions, none, none, {"boundary": PerImage.of(bands)}, 500
  )
  assert found.scores["boundary_iou"] == (1 / 2, 3 / 4)


def stored(confusions, ids=None) -> StoredCounts:
  confusions = np.array(confusions)
  images = range(len(confusions))
  return StoredCounts(
    ("a", "b"),
    tuple(ids or map(str, images)),
    7,
    PerImage.of(confusions),
    np.trace(confusions, axis1=1, axis2=2),
    confusions.sum((1, 2)),
    {},
  )


def test_a_paired_difference_by_hand():
  """One pixel more is right in each of two images of 10: always 1/10.

  The scores themselves move from 0.2 to 0.9.
  """
  better = stored([[[9, 1], [0, 0]], [[3, 7], [0, 0]]])
  worse = stored([[[8, 2], [0, 0]], [[2, 8], [0, 0]]])
  found = bootstrap.paired(better, worse, "pixel_accuracy", 50)
  assert found.difference == pytest.approx(0.1)
  assert found.interval == pytest.approx((0.1, 0.1))
  assert found.is_clear
  back = bootstrap.paired(worse, better, "pixel_accuracy", 50)
  assert back.interval == pytest.approx((-0.1, -0.1))
  assert back.is_clear


def test_a_difference_that_one_image_makes_is_not_clear():
  """Better by 3 of 10 in the first image, worse by 1 in the second.

  Of a quarter of the drawings 0.3, of a half 0.1, of a quarter -0.1.
  """
  one = stored([[[9, 1], [0, 0]], [[3, 7], [0, 0]]])
  other = stored([[[6, 4], [0, 0]], [[4, 6], [0, 0]]])
  found = bootstrap.paired(one, other, "pixel_accuracy", 500, seed=1)
  assert found.difference == pytest.approx(0.1)
  assert found.interval == pytest.approx((-0.1, 0.3))
  assert not found.is_clear
  with pytest.raises(ValueError, match="other images, or other classes"):
    bootstrap.paired(one, stored(np.ones((2, 2, 2), int), ("x", "y")))
