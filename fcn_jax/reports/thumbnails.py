"""Small pictures of many images and their labels, within a number of bytes."""

import concurrent.futures
import dataclasses
import os
from collections.abc import Sequence

import numpy as np
import tqdm
from jaxtyping import UInt8
from PIL import Image

from fcn_jax.data.files import Pair
from fcn_jax.data.images import decode_image, decode_label
from fcn_jax.reports import page, viewer

# Pixels on the longer side, largest first; below the last one labels are
# hardly to be seen, and images are left out instead.
SIDES = (384, 320, 256, 224, 192, 160, 128, 96)
_QUALITY = 80  # of the JPEGs
_TRIED = 24  # images by which the size of all is estimated
_BESIDE = 400  # bytes of an image's name and shares in the page


@dataclasses.dataclass(frozen=True)
class Thumbnail:
  """An image and its label, reduced.

  Attributes:
    number: place of the pair among those given.
    shown: (height, width) of both pictures.
    photo: data URI of a JPEG.
    ids: class ids, deflated, in base64.
  """

  number: int
  shown: tuple[int, int]
  photo: str
  ids: str

  @property
  def bytes(self) -> int:
    """Of the page that it takes."""
    return len(self.photo) + len(self.ids) + _BESIDE


@dataclasses.dataclass(frozen=True)
class Thumbnails:
  """Thumbnails of a data set, or of a sample of it.

  Attributes:
    shown: the thumbnails, in the order of the pairs.
    images: number of pairs.
    longest: pixels on the longer side of the largest.
  """

  shown: tuple[Thumbnail, ...]
  images: int
  longest: int


def make(
  pairs: Sequence[Pair],
  most_bytes: int,
  sides: Sequence[int] = SIDES,
) -> Thumbnails:
  """Thumbnails as large as fit, of all pairs if they fit at all.

  The largest of `sides` is taken at which all stay below `most_bytes`. If that
  is none, the smallest is, and of the pairs as many as fit, evenly spaced.

  Args:
    pairs: sound ones.
    most_bytes: of all of them in the page.
    sides: pixels on the longer side, falling.
  """
  if not pairs:
    return Thumbnails((), 0, sides[0])
  numbers = list(range(len(pairs)))
  side, fitting = _fit(pairs, most_bytes, sides)
  while True:
    if fitting < len(numbers):
      numbers = _spaced(len(pairs), max(1, fitting))
    made = _draw(pairs, numbers, side)
    total = sum(thumbnail.bytes for thumbnail in made)
    if total <= most_bytes or len(numbers) == 1:
      return Thumbnails(tuple(made), len(pairs), side)
    # The estimate was too low.
    if side != sides[-1]:
      side = sides[sides.index(side) + 1]
    else:
      fitting = int(0.98 * len(numbers) * most_bytes / total)


def _fit(
  pairs: Sequence[Pair], most_bytes: int, sides: Sequence[int]
) -> tuple[int, int]:
  """The side, and how many thumbnails of it are sure to fit."""
  tried = _spaced(len(pairs), min(_TRIED, len(pairs)))
  decoded = [_decode(pairs[number]) for number in tried]
  for side in sides:
    mean = np.mean([reduce(0, *sample, side).bytes for sample in decoded])
    fitting = int(most_bytes / (1.05 * mean))
    if fitting >= len(pairs):
      break
  return side, fitting


def _spaced(number: int, chosen: int) -> list[int]:
  """`chosen` of range(number), evenly spaced."""
  return [(2 * i + 1) * number // (2 * chosen) for i in range(chosen)]


def _draw(
  pairs: Sequence[Pair], numbers: Sequence[int], side: int
) -> list[Thumbnail]:
  def draw(number):
    return reduce(number, *_decode(pairs[number]), side)

  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    return list(
      tqdm.tqdm(
        pool.map(draw, numbers),
        f"thumbnails of {side} pixels",
        len(numbers),
        unit=" images",
      )
    )


def _decode(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
  return (
    decode_image(pair.image.read(), pair.image.name),
    decode_label(pair.label.read()),
  )


def reduce(
  number: int,
  image: UInt8[np.ndarray, "h w 3"],
  label: UInt8[np.ndarray, "h w"],
  longest: int,
) -> Thumbnail:
  """One thumbnail: the image by area, of the label the pixels in the middle.

  Args:
    number: of the thumbnail.
    image: RGB.
    label: class ids and void.
    longest: pixels on the longer side.
  """
  shown = viewer.shown_size(label.shape, longest)
  photo = Image.fromarray(image).resize(shown[::-1], Image.Resampling.BOX)
  return Thumbnail(
    number,
    shown,
    page.jpeg(np.asarray(photo), _QUALITY),
    viewer.packed(label, shown),
  )
