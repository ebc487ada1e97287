"""The result of an image depends on the image alone.

Not on the canvas it is padded to, on what lies beyond its extent, on its batch
mates, or on how a batch was divided: forward, gradient and update.
"""

import functools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_nets import (
  assert_near,
  compiled,
  random_image,
  random_net,
  randomise,
  reference,
  short_net,
  skip_net,
  split,
)

from fcn_jax import models
from fcn_jax.data import augment, pipeline
from fcn_jax.models.losses import cross_entropy
from fcn_jax.training.optimizers import adamw
from fcn_jax.training.step import Training

# Tight for an image of the same size, and at most twice the smallest ones.
CANVASES = ((45, 64), (64, 45), (71, 97))


NETS = ("pool_norm", "norm_pool", "fcn16s", "fcn8s_atonce", "skip")


@functools.cache
def network(name):
  """An FCN-AlexNet in that order, or a network on VGG-16."""
  if name in models.NETWORKS:
    width = (4, 4, 6, 6, 8, 10, 10)
    net = randomise(models.declare(name, 5, width=width), seed=5)
  elif name == "skip":
    net = skip_net(seed=5)
  else:
    net = random_net(name, seed=5)
  return net, compiled(net)


def sample(seed: int, height: int, width: int) -> augment.Sample:
  rng = np.random.default_rng(seed)
  image = random_image(rng, height, width)
  label = random_image(rng, height, width)[..., 0] % 6
  label[label == 5] = pipeline.VOID
  return augment.Sample(image, label.astype(np.uint8))


def assert_same_scores(ours, theirs) -> None:
  """Within 1e-5 of the range; argmax equal but where two scores are."""
  spread = np.ptp(theirs)
  assert_near(ours, theirs, 1e-5, spread)
  best, second = np.sort(theirs, -1)[..., :-3:-1].transpose(2, 0, 1)
  sure = best - second > 1e-5 * spread
  assert sure.mean() > 0.99
  np.testing.assert_array_equal(ours.argmax(-1)[sure], theirs.argmax(-1)[sure])


def check_on_canvas(name, canvas, sizes, seed=0):
  """Images of these sizes (at most two) on one canvas, against each alone."""
  net, forward = network(name)
  samples = [sample(seed + i, *size) for i, size in enumerate(sizes)]
  batch = pipeline.place(samples, range(len(samples)), canvas, 2)
  scores = np.asarray(forward(batch.image, batch.extent))
  for i, (height, width) in enumerate(sizes):
    theirs = reference(net, samples[i].image)
    assert_same_scores(scores[i, :height, :width], theirs)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(
  ("canvas", "sizes"),
  [
    ((71, 97), [(71, 97), (70, 96)]),  # tight, and margins of one pixel
    ((71, 97), [(70, 97), (71, 96)]),
    ((71, 97), [(36, 49), (69, 95)]),  # the canvas is twice the image
    ((71, 97), [(1, 1), (3, 97)]),
  ],
)
def test_margins_by_hand(name, canvas, sizes):
  check_on_canvas(name, canvas, sizes)


@hypothesis.settings(max_examples=30)
@hypothesis.given(data=st.data(), canvas=st.sampled_from(CANVASES))
def test_random_sizes(data, canvas):
  """Canvases from tight to twice the image."""
  height, width = canvas
  size = st.tuples(
    st.integers((height + 1) // 2, height), st.integers((width + 1) // 2, width)
  )
  sizes = data.draw(st.lists(size, min_size=1, max_size=2))
  seed = data.draw(st.integers(0, 99))
  check_on_canvas("pool_norm", canvas, sizes, seed)


@pytest.mark.parametrize("name", NETS[1:])
@hypothesis.settings(max_examples=10)
@hypothesis.given(height=st.integers(36, 71), width=st.integers(49, 97))
def test_random_sizes_in_other_networks(name, height, width):
  check_on_canvas(name, (71, 97), [(height, width)])


@pytest.mark.parametrize("name", NETS)
def test_what_lies_beyond_the_extent_does_not_matter(name):
  _, forward = network(name)
  batch = pipeline.place(
    [sample(0, 52, 61), sample(1, 70, 97)], [0, 1], (71, 97), 2
  )
  noise = np.random.default_rng(0).integers(0, 256, batch.image.shape, np.uint8)
  for i, (height, width) in enumerate(batch.extent):
    noise[i, :height, :width] = batch.image[i, :height, :width]
  clean = np.asarray(forward(batch.image, batch.extent))
  dirty = np.asarray(forward(noise, batch.extent))
  for i, (height, width) in enumerate(batch.extent):
    np.testing.assert_array_equal(
      dirty[i, :height, :width], clean[i, :height, :width]
    )


def test_batch_mates_do_not_matter():
  """Nor does the place in the batch, nor an empty place beside."""
  _, forward = network("pool_norm")
  one, other = sample(0, 52, 61), sample(1, 70, 97)
  alone = pipeline.place([one], [0], (71, 97), 2)
  first = pipeline.place([one, other], [0, 1], (71, 97), 2)
  second = pipeline.place([other, one], [0, 1], (71, 97), 2)
  scores = [
    np.asarray(forward(batch.image, batch.extent))[place, :52, :61]
    for batch, place in ((alone, 0), (first, 0), (second, 1))
  ]
  spread = np.ptp(scores[0])
  assert_near(scores[1], scores[0], 1e-6, spread)
  assert_near(scores[2], scores[0], 1e-6, spread)


def test_without_masks_the_border_is_wrong():
  """What the extents are for: padding alone is off by more than 1 %."""
  net, forward = network("pool_norm")
  one = sample(0, 40, 50)
  batch = pipeline.place([one], [0], (71, 97), 2)
  whole = np.array([[71, 97]] * 2, np.int32)
  scores = np.asarray(forward(batch.image, whole))[0, :40, :50]
  theirs = reference(net, one.image)
  assert np.abs(scores - theirs).max() > 0.01 * np.ptp(theirs)


# A drawn batch, divided in two ways.

SIZES = ((23, 52), (40, 51), (23, 52), (40, 51), (40, 51))
SAMPLES = [sample(i, *size) for i, size in enumerate(SIZES)]


@functools.cache
def gradients(name):
  """(step, part) -> (sum of the images' gradients, their losses)."""
  net = short_net(seed=7) if name == "short" else network(name)[0]
  graphdef, params, frozen = split(net)
  key = jax.random.key(3)
  training = Training(graphdef, adamw, jnp.ones_like, cross_entropy(), key)
  function = jax.jit(training.gradients)
  return lambda step, part: function(params, frozen, jnp.asarray(step), part)


def total(name, canvases, part_size: int):
  """(sum of the gradients, loss of each image) of the batch as divided."""
  grads, each = [], np.zeros(len(SAMPLES))
  for part in pipeline.divide(SAMPLES, canvases, part_size):
    found, losses = gradients(name)(4, part)
    grads.append(found)
    for position, extent, loss in zip(
      part.position, part.extent, losses, strict=True
    ):
      if extent.any():
        each[position] = loss
      else:
        assert loss == 0  # an empty place
  return jax.tree.map(lambda *g: sum(g), *grads), each


@pytest.mark.parametrize(
  "name",
  [
    "short",
    pytest.param("fcn8s_atonce", marks=pytest.mark.exhaustive),
    "skip",
  ],
)
def test_the_sum_of_gradients_does_not_depend_on_the_division(name):
  """Dropout and all: each image at its own size, and two at a time on one
  canvas, with an empty place and margins of one pixel."""
  alone, losses = total(name, ((23, 52), (40, 51)), part_size=1)
  shared, same = total(name, ((40, 52),), part_size=2)
  assert losses.min() > 0
  np.testing.assert_allclose(same, losses, rtol=1e-5)
  for ours, theirs in zip(
    jax.tree.leaves(shared), jax.tree.leaves(alone), strict=True
  ):
    assert np.abs(theirs).max() > 0
    assert_near(ours, theirs, 2e-5)


def test_dropout_differs_by_place_and_by_step():
  """The same image twice in a batch, and the same batch a step later."""
  twice = pipeline.place([SAMPLES[0]] * 2, [0, 1], (40, 52), 2)
  _, losses = gradients("short")(4, twice)
  assert losses[0] != losses[1]
  swapped = twice._replace(position=twice.position[::-1].copy())
  _, back = gradients("short")(4, swapped)
  np.testing.assert_allclose(back, np.asarray(losses)[::-1], rtol=1e-6)
  _, later = gradients("short")(5, twice)
  assert losses[0] != later[0]
