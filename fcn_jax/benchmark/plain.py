"""The networks as one would write them first: a reference, and a peer in races.

Every layer is XLA's or autodiff's own form: grouped convolutions by
feature_group_count, fc6 as a convolution, normalisation by a windowed sum and a
power, pooling with XLA's gradient, the whole image at once.  Only upscore is a
matrix product here too, since a transposed convolution of stride 32 takes
minutes on a CPU.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key, UInt8

from fcn_jax.models import geometry, ops
from fcn_jax.models import layers as d

_AXES = ("NHWC", "HWIO", "NHWC")


def scores(
  declared: d.Layers,
  weights: Mapping[str, Mapping[str, Array]],
  image: UInt8[Array, "b h w 3"],
  dropout_key: Key[Array, ""] | None = None,
) -> Float[Array, "b y x c"]:
  """The last blob of a network, images filling their canvas.

  Args:
    declared: the layers.
    weights: 'kernel' and 'bias' of each convolution, by its name.
    image: RGB.
    dropout_key: in training; None: no dropout.
  """
  offsets = geometry.crop_offsets(declared)
  found: dict[str, jax.Array] = {}
  for number, (layer, bottom) in enumerate(d.with_bottoms(declared)):
    x = found[bottom] if bottom else None
    match layer:
      case d.Data():
        x = ops.subtract_mean(image, layer.mean_bgr)
      case d.Conv():
        of_layer = weights[layer.name]
        x = lax.conv_general_dilated(
          x,
          of_layer["kernel"],
          (layer.stride,) * 2,
          [(layer.pad, layer.pad)] * 2,
          dimension_numbers=_AXES,
          feature_group_count=layer.groups,
        )
        x = x + of_layer["bias"][None, None, None]
        x = jax.nn.relu(x) if layer.relu else x
      case d.MaxPool():
        x = max_pool(x, layer.kernel, layer.stride, layer.pad)
      case d.LRN():
        x = lrn(x, layer.size, layer.alpha, layer.beta, layer.k)
      case d.Dropout():
        if dropout_key is not None:
          key = jax.random.fold_in(dropout_key, number)
          keep = jax.random.bernoulli(key, 1 - layer.rate, x.shape)
          x = jnp.where(keep, x / (1 - layer.rate), 0)
      case d.Upscore():
        kernel = jnp.asarray(ops.bilinear_kernel(layer.kernel))
        x = ops.upscore(x, kernel, layer.stride)
      case d.Crop():
        height, width = found[layer.like].shape[1:3]
        x = ops.crop(x, offsets[layer.name], height, width)
      case d.Scale():
        x = x * layer.factor
      case d.Sum():
        x = x + found[layer.other]
    found[layer.name] = x
  return x


def max_pool(
  x: Float[Array, "b h w c"], kernel: int, stride: int, pad: int = 0
) -> Float[Array, "b y x c"]:
  """As `pooling.max_pool`, differentiated by XLA."""
  layer = d.MaxPool("pool", kernel=kernel, stride=stride, pad=pad)
  sides = []
  for n in x.shape[1:3]:
    last = (layer.out_size(n) - 1) * stride + kernel
    sides.append((pad, max(last - n - pad, 0)))
  return lax.reduce_window(
    x,
    -jnp.inf,
    lax.max,
    (1, kernel, kernel, 1),
    (1, stride, stride, 1),
    ((0, 0), *sides, (0, 0)),
  )


def lrn(
  x: Float[Array, "b h w c"], size: int, alpha: float, beta: float, k: float
) -> Float[Array, "b h w c"]:
  """As `layers.lrn`."""
  half = size // 2
  total = lax.reduce_window(
    x**2,
    0.0,
    lax.add,
    (1, 1, 1, size),
    (1, 1, 1, 1),
    ((0, 0), (0, 0), (0, 0), (half, size - 1 - half)),
  )
  return x * (k + alpha / size * total) ** -beta
