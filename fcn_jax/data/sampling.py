"""Which images each step sees: a pure function of seed and step."""

import dataclasses
import functools

import numpy as np
from jaxtyping import Bool, Float, Int

ORDERS = ("sequential", "shuffle", "with_replacement")
BATCHINGS = ("as_drawn", "by_canvas")


def repeat_factors(
  there: Bool[np.ndarray, "n classes"], threshold: float
) -> Float[np.ndarray, " n"]:
  """How often each image is drawn, so that rare classes are seen more often.

  sqrt(threshold / f), at least 1, of its rarest class; f is the share of the
  images that have the class.  Gupta, Dollar and Girshick, "LVIS", CVPR 2019.

  Args:
    there: whether each image has each class.
    threshold: share of the images, from which on a class is not rare.
  """
  share = there.mean(0)
  of_class = np.sqrt(threshold / np.maximum(share, 1 / len(there)))
  return highest_factors(there, np.maximum(of_class, 1.0))


def highest_factors(
  there: Bool[np.ndarray, "n classes"], of_class: Float[np.ndarray, " classes"]
) -> Float[np.ndarray, " n"]:
  """Of each image the highest factor of its classes; 1 for one without any."""
  factors = np.where(there, of_class, -1.0).max(1)
  return np.where(factors < 0, 1.0, factors)


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
    factors: how often each image is drawn, in proportion; None: equally. In
      'shuffle' so often in an epoch, rounded up or down by chance where it is
      no whole number; an epoch has as many draws as they add up to.
    groups: record numbers of the images of each class; given, an epoch of
      'shuffle' draws `images_per_group` of each, going through all of them
      before one comes again.
  """

  images: int
  batch_size: int
  order: str
  seed: int
  canvas_of: tuple[int, ...] | None = None
  factors: tuple[float, ...] | None = None
  groups: tuple[tuple[int, ...], ...] | None = None
  images_per_group: int = 0

  def __post_init__(self):
    if self.order not in ORDERS:
      raise ValueError(
        f"config.data.order = {self.order!r}; there is {', '.join(ORDERS)}"
      )

    if self.factors is not None and sum(self.factors) <= 0:
      raise ValueError("no image is to be drawn: all repeat factors are 0")

  @property
  def draws_per_epoch(self) -> int:
    """Images drawn in an epoch; of them some may be the same."""
    if self.groups is not None:
      return len(self.groups) * self.images_per_group
    if self.factors is not None:
      return max(1, round(sum(self.factors)))
    return self.images

  @property
  def steps_per_epoch(self) -> int:
    """Steps in which every image is seen once (on average, or at least)."""
    if self.canvas_of is None:
      return -(-self.draws_per_epoch // self.batch_size)
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
      epoch, place_in_epoch = divmod(position, self.draws_per_epoch)
      return int(self._permutation(epoch)[place_in_epoch])
    draw = np.random.Generator(
      np.random.Philox(key=self.seed, counter=position)
    )
    if self.factors is None:
      return int(draw.integers(self.images))
    ends = self._ends
    return int(np.searchsorted(ends, draw.random() * ends[-1], "right"))

  @functools.cached_property
  def _ends(self) -> Float[np.ndarray, " n"]:
    return np.cumsum(self.factors, dtype=np.float64)

  @functools.lru_cache(maxsize=4)  # noqa: B019
  def _permutation(self, epoch: int) -> Int[np.ndarray, " n"]:
    if self.order == "sequential":
      return np.arange(self.images)
    rng = np.random.default_rng((self.seed, epoch))
    return rng.permutation(self._of_epoch(epoch))

  def _of_epoch(self, epoch: int) -> int | Int[np.ndarray, " n"]:
    """The images of an epoch, in order; or the number of them, once each."""
    if self.groups is not None:
      return np.concatenate(
        [self._of_group(number, epoch) for number in range(len(self.groups))]
      )
    if self.factors is None:
      return self.images
    # So many points, evenly spaced from a place drawn at random: an image has
    # as many as fall into its share.
    draws, ends = self.draws_per_epoch, self._ends
    start = np.random.default_rng((self.seed, epoch, 2)).random()
    points = (np.arange(draws) + start) * (ends[-1] / draws)
    return np.searchsorted(ends, points, "right").clip(max=self.images - 1)

  def _of_group(self, number: int, epoch: int) -> Int[np.ndarray, " n"]:
    """An epoch's images of a class: the next of its permutations in a row."""
    members, count = np.array(self.groups[number]), self.images_per_group
    positions = np.arange(epoch * count, (epoch + 1) * count)
    rounds, places = np.divmod(positions, len(members))
    found = np.empty(count, int)
    for turn in np.unique(rounds):
      rng = np.random.default_rng((self.seed, int(turn), 3, number))
      there = rounds == turn
      found[there] = rng.permutation(members)[places[there]]
    return found

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
