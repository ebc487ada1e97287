"""Label files of any usual form as class indices."""

import dataclasses
import os

import numpy as np
from jaxtyping import Int32, UInt8
from PIL import Image

from fcn_jax.data.classes import VOID
from fcn_jax.data.files import read_text
from fcn_jax.data.images import open_image
from fcn_jax.files import DataError


@dataclasses.dataclass(frozen=True, eq=False)
class ColorMap:
  """Which colour stands for which label, one to one.

  Attributes:
    colors: RGB of class i in row i.
    void: RGB of void pixels, or None when no colour means void.
  """

  colors: UInt8[np.ndarray, "classes 3"]
  void: tuple[int, int, int] | None = None

  def indices(
    self, image: UInt8[np.ndarray, "h w 3"]
  ) -> tuple[UInt8[np.ndarray, "h w"], dict[tuple[int, int, int], int]]:
    """Labels of a colour image, by exact comparison.

    Returns:
      The labels (0 where the colour is unknown), and the unknown colours with
      their number of pixels, commonest first.
    """
    colors, labels = self.colors, np.arange(len(self.colors))
    if self.void is not None:
      colors = np.concatenate([colors, np.array([self.void], np.uint8)])
      labels = np.append(labels, VOID)
    codes = _codes(colors)
    order = np.argsort(codes)
    codes, labels = codes[order], labels[order].astype(np.uint8)
    pixels = _codes(image)
    place = np.searchsorted(codes, pixels).clip(max=len(codes) - 1)
    known = codes[place] == pixels
    result = np.where(known, labels[place], 0).astype(np.uint8)
    found, counts = np.unique(pixels[~known], return_counts=True)
    unknown = {
      (int(code) >> 16, int(code) >> 8 & 255, int(code) & 255): int(count)
      for code, count in sorted(
        zip(found, counts, strict=True), key=lambda pair: -pair[1]
      )
    }
    return result, unknown


def read_color_map(
  path: str | os.PathLike,
  class_names: tuple[str, ...],
  void: tuple[int, int, int] | None = None,
) -> ColorMap:
  """A colour map file: line i (from 1) holds 'R G B' of label i-1.

  Blanks or commas part the three integers, each 0..255.

  Raises:
    DataError: no such file, a line that is not three integers in 0..255, as
      many lines as there are classes not given, or a colour given twice
      (that of void included).
  """
  colors = []
  for number, line in enumerate(read_text(path).rstrip().splitlines(), 1):
    try:
      colors.append(parse_color(line))
    except DataError:
      raise DataError(
        f"{path}: line {number} is {line!r}; write three integers, 0..255, "
        'e.g. "128 0 0"'
      ) from None
  if len(colors) != len(class_names):
    raise DataError(
      f"{path}: {len(colors)} colours for {len(class_names)} classes; line i "
      "is the colour of line i of the class names (void has its own option, "
      "--void_color=R,G,B)"
    )
  for number, color in enumerate(colors):
    if color in colors[:number]:
      raise DataError(
        f"{path}: colour {color} stands in lines {colors.index(color) + 1} "
        f"and {number + 1}; each class needs its own"
      )
  if void in colors:
    raise DataError(
      f"{path}: --void_color={void} is also the colour of class "
      f"{class_names[colors.index(void)]!r}; give void its own"
    )
  return ColorMap(np.array(colors, np.uint8), void)


def parse_color(text: str) -> tuple[int, int, int]:
  """'R,G,B' or 'R G B' as three integers in 0..255.

  Raises:
    DataError: it is anything else.
  """
  parts = text.replace(",", " ").split()
  if len(parts) != 3 or not all(
    part.isascii() and part.isdigit() and int(part) < 256 for part in parts
  ):
    raise DataError(
      f"{text!r} is no colour; write three integers in 0..255, e.g. 224,224,192"
    )
  return tuple(int(part) for part in parts)


def _codes(colors: UInt8[np.ndarray, "*n 3"]) -> np.ndarray:
  red, green, blue = np.moveaxis(colors.astype(np.int32), -1, 0)
  return red << 16 | green << 8 | blue


class LabelError(DataError):
  """A label that cannot be turned into indices.

  Attributes:
    kind: heading under which such mistakes are gathered.
    value: what was found in the file.
    remedy: what to do.
  """

  def __init__(self, kind: str, value: str, remedy: str):
    super().__init__(f"{value}; {remedy}")
    self.kind, self.value, self.remedy = kind, value, remedy


@dataclasses.dataclass(frozen=True)
class RawLabel:
  """The indices of one label file, before they are held against the classes.

  Attributes:
    index: indices as they are in the file (or by its colours), not limited to
      0..255.
    palette: the colours a paletted file gives its indices, RGB; None for
      other files. May be shorter than 256.
  """

  index: Int32[np.ndarray, "h w"]
  palette: UInt8[np.ndarray, "n 3"] | None


@dataclasses.dataclass(frozen=True)
class LabelReader:
  """How to read the label files of a data set.

  Attributes:
    color_map: what the colours of RGB and RGBA labels mean.
    binary_masks: labels are 0 and 255 (or 0 and 1), and 255 means class 1.
  """

  color_map: ColorMap | None = None
  binary_masks: bool = False

  def read(self, data: bytes, name: str = "") -> RawLabel:
    """Indices of a label file of mode 1, P, L, I;16, RGB or RGBA.

    Of a paletted file the indices count, not the colours; alpha is dropped.

    Raises:
      LabelError: a JPEG, a colour label without a colour map, colours not in
        it, a mask with other values than 0, 1 and 255, or an odd mode.
      DataError: not an image, or a broken one.
    """
    image = open_image(data, name)
    if image.format in ("JPEG", "MPO", "JPEG2000"):
      raise LabelError(
        "label stored with loss",
        f"{image.format} file",
        "its compression changes labels near borders; make PNG files from the "
        "original labels",
      )
    if image.mode in ("RGB", "RGBA"):
      return RawLabel(self._from_colors(image), None)
    palette = None
    if image.mode == "P":
      colors = image.getpalette("RGB") or []
      palette = np.array(colors, np.uint8).reshape(-1, 3)
    elif image.mode not in ("1", "L", "I", "I;16", "I;16B", "I;16L", "I;16N"):
      raise LabelError(
        "label of a mode that holds no indices",
        f"mode {image.mode}",
        "save it as PNG with one channel of 8 bits that holds the class index",
      )
    index = np.asarray(image).astype(np.int32)
    if self.binary_masks:
      index = _from_mask(index)
    return RawLabel(index, palette)

  def _from_colors(self, image: Image.Image) -> Int32[np.ndarray, "h w"]:
    # convert('RGB') only drops alpha here, and must not warn about it.
    image.info.pop("transparency", None)
    colors = np.asarray(image.convert("RGB"))
    if self.color_map is None:
      grey = (colors == colors[..., :1]).all()
      raise LabelError(
        "label in colours, and no colour map",
        f"mode {image.mode}, {_count_colors(colors)} colours",
        "its channels are equal: if they hold class indices, save one of them "
        "as a single-channel PNG; else give --colormap=FILE"
        if grey
        else "give --colormap=FILE with the three integers of class i in "
        "line i (from 0), and --void_color=R,G,B if a colour means void",
      )
    index, unknown = self.color_map.indices(colors)
    if unknown:
      shown = ", ".join(
        f"{color} in {count} pixels"
        for color, count in list(unknown.items())[:3]
      )
      more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
      raise LabelError(
        "label colour that is not in the colour map",
        f"{shown}{more}",
        "add the colour to --colormap, or name it with --void_color=R,G,B; "
        "many colours of few pixels each mean a resized or recompressed label",
      )
    return index.astype(np.int32)


def _count_colors(colors: UInt8[np.ndarray, "h w 3"]) -> int:
  return len(np.unique(colors.reshape(-1, 3), axis=0))


def _from_mask(index: Int32[np.ndarray, "h w"]) -> Int32[np.ndarray, "h w"]:
  values = np.unique(index)
  odd = [int(value) for value in values if value not in (0, 1, VOID)]
  if odd:
    raise LabelError(
      "mask with values other than 0 and 255",
      f"values {odd[:5]}{'...' if len(odd) > 5 else ''} in "
      f"{int(np.isin(index, odd).sum())} pixels",
      "threshold the mask, without smoothing it, or leave out --binary_masks",
    )
  return (index > 0).astype(np.int32)
