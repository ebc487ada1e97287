"""Max pooling with Caffe's sizes and Caffe's gradient.

XLA's gradient of a windowed maximum (select and scatter) takes some ten times
as long as the maximum itself; here every cell gathers what the windows that
hold it send back.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from fcn_jax.models import layers as d


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def max_pool(
  x: Float[Array, "b h w c"], kernel: int, stride: int, pad: int = 0
) -> Float[Array, "b y x c"]:
  """Max pooling with Caffe's ceil((n + 2 p - k) / s) + 1 output size.

  Windows are cut at the edge, and one that would lie in the padding alone is
  left out.  Of tied maxima the first in row-major order receives the gradient.
  """
  return lax.reduce_window(
    x,
    np.array(-np.inf, x.dtype),
    lax.max,
    (1, kernel, kernel, 1),
    (1, stride, stride, 1),
    [(0, 0), *_around(x, kernel, stride, pad), (0, 0)],
  )


def _around(x, kernel: int, stride: int, pad: int) -> list[tuple[int, int]]:
  """Padding before and after, of rows and of columns, up to the last window."""
  layer = d.MaxPool("pool", kernel=kernel, stride=stride, pad=pad)
  found = []
  for n in x.shape[1:3]:
    last = (layer.out_size(n) - 1) * stride + kernel
    found.append((pad, max(last - n - pad, 0)))
  return found


def _forward(x, kernel, stride, pad):
  y = max_pool(x, kernel, stride, pad)
  return y, (x, y)


def _backward(kernel, stride, pad, kept, dy):
  """Cell s i + a of the padded input lies at a + s m in window i - m."""
  x, y = kept
  padding = [(0, 0), *_around(x, kernel, stride, pad), (0, 0)]
  padded = jnp.pad(x, padding, constant_values=-np.inf)
  rows, columns = y.shape[1:3]

  def at(i, j):
    """What every window holds in its cell (i, j)."""
    bottom, right = (rows - 1) * stride + 1, (columns - 1) * stride + 1
    return padded[:, i : i + bottom : stride, j : j + right : stride]

  places = list(np.ndindex(kernel, kernel))
  first = jnp.full(y.shape, len(places), jnp.int32)
  for number, place in reversed(list(enumerate(places))):
    first = jnp.where(at(*place) == y, number, first)
  reach = (kernel - 1) // stride  # windows before that still hold a cell

  def gathered(a, b):
    """What the cells (s i + a, s j + b) receive."""
    total = jnp.zeros(
      (len(dy), rows + reach, columns + reach, dy.shape[3]), dy.dtype
    )
    for number, (i, j) in enumerate(places):
      if i % stride == a and j % stride == b:
        sent = jnp.where(first == number, dy, 0)
        m, n = i // stride, j // stride
        total += jnp.pad(sent, ((0, 0), (m, reach - m), (n, reach - n), (0, 0)))
    return total

  # [b, i, a, j, b, c]: the cells in their order.
  phases = range(stride)
  whole = jnp.stack(
    [jnp.stack([gathered(a, b) for b in phases], axis=3) for a in phases],
    axis=2,
  )
  b, i, _, j, _, c = whole.shape
  whole = whole.reshape(b, i * stride, j * stride, c)
  height, width = x.shape[1:3]
  return (whole[:, pad : pad + height, pad : pad + width],)


max_pool.defvjp(_forward, _backward)
