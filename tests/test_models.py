"""fcn_jax.models: Caffe's FCN-AlexNet and AlexNet, blob by blob."""

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
  fill,
  golden,
  nhwc,
  random_image,
  random_net,
  reference,
  split,
)

from fcn_jax import declaration as d
from fcn_jax import models

CAFFE, ARRAYS = golden("fcn_alexnet")
SIZES = ["x".join(map(str, case["size"])) for case in CAFFE["cases"]]


@pytest.fixture(scope="module")
def caffes() -> models.Network:
  """The network of Caffe's own run."""
  declared = models.declare("fcn_alexnet", classes=21, width=WIDTHS)
  return fill(models.build(declared), ARRAYS, "w/")


@pytest.fixture(scope="module")
def blobs_of(caffes):
  graphdef, params, frozen = split(caffes)
  return jax.jit(lambda image: nnx.merge(graphdef, params, frozen).blobs(image))


@pytest.mark.parametrize("size", SIZES)
def test_fcn_alexnet_is_caffes(size, blobs_of):
  case = CAFFE["cases"][SIZES.index(size)]
  found = blobs_of(ARRAYS[f"image/{size}"][None])
  assert_near(found["score_fr"], nhwc(ARRAYS[f"score_fr/{size}"]))
  score = np.asarray(found["score"])
  stride = case["score_stride"]
  assert_near(score[:, ::stride, ::stride], nhwc(ARRAYS[f"score/{size}"]))
  sums = score[0].astype(np.float64)
  theirs = ARRAYS[f"score_sums/{size}"]
  sums = np.stack([sums.sum((0, 1)), np.abs(sums).sum((0, 1))])
  assert_near(sums, theirs)
  # Equal where the best class leads by more than 1e-4 of the largest score.
  best, second = np.sort(score[0], -1)[..., :-3:-1].transpose(2, 0, 1)
  sure = best - second > 1e-4 * case["score_max_abs"]
  assert (~sure).sum() <= 2 * case["pixels_with_margin_below_1e4_of_max"]
  ours = score[0].argmax(-1)
  np.testing.assert_array_equal(ours[sure], ARRAYS[f"argmax/{size}"][sure])


def test_every_blob_is_caffes(blobs_of):
  found = blobs_of(ARRAYS[f"image/{CAFFE['blobs_case']}"][None])
  shapes = {blob["name"]: blob["shape"] for blob in CAFFE["blobs"]}
  names = {key.removeprefix("blob/") for key in ARRAYS if "blob/" in key}
  compared = names & set(found)
  assert compared >= {"conv1", "pool1", "norm1", "conv5", "pool5", "fc6", "fc7"}
  assert names - compared <= {"data_preprocessed"}
  for name in compared - {"data"}:
    ours = np.asarray(found[name])
    assert nhwc(np.empty(shapes[name])).shape == ours.shape
    stride = CAFFE["blob_stride"].get(name, 1)
    assert_near(ours[:, ::stride, ::stride], nhwc(ARRAYS[f"blob/{name}"]))
  # Our data is Caffe's after its mean is subtracted, to the bit.
  data = nhwc(ARRAYS["blob/data_preprocessed"])
  np.testing.assert_array_equal(found["data"], data)


def test_alexnet_is_caffes():
  """The classifier, which normalises before it pools; logits are our end."""
  _, arrays = golden("alexnet")
  net = models.build(
    models.declare(
      "alexnet", classes=10, width=WIDTHS, mean_bgr=(104.0, 117.0, 123.0)
    )
  )
  for layer in net.layers:
    if isinstance(layer, d.Conv) and layer.name in ("fc6", "fc7", "fc8"):
      kernel = getattr(net, layer.name).kernel
      size, _, inputs, out = kernel.shape
      weight = arrays[f"w/{layer.name}_0"].reshape(out, inputs, size, size)
      arrays[f"w/{layer.name}_0"] = weight
  fill(net, arrays, "w/")
  graphdef, params, frozen = split(net)
  found = jax.jit(lambda x: nnx.merge(graphdef, params, frozen).blobs(x))(
    arrays["image"][None]
  )
  for name in ("pool1", "pool2", "pool5"):
    assert_near(found[name], nhwc(arrays[f"blob/{name}"]))
  for name in ("fc6", "fc7", "fc8"):
    assert found[name].shape[1:3] == (1, 1)
    assert_near(np.ravel(found[name]), arrays[f"blob/{name}"][0])
  probability = jax.nn.softmax(np.ravel(found["fc8"]))
  assert_near(probability, arrays["blob/prob"][0])


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


# Classes, and learnable numbers with the published features.  VGG-16: kernels
# and biases of conv1_1 .. conv5_3 are 14,714,688, of fc6 (7 * 7 * 512 + 1) * 4096
# = 102,764,544, of fc7 4097 * 4096 = 16,781,312, of fc8 4097 * 1000; a head of 21
# classes has 4097 * 21 = 86,037, of pool4 513 * 21, of pool3 257 * 21 more.
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
def test_lower_precisions_come_near(precision, share, caffes):
  """How far they depart from Caffe; scores and parameters stay float32."""
  net = models.build(caffes.layers, precision)
  fill(net, ARRAYS, "w/")
  score = compiled(net)(ARRAYS["image/64x64"][None], jnp.array([[64, 64]]))
  assert score.dtype == jnp.float32
  assert net.fc6.kernel[...].dtype == jnp.float32
  assert_near(score, nhwc(ARRAYS["score/64x64"]), share)
