"""What the machine can do at most: products of matrices, and copying."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from fcn_jax.benchmark.turns import Timing
from fcn_jax.models.network import PRECISIONS

_SIDE = 2048
_COPIED = 2**28  # bytes


@dataclasses.dataclass(frozen=True)
class Floor:
  """Rates measured beside the work.

  Attributes:
    flops: per second, of a large matrix product.
    bytes: per second read and written, of a large sum in place.
  """

  flops: float
  bytes: float

  def seconds(self, flops: float, bytes_moved: float = 0) -> float:
    """The least time for work, by whichever rate is the tighter."""
    return max(flops / self.flops, bytes_moved / self.bytes)


def works(precision: str) -> dict[str, Callable[[], None]]:
  """The two pieces of work whose timings `measured` takes."""
  dtype, products = PRECISIONS[precision]
  side = _SIDE if jax.default_backend() == "cpu" else 4 * _SIDE
  draw = np.random.default_rng(0).normal(size=(side, side))
  matrix = jnp.asarray(draw, dtype)

  @jax.jit
  def product(a):
    with jax.default_matmul_precision(products):
      return a @ a

  add_one = jax.jit(lambda x: x + 1, donate_argnums=0)
  held = [jnp.zeros(_COPIED // 4, jnp.float32)]

  def multiply():
    product(matrix).block_until_ready()

  def copy():
    held[0] = add_one(held[0])
    held[0].block_until_ready()

  return {"matrix product": multiply, "copy": copy}


def measured(timings: dict[str, Timing]) -> Floor:
  """The rates, from the timings of `works`."""
  side = _SIDE if jax.default_backend() == "cpu" else 4 * _SIDE
  return Floor(
    2 * side**3 / timings["matrix product"].median,
    2 * _COPIED / timings["copy"].median,
  )
