"""Convolution, in the form that is fast on the device at hand.

Which form that is, is decided here and nowhere else.
"""

import contextlib
import contextvars
import functools
import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Blob = Float[Array, "b h w c"]
Sides = tuple[tuple[int, int], tuple[int, int]]  # padding of rows, of columns

_NHWC = ("NHWC", "HWIO", "NHWC")

_platform: contextvars.ContextVar[str | None] = contextvars.ContextVar(
  "platform", default=None
)


@contextlib.contextmanager
def traced_for(platform: str) -> Iterator[None]:
  """What is traced within has the form for a platform: 'cpu', 'cuda', 'tpu'."""
  token = _platform.set(platform)
  try:
    yield
  finally:
    _platform.reset(token)


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
  slower on CPUs.  Cells that see nothing but padding are not computed.
  """
  live = [_live(n, kernel.shape[0], stride, pad) for n in x.shape[1:3]]
  sides = tuple(side for side, _ in live)
  inputs = jnp.split(x, groups, axis=-1)
  kernels = jnp.split(kernel, groups, axis=-1)
  parts = [
    _conv_one_group(i, k, stride, sides)
    for i, k in zip(inputs, kernels, strict=True)
  ]
  out = parts[0] if groups == 1 else jnp.concatenate(parts, axis=-1)
  if any(margin != (0, 0) for _, margin in live):
    out = jnp.pad(out, [(0, 0), *(margin for _, margin in live), (0, 0)])
  return out + bias[None, None, None]


def _live(n: int, kernel: int, stride: int, pad: int):
  """Which cells of one axis see a pixel, where `pad` is wider than the kernel.

  Returns:
    (padding that just these cells need, below 0 where pixels are left out;
    number of cells before and after them, which see zeros alone).
  """
  cells = (n + 2 * pad - kernel) // stride + 1
  first = max(0, -((kernel - 1 - pad) // stride))
  last = min(cells - 1, (pad + n - 1) // stride)
  if last < first:  # strides that step over a few pixels
    return (pad, pad), (0, 0)
  side = (pad - first * stride, last * stride + kernel - pad - n)
  return side, (first, cells - 1 - last)


def _conv_one_group(x, kernel, stride: int, sides: Sides):
  if (_platform.get() or jax.default_backend()) == "cpu":
    if stride == 1 and sides == ((0, 0), (0, 0)):
      # fc6, fc7 and the scores: one matrix product reaches several times the
      # rate of XLA's convolution.
      return _product_of_patches(x, kernel)
    if stride > 1:
      return _strided_on_cpu(x, kernel, stride, sides)
    return _unstrided_on_cpu(x, kernel, sides)
  enlarges = any(map(_enlarges, sides, kernel.shape[:2]))
  if enlarges and stride == 1 and math.prod(kernel.shape[:3]) <= _SMALL_WINDOW:
    # conv1_1 of VGG-16.  Where a convolution's result is larger than what it
    # reads, XLA exchanges the operands of the kernel's gradient, and cuDNN has
    # no fast program for that: 36 of the 47 ms of a step of FCN-8s on an H200,
    # whether or not the image is padded first.
    return _product_of_patches(jnp.pad(x, ((0, 0), *sides, (0, 0))), kernel)
  return _xla_conv(x, kernel, stride, sides)


_SMALL_WINDOW = 64  # numbers, so that all windows take no more than the result


def _enlarges(side: tuple[int, int], kernel: int) -> bool:
  """Whether padding adds more cells to an axis than the kernel takes off."""
  return sum(side) >= kernel


def _xla_conv(x, kernel, stride: int, sides: Sides):
  return lax.conv_general_dilated(
    x, kernel, (stride, stride), sides, dimension_numbers=_NHWC
  )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _unstrided_on_cpu(x, kernel, sides: Sides):
  """conv2 and the like; see `_kernel_gradient` for why."""
  return _xla_conv(x, kernel, 1, sides)


def _unstrided_forward(x, kernel, sides):
  return _xla_conv(x, kernel, 1, sides), (x, kernel)


def _unstrided_backward(sides, kept, dy):
  x, kernel = kept
  _, back = jax.vjp(lambda x: _xla_conv(x, kernel, 1, sides), x)
  (dx,) = back(dy)
  return dx, _kernel_gradient(x, dy, kernel.shape, sides).astype(kernel.dtype)


# Cells of a band: enough for a matrix product to run at full rate, few enough
# for its operands to stay in a cache.
_BAND = 2048


def _kernel_gradient(x, dy, shape: tuple[int, ...], sides: Sides):
  """Sum over cells of dy[y, x] times the window of x that the cell sees.

  In bands of rows, each one matrix product of (kh shifts of x by rows) with
  (kw shifts of dy by columns), which is all kh * kw taps at once.  On 2 cores
  XLA's own gradient of a kernel reaches 20 to 80 GFLOP/s at the sizes of
  VGG-16, a product per tap 38 to 110, this 80 to 130, in far less memory.
  """
  kh, kw, features, out = shape
  (top, bottom), (left, right) = sides
  images, height, width = dy.shape[:3]
  bands = min(height, -(-height * width // _BAND))
  rows = -(-height // bands)
  x = jnp.pad(x, ((0, 0), (top, bottom), (0, 0), (0, 0)))
  columns = x.shape[2]

  def add_band(number, total):
    image, band = number // bands, number % bands
    # The last band reaches back to where it is whole.
    first = jnp.minimum(band * rows, height - rows)
    seen = lax.dynamic_slice(
      x, (image, first, 0, 0), (1, rows + kh - 1, columns, features)
    )[0]
    sent = lax.dynamic_slice(dy, (image, first, 0, 0), (1, rows, width, out))[0]
    new = first + jnp.arange(rows) >= band * rows
    sent = jnp.where(new[:, None, None], sent, jnp.zeros((), sent.dtype))
    sent = jnp.pad(sent, ((0, 0), (kw - 1 - left, kw - 1 - right), (0, 0)))
    shifted_rows = [seen[i : i + rows] for i in range(kh)]
    shifted_columns = [sent[:, j : j + columns] for j in reversed(range(kw))]
    return total + jnp.einsum(
      "yxi,yxo->io",
      jnp.concatenate(shifted_rows, -1),
      jnp.concatenate(shifted_columns, -1),
      precision=lax.Precision.HIGHEST,
      preferred_element_type=jnp.float32,
    )

  total = jnp.zeros((kh * features, kw * out), jnp.float32)
  total = lax.fori_loop(0, images * bands, add_band, total)
  return total.reshape(kh, features, kw, out).transpose(0, 2, 1, 3)


_unstrided_on_cpu.defvjp(_unstrided_forward, _unstrided_backward)


# XLA's strided convolution on a CPU is 3 to 10 times slower with fewer
# features than this (24 of conv1 at a quarter of its width) than with it.
_FEW_FEATURES = 48


def _strided_on_cpu(x, kernel, stride: int, sides: Sides):
  """conv1, image by image.

  With several images at once XLA's gradient of the kernel takes 3 to 5 times
  as long (16 images of 227 x 227: 99 and 20 ms), the forward pass up to 3.
  """
  features = kernel.shape[-1]
  if features < _FEW_FEATURES:
    empty = _FEW_FEATURES - features
    kernel = jnp.pad(kernel, ((0, 0), (0, 0), (0, 0), (0, empty)))
  images = [
    _xla_conv(x[i : i + 1], kernel, stride, sides) for i in range(x.shape[0])
  ]
  return jnp.concatenate(images)[..., :features]


def _product_of_patches(x, kernel):
  """The convolution without padding or strides, as one matrix product."""
  patches = _patches(x, kernel.shape[0], kernel.shape[1])
  return patches @ kernel.reshape(-1, kernel.shape[-1])


def _patches(x: Blob, kh: int, kw: int) -> Float[Array, "b y x n"]:
  """Every kh x kw window as one vector, in the order of an HWI kernel.

  First the columns of a window, then its rows: XLA compiles kh + kw parts in a
  third of the time that kh * kw take.
  """
  if kh == kw == 1:
    return x
  height, width = x.shape[1] - kh + 1, x.shape[2] - kw + 1
  columns = [x[:, :, j : j + width] for j in range(kw)]
  wide = lax.optimization_barrier(jnp.concatenate(columns, axis=-1))
  rows = [wide[:, i : i + height] for i in range(kh)]
  return jnp.concatenate(rows, axis=-1)
