"""The banded loss is the loss of the scores, in less memory."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from small_nets import assert_near, random_image, short_net, skip_net, split

from fcn_jax.models import banded_loss, losses

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
  (total, valid), gradient = of(banded_loss.cross_entropy, net)
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
  assert temporary(banded_loss.cross_entropy) < temporary(at_once) - scores
