"""reports.run_curves: curves are the records, in words and on paper."""

import math

import numpy as np
from made_up_runs import make_run, train, val

from fcn_jax.reports import curves
from fcn_jax.runs.run import Run, read_run


def run(folder, *records) -> Run:
  return read_run(make_run(folder, records))


def test_a_curve_is_the_records(tmp_path):
  old = {"step": 4, "kind": "val"}  # of a run that did not note it
  found = curves.curve(
    "a",
    run(tmp_path, val(0, 0.125), train(2, 9.0, 1.0), old, val(8, 0.5)),
    curves.MEAN_IU,
  )
  np.testing.assert_array_equal(found.steps, [0, 8])
  np.testing.assert_array_equal(found.values, [0.125, 0.5])


def test_its_ends_in_words(tmp_path):
  def words(*values):
    records = [val(4 * i, value) for i, value in enumerate(values)]
    there = run(tmp_path, *records)
    return curves.curve("a", there, curves.MEAN_IU).description

  assert words(0.125, 0.25, 0.5) == "a 0.1250 at step 0, 0.5000 at step 8"
  assert words(math.nan, 0.25, math.nan) == "a 0.2500 at step 4"
  assert words(math.nan) == "a: no values"


def is_log(folder, quantity, *values) -> bool:
  key = {"loss": "loss", "lr": "loss"}.get(quantity.key, "mean_iu")
  records = [
    {"step": i, "kind": quantity.kind, quantity.key: value, key: value}
    for i, value in enumerate(values)
  ]
  curve = curves.curve("a", run(folder, *records), quantity)
  chart = curves.draw("A", "a", [curve]).chart
  return chart.figure.axes[0].get_yscale() == "log"


def test_a_wide_range_of_losses_and_rates_is_logarithmic(tmp_path):
  """From 21 times the least; never a score, nor what is 0."""
  assert is_log(tmp_path, curves.TRAIN_LOSS, 2.1, 0.1)
  assert not is_log(tmp_path, curves.TRAIN_LOSS, 1.9, 0.1)
  assert not is_log(tmp_path, curves.TRAIN_LOSS, 2.1, 0.0)
  assert is_log(tmp_path, curves.RATE, 1e-3, 1e-5)
  assert not is_log(tmp_path, curves.PIXEL_ACCURACY, 0.01, 0.9)


def test_the_baseline_is_said_too(tmp_path):
  there = run(tmp_path, val(0, 0.125))
  curve = curves.curve("Mean IoU", there, curves.MEAN_IU)
  found = curves.draw("Mean IoU", "iu", [curve], ("only cats", 0.25))
  assert found.description == "Mean IoU 0.1250 at step 0; only cats 0.2500"
  labels = [line.get_label() for line in found.chart.figure.axes[0].lines]
  assert labels == ["Mean IoU", "only cats"]
