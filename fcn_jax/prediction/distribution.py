"""How the values of an array are distributed, whole and by channel."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

BINS = 40
_BLOCK = 2**22  # values held in float64 at a time


@dataclasses.dataclass(frozen=True, eq=False)
class Distribution:
  """Figures of an array whose last axis are its channels, in float64.

  Attributes:
    shape: of the array.
    mean, std: of all values; the standard deviation divides by their number.
    minimum, maximum: of all values.
    zeros: share of the values that are exactly 0.
    counts: values in each of `BINS` bins of equal width from minimum to
      maximum; the last one holds the maximum. Where all values are the same,
      the bins reach half a unit to either side.
    edges: of the bins.
    channel_means: mean of each channel.
    dead: channels that are 0 throughout.
  """

  shape: tuple[int, ...]
  mean: float
  std: float
  minimum: float
  maximum: float
  zeros: float
  counts: Int[np.ndarray, " bins"]
  edges: Float[np.ndarray, " bins+1"]
  channel_means: Float[np.ndarray, " c"]
  dead: tuple[int, ...]

  @property
  def size(self) -> int:
    """Number of values."""
    return int(np.prod(self.shape))

  def figures(self) -> dict:
    """All of it by name, as JSON has it."""
    figures = dataclasses.asdict(self)
    for name, value in figures.items():
      if isinstance(value, np.ndarray):
        figures[name] = value.tolist()
      if isinstance(value, tuple):
        figures[name] = list(value)
    return figures


def distribution(array: Float[np.ndarray, "*shape c"]) -> Distribution:
  """The figures of an array that holds something.

  Raises:
    ValueError: a value is NaN or infinite.
  """
  rows = array.reshape(-1, array.shape[-1])
  step = max(1, _BLOCK // rows.shape[1])

  def blocks():
    for start in range(0, len(rows), step):
      yield rows[start : start + step].astype(np.float64)

  sums, used = np.zeros(rows.shape[1]), np.zeros(rows.shape[1], np.int64)
  lowest, highest = np.inf, -np.inf
  for block in blocks():
    sums += block.sum(0)
    used += np.count_nonzero(block, axis=0)
    lowest = min(lowest, block.min())
    highest = max(highest, block.max())
  if not np.isfinite(sums).all() or not np.isfinite([lowest, highest]).all():
    wrong = array.size - np.count_nonzero(np.isfinite(array))
    raise ValueError(f"{wrong} of {array.size} values are NaN or infinite")
  mean = sums.sum() / array.size
  edges = np.histogram_bin_edges(np.zeros(0), BINS, (lowest, highest))
  counts, squares = np.zeros(BINS, np.int64), 0.0
  for block in blocks():
    counts += np.histogram(block, edges)[0]
    squares += np.square(block - mean).sum()
  return Distribution(
    shape=array.shape,
    mean=float(mean),
    std=float(np.sqrt(squares / array.size)),
    minimum=float(lowest),
    maximum=float(highest),
    zeros=1 - int(used.sum()) / array.size,
    counts=counts,
    edges=edges,
    channel_means=sums / len(rows),
    dead=tuple(np.flatnonzero(used == 0).tolist()),
  )
