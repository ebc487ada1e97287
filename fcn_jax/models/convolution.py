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
  (top, bottom), (before, after) = sides
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
    sent = jnp.pad(sent, ((0, 0), (kw - 1 - before, kw - 1 - after), (0, 0)))
    shifted = (
      [seen[i : i + rows] for i in range(kh)],
      [sent[:, j : j + columns] for j in reversed(range(kw))],
    )
    # Whole matrices, each made once: as a part of the product they are made
    # again and again, and it reaches 0.6 to 0.9 times the rate.
    left, right = (
      lax.optimization_barrier(jnp.concatenate(parts, -1)) for parts in shifted
    )
    return total + jnp.matmul(
      left.reshape(-1, kh * features).T,
      right.reshape(-1, kw * out),
      precision=lax.Precision.HIGHEST,
      preferred_element_type=jnp.float32,
    )

  total = jnp.zeros((kh * features, kw * out), jnp.float32)
  total = lax.fori_loop(0, images * bands, add_band, total)
  return total.reshape(kh, features, kw, out).transpose(0, 2, 1, 3)


_unstrided_on_cpu.defvjp(_unstrided_forward, _unstrided_backward)


# From so many features on XLA's convolution of one image is as fast as ours.
_MANY_FEATURES = 48


def _strided_on_cpu(x, kernel, stride: int, sides: Sides):
  """conv1."""
  if kernel.shape[-1] < _MANY_FEATURES:
    return _in_blocks(x, kernel, stride, sides)
  # Image by image: with several at once XLA's gradient of the kernel takes 3 to
  # 5 times as long (16 images of 227 x 227: 99 and 20 ms), the forward pass up
  # to 3.
  images = [
    _xla_conv(x[i : i + 1], kernel, stride, sides) for i in range(x.shape[0])
  ]
  return jnp.concatenate(images)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _in_blocks(x, kernel, stride: int, sides: Sides):
  """Over blocks of stride x stride pixels, whose values are their channels.

  There the convolution has no stride.  Image by image, all columns of the
  kernel are one product with the rows that a cell sees.  For 24 features,
  forward and back, it takes half the time of XLA's convolution with a kernel
  that zeros fill up to 48 features, which itself takes a third to a tenth of
  the time of XLA's with 24.
  """
  return _in_blocks_forward(x, kernel, stride, sides)[0]


def _in_blocks_forward(x, kernel, stride, sides):
  split = _split_kernel(kernel, stride)
  rows, channels, columns, features = split.shape
  split = split.reshape(rows * channels, columns * features)
  blocks = _blocks(x, kernel.shape, stride, sides)
  height, width = blocks.shape[1] - rows + 1, blocks.shape[2] - columns + 1

  def convolve(image):
    seen = [image[i : i + height] for i in range(rows)]
    product = jnp.concatenate(seen, axis=-1) @ split
    return sum(
      product[:, j : j + width, j * features : (j + 1) * features]
      for j in range(columns)
    )

  return lax.map(convolve, blocks), (x, kernel, blocks)


def _in_blocks_backward(stride, sides, kept, dy):
  x, kernel, blocks = kept
  _, back = jax.vjp(lambda x: _xla_conv(x, kernel, stride, sides), x)
  split, join = jax.vjp(lambda k: _split_kernel(k, stride), kernel)
  rows, channels, columns, features = split.shape
  shape = (rows, columns, channels, features)
  total = _kernel_gradient(blocks, dy, shape, ((0, 0), (0, 0)))
  return *back(dy), *join(total.transpose(0, 2, 1, 3).astype(kernel.dtype))


_in_blocks.defvjp(_in_blocks_forward, _in_blocks_backward)


def _blocks(x, kernel: tuple[int, ...], stride: int, sides: Sides):
  """[b, Y, X, stride * stride * c]: the blocks that a kernel reaches."""
  padding, shape = [], []
  sizes = zip(x.shape[1:3], sides, kernel[:2], strict=True)
  for n, (before, after), k in sizes:
    cells = (n + before + after - k) // stride + 1
    count = cells - 1 + -(-k // stride)
    padding.append((before, count * stride - n - before, 0))
    shape += [count, stride]
  x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *padding, (0, 0, 0)])
  x = x.reshape(len(x), *shape, -1).transpose(0, 1, 3, 2, 4, 5)
  return x.reshape(*x.shape[:3], -1)


def _split_kernel(kernel, stride: int):
  """[rows of blocks, values of a block, columns of blocks, features]."""
  kh, kw, channels, features = kernel.shape
  kernel = jnp.pad(
    kernel, ((0, -kh % stride), (0, -kw % stride), (0, 0), (0, 0))
  )
  shape = (-(-kh // stride), stride, -(-kw // stride), stride)
  kernel = kernel.reshape(*shape, channels, features)
  kernel = kernel.transpose(0, 1, 3, 4, 2, 5)
  return kernel.reshape(shape[0], -1, shape[2], features)


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
