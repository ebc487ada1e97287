"""fcn_jax.models: what is declared and what is not.

Caffe's numbers of each network: see test_parity.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from configs_there import load_config
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

from fcn_jax import models
from fcn_jax.models import geometry
from fcn_jax.models import layers as d
from fcn_jax.prediction import predictor
from fcn_jax.training import recipe
from fcn_jax.weights import checkpoints, export, surgery


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
# 4097 * 4096 = 16,781,312, fc8 4097 * 1000; torchvision counts 61,100,840 in
# its AlexNet; a head of 21 classes has 4097 * 21,
# 86,037, that of pool4 513 * 21 = 10,773 more, of pool3 257 * 21 = 5,397.
PARAMETERS = {
  "alexnet": (1000, 60_965_224),
  "alexnet_owt": (1000, 61_100_840),
  "vgg16": (1000, 138_357_544),
  "fcn_alexnet": (21, 56_954_261),
  "fcn_alexnet_owt": (21, 61_100_840 - 4097 * 1000 + 4097 * 21),
  "fcn32s": (21, 134_346_581),
  "fcn16s": (21, 134_346_581 + 10_773),
  "fcn8s": (21, 134_346_581 + 10_773 + 5_397),
  "fcn_alexnet8s": (21, 56_954_261 + 257 * 21 + 97 * 21),
  "fcn8s_atonce": (21, 134_346_581 + 10_773 + 5_397),
}


@pytest.mark.parametrize("name", PARAMETERS)
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


def test_no_network_is_untested():
  """Parameters here; Caffe's numbers: see test_parity."""
  strangers = models.NETWORKS.keys() - PARAMETERS.keys()
  assert not strangers, "give their parameters in PARAMETERS"
  for name in PARAMETERS:
    assert models.NETWORKS[name].classifier in ("", *PARAMETERS)
    defaults = models.options(name)
    assert defaults["width"] == 1.0
    assert len(defaults["mean_bgr"]) == 3
    # The same numbers, given as a checkpoint's JSON has them.
    as_lists = {
      k: list(v) if type(v) is tuple else v for k, v in defaults.items()
    }
    assert models.declare(name, 3, **as_lists) == models.declare(name, 3)


def test_the_classifier_of_a_network():
  """Its trunk is the network's but for the first pad, by the same options."""
  options = {"width": 0.02, "mean_bgr": (1.0, 2.0, 3.0)}
  for name, first_pad, size in (("fcn_alexnet", 0, 227), ("fcn8s", 1, 224)):
    ours = models.declare(name, 5, **options)
    theirs = models.declare_classifier(name, 5, order="pool_norm", **options)
    last = [layer.name for layer in ours].index("drop7")
    assert theirs[0] == dataclasses.replace(ours[0], size=size)
    assert theirs[1] == dataclasses.replace(ours[1], pad=first_pad)
    assert theirs[2:-1] == ours[2 : last + 1]
    assert (theirs[-1].name, theirs[-1].features) == ("fc8", 5)
  same = models.declare_classifier("vgg16", 5, **options)
  assert same == models.declare("vgg16", 5, **options)


def test_the_layers_of_fcn8s_at_once():
  names = [layer.name for layer in models.declare("fcn8s_atonce", classes=2)]
  assert names[names.index("drop7") + 1 :] == [
    *("score_fr", "upscore2"),
    *("scale_pool4", "score_pool4", "score_pool4c", "fuse_pool4"),
    *("upscore_pool4", "scale_pool3", "score_pool3", "score_pool3c"),
    *("fuse_pool3", "upscore8", "score"),
  ]
  plain = [layer.name for layer in models.declare("fcn8s", classes=2)]
  assert plain == [name for name in names if not name.startswith("scale")]
  _, _, frozen = split(models.build(models.declare("fcn8s", 2, width=0.01)))
  shapes = sorted(kernel.shape for kernel in jax.tree.leaves(frozen))
  assert shapes == [(4,), (4,), (16,)]


def test_your_own_network_in_ten_lines(monkeypatch, tmp_path):
  """A sequence and a line; sizes, offset, checkpoint and use come with it."""

  def tiny(classes: int, features: int = 8):
    return (
      d.Data("data", mean_bgr=(104.0, 117.0, 123.0)),
      d.Conv("conv1", features=features, kernel=5, stride=2, pad=20),
      d.MaxPool("pool1", kernel=2, stride=2),
      d.Conv("conv2", features=features, kernel=3, pad=1),
      d.Conv("score_fr", features=classes, kernel=1, relu=False, head=True),
      d.Upscore("upscore", kernel=7, stride=4),
      d.Crop("score", like="data"),
    )

  monkeypatch.setitem(models.NETWORKS, "tiny", models.Registered(tiny))

  assert models.options("tiny") == {"features": 8}
  layers = models.declare("tiny", classes=3, features=4)
  # conv1's first cell is centred on 2 - 20 = -18, pool1's on -17; upscored it
  # begins 3 pixels before.
  assert geometry.crop_offsets(layers) == {"score": 20}
  geometry.sizes(layers, np.arange(1, 701))
  config = load_config("voc_fcn_alexnet_digits")
  config.model = {"name": "tiny", "features": 4}
  recipe.check(config)
  net = models.build(layers)
  surgery.initialise(net, seed=0, head_init="gaussian")
  model = {"name": "tiny", "classes": 3, "features": 4}
  about = checkpoints.ModelCard(
    model, list("abc"), [[i] * 3 for i in range(256)]
  )
  checkpoints.save_model(tmp_path / "model", net, about)
  image = random_image(np.random.default_rng(0), 33, 47)
  result = predictor.load(tmp_path / "model")(image)
  assert result.labels.shape == (33, 47)
  alone = np.asarray(net(jnp.asarray(image[None])))[0].argmax(-1)
  np.testing.assert_array_equal(result.labels, alone)
  assert "Deconvolution" in export.deploy_prototxt(layers, "tiny", 33, 47)


def test_options_of_a_network(monkeypatch):
  def toy(classes, depth: int = 3, pair: tuple[int, int] = (1, 2), free=0.5):
    return classes, depth, pair, free

  def bare(classes, depth):
    return classes, depth

  monkeypatch.setitem(models.NETWORKS, "toy", models.Registered(toy))
  monkeypatch.setitem(models.NETWORKS, "bare", models.Registered(bare))
  assert models.options("toy") == {"depth": 3, "pair": (1, 2), "free": 0.5}
  assert models.option_types("toy") == {
    "depth": (int,),
    "pair": (tuple,),
    "free": (float,),
  }
  assert models.option_types("fcn8s")["width"] == (float, tuple)
  with pytest.raises(ValueError, match="'bare': option depth has no default"):
    models.options("bare")


def test_names_that_a_network_has_itself_are_refused():
  data = d.Data("data", mean_bgr=(0.0, 0.0, 0.0))
  for name in ("layers", "precision", "blobs", "eval"):
    with pytest.raises(ValueError, match=f"cannot be called {name}"):
      models.build((data, d.Conv(name, features=2, kernel=1)))


@pytest.mark.parametrize("width", [0, -1.0, float("nan"), float("inf")])
def test_a_width_that_makes_no_sense_is_refused(width):
  with pytest.raises(ValueError, match="give a share of the published"):
    models.declare("fcn8s", 3, width=width)


def test_unknown_names_are_refused():
  with pytest.raises(ValueError, match=r"'fcn_vgg' is unknown; .*fcn_alexnet"):
    models.declare("fcn_vgg", classes=2)
  with pytest.raises(ValueError, match="'pool': there is pool_norm and"):
    models.declare("fcn_alexnet", classes=2, order="pool")
  with pytest.raises(ValueError, match="'half' is unknown; there is float32"):
    models.build(models.declare("alexnet", classes=2, width=0.1), "half")
  with pytest.raises(ValueError, match="'fcn8s' has no option order; it has"):
    models.declare("fcn8s", classes=2, order="pool_norm")


def test_a_layer_without_arithmetic_says_so():
  @dataclasses.dataclass(frozen=True, kw_only=True)
  class Softmax(d.Layer):
    pass

  data = d.Data("data", mean_bgr=(0.0, 0.0, 0.0))
  net = models.build((data, Softmax("prob")))
  with pytest.raises(NotImplementedError, match="Softmax computes nothing"):
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


def test_skips_of_zero_change_nothing():
  """Kernels 3, 3, 15 in a row are the kernel of 63; offsets 5, 10 and 18."""
  one = random_net()
  options = {"width": (4, 8, 8, 8, 8, 12, 12), "mean_bgr": (104, 117, 123)}
  declared = models.declare("fcn_alexnet8s", 5, **options)
  assert [*geometry.crop_offsets(declared).values()] == [5, 10, 18]
  other = models.build(declared)
  surgery.surgery(export.to_caffe(one), other)
  image = jnp.asarray(random_image(np.random.default_rng(0), 75, 93)[None])
  extent = jnp.array([[75, 93]])
  assert_near(compiled(other)(image, extent), compiled(one)(image, extent))
  for n in range(1, 701):
    geometry.sizes(declared, n)
