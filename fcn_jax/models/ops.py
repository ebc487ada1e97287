"""Caffe's layers as pure functions on arrays, NHWC.

`Extent` is the true size (height, width) of each image of a batch on its
canvas, at the layer in question.  Functions here compute the whole canvas;
`mask` then zeroes what lies beyond.  Zeros are what Caffe's padding would have
been, pooling follows ReLU, so zeros never win, and upscoring adds nothing from
zeros: the result for an image is the one it would have alone.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Key, UInt8

Blob = Float[Array, "b h w c"]
Extent = Int[Array, "b 2"]


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


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3, 4))
def lrn(x: Blob, size: int, alpha: float, beta: float, k: float) -> Blob:
  """x * (k + alpha / size * sum of `size` neighbouring squares) ** -beta.

  The sum runs across channels, zero outside.  It is done as shifted adds, the
  usual beta of 3/4 by reciprocal square roots, and the gradient by the formula:
  on a CPU each is many times faster than a windowed reduction, a power, and
  what autodiff makes of the adds.
  """
  factor = _lrn_factor(_lrn_scale(x, size, alpha, k), beta)
  return x * factor.astype(x.dtype)


def _lrn_scale(x, size, alpha, k):
  squares = x.astype(jnp.float32) ** 2
  return k + (alpha / size) * _sum_of_neighbours(squares, size)


def _lrn_factor(scale, beta):
  """scale ** -beta."""
  if beta == 0.75:
    root = lax.rsqrt(scale)
    return root * jnp.sqrt(root)
  return scale**-beta


def _sum_of_neighbours(x: Blob, size: int) -> Blob:
  """Sum of `size` channels, as many on either side."""
  channels = x.shape[-1]
  half = size // 2
  padded = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (half, half)))
  return sum(padded[..., i : i + channels] for i in range(size))


def _lrn_forward(x, size, alpha, beta, k):
  return lrn(x, size, alpha, beta, k), x


def _lrn_backward(size, alpha, beta, k, x, dy):
  """With s = scale: dy s^-b - 2 a b / n * x * sum(dy x s^(-b-1))."""
  scale = _lrn_scale(x, size, alpha, k)
  factor = _lrn_factor(scale, beta)
  x32, dy32 = x.astype(jnp.float32), dy.astype(jnp.float32)
  # A channel is a neighbour of those that are its own.
  back = _sum_of_neighbours(dy32 * x32 * factor / scale, size)
  dx = dy32 * factor - (2 * alpha * beta / size) * x32 * back
  return (dx.astype(x.dtype),)


lrn.defvjp(_lrn_forward, _lrn_backward)


def dropout(x: Blob, keys: Key[Array, " b"], rate: float) -> Blob:
  """Zeroes a share `rate` of the values, scales the rest by 1 / (1 - rate).

  Each image has a key of its own, and what happens to a cell depends on that
  key and the cell's row and column alone, never on the size of the canvas.
  """
  _, height, width, channels = x.shape

  def kept(key, row, column):
    cell = jax.random.fold_in(jax.random.fold_in(key, row), column)
    return jax.random.bernoulli(cell, 1 - rate, (channels,))

  # Mapped over all cells at once: mapped over images, rows and columns in turn
  # XLA compiles it in three times the time.
  image, row, column = (i.ravel() for i in np.indices((len(x), height, width)))
  keep = jax.vmap(kept)(keys[image], row, column).reshape(x.shape)
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
  rows = upscore_matrix(x.shape[1], kernel, stride).astype(x.dtype)
  columns = upscore_matrix(x.shape[2], kernel, stride).astype(x.dtype)
  return interpolate(x, rows, columns)


def interpolate(
  x: Blob, rows: Float[Array, "Y y"], columns: Float[Array, "X x"]
) -> Float[Array, "b Y X c"]:
  """Weighted sums along both axes."""
  tall = jnp.einsum("Yy,byxc->bYxc", rows, x)
  return jnp.einsum("Xx,bYxc->bYXc", columns, tall)


def upscore_matrix(
  n: int, kernel: Float[Array, " k"], stride: int
) -> Float[Array, "m n"]:
  """What each of m upscored cells of an axis takes of its n cells."""
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
