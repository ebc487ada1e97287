"""Image files that are read otherwise than they lie on disk.

A page of a TIFF, a photograph without its EXIF orientation, 16-bit grey of
another range: each becomes a file whose bytes are a PNG of its own (or a JPEG
but for its tag), so that all that reads files need not know of it.
"""

import concurrent.futures
import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from PIL import ExifTags, Image

from fcn_jax.data.files import File, Pair, TarMember
from fcn_jax.data.formats.base import Format, Found
from fcn_jax.data.images import (
  FULL_RANGE,
  as_stored,
  encode_png,
  open_image,
  read_header,
  sixteen_bits,
  stretched,
  without_orientation,
)
from fcn_jax.files import DataError

EXIF = ("apply", "ignore", "both")
_PAGED = (".tif", ".tiff", ".gif", ".png", ".apng", ".webp")
_HEAD = 1 << 16  # bytes in which a PNG says that it is animated


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Reread(File):
  """A file made from another one when it is read."""

  source: File

  @property
  def extension(self) -> str:
    return ".png"

  def read(self) -> bytes:
    return self.made(self.source.read())

  def made(self, data: bytes) -> bytes:
    """The bytes of this file from those of its source."""
    raise NotImplementedError


def _reread(kind: type[_Reread], source: File, name: str = "", **fields):
  return kind(
    name or source.name,
    source.path,
    source.offset,
    source.size,
    source=source,
    **fields,
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page(_Reread):
  """One page of several; `number` from 0."""

  number: int
  of: int

  def bytes_on_disk(self) -> int:
    return self.source.bytes_on_disk() // self.of

  def made(self, data: bytes) -> bytes:
    return encode_png(*as_stored(data, self.name, self.number), self.name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Straightened(_Reread):
  """An image without its EXIF orientation."""

  @property
  def extension(self) -> str:
    old = self.source.extension
    return old if old in (".jpg", ".jpeg", ".jpe", ".jfif") else ".png"

  def made(self, data: bytes) -> bytes:
    return without_orientation(data, self.name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TurnedAlike(_Reread):
  """A label with the EXIF orientation of its image, unless it has its own."""

  image: File

  @property
  def extension(self) -> str:
    return self.source.extension

  def made(self, data: bytes) -> bytes:
    how = read_header(self.image.read()).orientation
    if how == 1 or read_header(data).orientation != 1:
      return data
    if not data.startswith(b"\xff\xd8"):
      return encode_png(as_stored(data, self.name)[0], how, self.name)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = how
    block = exif.tobytes()
    size = (len(block) + 2).to_bytes(2, "big")
    return data[:2] + b"\xff\xe1" + size + block + data[2:]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stretched(_Reread):
  """16-bit grey whose range becomes the full one."""

  value_range: tuple[int, int]

  def made(self, data: bytes) -> bytes:
    image, how = as_stored(data, self.name)
    values = stretched(sixteen_bits(image, self.name), self.value_range)
    return encode_png(Image.fromarray(values), how)


def pages(file: File) -> list[File]:
  """The pages of a file, each a file called NAME#001, ...; itself if one."""
  numbers = _page_numbers(file)
  if len(numbers) == 1:
    return [file]
  return [
    _reread(Page, file, f"{file.name}#{i:03}", number=number, of=len(numbers))
    for i, number in enumerate(numbers, 1)
  ]


def _page_numbers(file: File) -> tuple[int, ...]:
  if file.extension not in _PAGED:
    return (0,)
  try:
    if file.extension == ".png" and type(file) in (File, TarMember):
      size = min(_HEAD, file.bytes_on_disk())
      head = File(file.name, file.path, file.offset, size).read()
      if b"acTL" not in head:
        return (0,)
    return read_header(file.read()).pages
  except (DataError, OSError):  # it is reported when it is checked
    return (0,)


def as_told(source: Format, found: Found) -> Found:
  """What was found, read as --exif and --value_range say, page by page.

  A record is made of every page of image and label, where both have as many;
  other files of several pages stay, and are found fault with when they are
  checked. Class names, lists and findings stay as they are.

  Returns:
    It with other pairs, and what was decided on.

  Raises:
    DataError: flags that mean nothing.
  """
  if source.exif not in (None, *EXIF):
    raise DataError(f"--exif={source.exif}: give {' or '.join(EXIF)}")
  pairs = list(dict.fromkeys(p for g in found.splits.values() for p in g))
  parts = dict(zip(pairs, _mapped(_pages_of, pairs), strict=True))
  decided, record = set(), {}
  if source.exif:
    decided.add("exif")
    record["exif"] = source.exif
    parts = {
      pair: [_with_exif(one, source.exif) for one in group]
      for pair, group in parts.items()
    }
  if source.value_range:
    train = found.splits.get("train", pairs)
    parts, chosen = _with_range(source.value_range, parts, train)
    decided.add("grey_range")
    if chosen == FULL_RANGE:
      decided.add("color_range")
    record["value_range"] = list(chosen)
  splits = {
    split: [one for pair in group for one in parts[pair]]
    for split, group in found.splits.items()
  }
  return dataclasses.replace(
    found, splits=splits, decided=frozenset(decided), record=record
  )


def _mapped(function: Callable, items: Iterable) -> list:
  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    return list(pool.map(function, items))


def _pages_of(pair: Pair) -> list[Pair]:
  images, labels = pages(pair.image), pages(pair.label)
  if len(images) == 1 or len(images) != len(labels):
    return [pair]
  return [
    Pair(f"{pair.image_id}#{i:03}", image, label)
    for i, (image, label) in enumerate(zip(images, labels, strict=True), 1)
  ]


def _with_exif(pair: Pair, exif: str) -> Pair:
  if exif == "ignore":
    image = _reread(Straightened, pair.image)
    return dataclasses.replace(pair, image=image)
  if exif == "both":
    label = _reread(TurnedAlike, pair.label, image=pair.image)
    return dataclasses.replace(pair, label=label)
  return pair


def _with_range(
  text: str, parts: Mapping[Pair, Sequence[Pair]], train: Sequence[Pair]
) -> tuple[dict[Pair, list[Pair]], tuple[int, int]]:
  """Stretches all 16-bit grey images to a range of values."""
  images = [pair.image for group in parts.values() for pair in group]
  deep = dict(zip(images, _mapped(_is_deep, images), strict=True))
  if not any(deep.values()):
    raise DataError(
      f"--value_range={text}: no image is grey of 16 bits; leave it out"
    )
  if text == "auto":
    of_train = [p.image for pair in train for p in parts[pair]]
    seen = _mapped(_extremes, [image for image in of_train if deep[image]])
    seen = [one for one in seen if one]
    if not seen:
      raise DataError(
        "--value_range=auto: no training image is grey of 16 bits; give two "
        "numbers"
      )
    low, high = min(a for a, _ in seen), max(b for _, b in seen)
    chosen = (low, max(high, low + 1))
  else:
    chosen = parse_range(text)
  return {
    pair: [
      dataclasses.replace(
        one, image=_reread(Stretched, one.image, value_range=chosen)
      )
      if deep[one.image]
      else one
      for one in group
    ]
    for pair, group in parts.items()
  }, chosen


def _is_deep(file: File) -> bool:
  try:
    return read_header(file.read()).deep_grey
  except DataError:
    return False


def _extremes(file: File) -> tuple[int, int] | None:
  try:
    values = sixteen_bits(open_image(file.read(), file.name), file.name)
  except DataError:
    return None
  return int(np.min(values)), int(np.max(values))


def parse_range(text: str) -> tuple[int, int]:
  """'0,4095' as two numbers.

  Raises:
    DataError: it is anything else.
  """
  parts = text.split(",")
  if (
    len(parts) != 2
    or not all(part.strip().isdigit() for part in parts)
    or not int(parts[0]) < int(parts[1]) <= FULL_RANGE[1]
  ):
    raise DataError(
      f"--value_range={text}: give two numbers in 0..65535, as 0,4095 for a "
      "camera of 12 bits, or auto"
    )
  return int(parts[0]), int(parts[1])
