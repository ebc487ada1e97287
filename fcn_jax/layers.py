"""Caffe's layers as pure functions on arrays, NHWC.

`Extent` is the true size (height, width) of each image of a batch on its
canvas, at the layer in question.  Functions here compute the whole canvas;
`mask` then zeroes what lies beyond.  Zeros are what Caffe's padding would have
been, pooling follows ReLU, so zeros never win, and upscoring adds nothing from
zeros: the result for an image is the one it would have alone.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Key, UInt8

from fcn_jax import declaration as d
from fcn_jax import geometry

Blob = Float[Array, "b h w c"]
Extent = Int[Array, "b 2"]

_NHWC = ("NHWC", "HWIO", "NHWC")


def mask(x: Blob, extent: Extent) -> Blob:
  """Zeroes what lies beyond the extent of each image."""
  _, height, width, _ = x.shape
  rows = jnp.arange(height)[None, :] < extent[:, :1]
  columns = jnp.arange(width)[None, :] < extent[:, 1:]
  inside = rows[:, :, None] & columns[:, None, :]
  return jnp.where(inside[..., None], x, jnp.zeros((), x.dtype))


def subtract_mean(
  image: UInt8[Array, "b h w 3"], mean_bgr: tuple[float, float, float]
) -> Float[Array, "b h w 3"]:
  """RGB uint8 to BGR float32 with the mean (0..255) subtracted."""
  bgr = image[..., ::-1].astype(jnp.float32)
  return bgr - jnp.asarray(mean_bgr, jnp.float32)[None, None, None]


def conv(
  x: Blob,
  kernel: Float[Array, "kh kw i o"],
  bias: Float[Array, " o"],
  stride: int = 1,
  pad: int = 0,
  groups: int = 1,
) -> Float[Array, "b y x o"]:
  """Cross-correlation with zero padding, as Caffe's Convolution.

  Groups are separate convolutions: XLA's grouped form is some five times
  slower on CPUs.
  """
  if groups == 1:
    out = _conv_one_group(x, kernel, stride, pad)
  else:
    inputs = jnp.split(x, groups, axis=-1)
    kernels = jnp.split(kernel, groups, axis=-1)
    parts = [
      _conv_one_group(i, k, stride, pad)
      for i, k in zip(inputs, kernels, strict=True)
    ]
    out = jnp.concatenate(parts, axis=-1)
  return out + bias[None, None, None]


def _conv_one_group(x, kernel, stride, pad):
  if jax.default_backend() == "cpu":
    if stride == 1 and pad == 0:
      # fc6, fc7 and the scores: one matrix product reaches several times the
      # rate of XLA's convolution.
      patches = _patches(x, kernel.shape[0], kernel.shape[1])
      return patches @ kernel.reshape(-1, kernel.shape[-1])
    if stride > 1:
      return _strided_on_cpu(x, kernel, stride, pad)
  return _xla_conv(x, kernel, stride, pad)


def _xla_conv(x, kernel, stride, pad):
  return lax.conv_general_dilated(
    x, kernel, (stride, stride), [(pad, pad)] * 2, dimension_numbers=_NHWC
  )


# XLA's strided convolution on a CPU is 3 to 10 times slower with fewer
# features than this (24 of conv1 at a quarter of its width) than with it.
_FEW_FEATURES = 48


def _strided_on_cpu(x, kernel, stride, pad):
  """conv1, image by image.

  With several images at once XLA's gradient of the kernel takes 3 to 5 times
  as long (16 images of 227 x 227: 99 and 20 ms), the forward pass up to 3.
  """
  features = kernel.shape[-1]
  if features < _FEW_FEATURES:
    empty = _FEW_FEATURES - features
    kernel = jnp.pad(kernel, ((0, 0), (0, 0), (0, 0), (0, empty)))
  images = [
    _xla_conv(x[i : i + 1], kernel, stride, pad) for i in range(x.shape[0])
  ]
  return jnp.concatenate(images)[..., :features]


def _patches(x: Blob, kh: int, kw: int) -> Float[Array, "b y x n"]:
  """Every kh x kw window as one vector, in the order of an HWI kernel."""
  if kh == kw == 1:
    return x
  height, width = x.shape[1] - kh + 1, x.shape[2] - kw + 1
  windows = [
    x[:, i : i + height, j : j + width] for i in range(kh) for j in range(kw)
  ]
  return jnp.concatenate(windows, axis=-1)


def max_pool(
  x: Blob, kernel: int, stride: int, pad: int = 0
) -> Float[Array, "b y x c"]:
  """Max pooling with Caffe's ceil((n + 2 p - k) / s) + 1 output size.

  Windows are cut at the edge, and one that would lie in the padding alone is
  left out.  Of tied maxima the first in row-major order receives the gradient.
  """
  layer = d.MaxPool("pool", kernel=kernel, stride=stride, pad=pad)

  def around(n):
    last = (geometry.out_size(layer, n) - 1) * stride + kernel
    return pad, max(last - n - pad, 0)

  padding = [(0, 0), around(x.shape[1]), around(x.shape[2]), (0, 0)]
  return lax.reduce_window(
    x,
    np.array(-np.inf, x.dtype),
    lax.max,
    (1, kernel, kernel, 1),
    (1, stride, stride, 1),
    padding,
  )


def lrn(x: Blob, size: int, alpha: float, beta: float, k: float) -> Blob:
  """x * (k + alpha / size * sum of `size` neighbouring squares) ** -beta.

  The sum runs across channels, zero outside.  It is done as shifted adds, and
  the usual beta of 3/4 by reciprocal square roots: on a CPU both are many
  times faster than a windowed reduction and a power.
  """
  half = size // 2
  channels = x.shape[-1]
  squares = jnp.pad(
    x.astype(jnp.float32) ** 2, ((0, 0), (0, 0), (0, 0), (half, half))
  )
  total = sum(squares[..., i : i + channels] for i in range(size))
  scale = k + (alpha / size) * total
  if beta == 0.75:
    root = lax.rsqrt(scale)
    factor = root * jnp.sqrt(root)
  else:
    factor = scale**-beta
  return x * factor.astype(x.dtype)


def dropout(x: Blob, keys: Key[Array, " b"], rate: float) -> Blob:
  """Zeroes a share `rate` of the values, scales the rest by 1 / (1 - rate).

  Each image has a key of its own, and what happens to a cell depends on that
  key and the cell's row and column alone, never on the size of the canvas.
  """
  _, height, width, channels = x.shape

  def kept(key, row, column):
    cell = jax.random.fold_in(jax.random.fold_in(key, row), column)
    return jax.random.bernoulli(cell, 1 - rate, (channels,))

  over_columns = jax.vmap(kept, (None, None, 0))
  over_rows = jax.vmap(over_columns, (None, 0, None))
  over_images = jax.vmap(over_rows, (0, None, None))
  keep = over_images(keys, jnp.arange(height), jnp.arange(width))
  return jnp.where(keep, x / (1 - rate), jnp.zeros((), x.dtype))


def bilinear_kernel(size: int) -> np.ndarray:
  """The 1-D bilinear kernel of Caffe's filler, float32 [size].

  The 2-D kernel is its outer product with itself.  Value i is
  1 - |i - centre| / factor with factor = (size + 1) // 2 and centre =
  factor - 1 for an odd size, factor - 0.5 for an even one.
  """
  factor = (size + 1) // 2
  centre = factor - 1 if size % 2 else factor - 0.5
  return (1 - np.abs(np.arange(size) - centre) / factor).astype(np.float32)


def upscore(
  x: Blob, kernel: Float[Array, " k"], stride: int
) -> Float[Array, "b y x c"]:
  """Transposed convolution, the same separable kernel on every channel.

  Two small matrix products, one per axis: the same numbers as a dilated
  transposed convolution, which takes minutes on a CPU.

  Args:
    x: scores.
    kernel: one factor of the separable kernel, see `bilinear_kernel`.
    stride: output cells per input cell.
  """
  rows = _upscore_matrix(x.shape[1], kernel, stride).astype(x.dtype)
  columns = _upscore_matrix(x.shape[2], kernel, stride).astype(x.dtype)
  tall = jnp.einsum("Yy,byxc->bYxc", rows, x)
  return jnp.einsum("Xx,bYxc->bYXc", columns, tall)


def _upscore_matrix(n: int, kernel: Float[Array, " k"], stride: int):
  size = kernel.shape[0]
  out = stride * (n - 1) + size
  tap = np.arange(out)[:, None] - stride * np.arange(n)[None, :]
  reached = (tap >= 0) & (tap < size)
  return jnp.where(reached, kernel[np.clip(tap, 0, size - 1)], 0.0)


def crop(
  x: Blob, offset: int, height: int, width: int
) -> Float[Array, "b y x c"]:
  """Cuts height x width cells from (offset, offset)."""
  return x[:, offset : offset + height, offset : offset + width]
