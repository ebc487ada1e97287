"""Which images show the same, though their files differ.

A difference hash tells it: the image is divided into 8 rows of 9 cells, and
each bit says whether the mean grey rises from one cell to the next (Krawetz,
"Kind of like that", hackerfactor.com, 2013).  It hardly changes when an image
is saved anew, made smaller, greyer or lighter.  Pictures of much sky may have
nearly the same bits by chance, so the cells themselves are compared as well.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int, UInt8, UInt64

ROWS, COLUMNS = 8, 9
# Of 64; and Pearson's, of two images' cells. Copies of photographs of half the
# size, of JPEG quality 30, of 4/5 of the contrast or without colour are found,
# and most of those cropped by 2 % on each side. Of 160,000 pairs of a train and
# a val or test image of VOC, CamVid and a set of cells one was taken for a
# copy: two pictures of a film, a second apart.
MOST_BITS = 6
LEAST_CORRELATION = 0.97

_GREY = np.array([77, 150, 29])  # of 256: Rec. 601 luma
_PAIRS_AT_ONCE = 1 << 18  # with 72 numbers of both of each: 150 MB


class Closest(NamedTuple):
  """For each image of one set, the one of another that is most like it.

  Attributes:
    index: of the other image; -1: none shows the same.
    bits: of the difference hash in which the two differ.
  """

  index: Int[np.ndarray, " m"]
  bits: Int[np.ndarray, " m"]


def grey_cells(image: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "8 9"]:
  """Mean grey of 8 x 9 cells of an RGB image, 0..255.

  >>> grey_cells(np.full((16, 18, 3), 7, np.uint8)).max()
  np.float32(7.0)
  """
  height, width = image.shape[:2]
  rows = np.arange(ROWS) * height // ROWS
  columns = np.arange(COLUMNS) * width // COLUMNS
  sums = np.add.reduceat(image, rows, axis=0, dtype=np.uint32)
  sums = np.add.reduceat(sums, columns, axis=1, dtype=np.uint32)
  # An image of fewer rows than cells has cells that share one.
  heights = np.maximum(np.diff(rows, append=height), 1)
  widths = np.maximum(np.diff(columns, append=width), 1)
  # Sums of whole numbers until here: cells of one colour are exactly equal.
  areas = 256 * heights[:, None] * widths
  return (sums.astype(np.int64) @ _GREY / areas).astype(np.float32)


def difference_hash(
  cells: Float32[np.ndarray, "n 8 9"],
) -> UInt64[np.ndarray, " n"]:
  """64 bits per image, row by row, the first cell's in the highest place."""
  rises = (cells[:, :, :-1] < cells[:, :, 1:]).reshape(len(cells), 64)
  return np.packbits(rises, axis=1).view(">u8")[:, 0].astype(np.uint64)


def find_closest(
  images: Float32[np.ndarray, "m 8 9"], others: Float32[np.ndarray, "n 8 9"]
) -> Closest:
  """The most similar of `others` for each of `images`.

  Hashes that differ in at most 6 bits differ in at most one in one of their
  four quarters, so an image is held only against those that such a quarter
  leads to: of hashes by chance one in 964, of photographs some more.

  Images of one grey are like no other, there is nothing in them to recognise.

  Args:
    images, others: from `grey_cells`.

  Returns:
    Where at most MOST_BITS differ and the cells correlate by at least
    LEAST_CORRELATION, the index of highest correlation; else -1.
  """
  index = np.full(len(images), -1)
  bits = np.full(len(images), 64)
  if len(images) == 0 or len(others) == 0:
    return Closest(index, bits)
  hashes, other_hashes = difference_hash(images), difference_hash(others)
  units, other_units = _unit(images), _unit(others)
  highest = np.full(len(images), -1.0, np.float32)
  for of, to in _pairs_with_a_near_quarter(hashes, other_hashes):
    differing = np.bitwise_count(hashes[of] ^ other_hashes[to])
    near = differing <= MOST_BITS
    of, to, differing = of[near], to[near], differing[near]
    correlation = np.einsum("pi,pi->p", units[of], other_units[to])
    # The best of each image first, of equals the one of lowest index.
    order = np.lexsort((to, -correlation, of))
    order = order[correlation[order] >= LEAST_CORRELATION]
    order = order[np.unique(of[order], return_index=True)[1]]
    of, to, correlation = of[order], to[order], correlation[order]
    better = (correlation > highest[of]) | (
      (correlation == highest[of]) & (to < index[of])
    )
    of, order = of[better], order[better]
    highest[of], index[of] = correlation[better], to[better]
    bits[of] = differing[order]
  return Closest(index, bits)


def _pairs_with_a_near_quarter(
  hashes: UInt64[np.ndarray, " m"], others: UInt64[np.ndarray, " n"]
) -> Iterator[tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]]:
  """Places of pairs of which 16 bits in a row differ in one at most.

  A pair may come several times, about _PAIRS_AT_ONCE come at once.
  """
  for shift in range(0, 64, 16):
    of, to = ((x >> shift & 0xFFFF).astype(np.int64) for x in (hashes, others))
    order = np.argsort(to, kind="stable")
    starts = np.searchsorted(to[order], np.arange((1 << 16) + 1))
    for flip in (0, *(1 << bit for bit in range(16))):
      first, end = starts[of ^ flip], starts[(of ^ flip) + 1]
      ends = np.cumsum(end - first)
      begin = 0
      while begin < len(of):
        done = ends[begin - 1] if begin else 0
        stop = np.searchsorted(ends, done + _PAIRS_AT_ONCE, "right")
        part = slice(begin, max(begin + 1, stop))
        number = (end - first)[part]
        rows = np.repeat(np.arange(part.start, part.stop), number)
        # 0, 1, ... within the pairs of each image
        places = np.arange(len(rows)) - np.repeat(
          np.cumsum(number) - number, number
        )
        if len(rows):
          yield rows, order[np.repeat(first[part], number) + places]
        begin = part.stop


def _unit(cells: Float32[np.ndarray, "n 8 9"]) -> Float32[np.ndarray, "n 72"]:
  """Cells less their mean, of length 1; or 0, for an image of one grey."""
  flat = cells.reshape(len(cells), -1)
  flat = flat - flat.mean(1, keepdims=True)
  length = np.linalg.norm(flat, axis=1, keepdims=True)
  return flat / np.where(length > 0, length, 1)
