"""TIFF files too large to be held: read window by window, written tile by tile.

tifffile is imported here and nowhere else; it comes with the extra `tiff`.
"""

import functools
import os
import pathlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from fcn_jax.data.images import FULL_RANGE, stretched
from fcn_jax.files import DataError

_EXTENSIONS = (".tif", ".tiff", ".btf", ".tf8")
_TILE = 256  # side of a written tile
# Where a picture lies on the earth: GeoTIFF's tags.
_GEO = (33550, 33922, 34264, 34735, 34736, 34737)
_GREY, _INVERTED, _RGB, _PALETTE, _YCBCR = (1, 0, 2, 3, 6)  # photometric
_MISSING = "for TIFFs of this size, pip install 'fcn_jax[tiff]'"
_REMEDY = (
  "save it with 8 or 16 bits a channel, as GDAL does: gdal_translate -ot Byte "
  "-co TILED=YES"
)

GeoTag = tuple[int, int, int, Any, bool]  # as tifffile writes a tag


def is_large(path: str | os.PathLike) -> bool:
  """Whether a file is a TIFF of more pixels than Pillow is let to decode.

  That is PIL.Image.MAX_IMAGE_PIXELS. False where tifffile is not installed, or
  the file cannot be read.
  """
  if pathlib.Path(path).suffix.lower() not in _EXTENSIONS:
    return False
  try:
    import tifffile

    with tifffile.TiffFile(path) as file:
      height, width = _size(file.pages[0])
  # Decoding tells what is wrong with it.
  except Exception:
    return False
  return height * width > Image.MAX_IMAGE_PIXELS


class TiffImage:
  """The first page of a TIFF, whose pixels are read window by window.

  Tiles or strips, uncompressed or as imagecodecs decodes them (LZW, Deflate,
  JPEG, ...); grey, RGB, YCbCr or palette, 8 or 16 bits. Pixels become those of
  `data.images.decode_image`: of more than three channels the first three,
  16-bit grey by its range, 16-bit colour v // 256.

  Args:
    path: of the file.
    value_range: of 16-bit grey, see `decode_image`.
    num_threads: for decoding.

  Attributes:
    size: (height, width).

  Raises:
    DataError: tifffile is missing, or it is not such a file.
  """

  def __init__(
    self,
    path: str | os.PathLike,
    value_range: tuple[int, int] | None = None,
    num_threads: int = 2,
  ):
    tifffile = _tifffile(path)
    self.path = os.fspath(path)
    self._range = value_range or FULL_RANGE
    try:
      self._file = tifffile.TiffFile(self.path)
      page = self._file.pages[0]
      self._page = page.keyframe if page.is_frame else page
    except OSError as error:
      raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except tifffile.TiffFileError as error:
      raise DataError(f"{path}: broken or cut short ({error})") from None
    self.size = _size(self._page)
    try:
      self._check()
    except DataError:
      self._file.close()
      raise
    self._pool = ThreadPoolExecutor(num_threads)

  def close(self) -> None:
    self._pool.shutdown()
    self._file.close()

  def __enter__(self) -> "TiffImage":
    return self

  def __exit__(self, *_) -> None:
    self.close()

  @property
  def geo_tags(self) -> list[GeoTag]:
    """The tags that say where it lies on the earth, as tifffile writes them."""
    found = []
    for code in _GEO:
      tag = self._page.tags.get(code)
      if tag is not None:
        found.append((code, int(tag.dtype), tag.count, tag.value, True))
    return found

  def read(
    self, rows: tuple[int, int], columns: tuple[int, int]
  ) -> UInt8[np.ndarray, "h w 3"]:
    """RGB of the rows and columns from the first to before the second.

    Raises:
      DataError: the file is damaged.
    """
    (top, bottom), (left, right) = rows, columns
    found = np.zeros((bottom - top, right - left, 3), np.uint8)
    height, width = self._segment
    places = [
      (row, column)
      for row in range(top // height, -(-bottom // height))
      for column in range(left // width, -(-right // width))
    ]
    for (row, column), pixels in zip(
      places, self._pool.map(self._pixels, places), strict=True
    ):
      y, x = row * height, column * width
      first, last = max(top, y), min(bottom, y + len(pixels))
      begin, end = max(left, x), min(right, x + pixels.shape[1])
      found[first - top : last - top, begin - left : end - left] = pixels[
        first - y : last - y, begin - x : end - x
      ]
    return found

  @functools.cached_property
  def _segment(self) -> tuple[int, int]:
    """Height and width of a tile or strip."""
    page = self._page
    if page.is_tiled:
      return page.tilelength, page.tilewidth
    return min(page.rowsperstrip or page.imagelength, page.imagelength), (
      page.imagewidth
    )

  def _pixels(self, place: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    """RGB of one tile or strip, cut at the image's edge."""
    page, (row, column) = self._page, place
    down, across = (
      -(-n // side) for n, side in zip(self.size, self._segment, strict=True)
    )
    index = row * across + column
    planes = [self._decoded(index)]
    if page.planarconfig == 2 and page.samplesperpixel > 1:
      wanted = 3 if page.samplesperpixel >= 3 else 1
      planes += [
        self._decoded(index + plane * down * across)
        for plane in range(1, wanted)
      ]
    values = np.concatenate(planes, -1)
    height, width = (
      min(side, n - i * side)
      for side, n, i in zip(self._segment, self.size, place, strict=True)
    )
    return self._rgb(values[:height, :width])

  def _decoded(self, index: int) -> np.ndarray:
    """The values of a tile or strip, [h, w, samples]."""
    page = self._page
    count = page.databytecounts[index]
    data = os.pread(
      self._file.filehandle.fileno(), count, page.dataoffsets[index]
    )
    try:
      if count != len(data):
        raise ValueError(f"it ends {count - len(data)} bytes early")
      tables = {"jpegtables": page.jpegtables} if page.jpegtables else {}
      values, _, shape = page.decode(data if count else None, index, **tables)
    # Codecs raise all kinds of errors on broken data.
    except Exception as error:
      raise DataError(
        f"{self.path}: tile {index} is broken or cut short ({error})"
      ) from None
    if values is None:  # a tile that was left out
      return np.zeros((*shape[1:3], shape[3]), page.dtype)
    return values[0]

  def _rgb(self, values: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    kind = int(self._page.photometric)
    if kind == _PALETTE:
      colors = (np.asarray(self._page.colormap) // 256).astype(np.uint8)
      return colors.T[values[..., 0]]
    if kind in (_RGB, _YCBCR):
      values = values[..., :3]
      return (values >> 8).astype(np.uint8) if values.itemsize == 2 else values
    grey = values[..., 0]
    if kind == _INVERTED:
      grey = np.iinfo(grey.dtype).max - grey
    if grey.dtype == np.uint16:
      grey = stretched(grey, self._range).astype(np.int64)
      grey = ((grey * 255 + 32767) // 65535).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)

  def _check(self) -> None:
    page = self._page
    turned = page.tags.valueof(274, 1)
    kinds = (_GREY, _INVERTED, _RGB, _PALETTE, _YCBCR)
    wrong = ""
    if page.dtype not in (np.uint8, np.uint16) or page.bitspersample < 8:
      wrong = f"its values are {page.dtype} of {page.bitspersample} bits"
    elif page.imagedepth != 1 or int(page.photometric) not in kinds:
      wrong = f"its pixels are of the kind {page.photometric}"
    elif int(page.photometric) in (_RGB, _YCBCR) and page.samplesperpixel < 3:
      wrong = f"it has {page.samplesperpixel} channels"
    elif turned != 1:
      raise DataError(
        f"{self.path}: it is turned (TIFF orientation {turned}); save it "
        "upright, an image of this size is not turned"
      )
    if wrong:
      raise DataError(f"{self.path}: {wrong}; {_REMEDY}")


def _size(page) -> tuple[int, int]:
  return page.imagelength, page.imagewidth


def write_mask(
  path: str | os.PathLike,
  size: tuple[int, int],
  bands: Iterator[UInt8[np.ndarray, "h w"]],
  palette: UInt8[np.ndarray, "256 3"] | None,
  geo_tags: list[GeoTag],
) -> None:
  """Writes class ids as a tiled TIFF, without loss, band by band.

  Args:
    path: of the file.
    size: (height, width).
    bands: its rows, from the top, some at a time.
    palette: RGB of each class id; None: a grey image of class ids.
    geo_tags: see `TiffImage.geo_tags`.
  """
  options = {"photometric": "minisblack", "compression": "zlib"}
  if palette is not None:
    colormap = palette.T.astype(np.uint16) * 257
    options |= {"photometric": "palette", "colormap": colormap}
  _write(path, size, bands, options, geo_tags)


def write_rgb(
  path: str | os.PathLike,
  size: tuple[int, int],
  bands: Iterator[UInt8[np.ndarray, "h w 3"]],
  geo_tags: Sequence[GeoTag] = (),
) -> None:
  """Writes an image as a tiled, JPEG-compressed TIFF, band by band.

  Raises:
    DataError: tifffile or imagecodecs is missing.
  """
  # tifffile turns RGB into YCbCr by itself where JPEG compresses it.
  options = {"photometric": "rgb", "compression": "jpeg"}
  _write(path, size, bands, options, geo_tags)


def metre_tags(pixel: float) -> list[GeoTag]:
  """GeoTIFF's tags of an image in metres, north up, in UTM zone 32."""
  keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32632)
  return [
    (33550, 12, 3, (pixel, pixel, 0.0), True),
    (33922, 12, 6, (0.0, 0.0, 0.0, 500_000.0, 5_000_000.0, 0.0), True),
    (34735, 3, len(keys), keys, True),
  ]


def _write(path, size, bands, options, geo_tags) -> None:
  tifffile = _tifffile(path)
  bytes_at_most = size[0] * size[1] * 3
  shape = (*size, 3) if options["photometric"] == "rgb" else size
  with tifffile.TiffWriter(path, bigtiff=bytes_at_most >= 2**31) as file:
    try:
      file.write(
        _tiles(bands, size[1]),
        shape=shape,
        dtype=np.uint8,
        tile=(_TILE, _TILE),
        extratags=geo_tags,
        metadata=None,
        **options,
      )
    # tifffile's own words for a codec that is missing.
    except (ImportError, KeyError) as error:
      raise DataError(f"{path}: {_MISSING} ({error})") from None


def _tifffile(path: str | os.PathLike):
  try:
    import tifffile
  except ImportError:
    raise DataError(f"{path}: {_MISSING}") from None
  return tifffile


def _tiles(
  bands: Iterator[UInt8[np.ndarray, "h w *c"]], width: int
) -> Iterator[UInt8[np.ndarray, "y x *c"]]:
  """Tiles row by row; beyond the image its edge goes on."""
  across = -(-width // _TILE)

  def row_of_tiles(rows):
    beyond = [(0, _TILE - len(rows)), (0, across * _TILE - width)]
    beyond += [(0, 0)] * (rows.ndim - 2)
    padded = np.pad(rows, beyond, mode="edge")
    for i in range(across):
      yield np.ascontiguousarray(padded[:, i * _TILE : (i + 1) * _TILE])

  rows = None
  for band in bands:
    rows = band if rows is None else np.concatenate([rows, band])
    while len(rows) >= _TILE:
      yield from row_of_tiles(rows[:_TILE])
      rows = rows[_TILE:]
  if len(rows):
    yield from row_of_tiles(rows)
