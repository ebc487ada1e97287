"""fcn_jax.losses, by hand; Caffe's numbers: see test_parity."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.data import classes
from fcn_jax.models import losses


@jax.jit
def sum_over_the_batch(scores, label):
  """The loss of a batch that is not divided by anything, and its gradient."""

  def total(scores):
    return losses.cross_entropy(scores, label)[0].sum()

  return jax.value_and_grad(total)(scores)


def test_a_hopeless_pixel_costs_what_it_costs():
  """A departure from Caffe, which takes no more than -log(1.2e-38) = 87.3.

  Scores of 0 and 200 cost 200; the gradient, (-1, 1), is Caffe's, too.
  """
  score = jnp.array([0.0, 200])[None, None, None]
  loss, gradient = sum_over_the_batch(score, jnp.zeros((1, 1, 1), jnp.uint8))
  assert float(loss) == 200
  assert gradient.ravel().tolist() == [-1, 1]


def test_by_hand():
  """Scores 0, ln 2, ln 5 are shares 1/8, 2/8, 5/8."""
  scores = jnp.log(jnp.array([1.0, 2, 5]))[None, None, None]
  scores = jnp.tile(scores, (3, 1, 3, 1))
  label = jnp.array([[[0, 1, 2]], [[0, 255, 255]], [[255] * 3]], jnp.uint8)
  total, valid = losses.cross_entropy(scores, label)
  expected = [math.log(8 * 8 / 2 * 8 / 5), math.log(8), 0]
  np.testing.assert_allclose(total, expected, rtol=1e-6)
  assert valid.tolist() == [3, 1, 0]
  each = losses.image_losses(total, valid, True)
  np.testing.assert_allclose(each, [expected[0] / 3, expected[1], 0], rtol=1e-6)
  unnormalised = losses.image_losses(total, valid, False)
  np.testing.assert_array_equal(unnormalised, total)


def test_a_head_of_zeros_costs_the_logarithm_of_the_classes():
  """ln 21 = 3.04452, the first loss of DIGITS' recipe."""
  label = jnp.arange(21, dtype=jnp.uint8).reshape(1, 3, 7)
  total, valid = losses.cross_entropy(jnp.zeros((1, 3, 7, 21)), label)
  loss = losses.image_losses(total, valid, True)
  assert float(loss[0]) == pytest.approx(3.04452, abs=5e-6)


def test_void_pixels_send_nothing_back():
  """Not even where a score is not a number."""
  scores = jnp.zeros((1, 1, 2, 3)).at[0, 0, 1].set(jnp.nan)
  label = jnp.array([[[2, 255]]], jnp.uint8)
  loss, gradient = sum_over_the_batch(scores, label)
  assert float(loss) == pytest.approx(math.log(3))
  np.testing.assert_allclose(gradient[0, 0, 0], [1 / 3, 1 / 3, -2 / 3], 1e-5)
  zero = jnp.zeros((1, 1, 2, 3))
  assert not sum_over_the_batch(zero, label)[1][0, 0, 1].any()


def test_void_is_the_data_s_void():
  """The two may not import each other."""
  assert losses.VOID == classes.VOID == 255
