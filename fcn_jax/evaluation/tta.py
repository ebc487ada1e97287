"""Test-time augmentation: an image seen several times, its scores averaged.

The network sees the image at several scales, mirrored too if that is asked for.
The softmax of each is laid back over the image, bilinearly, and the mean of
them is the prediction.  A network that has learned resized images sees it at
their scale, and the same brings its scores back.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int32, UInt8
from PIL import Image

from fcn_jax.data.resizing import Resize

FLIP = "flip"


@runtime_checkable
class Pixels(Protocol):
  """An image whose pixels are asked for window by window.

  Attributes:
    size: (height, width).
  """

  size: tuple[int, int]

  def read(
    self, rows: tuple[int, int], columns: tuple[int, int]
  ) -> UInt8[np.ndarray, "h w 3"]:
    """RGB of the rows and columns from the first to before the second."""


@dataclasses.dataclass(frozen=True, eq=False)
class InMemory:
  """An image that is there as a whole."""

  image: UInt8[np.ndarray, "h w 3"]

  @property
  def size(self) -> tuple[int, int]:
    return self.image.shape[:2]

  def read(self, rows, columns):
    return self.image[slice(*rows), slice(*columns)]


def window(
  source: Pixels, rows: tuple[int, int], columns: tuple[int, int]
) -> UInt8[np.ndarray, "h w 3"]:
  """Pixels of an image, 0 where these rows and columns lie beyond it."""
  found = np.zeros((rows[1] - rows[0], columns[1] - columns[0], 3), np.uint8)
  spans = [
    (max(0, first), min(n, end))
    for (first, end), n in zip((rows, columns), source.size, strict=True)
  ]
  if all(first < end for first, end in spans):
    (top, bottom), (left, right) = spans
    found[
      top - rows[0] : bottom - rows[0], left - columns[0] : right - columns[0]
    ] = source.read(*spans)
  return found


@dataclasses.dataclass(frozen=True)
class Scaled:
  """An image at another scale, perhaps mirrored left to right.

  Pillow's bilinear filter, which averages where an image gets smaller.

  Attributes:
    source: the image.
    scale: of rows and columns, above 0; the size is rounded to whole pixels,
      at least 1.
    mirrored: whether the first column is the last.
  """

  source: Pixels
  scale: tuple[float, float] = (1.0, 1.0)
  mirrored: bool = False

  @property
  def size(self) -> tuple[int, int]:
    height, width = (
      max(1, round(n * scale))
      for n, scale in zip(self.source.size, self.scale, strict=True)
    )
    return height, width

  def read(self, rows, columns):
    if self.mirrored:
      width = self.size[1]
      columns = width - columns[1], width - columns[0]
    found = self._scaled(rows, columns)
    return found[:, ::-1] if self.mirrored else found

  def _scaled(self, rows, columns):
    if self.size == self.source.size:
      return self.source.read(rows, columns)
    spans, box = [], []
    for (first, end), n, of in zip(
      (rows, columns), self.size, self.source.size, strict=True
    ):
      step = of / n
      reach = math.ceil(max(1, step)) + 1  # of the filter
      start = max(0, math.floor(first * step) - reach)
      stop = min(of, math.ceil(end * step) + reach)
      spans.append((start, stop))
      box.append((first * step - start, min(end * step, stop) - start))
    (top, bottom), (left, right) = box
    scaled = Image.fromarray(self.source.read(*spans)).resize(
      (columns[1] - columns[0], rows[1] - rows[0]),
      Image.Resampling.BILINEAR,
      box=(left, top, right, bottom),
    )
    return np.asarray(scaled)


@dataclasses.dataclass(frozen=True)
class Tta:
  """How often, and how, an image is seen.

  Attributes:
    scales: each above 0.
    flip: each of them mirrored, too.
    resize: the scales are relative to the image resized so; None: as it is.
  """

  scales: tuple[float, ...] = (1.0,)
  flip: bool = False
  resize: Resize | None = None

  @classmethod
  def parse(cls, words: str) -> "Tta | None":
    """What --tta=flip,0.75,1,1.25 says; None for ''.

    Raises:
      ValueError: a word is neither 'flip' nor a number above 0.
    """
    given = [word.strip() for word in words.split(",") if word.strip()]
    scales = []
    for word in given:
      if word == FLIP:
        continue
      try:
        scale = float(word)
      except ValueError:
        scale = 0.0
      if not 0 < scale <= 8:
        raise ValueError(
          f"--tta={words}: {word!r} is neither flip nor a scale above 0, at "
          "most 8; write it as --tta=flip,0.75,1,1.25"
        )
      scales.append(scale)
    return cls(tuple(scales) or (1.0,), FLIP in given) if given else None

  @property
  def copies(self) -> float:
    """Of an image, that are held at once: the largest scale, and the sum."""
    return max(1.0, *self.scales) ** 2 + 1

  def of(self, source: Pixels) -> list[Scaled]:
    """The image as it is seen each time."""
    sides = (False, True) if self.flip else (False,)
    resized = zip(self.resized(source.size), source.size, strict=True)
    rows, columns = (seen / n for seen, n in resized)
    return [
      Scaled(source, (scale * rows, scale * columns), mirrored)
      for scale in self.scales
      for mirrored in sides
    ]

  def resized(self, size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) that an image of this size is seen at by scale 1."""
    return self.resize.scaled(size) if self.resize else size

  def __str__(self) -> str:
    words = [FLIP] * self.flip + [f"{scale:g}" for scale in self.scales]
    return ",".join(words)


def as_trained(tta: Tta | None, resize: Mapping[str, Any] | None) -> Tta | None:
  """How a network sees an image; None: once, as it is.

  Args:
    tta: what is asked for.
    resize: of its training, as `weights.checkpoints.ModelCard` has it.
  """
  if resize is None:
    return tta
  return dataclasses.replace(tta or Tta(), resize=Resize(**resize))


def positions(
  pixels: tuple[int, int], of: int, n: int, mirrored: bool = False
) -> tuple[Int32[np.ndarray, " m"], Float32[np.ndarray, " m"]]:
  """Where pixels of an axis lie in the image as it is seen.

  Pixel i of `of` is centred on (i + 1/2) * n / of - 1/2 of n; what lies
  beyond the centre of the first or last is taken from that.

  Args:
    pixels: the first, and the one behind the last.
    of: pixels of the image.
    n: pixels of it as it is seen.
    mirrored: whether they run the other way there.

  Returns:
    The pixel before, and the weight of the one behind it, 0..1.
  """
  place = (np.arange(*pixels) + 0.5) * n / of - 0.5
  place = place.clip(0, n - 1)
  if mirrored:
    place = n - 1 - place
  before = np.minimum(np.floor(place), max(0, n - 2))
  return before.astype(np.int32), (place - before).astype(np.float32)


@jax.jit
def laid_back(
  scores: Float[Array, "b h w c"],
  rows: tuple[Int32[Array, "b m"], Float[Array, "b m"]],
  columns: tuple[Int32[Array, "b n"], Float[Array, "b n"]],
) -> Float[Array, "b m n c"]:
  """Softmax of scores, at the `positions` of rows and columns."""

  def between(shares, before, weight):
    """Along the first axis of [n, ..., c]."""
    behind = jnp.minimum(before + 1, shares.shape[0] - 1)
    one, other = shares[before], shares[behind]
    return one + (other - one) * weight[:, None, None]

  def of_image(scores, rows, columns):
    tall = between(jax.nn.softmax(scores), *rows)
    return between(tall.swapaxes(0, 1), *columns).swapaxes(0, 1)

  return jax.vmap(of_image)(scores, rows, columns)
