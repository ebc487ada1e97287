"""fcn_jax.flops: counted by hand."""

import jax
from flax import nnx

from fcn_jax import models
from fcn_jax.models import flops
from fcn_jax.models import layers as d

LAYERS = (
  d.Data("data", mean_bgr=(0.0, 0.0, 0.0)),
  d.Conv("conv1", features=4, kernel=3, stride=2, pad=2),
  d.Conv("conv2", features=6, kernel=1, groups=2),
  d.Upscore("up", kernel=4, stride=2),
)


def test_by_hand():
  """7 x 9 pixels: 5 x 6 cells of 27 products for each of 4 features.

  (7 + 4 - 3) // 2 + 1 = 5, (9 + 4 - 3) // 2 + 1 = 6; then 2 inputs for each of
  6 features; then 16 products for each of 6 channels.
  """
  found = flops.forward(LAYERS, 7, 9)
  assert found == {
    "conv1": 2 * 30 * 27 * 4,
    "conv2": 2 * 30 * 2 * 6,
    "up": 2 * 30 * 16 * 6,
  }
  # conv1: forward and kernel; conv2: input besides; up: forward and input.
  expected = 2 * found["conv1"] + 3 * found["conv2"] + 2 * found["up"]
  assert flops.train_step(LAYERS, 7, 9) == expected


def test_fcn_alexnet_on_an_image_of_voc():
  """fc6: 12 x 16 cells, 6 * 6 * 256 * 4096 products each: 14.5 GFLOP."""
  found = flops.forward(models.declare("fcn_alexnet", 21), 375, 500)
  assert found["fc6"] == 2 * 12 * 16 * 37_748_736
  assert round(sum(found.values()) / 1e9, 1) == 32.5


def test_parameters_are_those_of_the_network():
  for name in models.NETWORKS:
    layers = models.declare(name, 5, width=0.05)
    params = nnx.state(models.build(layers), nnx.Param)
    count = sum(x.size for x in jax.tree.leaves(params))
    assert flops.parameters(layers) == count
