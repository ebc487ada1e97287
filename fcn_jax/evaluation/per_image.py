"""Arrays of counts, one an image, of which most numbers are 0."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int


@dataclasses.dataclass(frozen=True, eq=False)
class PerImage:
  """An array of integers of each image; what is 0 is not held.

  An image of a data set of 255 classes shows a few of them: 255 x 255 numbers
  an image would be gigabytes for what is a hundred numbers.

  >>> confusions = PerImage.of(np.array([[[3, 1], [0, 2]], [[0, 0], [0, 5]]]))
  >>> len(confusions), confusions.number.tolist()
  (2, [3, 1, 2, 5])
  >>> confusions[0].tolist(), confusions.sum().tolist()
  ([[3, 1], [0, 2]], [[3, 1], [0, 7]])

  Attributes:
    images: number of them.
    shape: of the array of an image.
    image: of each number that is not 0, ascending.
    cell: its place in the flattened array of its image, ascending in an image.
    number: itself.
  """

  images: int
  shape: tuple[int, ...]
  image: Int[np.ndarray, " m"]
  cell: Int[np.ndarray, " m"]
  number: Int[np.ndarray, " m"]

  @classmethod
  def of(cls, arrays: Int[np.ndarray, "n *shape"]) -> "PerImage":
    """From the array of each image."""
    images, *shape = arrays.shape
    rows = arrays.reshape(images, int(np.prod(shape)))
    image, cell = np.nonzero(rows)
    number = rows[image, cell]
    return cls(
      images,
      tuple(shape),
      image.astype(np.int32),
      cell.astype(np.int32),
      number,
    )

  @classmethod
  def joined(
    cls, parts: Sequence["PerImage"], order: Sequence[int]
  ) -> "PerImage":
    """Of several parts, one after the other, and brought in order.

    Args:
      parts: at least one, of one shape.
      order: place of each image of the parts in the result.
    """
    first = np.cumsum([0, *(part.images for part in parts)])
    image = np.concatenate(
      [
        part.image + start
        for part, start in zip(parts, first[:-1], strict=True)
      ]
    )
    image = np.asarray(order, np.int32)[image]
    by_image = np.argsort(image, kind="stable")
    cell = np.concatenate([part.cell for part in parts])
    number = np.concatenate([part.number for part in parts])
    return cls(
      int(first[-1]),
      parts[0].shape,
      image[by_image],
      cell[by_image],
      number[by_image],
    )

  def __len__(self) -> int:
    return self.images

  def __getitem__(self, image: int) -> Int[np.ndarray, "*shape"]:
    """The whole array of one image."""
    cell, number = self.entries(image)
    array = np.zeros(self.shape, number.dtype)
    array.ravel()[cell] = number
    return array

  def entries(
    self, image: int
  ) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"]]:
    """Places and values of what is not 0 in one image.

    Raises:
      IndexError: there is no such image.
    """
    if not 0 <= image < self.images:
      raise IndexError(f"image {image} of {self.images}")
    there = slice(*self._starts[image : image + 2])
    return self.cell[there], self.number[there]

  def sum(
    self, times: Int[np.ndarray, " n"] | None = None
  ) -> Int[np.ndarray, "*shape"]:
    """The sum of the images' arrays, exact up to 2^53.

    Args:
      times: how often each image is added; None: once.
    """
    weights = self.number if times is None else times[self.image] * self.number
    cells = int(np.prod(self.shape))
    total = np.bincount(self.cell, weights, minlength=cells)
    return total.astype(np.int64).reshape(self.shape)

  @functools.cached_property
  def _starts(self) -> Int[np.ndarray, " n1"]:
    return np.searchsorted(self.image, np.arange(self.images + 1))
