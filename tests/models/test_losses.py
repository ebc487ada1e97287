"""fcn_jax.losses, by hand; Caffe's numbers: see test_parity."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from small_nets import assert_near, random_image, short_net, skip_net, split

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


SIZES = [(150, 40), (64, 31), (97, 40)]  # three bands of the canvas


def given():
  """Three images on a canvas of 150 x 40, a fifth of the pixels void."""
  draw = np.random.default_rng(5)
  image = np.zeros((3, 150, 40, 3), np.uint8)
  label = np.full((3, 150, 40), losses.VOID, np.uint8)
  for i, (height, width) in enumerate(SIZES):
    image[i, :height, :width] = random_image(draw, height, width)
    inside = draw.integers(0, 5, (height, width))
    void = draw.random((height, width)) < 0.2
    label[i, :height, :width] = np.where(void, losses.VOID, inside)
  keys = jax.random.split(jax.random.key(3), 3)
  return jnp.asarray(image), jnp.asarray(label), jnp.asarray(SIZES), keys


def at_once(net, image, label, extent, keys):
  return losses.cross_entropy(net(image, extent, keys), label)


def of(how, net):
  """Losses and valid pixels of each image, and the gradient of their sum."""
  graphdef, params, frozen = split(net)

  @jax.jit
  @functools.partial(jax.value_and_grad, has_aux=True)
  def run(params):
    found = how(nnx.merge(graphdef, params, frozen), *given())
    return found[0].sum(), found

  (_, found), gradient = run(params)
  return found, jax.tree.leaves(gradient)


@pytest.mark.parametrize("make", [short_net, skip_net])
def test_losses_and_gradients_are_those_of_the_scores(make):
  """skip_net ends without an upscore, so there is one way for it."""
  net = make(seed=4)
  (total, valid), gradient = of(losses.banded_cross_entropy, net)
  (plain_total, plain_valid), plain_gradient = of(at_once, net)
  assert_near(total, plain_total, 1e-6)
  np.testing.assert_array_equal(valid, plain_valid)
  np.testing.assert_array_equal(
    valid, (given()[1] != losses.VOID).sum(axis=(1, 2))
  )
  for ours, theirs in zip(gradient, plain_gradient, strict=True):
    assert np.abs(theirs).max() > 0
    assert_near(ours, theirs, 1e-5)


def test_scores_are_never_held_at_full_size():
  net = short_net(classes=21)
  graphdef, params, frozen = split(net)
  size = (1, 700, 120)
  image, label = jnp.zeros((*size, 3), jnp.uint8), jnp.zeros(size, jnp.uint8)

  def temporary(how):
    def loss(params):
      net = nnx.merge(graphdef, params, frozen)
      return how(net, image, label, None, None)[0].sum()

    program = jax.jit(jax.grad(loss)).lower(params).compile()
    return program.memory_analysis().temp_size_in_bytes

  scores = 4 * 21 * 700 * 120
  assert temporary(at_once) > scores
  assert temporary(losses.banded_cross_entropy) < temporary(at_once) - scores
