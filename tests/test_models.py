"""fcn_jax.models: what is declared and what is not.

Caffe's numbers of each network: see test_parity.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from small_nets import (
  WIDTHS,
  assert_near,
  compiled,
  random_image,
  random_net,
  randomise,
  reference,
  split,
)

from fcn_jax import declaration as d
from fcn_jax import models


@pytest.mark.parametrize("order", ["pool_norm", "norm_pool"])
def test_both_orders_are_the_plain_sum(order):
  net = random_net(order)
  image = random_image(np.random.default_rng(3), 40, 57)
  ours = compiled(net)(image[None], jnp.array([[40, 57]]))
  assert_near(ours[0], reference(net, image))


def test_the_orders_differ():
  """Where fcn_alexnet has pool1, norm1 BVLC AlexNet has norm1, pool1."""

  def names(order):
    layers = models.declare("fcn_alexnet", classes=2, order=order)
    return [layer.name for layer in layers]

  ours, theirs = names("pool_norm"), names("norm_pool")
  assert ours[1:7] == ["conv1", "pool1", "norm1", "conv2", "pool2", "norm2"]
  assert theirs[1:7] == ["conv1", "norm1", "pool1", "conv2", "norm2", "pool2"]
  assert ours[7:] == theirs[7:]
  assert ours[7:] == [
    *("conv3", "conv4", "conv5", "pool5", "fc6", "drop6", "fc7", "drop7"),
    *("score_fr", "upscore", "score"),
  ]


def count(layers) -> int:
  """Learnable numbers, without making them."""
  shapes = nnx.eval_shape(lambda: models.build(layers))
  return sum(x.size for x in jax.tree.leaves(nnx.state(shapes, nnx.Param)))


# Classes, and learnable numbers with the published features.  VGG-16: conv1_1
# to conv5_3 have 14,714,688, fc6 (7 * 7 * 512 + 1) * 4096 = 102,764,544, fc7
# 4097 * 4096 = 16,781,312, fc8 4097 * 1000; a head of 21 classes has 4097 * 21,
# 86,037, that of pool4 513 * 21 = 10,773 more, of pool3 257 * 21 = 5,397.
PARAMETERS = {
  "alexnet": (1000, 60_965_224),
  "vgg16": (1000, 138_357_544),
  "fcn_alexnet": (21, 56_954_261),
  "fcn32s": (21, 134_346_581),
  "fcn16s": (21, 134_346_581 + 10_773),
  "fcn8s": (21, 134_346_581 + 10_773 + 5_397),
  "fcn8s_atonce": (21, 134_346_581 + 10_773 + 5_397),
}


@pytest.mark.parametrize("name", models.NETWORKS)
def test_parameters_of_the_published_features(name):
  classes, parameters = PARAMETERS[name]
  assert count(models.declare(name, classes=classes)) == parameters


def test_fc6_by_hand():
  """6 * 6 * 256 * 4096 weights and 4096 biases."""
  net = nnx.eval_shape(lambda: models.build(models.declare("fcn_alexnet", 21)))
  assert net.fc6.kernel.shape == (6, 6, 256, 4096)
  assert net.conv2.kernel.shape == (5, 5, 48, 256)
  assert net.fc6.kernel.size + net.fc6.bias.size == 37_752_832


def test_only_the_bilinear_kernel_is_frozen():
  _, params, frozen = split(random_net())
  assert set(params) == {
    *("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "score_fr")
  }
  (kernel,) = jax.tree.leaves(frozen)
  assert kernel.shape == (63,)
  assert float(kernel[0]) == 1 / 32
  assert isinstance(random_net().upscore.kernel1d, models.Frozen)


def test_a_new_network_is_all_zero():
  net = models.build(models.declare("fcn_alexnet", 3, width=0.01))
  assert not any(x.any() for x in jax.tree.leaves(nnx.state(net, nnx.Param)))


def test_a_width_is_a_share_or_seven_numbers():
  def features(width):
    layers = models.declare("fcn_alexnet", classes=3, width=width)
    return [x.features for x in layers if isinstance(x, d.Conv)]

  assert features(1.0) == [96, 256, 384, 384, 256, 4096, 4096, 3]
  assert features(0.25) == [24, 64, 96, 96, 64, 1024, 1024, 3]
  assert features(1) == features(1.0)
  assert features(WIDTHS) == [*WIDTHS, 3]
  with pytest.raises(ValueError, match=r"those of conv1 \.\. conv5 even"):
    features((6, 7, 12, 12, 8, 24, 20))
  with pytest.raises(ValueError, match="or 7 numbers"):
    features((6, 8))


def test_unknown_names_are_refused():
  with pytest.raises(ValueError, match=r"'fcn_vgg' is unknown; .*fcn_alexnet"):
    models.declare("fcn_vgg", classes=2)
  with pytest.raises(ValueError, match="'pool': there is pool_norm and"):
    models.declare("fcn_alexnet", classes=2, order="pool")
  with pytest.raises(ValueError, match="'half' is unknown; there is float32"):
    models.build(models.declare("alexnet", classes=2, width=0.1), "half")


def test_other_layers_are_refused():
  @dataclasses.dataclass(frozen=True, kw_only=True)
  class Softmax(d.Layer):
    pass

  data = d.Data("data", mean_bgr=(0.0, 0.0, 0.0))
  net = models.build((data, Softmax("prob")))
  with pytest.raises(TypeError, match="prob: no layer is a"):
    net(jnp.zeros((1, 2, 2, 3), jnp.uint8))


@pytest.mark.parametrize(
  ("precision", "share"), [("tf32", 2e-3), ("bfloat16", 0.05)]
)
@pytest.mark.parametrize("name", ["fcn_alexnet", "fcn8s"])
def test_lower_precisions_come_near(name, precision, share):
  """How far they depart; scores and parameters stay float32."""
  exact = randomise(models.declare(name, 3, width=0.02), seed=1)
  net = models.build(exact.layers, precision)
  nnx.update(net, nnx.state(exact))
  image = random_image(np.random.default_rng(1), 40, 57)
  extent = jnp.array([[40, 57]])
  score = compiled(net)(image[None], extent)
  assert score.dtype == jnp.float32
  assert net.fc6.kernel[...].dtype == jnp.float32
  assert_near(score[0], reference(exact, image), share)
