"""Image files as arrays, whatever their mode."""

import io
import os
import pathlib

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageOps

from fcn_jax.files import DataError

_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N", "I")


def open_image(data: bytes | str | os.PathLike, name: str = "") -> Image.Image:
  """A Pillow image with its pixels loaded, first frame only.

  Args:
    data: the file's bytes, or its path.
    name: what to call it in errors; the path if that is given.

  Raises:
    OSError: the path cannot be read.
    DataError: not an image, cut short, or of more pixels than
      PIL.Image.MAX_IMAGE_PIXELS.
  """
  if not isinstance(data, bytes):
    path = pathlib.Path(data).expanduser()
    data, name = path.read_bytes(), name or str(path)
  try:
    image = Image.open(io.BytesIO(data))
    if image.width * image.height > Image.MAX_IMAGE_PIXELS:
      raise Image.DecompressionBombError
    image.load()
    return image
  except (Image.DecompressionBombWarning, Image.DecompressionBombError):
    raise DataError(
      f"{name}: more than {Image.MAX_IMAGE_PIXELS} pixels; cut it into tiles"
    ) from None
  except Image.UnidentifiedImageError:
    raise DataError(f"{name}: not an image that Pillow can read") from None
  # Pillow's plugins raise OSError, SyntaxError, ValueError, struct.error and
  # more on broken files.
  except Exception as error:
    raise DataError(f"{name}: broken or cut short ({error})") from None


def decode_image(
  data: bytes | str | os.PathLike, name: str = ""
) -> UInt8[np.ndarray, "h w 3"]:
  """An image file as RGB, 0..255.

  Any mode becomes RGB: grey (its value in all three channels), palette, CMYK,
  YCbCr; alpha and transparency are dropped, which leaves the stored colours.
  16-bit grey is scaled from its full range, round(255 * v / 65535); 16-bit
  colour is reduced by Pillow, v // 256, which differs by one level at most.
  EXIF orientation is applied. Colour profiles are not.  The array may be
  read-only.

  Args:
    data: the file's bytes, or its path.
    name: what to call it in errors.

  Raises:
    DataError: not an image, cut short, too large, or of values without a
      known range (32-bit integers beyond 65535, floating point).
  """
  if not isinstance(data, bytes):
    name = name or os.fspath(data)
  return to_rgb(open_image(data, name), name)


def to_rgb(image: Image.Image, name: str = "") -> UInt8[np.ndarray, "h w 3"]:
  """What decode_image does, on an image that is open already."""
  image = oriented(image)
  if image.mode in _SIXTEEN_BIT:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
      raise DataError(
        f"{name}: values {values.min()}..{values.max()} are beyond 16 bits; "
        "save it with 8 or 16 bits per channel"
      )
    grey = ((values * 255 + 32767) // 65535).astype(np.uint8)
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


def oriented(image: Image.Image) -> Image.Image:
  """The image turned as its EXIF orientation says; the same one if upright."""
  try:
    if image.getexif().get(ExifTags.Base.Orientation, 1) == 1:
      return image  # exif_transpose would copy it
    return ImageOps.exif_transpose(image)
  # A damaged EXIF block is no reason to lose the picture.
  except Exception:
    return image


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
