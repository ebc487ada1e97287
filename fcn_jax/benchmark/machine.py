"""What the machine can do at most: products of matrices, and copying."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from fcn_jax.models.network import PRECISIONS


@dataclasses.dataclass(frozen=True)
class Timing:
  """Seconds of each repeat."""

  seconds: tuple[float, ...]

  @property
  def median(self) -> float:
    return statistics.median(self.seconds)

  @property
  def least(self) -> float:
    return min(self.seconds)

  @property
  def most(self) -> float:
    return max(self.seconds)


def take_turns(
  works: Mapping[str, Callable[[], float | None]],
  repeats: int,
  warm_up: int = 2,
) -> dict[str, Timing]:
  """Runs A B C A B C ..., so that what disturbs the machine disturbs all.

  Args:
    works: by name.  Each waits for its own end; what it returns, if anything,
      are the seconds it took, by its own clock.
    repeats: of each, that are counted.
    warm_up: of each, before.
  """
  for work in works.values():
    for _ in range(warm_up):
      work()
  seconds: dict[str, list[float]] = {name: [] for name in works}
  for _ in range(repeats):
    for name, work in works.items():
      began = time.perf_counter()
      own = work()
      took = time.perf_counter() - began
      seconds[name].append(took if own is None else own)
  return {name: Timing(tuple(each)) for name, each in seconds.items()}


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
