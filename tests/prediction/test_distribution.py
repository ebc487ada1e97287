"""fcn_jax.distribution: counted by hand."""

import json

import numpy as np
import pytest

from fcn_jax.prediction import distribution as module
from fcn_jax.prediction.distribution import BINS, distribution

# Two channels of four cells: 0, 1, 2, 5 and 0 throughout.
VALUES = np.array([0, 0, 1, 0, 2, 0, 5, 0], np.float32).reshape(2, 2, 2)


def test_by_hand():
  """The sum is 8, of the squares 30: the variance is 30/8 - 1."""
  found = distribution(VALUES)
  assert found.shape == (2, 2, 2)
  assert found.size == 8
  assert found.mean == 1
  assert found.std == pytest.approx(2.75**0.5, rel=1e-15)
  assert (found.minimum, found.maximum) == (0, 5)
  assert found.zeros == 5 / 8
  assert found.channel_means.tolist() == [2, 0]
  assert found.dead == (1,)
  # Bins of an eighth: 1 begins bin 8, 2 bin 16, and 5 ends the last one.
  assert np.flatnonzero(found.counts).tolist() == [0, 8, 16, 39]
  assert found.counts[[0, 8, 16, 39]].tolist() == [5, 1, 1, 1]
  assert (found.edges[0], found.edges[1], found.edges[-1]) == (0, 0.125, 5)


def test_blocks_change_nothing(monkeypatch):
  values = np.random.default_rng(0).normal(0, 3, (7, 5, 3)).astype(np.float32)
  whole = distribution(values)
  monkeypatch.setattr(module, "_BLOCK", 6)
  parts = distribution(values)
  assert parts.mean == pytest.approx(values.mean(dtype=np.float64), rel=1e-12)
  assert parts.std == pytest.approx(values.std(dtype=np.float64), rel=1e-12)
  assert whole.std == pytest.approx(parts.std, rel=1e-12)
  np.testing.assert_array_equal(whole.counts, parts.counts)
  assert whole.counts.sum() == values.size
  assert (whole.zeros, whole.dead) == (0, ())
  np.testing.assert_allclose(
    parts.channel_means, values.astype(np.float64).mean((0, 1)), rtol=1e-12
  )


def test_sums_are_of_float64():
  """In float32 a hundred million and one is a hundred million."""
  found = distribution(np.array([[1e8], [1]], np.float32))
  assert found.mean == 50_000_000.5


def test_one_value_fills_one_bin():
  found = distribution(np.full((3, 2), 2.0, np.float32))
  assert (found.mean, found.std) == (2, 0)
  assert (found.edges[0], found.edges[-1]) == (1.5, 2.5)
  assert found.counts.max() == 6
  assert len(found.counts) == BINS


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_counted(bad):
  with pytest.raises(ValueError, match="1 of 4 values are NaN or infinite"):
    distribution(np.array([[1, 2], [3, bad]], np.float32))


def test_figures_are_json():
  figures = json.loads(json.dumps(distribution(VALUES).figures()))
  assert figures["shape"] == [2, 2, 2]
  assert figures["dead"] == [1]
  assert figures["channel_means"] == [2, 0]
  assert sum(figures["counts"]) == 8
