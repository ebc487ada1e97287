"""Which few canvases to pad images to, so that little of them is padding."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

Canvas = tuple[int, int]

CANVAS_STEP = 64  # sides of a single image's canvas are multiples of this

# Pixels of padding that one more canvas has to save to pay for its compilation:
# a small network computes some million pixels a second on a CPU.
_WORTH_COMPILING = 1_000_000

# Of candidates with distinct sizes: VOC needs half of it, in 0.1 s.
_MOST_COMPARISONS = 2e7


def choose_canvases(
  sizes: Int[np.ndarray, "n 2"], max_canvases: int
) -> tuple[Canvas, ...]:
  """At most `max_canvases` canvases that hold every image, with least area.

  Every image goes to the smallest canvas that holds it; the sum of those areas
  is minimised: where sizes are few by trying every set of canvases, else
  greedily at first, then by moving one canvas at a time to its best place
  until no move helps.

  Args:
    sizes: (height, width) of every image.
    max_canvases: at least 1.

  Returns:
    (height, width) of each canvas, smallest area first.

  Raises:
    ValueError: no sizes, or max_canvases below 1.
  """
  if len(sizes) == 0 or max_canvases < 1:
    raise ValueError(
      f"canvases for {len(sizes)} images, at most {max_canvases}: both must be "
      "at least 1"
    )
  distinct, counts = np.unique(sizes, axis=0, return_counts=True)
  heights, widths = np.unique(distinct[:, 0]), np.unique(distinct[:, 1])
  if len(heights) * len(widths) * len(distinct) > _MOST_COMPARISONS:
    heights = _ends_of_shares(distinct[:, 0], counts)
    widths = _ends_of_shares(distinct[:, 1], counts)
  candidates = np.stack(np.meshgrid(heights, widths, indexing="ij"), -1)
  candidates = candidates.reshape(-1, 2).astype(np.int64)
  holds = (candidates[:, None] >= distinct[None]).all(-1)
  area = np.where(holds, candidates.prod(-1)[:, None], np.inf)
  most = min(max_canvases, len(candidates))
  if math.comb(len(candidates), most) <= _FEW_SETS:
    chosen = _try_all(area, counts, most)
  else:
    chosen = _search(area, counts, most)
  used = np.unique(area[chosen].argmin(0))  # moving may leave one without use
  canvases = {tuple(int(n) for n in candidates[chosen[i]]) for i in used}
  return tuple(sorted(canvases, key=lambda c: (c[0] * c[1], c)))


_FEW_SETS = 20_000


def canvases_of_one_pass(
  sizes: Int[np.ndarray, "n 2"], max_canvases: int
) -> tuple[Canvas, ...]:
  """`choose_canvases`, but a canvas more only where it pays in a single pass.

  Compiling takes seconds, in which some padding could be computed: few images
  get fewer canvases than there may be.
  """
  chosen = choose_canvases(sizes, min(1, max_canvases))
  for most in range(2, max_canvases + 1):
    more = choose_canvases(sizes, most)
    if padded_area(sizes, chosen) - padded_area(sizes, more) < _WORTH_COMPILING:
      break
    chosen = more
  return chosen


def padded_area(
  sizes: Int[np.ndarray, "n 2"], canvases: Sequence[Canvas]
) -> int:
  """Pixels of all images, each padded to the first canvas that holds it."""
  areas = np.prod(np.array(canvases, np.int64), 1)
  return int(areas[assign(sizes, canvases)].sum())


def _try_all(
  area: Float[np.ndarray, "k n"], counts: Int[np.ndarray, " n"], most: int
) -> list[int]:
  """The best set of `most` of k canvases."""
  sets = np.array(list(itertools.combinations(range(len(area)), most)))
  totals = area[sets].min(1) @ counts
  return sets[totals.argmin()].tolist()


def _search(
  area: Float[np.ndarray, "k n"], counts: Int[np.ndarray, " n"], most: int
) -> list[int]:
  """A good set of at most `most` of k canvases."""

  def best_beside(chosen):
    """The candidate that, added to `chosen`, leaves the least total area."""
    beside = area[chosen].min(0) if chosen else np.inf
    totals = np.minimum(area, beside) @ counts
    return int(totals.argmin()), totals.min()

  whole = len(area) - 1  # the largest height by the largest width
  chosen, total = [whole], (area[whole] @ counts)
  while len(chosen) < most:
    extra, fewer = best_beside(chosen)
    if fewer >= total:
      break
    chosen, total = [*chosen, extra], fewer
  improved = True
  while improved:
    improved = False
    for i in range(len(chosen)):
      others = chosen[:i] + chosen[i + 1 :]
      moved, fewer = best_beside(others)
      if fewer < total:
        chosen, total, improved = [*others, moved], fewer, True
  return chosen


def _ends_of_shares(
  lengths: Int[np.ndarray, " n"], counts: Int[np.ndarray, " n"]
) -> Int[np.ndarray, " m"]:
  """At most 64 lengths; between two of them lies 1/64 of the images."""
  found, which = np.unique(lengths, return_inverse=True)
  share = np.cumsum(np.bincount(which, counts)) / counts.sum()
  at = np.searchsorted(share, np.arange(1, 65) / 64 - 1e-9)
  return found[np.unique(at)]


def own_canvas(size: tuple[int, int]) -> Canvas:
  """An image's size, rounded up so that similar sizes share a program."""
  height, width = (-(-n // CANVAS_STEP) * CANVAS_STEP for n in size)
  return height, width


def assign(
  sizes: Int[np.ndarray, "n 2"], canvases: Sequence[Canvas]
) -> Int[np.ndarray, " n"]:
  """Index of the first (smallest) canvas that holds each image.

  Raises:
    ValueError: an image that no canvas holds.
  """
  holds = (np.asarray(canvases)[None] >= sizes[:, None]).all(-1)
  lost = np.flatnonzero(~holds.any(1))
  if lost.size:
    height, width = sizes[lost[0]]
    raise ValueError(
      f"an image of {height}x{width} fits on none of the canvases "
      f"{', '.join(f'{h}x{w}' for h, w in canvases)}"
    )
  return holds.argmax(1)
