"""Which images each step sees: a pure function of seed and step."""

import dataclasses
import functools

import numpy as np
from jaxtyping import Int

ORDERS = ("sequential", "shuffle", "with_replacement")
BATCHINGS = ("as_drawn", "by_canvas")


@dataclasses.dataclass(frozen=True)
class Sampler:
  """Which images each step sees: a pure function of seed and step.

  Attributes:
    images: number of images.
    batch_size: images drawn per step.
    order: 'sequential' (as stored, DIGITS), 'shuffle' (a new permutation every
      epoch) or 'with_replacement' (the FCN authors).
    seed: of the random orders.
    canvas_of: canvas number of each image; given, every batch is drawn from
      one canvas (`batching = 'by_canvas'`), the last of a canvas being filled
      up with the first of its images.
  """

  images: int
  batch_size: int
  order: str
  seed: int
  canvas_of: tuple[int, ...] | None = None

  def __post_init__(self):
    if self.order not in ORDERS:
      raise ValueError(
        f"config.data.order = {self.order!r}; there is {', '.join(ORDERS)}"
      )

  @property
  def steps_per_epoch(self) -> int:
    """Steps in which every image is seen once (on average, or at least)."""
    if self.canvas_of is None:
      return -(-self.images // self.batch_size)
    counts = np.bincount(self.canvas_of)
    return int((-(-counts // self.batch_size)).sum())

  def indices(self, step: int) -> tuple[int, ...]:
    """Record numbers of the images of a step (from 0)."""
    if self.canvas_of is not None:
      epoch, batch = divmod(step, self.steps_per_epoch)
      return self._batches_by_canvas(epoch)[batch]
    first = step * self.batch_size
    positions = range(first, first + self.batch_size)
    return tuple(self._index(position) for position in positions)

  def _index(self, position: int) -> int:
    if self.order == "sequential":
      return position % self.images
    if self.order == "shuffle":
      epoch, place_in_epoch = divmod(position, self.images)
      return int(self._permutation(epoch)[place_in_epoch])
    draw = np.random.Generator(
      np.random.Philox(key=self.seed, counter=position)
    )
    return int(draw.integers(self.images))

  @functools.lru_cache(maxsize=4)  # noqa: B019
  def _permutation(self, epoch: int) -> Int[np.ndarray, " n"]:
    if self.order == "sequential":
      return np.arange(self.images)
    return np.random.default_rng((self.seed, epoch)).permutation(self.images)

  @functools.lru_cache(maxsize=4)  # noqa: B019
  def _batches_by_canvas(self, epoch: int) -> list[tuple[int, ...]]:
    order = self._permutation(epoch)
    canvas_of = np.asarray(self.canvas_of)[order]
    batches = []
    for canvas in np.unique(canvas_of):
      members = order[canvas_of == canvas]
      count = -(-len(members) // self.batch_size)
      filled = np.resize(members, count * self.batch_size)
      batches += [tuple(b.tolist()) for b in filled.reshape(count, -1)]
    if self.order != "sequential":
      shuffle = np.random.default_rng((self.seed, epoch, 1))
      batches = [batches[i] for i in shuffle.permutation(len(batches))]
    return batches
