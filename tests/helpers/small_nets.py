"""Narrow networks, and a plain reference.

The reference is numpy in float64, one image at a time, at its own size: no
canvas, no extent, no trick.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from fcn_jax import models
from fcn_jax.models import layers as d

WIDTHS = (6, 8, 12, 12, 8, 24, 20)  # of tests/golden/fcn_alexnet

# Layers of all their kinds stand in other networks.
_WITHIN_OTHERS = ("alexnet_owt", "fcn16s", "fcn32s", "fcn8s", "vgg16")


def each_network(names=tuple(models.NETWORKS)) -> list:
  """Parameters of a test; those within other networks only with --all."""
  return [
    pytest.param(name, marks=pytest.mark.exhaustive)
    if name in _WITHIN_OTHERS
    else name
    for name in names
  ]


def assert_near(ours, theirs, share: float = 1e-5, scale=None) -> None:
  """No value is off by more than `share` of the largest of `theirs`."""
  ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
  assert ours.shape == theirs.shape
  largest = np.abs(theirs).max() if scale is None else scale
  worst = np.abs(ours - theirs).max()
  assert worst <= share * largest, f"off by {worst / largest:.2g} of {largest}"


def random_net(
  order="pool_norm", classes=5, width=(4, 8, 8, 8, 8, 12, 12), seed=0
) -> models.Network:
  """A narrow FCN-AlexNet with the weights of `randomise`."""
  mean = (104.0, 117.0, 123.0)
  return randomise(
    models.declare(
      "fcn_alexnet", classes, width=width, order=order, mean_bgr=mean
    ),
    seed,
  )


def short(classes: int, mean_bgr=(104.0, 117.0, 123.0)) -> d.Layers:
  """One layer of every kind: what is compiled sooner than FCN-AlexNet."""
  return (
    d.Data("data", mean_bgr=mean_bgr),
    d.Conv("conv1", features=6, kernel=5, stride=2, pad=10),
    d.MaxPool("pool1", kernel=3, stride=2),
    d.LRN("norm1"),
    d.Conv("conv2", features=8, kernel=3, pad=1, groups=2),
    d.Conv("fc6", features=12, kernel=3),
    d.Dropout("drop6"),
    d.Conv("score_fr", features=classes, kernel=1, relu=False, head=True),
    d.Upscore("upscore", kernel=7, stride=4),
    d.Crop("score", like="data"),
  )


def short_net(classes=5, seed=0) -> models.Network:
  """`short` with the weights of `randomise`."""
  return randomise(short(classes), seed)


def skip_net(classes=5, seed=0) -> models.Network:
  """Two streams without room at the border: every zero there is seen."""
  declared = (
    d.Data("data", mean_bgr=(104.0, 117.0, 123.0)),
    d.Conv("conv1", features=6, kernel=3, pad=1),
    d.MaxPool("pool1", kernel=2, stride=2),
    d.Conv("score_fr", features=classes, kernel=1, relu=False),
    d.Upscore("upscore2", kernel=4, stride=2),
    d.Scale("scale", bottom="conv1", factor=0.5),
    d.Conv("side", features=classes, kernel=1, relu=False),
    d.Crop("upscore2c", bottom="upscore2", like="side"),
    d.Sum("fuse", other="side"),
    d.Conv("mix", features=classes, kernel=3, pad=1, relu=False),
    d.Crop("score", like="data"),
  )
  return randomise(declared, seed)


def randomise(declared: d.Layers, seed: int) -> models.Network:
  """A network with weights that keep every layer alive; no bias is 0."""
  net = models.build(declared)
  rng = np.random.default_rng(seed)
  for layer in declared:
    if isinstance(layer, d.Conv):
      weights = getattr(net, layer.name)
      shape = weights.kernel.shape
      spread = math.sqrt(2 / math.prod(shape[:3]))
      kernel = rng.normal(0, spread, shape)
      bias = rng.uniform(0.5, 4, weights.bias.shape)
      bias *= rng.choice((-1, 1), weights.bias.shape)
      weights.kernel[...] = jnp.asarray(kernel, jnp.float32)
      weights.bias[...] = jnp.asarray(bias, jnp.float32)
  return net


def split(net: models.Network):
  """(graphdef, params, frozen)."""
  return nnx.split(net, nnx.Param, ...)


def compiled(net: models.Network):
  """(image, extent) -> scores, compiled once a shape."""
  graphdef, params, frozen = split(net)

  @jax.jit
  def forward(image, extent):
    return nnx.merge(graphdef, params, frozen)(image, extent)

  return forward


def random_image(rng, height: int, width: int) -> np.ndarray:
  """RGB noise of 8 x 8 blocks: neighbours agree, as in photographs."""
  blocks = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
  image = blocks.repeat(8, 0).repeat(8, 1)[:height, :width]
  return np.clip(image + rng.integers(-9, 10, image.shape), 0, 255).astype("u1")


# Where Caffe's Crop layers cut, by their name and the name of what they cut.
OFFSETS = {
  ("score", "upscore", 63): 18,
  ("score", "upscore", 64): 19,
  ("score_pool4c", "score_pool4", 1): 5,
  ("score", "upscore16", 32): 27,
  ("score_pool3c", "score_pool3", 1): 9,
  ("score", "upscore8", 16): 31,
  ("score_pool2c", "score_pool2", 1): 5,
  ("score_pool1c", "score_pool1", 1): 10,
  ("score", "upscore8", 15): 18,
  # By hand: pool1's cells lie at 1/2 + 2 i, those of upscore2 from -1 on.
  ("upscore2c", "upscore2", 4): 1,
  ("score", "mix", 3): 0,
}


def reference_blobs(net: models.Network, image: np.ndarray) -> dict:
  """Every blob [h, w, channels] of one image [h, w, 3], float64."""
  found: dict[str, np.ndarray] = {}
  kernels: dict[str, int] = {}
  for layer, bottom in d.with_bottoms(net.layers):
    x = found[bottom] if bottom else np.zeros(0)
    match layer:
      case d.Data():
        x = image[..., ::-1] - np.array(layer.mean_bgr)
      case d.Conv():
        weights = getattr(net, layer.name)
        x = _convolve(x, np.asarray(weights.kernel[...], float), layer)
        x = x + np.asarray(weights.bias[...], float)
        x = np.maximum(x, 0) if layer.relu else x
      case d.MaxPool():
        x = _pool(x, layer.kernel, layer.stride)
      case d.LRN():
        half = layer.size // 2
        squares = np.pad(x**2, ((0, 0), (0, 0), (half, half)))
        total = sum(
          squares[..., i : i + x.shape[-1]] for i in range(layer.size)
        )
        x = x * (layer.k + layer.alpha / layer.size * total) ** -layer.beta
      case d.Upscore():
        x = _upscore(x, layer.kernel, layer.stride)
      case d.Crop():
        height, width = found[layer.like].shape[:2]
        offset = OFFSETS[layer.name, bottom, kernels[bottom]]
        x = x[offset : offset + height, offset : offset + width]
      case d.Scale():
        x = x * layer.factor
      case d.Sum():
        x = x + found[layer.other]
    found[layer.name] = x
    kernels[layer.name] = getattr(layer, "kernel", 1)
  return found


def reference(net: models.Network, image: np.ndarray) -> np.ndarray:
  """Scores [h, w, classes] of one image [h, w, 3], float64."""
  return reference_blobs(net, image)[net.layers[-1].name]


def _convolve(x, kernel, layer):
  x = np.pad(x, ((layer.pad, layer.pad), (layer.pad, layer.pad), (0, 0)))
  k = (layer.kernel, layer.kernel)
  windows = np.lib.stride_tricks.sliding_window_view(x, k, (0, 1))
  windows = windows[:: layer.stride, :: layer.stride]  # y x c kh kw
  parts = [
    np.tensordot(inputs, part, ((2, 3, 4), (2, 0, 1)))
    for inputs, part in zip(
      np.split(windows, layer.groups, 2),
      np.split(kernel, layer.groups, 3),
      strict=True,
    )
  ]
  return np.concatenate(parts, -1)


def _pool(x, kernel, stride):
  height, width = (math.ceil((n - kernel) / stride) + 1 for n in x.shape[:2])
  out = np.empty((height, width, x.shape[2]))
  for y, column in np.ndindex(height, width):
    top, left = y * stride, column * stride
    window = x[top : top + kernel, left : left + kernel]
    out[y, column] = window.max((0, 1))
  return out


def _upscore(x, size, stride):
  centre = (size - 1) / 2
  factor = 1 - np.abs(np.arange(size) - centre) / stride
  kernel = (factor[:, None] * factor[None])[..., None]
  height, width = (stride * (n - 1) + size for n in x.shape[:2])
  out = np.zeros((height, width, x.shape[2]))
  for y, column in np.ndindex(*x.shape[:2]):
    top, left = y * stride, column * stride
    out[top : top + size, left : left + size] += kernel * x[y, column]
  return out
