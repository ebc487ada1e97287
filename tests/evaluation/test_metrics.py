"""fcn_jax.evaluation.metrics: by hand, and by the VOC devkit's rule.

The FCN authors' figures and Caffe's Accuracy: see test_parity.
"""

import json
import math

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest
from made_up_evaluation import NAMES, made_up
from made_up_runs import make_run, val

from fcn_jax.evaluation import metrics
from fcn_jax.reports import comparison as comparison_page
from fcn_jax.reports.evaluation import write_evaluation
from fcn_jax.runs import comparison


def near(ours, theirs) -> None:
  """To 1e-12; null is NaN."""
  theirs = np.array(theirs, np.float64)
  np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_figures_by_hand():
  """Three of four grounds and one of two cats are found; no dog is there.

  IoU 3/4, 1/3, and 0 for the dog that was seen; no bird is anywhere.
  """
  histogram = np.array([[3, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
  counts = metrics.Counts(histogram)
  near(counts.class_iu, [3 / 4, 1 / 3, 0, np.nan])
  found = metrics.figures(counts)
  assert found["pixel_accuracy"] == pytest.approx(4 / 6)
  assert found["mean_accuracy"] == pytest.approx((3 / 4 + 1 / 2) / 2)
  assert found["mean_iu"] == pytest.approx((3 / 4 + 1 / 3 + 0) / 3)
  assert found["fw_iu"] == pytest.approx(4 / 6 * 3 / 4 + 2 / 6 * 1 / 3)
  # 6 of 4 + 3 ground pixels twice, 2 of 2 + 2 cat pixels, 0 of 1 dog pixel.
  assert found["mean_dice"] == pytest.approx((6 / 7 + 2 / 4 + 0) / 3)


def test_boundary_iou_by_hand():
  """Bands of label, prediction and both: 4 / 8, 0 / 5; no dog; no bird."""
  bands = np.array([[6, 6, 4], [2, 3, 0], [0, 0, 0]])
  counts = metrics.Counts(np.zeros((3, 3), int), sums={"boundary": bands})
  assert metrics.boundary_iou(counts) == pytest.approx((4 / 8 + 0) / 2)
  # Where no bands were counted there is no such score.
  assert math.isnan(metrics.figures(metrics.Counts(bands))["boundary_iou"])


def test_every_metric_is_described():
  assert [*metrics.METRICS][:5] == [
    "mean_iu",
    "pixel_accuracy",
    "mean_accuracy",
    "fw_iu",
    "digits_accuracy",
  ]
  for metric in metrics.METRICS.values():
    assert metric.heading[1:] == metric.title[1:]
    assert metric.meaning.endswith(".")


def test_confusion_keeps_the_images_apart():
  label = jnp.array([[[0, 1, 255]], [[1, 1, 0]]], jnp.uint8)
  prediction = jnp.array([[[0, 0, 1]], [[1, 0, 1]]])
  counts = metrics.confusion(label, prediction, 2)
  assert counts.tolist() == [[[1, 0], [1, 0]], [[0, 1], [1, 1]]]


def devkit(labels, predictions, classes: int):
  """(IU of each class in percent, their mean) by the devkit's VOCevalseg.

  Image after image, one count per pixel whose label is below 255; then, class
  by class, the true positives over true positives, false positives and false
  negatives.  Its mean takes every class.
  """
  counts = np.zeros((classes, classes))
  for label, prediction in zip(labels, predictions, strict=True):
    assert label.shape == prediction.shape
    assert prediction.max() < classes
    for true, seen in zip(label.ravel(), prediction.ravel(), strict=True):
      if true < 255:
        counts[true, seen] += 1
  each = []
  for i in range(classes):
    true_positives = counts[i, i]
    with_label = sum(counts[i, j] for j in range(classes))
    with_prediction = sum(counts[j, i] for j in range(classes))
    union = with_label + with_prediction - true_positives
    each.append(100 * true_positives / union if union else math.nan)
  return each, sum(each) / classes


@hypothesis.given(
  hnp.arrays(np.uint8, (3, 5, 7), elements=st.sampled_from([0, 1, 2, 3, 255])),
  hnp.arrays(np.uint8, (3, 5, 7), elements=st.integers(0, 3)),
)
def test_the_devkits_rule(labels, predictions):
  """The same IoU; the same mean, where every class is seen or labelled.

  Where one is neither, the devkit's mean is not a number, and ours leaves that
  class out.
  """
  each, mean = devkit(labels, predictions, 4)
  counts = metrics.confusion(jnp.asarray(labels), jnp.asarray(predictions), 4)
  ours = metrics.Counts(np.asarray(counts).sum(0))
  near(100 * ours.class_iu, each)
  if not math.isnan(mean):
    near(100 * metrics.mean_iu(ours), mean)
  elif not all(map(math.isnan, each)):
    near(100 * metrics.mean_iu(ours), np.nanmean(each))


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


def test_a_tie_is_wrong_by_hand():
  scores = jnp.array([[[[1.0, 1, 0], [0, 2, 1], [0, 2, 2], [5, 0, 0]]]])
  label = jnp.array([[[0, 1, 0, 255]]], jnp.uint8)
  right, valid = metrics.caffe_accuracy_counts(scores, label)
  assert (right.tolist(), valid.tolist()) == ([1], [3])


def test_digits_accuracy_is_a_mean_over_images():
  """(1/2 + 3/4) / 2, not 4/6; an image of void alone is left out."""
  right, valid = np.array([1, 3, 0]), np.array([2, 4, 0])
  none = np.zeros((1, 1), int)
  counts = metrics.Counts(none, right, valid)
  assert metrics.digits_accuracy(counts) == 0.625
  of_void = metrics.Counts(none, right[2:], valid[2:])
  assert np.isnan(metrics.digits_accuracy(of_void))


def test_the_baseline_predicts_the_commonest_class():
  """Five of eight pixels are of class 1: IoU 5/8 for it, 0 for the others."""
  histogram = np.array([[2, 0, 0], [0, 1, 4], [1, 0, 0]])
  assert metrics.commonest_class(histogram) == 1
  scores = metrics.figures(metrics.majority_counts(histogram))
  assert scores["pixel_accuracy"] == 5 / 8
  assert scores["mean_accuracy"] == pytest.approx(1 / 3)
  assert scores["mean_iu"] == pytest.approx(5 / 8 / 3)
  assert scores["fw_iu"] == pytest.approx(5 / 8 * 5 / 8)


def test_confusions_by_hand():
  """6 of 10 ground pixels found, 3 taken for cats, 1 for a dog; no dog."""
  histogram = np.array([[6, 3, 1], [3, 5, 0], [0, 0, 0]])
  shares = metrics.row_shares(histogram)
  np.testing.assert_allclose(
    shares, [[0.6, 0.3, 0.1], [3 / 8, 5 / 8, 0], [np.nan] * 3]
  )
  counts = metrics.Counts(histogram)
  np.testing.assert_allclose(counts.class_accuracy, np.diag(shares))
  assert metrics.mean_accuracy(counts) == pytest.approx((0.6 + 5 / 8) / 2)
  assert metrics.largest_confusions(histogram, 9) == [(0, 1), (1, 0), (0, 2)]
  assert metrics.largest_confusions(histogram, 1) == [(0, 1)]
  assert metrics.largest_confusions(np.diag([4, 2]), 5) == []
  assert histogram[0, 0] == 6  # it is not written to


def test_only_background_on_voc_2012_val(shared):
  """Pixel accuracy 0.733, mean IoU 0.0349."""
  path = shared / "data/voc2012_statistics.json"
  pixels = json.loads(path.read_text())["val"]["pixels_per_index"]
  counts = [pixels.get(str(i), 0) for i in range(21)]
  only = metrics.majority_counts(np.diag(counts))
  assert metrics.pixel_accuracy(only) == pytest.approx(0.733, abs=5e-4)
  assert metrics.mean_iu(only) == pytest.approx(0.0349, abs=5e-5)


def test_a_metric_in_the_table_is_shown_everywhere(monkeypatch, tmp_path):
  """With no other edit; also beside a run that was scored without it."""
  wrong = metrics.Metric(
    "share of wrong pixels",
    lambda counts: 1 - metrics.pixel_accuracy(counts),
    "One minus the pixel accuracy, for tests.",
  )
  monkeypatch.setitem(metrics.METRICS, "wrong", wrong)
  dataset, evaluation = made_up()
  histogram = evaluation.histogram
  share = 1 - np.trace(histogram) / histogram.sum()
  only = 1 - histogram.sum(1).max() / histogram.sum()

  figures = evaluation.figures()
  assert figures["wrong"] == pytest.approx(share)
  assert figures["majority_baseline"]["wrong"] == pytest.approx(only)
  intervals = evaluation.intervals(50)
  low, high = intervals.scores["wrong"]
  assert low < share < high
  assert intervals.figures(NAMES)["wrong"] == [low, high]
  assert f"share of wrong pixels {share:.4f}" in evaluation.summary()
  (line,) = (
    line
    for line in evaluation.table(intervals).splitlines()
    if line.startswith("share of wrong pixels")
  )
  assert line.split()[4:] == [
    f"{share:.4f}",
    f"{low:.4f}-{high:.4f}",
    f"{only:.4f}",
  ]

  page = write_evaluation(
    tmp_path / "page.html",
    evaluation,
    dataset,
    "train",
    name="net",
    intervals=intervals,
    worst=0,
  ).read_text()
  assert "Share of wrong pixels" in page
  assert "One minus the pixel accuracy, for tests." in page
  for text in (f"{share:.4f}", f"{low:.4f} – {high:.4f}", f"{only:.4f}"):
    assert f">{text}<" in page

  make_run(tmp_path / "old", [val(20, 0.5)])
  make_run(tmp_path / "new", [val(20, 0.5, wrong=0.0625)])
  compared = comparison.compare([tmp_path / "old", tmp_path / "new"])
  lines = compared.text().splitlines()
  assert "share of wrong pixels" in lines[0]
  assert lines[1].split()[-2:] == ["–", "0.7500"]  # the loss is the last
  assert lines[2].split()[-2:] == ["0.0625", "0.7500"]
  assert not any("different data" in line for line in compared.warnings)
  monkeypatch.setattr(comparison_page, "drawings", lambda compared: [])
  page = comparison_page.write_comparison(
    tmp_path / "comparison.html", compared
  ).read_text()
  assert "Share of wrong pixels" in page
  assert ">0.0625<" in page
