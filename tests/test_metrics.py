"""fcn_jax.metrics: the FCN authors' figures, Caffe's Accuracy, and by hand."""

import json

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest
from small_nets import golden, nhwc

from fcn_jax import metrics

FIGURES, PIXELS = golden("metrics")
FIGURES = {case["name"]: case for case in FIGURES["cases"]}
LAYERS, BLOBS = golden("layers")
ACCURACY = {
  case["name"]: case
  for case in LAYERS["cases"]
  if case["layer"]["type"] == "Accuracy" and case["layer"]["top_k"] == 1
}


def near(ours, theirs) -> None:
  """To 1e-12; null is NaN."""
  theirs = np.array(theirs, np.float64)
  np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", FIGURES)
def test_histograms_and_figures_are_the_authors(name):
  case = FIGURES[name]
  histogram = np.zeros((case["classes"],) * 2, np.int64)
  for i in range(case["images"]):
    label = jnp.asarray(PIXELS[f"{name}/label_{i}"][None])
    prediction = jnp.asarray(PIXELS[f"{name}/pred_{i}"][None])
    counted = metrics.confusion(label, prediction, case["classes"])
    histogram += np.asarray(counted[0])
  np.testing.assert_array_equal(histogram, PIXELS[f"{name}/hist"])
  ours = metrics.scores(histogram)
  near(ours.pixel_accuracy, case["overall_accuracy"])
  near(ours.mean_accuracy, case["mean_accuracy"])
  near(ours.mean_iu, case["mean_iu"])
  near(ours.fw_iu, case["fw_iu"])
  near(ours.per_class_iu, case["per_class_iu"])


def test_figures_by_hand():
  """Three of four grounds and one of two cats are found; no dog is there.

  IU 3/4, 1/3, and 0 for the dog that was seen; no bird is anywhere.
  """
  histogram = np.array([[3, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
  found = metrics.scores(histogram)
  assert found.pixel_accuracy == pytest.approx(4 / 6)
  assert found.mean_accuracy == pytest.approx((3 / 4 + 1 / 2) / 2)
  near(found.per_class_iu, [3 / 4, 1 / 3, 0, np.nan])
  assert found.mean_iu == pytest.approx((3 / 4 + 1 / 3 + 0) / 3)
  assert found.fw_iu == pytest.approx(4 / 6 * 3 / 4 + 2 / 6 * 1 / 3)


def test_confusion_keeps_the_images_apart():
  label = jnp.array([[[0, 1, 255]], [[1, 1, 0]]], jnp.uint8)
  prediction = jnp.array([[[0, 0, 1]], [[1, 0, 1]]])
  counts = metrics.confusion(label, prediction, 2)
  assert counts.tolist() == [[[1, 0], [1, 0]], [[0, 1], [1, 1]]]


@hypothesis.given(
  hnp.arrays(np.uint8, (2, 3, 4), elements=st.sampled_from([0, 1, 2, 255])),
  hnp.arrays(np.uint8, (2, 3, 4), elements=st.integers(0, 2)),
)
def test_confusion_counts_every_valid_pixel(label, prediction):
  counts = metrics.confusion(jnp.asarray(label), jnp.asarray(prediction), 3)
  for image in range(2):
    for true in range(3):
      for seen in range(3):
        here = (label[image] == true) & (prediction[image] == seen)
        assert counts[image, true, seen] == here.sum()


@pytest.mark.parametrize("name", ACCURACY)
def test_accuracy_is_caffes(name):
  """A tie between the true class and another is wrong."""
  scores = jnp.asarray(nhwc(BLOBS[f"{name}/score"]))
  label = jnp.asarray(BLOBS[f"{name}/label"].reshape(scores.shape[:3]))
  right, valid = metrics.caffe_accuracy_counts(scores, label)
  assert valid.sum() == ACCURACY[name]["valid_pixels"]
  ours = right.sum() / max(1, valid.sum())
  assert float(ours) == pytest.approx(ACCURACY[name]["accuracy"], rel=1e-6)


def test_a_tie_is_wrong_by_hand():
  scores = jnp.array([[[[1.0, 1, 0], [0, 2, 1], [0, 2, 2], [5, 0, 0]]]])
  label = jnp.array([[[0, 1, 0, 255]]], jnp.uint8)
  right, valid = metrics.caffe_accuracy_counts(scores, label)
  assert (right.tolist(), valid.tolist()) == ([1], [3])


def test_digits_accuracy_is_a_mean_over_images():
  """(1/2 + 3/4) / 2, not 4/6; an image of void alone is left out."""
  right, valid = np.array([1, 3, 0]), np.array([2, 4, 0])
  assert metrics.digits_accuracy(right, valid) == 0.625
  assert np.isnan(metrics.digits_accuracy(right[2:], valid[2:]))


def test_the_baseline_predicts_the_commonest_class():
  """Five of eight pixels are of class 1: IU 5/8 for it, 0 for the others."""
  histogram = np.array([[2, 0, 0], [0, 1, 4], [1, 0, 0]])
  commonest, scores = metrics.majority_baseline(histogram)
  assert commonest == 1
  assert scores.pixel_accuracy == 5 / 8
  assert scores.mean_accuracy == pytest.approx(1 / 3)
  assert scores.mean_iu == pytest.approx(5 / 8 / 3)
  assert scores.fw_iu == pytest.approx(5 / 8 * 5 / 8)


def test_only_background_on_voc_2012_val(shared):
  """Pixel accuracy 0.733, mean IU 0.0349."""
  path = shared / "data/voc2012_statistics.json"
  pixels = json.loads(path.read_text())["val"]["pixels_per_index"]
  counts = [pixels.get(str(i), 0) for i in range(21)]
  _, scores = metrics.majority_baseline(np.diag(counts))
  assert scores.pixel_accuracy == pytest.approx(0.733, abs=5e-4)
  assert scores.mean_iu == pytest.approx(0.0349, abs=5e-5)
