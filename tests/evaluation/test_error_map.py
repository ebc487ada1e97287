"""fcn_jax.error_map: every kind, and the pixels of the confusion matrix."""

import jax.numpy as jnp
import numpy as np

from fcn_jax.evaluation import metrics
from fcn_jax.evaluation.error_map import COLORS, Kind, error_map


def test_by_hand():
  """Background 0: found, painted over; cat 1: found, missed, taken for 2."""
  label = np.array([[0, 0, 1], [1, 1, 255]], np.uint8)
  prediction = np.array([[0, 2, 1], [0, 2, 2]], np.uint8)
  right, wrong, missed, void = Kind
  found = error_map(label, prediction, background=(0,))
  assert found.dtype == np.uint8
  assert found.tolist() == [[right, wrong, right], [missed, wrong, void]]
  # Where no class is background, nothing is missed.
  found = error_map(label, prediction)
  assert found.tolist() == [[right, wrong, right], [wrong, wrong, void]]


def test_it_counts_what_the_confusion_matrix_counts():
  rng = np.random.default_rng(0)
  label = rng.choice(np.array([0, 1, 2, 255], np.uint8), (9, 11))
  prediction = rng.integers(0, 3, (9, 11), np.uint8)
  counted = metrics.confusion(
    jnp.array(label[None]), jnp.array(prediction[None]), 3
  )
  histogram = np.asarray(counted)[0]
  count = np.bincount(error_map(label, prediction, (0,)).ravel())
  assert count[Kind.RIGHT] == np.trace(histogram)
  assert count[Kind.MISSED] == histogram[1:, 0].sum()
  assert count[:3].sum() == histogram.sum()
  assert count[Kind.VOID] == (label == 255).sum()


def test_every_kind_has_a_name_and_a_colour():
  assert [kind.text for kind in Kind] == ["right", "wrong", "missed", "void"]
  lightness = COLORS @ np.array([0.299, 0.587, 0.114])
  assert len(COLORS) == len(Kind)
  assert (np.diff(lightness) > 25).all()
