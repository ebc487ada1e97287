"""Image files as arrays, whatever their mode."""

import functools
import io
import os
import pathlib
import re
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import ExifTags, Image, ImageOps

from fcn_jax.files import DataError

SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N", "I")
FULL_RANGE = (0, 65535)  # of 16-bit images whose range nobody gave
_NEW_SUBFILE_TYPE = 254  # TIFF tag; bit 0: a smaller copy of another page
_XMP_ORIENTATION = rb'tiff:Orientation(="|>)([0-9])'
_PNG_TAGS = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")
_POSTSCRIPT = (b"%!PS", b"\xc5\xd0\xd3\xc6")
_PAGED = ("TIFF", "GIF", "PNG", "WEBP")
# Pillow's way to turn an image as its EXIF orientation says.
_TURNS = {
  2: Image.Transpose.FLIP_LEFT_RIGHT,
  3: Image.Transpose.ROTATE_180,
  4: Image.Transpose.FLIP_TOP_BOTTOM,
  5: Image.Transpose.TRANSPOSE,
  6: Image.Transpose.ROTATE_270,
  7: Image.Transpose.TRANSVERSE,
  8: Image.Transpose.ROTATE_90,
}


@functools.cache
def _formats() -> tuple[str, ...]:
  """All that Pillow reads, but for those it hands to other programs."""
  Image.init()
  return tuple(sorted(set(Image.OPEN) - {"EPS", "WMF"}))


def open_header(stream: io.BytesIO | str | os.PathLike) -> Image.Image:
  """Pillow's Image.open, which never starts another program.

  Raises:
    Exception: whatever Pillow's plugins raise.
  """
  return Image.open(stream, formats=_formats())


def open_image(
  data: bytes | str | os.PathLike, name: str = "", page: int = 0
) -> Image.Image:
  """A Pillow image with its pixels loaded.

  Args:
    data: the file's bytes, or its path.
    name: what to call it in errors; the path if that is given.
    page: which of its pages or frames, from 0.

  Raises:
    OSError: the path cannot be read.
    DataError: not an image, cut short, or of more pixels than
      PIL.Image.MAX_IMAGE_PIXELS.
  """
  if not isinstance(data, bytes):
    path = pathlib.Path(data).expanduser()
    data, name = path.read_bytes(), name or str(path)
  if data.startswith(_POSTSCRIPT):
    raise DataError(f"{name}: a PostScript file; save it as PNG")
  try:
    image = open_header(io.BytesIO(data))
    if page:
      image.seek(page)
    if image.width * image.height > Image.MAX_IMAGE_PIXELS:
      raise Image.DecompressionBombError
    image.load()
    return image
  except (Image.DecompressionBombWarning, Image.DecompressionBombError):
    raise DataError(
      f"{name}: more than {Image.MAX_IMAGE_PIXELS} pixels; cut it into tiles, "
      "or save it as a TIFF, which scripts/predict.py takes at any size (pip "
      "install 'fcn_jax[tiff]')"
    ) from None
  except Image.UnidentifiedImageError:
    raise DataError(f"{name}: not an image that Pillow can read") from None
  # Pillow's plugins raise OSError, SyntaxError, ValueError, struct.error and
  # more on broken files.
  except Exception as error:
    raise DataError(f"{name}: broken or cut short ({error})") from None


def turned_size(image: Image.Image) -> tuple[int, int]:
  """Height and width of an image once it is turned, mostly from its header.

  Args:
    image: from `open_header`.
  """
  # Pillow decodes a PNG to find a tag behind its pixels.
  untagged = image.format == "PNG" and not image.info
  how = 1 if untagged else _tag(image)
  if image.format == "TIFF" and how != 1:
    image.load()  # which turns it
    how = 1
  width, height = image.size
  return (width, height) if how >= 5 else (height, width)


class Header(NamedTuple):
  """What an image file says before its pixels.

  Attributes:
    pages: its pages or frames, if it is a TIFF, GIF, PNG or WebP; else (0,). A
      TIFF's smaller copies of a page are left out, and so are the further
      pictures of a JPEG (MPO), previews or the second eye's view.
    orientation: EXIF orientation, 1 upright, 2 to 8 turned; 1 without one.
    deep_grey: whether it is grey of 16 bits.
    deep_color: whether it has 16 bits a channel, which Pillow reduces to 8.
  """

  pages: tuple[int, ...] = (0,)
  orientation: int = 1
  deep_grey: bool = False
  deep_color: bool = False


def read_header(data: bytes, page: int = 0) -> Header:
  """The header of an image file; a default one where it cannot be read.

  Args:
    data: the file's bytes.
    page: whose orientation it is.
  """
  try:
    with open_header(io.BytesIO(data)) as image:
      deep = image.mode in SIXTEEN_BIT, _is_deep_color(image)
      pages = _pages(image)
      image.seek(page)
      # Pillow decodes a PNG to find a tag behind its pixels.
      untagged = image.format == "PNG" and not any(
        mark in data for mark in _PNG_TAGS
      )
      return Header(pages, 1 if untagged else _tag(image), *deep)
  except Exception:  # decoding will tell
    return Header()


def _pages(image: Image.Image) -> tuple[int, ...]:
  if image.format not in _PAGED or not getattr(image, "is_animated", False):
    return (0,)
  numbers = []
  for number in range(image.n_frames):
    image.seek(number)
    kind = getattr(image, "tag_v2", {}).get(_NEW_SUBFILE_TYPE, 0)
    if not kind & 1:
      numbers.append(number)
  return tuple(numbers) or (0,)


def _tag(image: Image.Image) -> int:
  try:
    found = image.getexif().get(ExifTags.Base.Orientation, 1)
    return found if found in _TURNS else 1
  # A damaged EXIF block is no reason to lose the picture.
  except Exception:
    return 1


def _is_deep_color(image: Image.Image) -> bool:
  for _, _, _, kind in image.tile[:1]:
    kind = kind if isinstance(kind, str) else str(next(iter(kind or ()), ""))
    return kind.startswith("RGB") and ";16" in kind
  return False


def turned(image: Image.Image, how: int) -> Image.Image:
  """An image turned as this EXIF orientation says."""
  return image.transpose(_TURNS[how]) if how in _TURNS else image


def as_stored(data: bytes, name: str, page: int = 0) -> tuple[Image.Image, int]:
  """An image with its pixels as they are in the file, and its orientation.

  Raises:
    DataError: see `open_image`.
  """
  image = open_image(data, name, page)
  how = read_header(data, page).orientation
  if image.format == "TIFF":  # which Pillow turns by itself
    image = turned(image, {6: 8, 8: 6}.get(how, how))
  return image, how


def encode_png(image: Image.Image, how: int = 1, name: str = "") -> bytes:
  """An image as PNG, without loss.

  Args:
    image: of a mode that `to_rgb` takes.
    how: EXIF orientation to write with it.
    name: for errors.

  Raises:
    DataError: a mode that PNG does not have.
  """
  if image.mode in SIXTEEN_BIT:
    image = Image.fromarray(sixteen_bits(image, name))
  elif image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
    upright = image.copy()
    upright.getexif().clear()
    image = Image.fromarray(to_rgb(upright, name))
  exif = Image.Exif()
  if how != 1:
    exif[ExifTags.Base.Orientation] = how
  stream = io.BytesIO()
  # Level 1: noise of cameras hardly shrinks by more work.
  image.save(stream, "PNG", exif=exif, compress_level=1)
  return stream.getvalue()


def without_orientation(data: bytes, name: str) -> bytes:
  """The file without its EXIF orientation, and the same pixels.

  A JPEG keeps its bytes but for the tag; others become PNG.

  Raises:
    DataError: a JPEG whose tag is not where it should be.
  """
  if read_header(data).orientation == 1:
    return data
  if not data.startswith(b"\xff\xd8"):
    return encode_png(as_stored(data, name)[0], name=name)
  edited = bytearray(data)
  place = 2
  while place + 4 <= len(data) and data[place] == 0xFF:
    marker, length = (
      data[place + 1],
      int.from_bytes(data[place + 2 : place + 4]),
    )
    if marker == 0xDA:  # pixels begin
      break
    start, end = place + 4, place + 2 + length
    if marker == 0xE1 and data.startswith(b"Exif\0\0", start):
      _straighten(edited, start + 6, end)
    elif marker == 0xE1:
      for match in re.finditer(_XMP_ORIENTATION, data[start:end]):
        edited[start + match.start(2)] = ord("1")
    place = end
  if read_header(bytes(edited)).orientation != 1:
    raise DataError(
      f"{name}: its EXIF orientation cannot be taken out; save it without"
    )
  return bytes(edited)


def _straighten(data: bytearray, start: int, end: int) -> None:
  """Writes 1 for the orientation in the EXIF block data[start:end]."""
  order = "little" if data[start : start + 2] == b"II" else "big"

  def number(place: int, size: int) -> int:
    return int.from_bytes(data[place : place + size], order)

  table = start + number(start + 4, 4)
  for entry in range(table + 2, table + 2 + 12 * number(table, 2), 12):
    if entry + 12 <= end and number(entry, 2) == ExifTags.Base.Orientation:
      size = 4 if number(entry + 2, 2) == 4 else 2  # LONG or SHORT
      data[entry + 8 : entry + 8 + size] = (1).to_bytes(size, order)


def decode_image(
  data: bytes | str | os.PathLike,
  name: str = "",
  value_range: tuple[int, int] | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
  """An image file as RGB, 0..255; of several pages the first.

  Any mode becomes RGB: grey (its value in all three channels), palette, CMYK,
  YCbCr; alpha and transparency are dropped, which leaves the stored colours.
  16-bit grey is scaled from its range, by default the full one, round(255 * v /
  65535); 16-bit colour is reduced by Pillow, v // 256, which differs by one
  level at most.  EXIF orientation is applied. Colour profiles are not.  The
  array may be read-only.

  Args:
    data: the file's bytes, or its path.
    name: what to call it in errors.
    value_range: of 16-bit grey, the values that become 0 and 255; those beyond
      are limited to it.

  Raises:
    DataError: not an image, cut short, too large, or of values without a
      known range (32-bit integers beyond 65535, floating point).
  """
  if not isinstance(data, bytes):
    name = name or os.fspath(data)
  return to_rgb(open_image(data, name), name, value_range)


def to_rgb(
  image: Image.Image,
  name: str = "",
  value_range: tuple[int, int] | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
  """What decode_image does, on an image that is open already."""
  image = oriented(image)
  if image.mode in SIXTEEN_BIT:
    values = stretched(sixteen_bits(image, name), value_range or FULL_RANGE)
    grey = ((values.astype(np.int64) * 255 + 32767) // 65535).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)
  if "transparency" in image.info:
    # Pillow warns of palette transparency given as bytes; alpha goes anyway.
    image = image.copy()
    del image.info["transparency"]
  try:
    if image.mode == "F":
      raise ValueError("floating point has no fixed range")
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
  except ValueError as error:
    raise DataError(
      f"{name}: mode {image.mode} cannot be made RGB ({error}); save it with "
      "8 or 16 bits per channel"
    ) from None


def sixteen_bits(
  image: Image.Image, name: str = ""
) -> UInt16[np.ndarray, "h w"]:
  """The values of a 16-bit grey image.

  Raises:
    DataError: they are 32-bit integers beyond 65535.
  """
  values = np.asarray(image).astype(np.int64)
  if values.min() < 0 or values.max() > 65535:
    raise DataError(
      f"{name}: values {values.min()}..{values.max()} are beyond 16 bits; "
      "save it with 8 or 16 bits per channel"
    )
  return values.astype(np.uint16)


def stretched(
  values: UInt16[np.ndarray, "h w"], value_range: tuple[int, int]
) -> UInt16[np.ndarray, "h w"]:
  """Values of this range scaled to 0..65535; those beyond are limited to it.

  >>> stretched(np.array([[100, 150, 300]], np.uint16), (100, 200)).tolist()
  [[0, 32768, 65535]]
  """
  low, high = value_range
  if (low, high) == FULL_RANGE:
    return values
  offset = values.astype(np.int64).clip(low, high) - low
  return ((offset * 65535 + (high - low) // 2) // (high - low)).astype(
    np.uint16
  )


def oriented(image: Image.Image) -> Image.Image:
  """The image turned as its EXIF orientation says; the same one if upright."""
  how = _tag(image)
  return image if how == 1 else ImageOps.exif_transpose(image)


def decode_label(data: bytes) -> UInt8[np.ndarray, "h w"]:
  """A stored label: the class index of each pixel, 255 = void; read-only.

  Args:
    data: the index PNG of a prepared data set (or any 8-bit PNG of mode L or
      P, whose indices are taken).

  Raises:
    DataError: not an 8-bit, single-channel image.
  """
  image = open_image(data, "label")
  if image.mode not in ("L", "P"):
    raise DataError(f"label: mode {image.mode}, expected an index PNG (L or P)")
  return np.asarray(image)


def encode_label(label: UInt8[np.ndarray, "h w"]) -> bytes:
  """A label as single-channel PNG, the inverse of decode_label.

  Grey and not paletted: some decoders turn a paletted PNG into colours.
  """
  stream = io.BytesIO()
  Image.fromarray(label).save(stream, "PNG")
  return stream.getvalue()
