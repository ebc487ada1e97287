"""Label files of any usual form as class indices."""

import dataclasses
import functools
import os
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int16, Int32, UInt8
from PIL import Image

from fcn_jax.data.classes import (
  VOID,
  ClassFile,
  parse_class_file,
  parse_color,
)
from fcn_jax.data.files import read_text
from fcn_jax.data.images import SIXTEEN_BIT, open_image, oriented
from fcn_jax.files import DataError

_PIXELS_AT_ONCE = 1 << 22


@dataclasses.dataclass(frozen=True, eq=False)
class ColorMap:
  """Which colour stands for which label.

  Attributes:
    colors: RGB of class i in row i.
    void: RGB of void pixels, or None when no colour means void.
    labels: all colours with their labels, where several mean one class; empty:
      those above alone.
  """

  colors: UInt8[np.ndarray, "classes 3"]
  void: tuple[int, int, int] | None = None
  labels: tuple[tuple[tuple[int, int, int], int], ...] = ()

  def indices(
    self, image: UInt8[np.ndarray, "h w 3"]
  ) -> tuple[UInt8[np.ndarray, "h w"], dict[tuple[int, int, int], int]]:
    """Labels of a colour image, by exact comparison.

    Returns:
      The labels (0 where the colour is unknown), and the unknown colours with
      their number of pixels, commonest first.
    """
    table = self._table
    result = np.empty(image.shape[:2], np.uint8)
    counts = None
    rows = max(1, _PIXELS_AT_ONCE // image.shape[1])
    for top in range(0, len(image), rows):
      part = slice(top, top + rows)
      codes = _codes(image[part])
      labels = table[codes]
      result[part] = np.where(labels < 0, 0, labels)
      if (labels < 0).any():
        found = np.bincount(codes[labels < 0], minlength=1 << 24)
        counts = found if counts is None else counts + found
    if counts is None:
      return result, {}
    codes = np.flatnonzero(counts)
    codes = codes[np.argsort(-counts[codes], kind="stable")]
    unknown = {
      (int(code) >> 16, int(code) >> 8 & 255, int(code) & 255): int(count)
      for code, count in zip(codes, counts[codes], strict=True)
    }
    return result, unknown

  @functools.cached_property
  def _table(self) -> Int16[np.ndarray, "16777216"]:
    """The label of each colour code, -1 of those that are not known."""
    table = np.full(1 << 24, -1, np.int16)
    for color, label in self.labels:
      table[_codes(np.array([color], np.uint8))] = label
    if self.labels:
      return table
    table[_codes(self.colors)] = np.arange(len(self.colors))
    if self.void is not None:
      table[_codes(np.array([self.void], np.uint8))] = VOID
    return table


def read_color_map(
  path: str | os.PathLike,
  class_names: tuple[str, ...],
  void: tuple[int, int, int] | None = None,
) -> ColorMap:
  """A colour map file: line i (from 1) holds 'R G B' of label i-1.

  Blanks or commas part the three integers, each 0..255. A table of names and
  colours is read as well, see `classes.parse_class_file`; names decide then.

  Raises:
    DataError: no such file, a line that is not three integers in 0..255, as
      many lines as there are classes not given, or a colour given twice
      (that of void included).
  """
  text = read_text(path)
  lines = [line for line in text.splitlines() if line.strip()][:3]
  if any(re.search(r"[^\W\d]", line) for line in lines):
    found = parse_class_file(text, os.fspath(path))
    colors = _of_classes(found, class_names, path)
  else:
    colors = _of_lines(text, path)
  if len(colors) != len(class_names):
    raise DataError(
      f"{path}: {len(colors)} colours for {len(class_names)} classes; line i "
      "is the colour of line i of the class names (void has its own option, "
      "--void_color=R,G,B)"
    )
  return color_map(colors, class_names, void, os.fspath(path))


def _of_lines(text: str, path: str | os.PathLike) -> list[tuple[int, int, int]]:
  colors = []
  for number, line in enumerate(text.rstrip().splitlines(), 1):
    try:
      colors.append(parse_color(line))
    except DataError:
      raise DataError(
        f"{path}: line {number} is {line!r}; write three integers, 0..255, "
        'e.g. "128 0 0"'
      ) from None
    if len(colors) > VOID:
      raise DataError(f"{path}: more than {VOID} colours; is it another file?")
  return colors


def _of_classes(
  found: ClassFile, class_names: Sequence[str], path: str | os.PathLike
) -> list[tuple[int, int, int]]:
  """The colours of a table of names and colours, in the order of the names."""
  if found.colors is None:
    raise DataError(
      f"{path}: gives no colour for each name; write three integers, 0..255, "
      'e.g. "128 0 0" in line i for label i (from 0)'
    )
  by_name = dict(zip(found.names, found.colors, strict=True))
  if by_name.keys() != set(class_names):
    odd = sorted(by_name.keys() ^ set(class_names))
    raise DataError(
      f"{path}: {odd[0]!r} stands only in it or only in the class names; they "
      "must agree (void has its own option, --void_color=R,G,B)"
    )
  return [by_name[name] for name in class_names]


def color_map(
  colors: Sequence[tuple[int, int, int]],
  class_names: Sequence[str],
  void: tuple[int, int, int] | None,
  name: str,
) -> ColorMap:
  """The colour map of these colours, of a file of this name.

  Raises:
    DataError: two classes have one colour, or a class that of void.
  """
  first: dict[tuple[int, int, int], str] = {}
  for color, class_name in zip(colors, class_names, strict=True):
    if color in first:
      raise DataError(
        f"{name}: {first[color]!r} and {class_name!r} have the colour {color}; "
        "each class needs its own"
      )
    first[color] = class_name
  if void in first:
    raise DataError(
      f"{name}: --void_color={void} is also the colour of class "
      f"{first[void]!r}; give void its own"
    )
  return ColorMap(np.array(colors, np.uint8), void)


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


@dataclasses.dataclass(frozen=True, eq=False)
class LabelReader:
  """How to read the label files of a data set.

  Attributes:
    color_map: what colours mean; given, it decides for files of every mode:
      paletted ones count by their palette, grey ones by their grey.
    binary_masks: labels are 0 and 255 (or 0 and 1), and 255 means class 1.
    threshold: of binary masks, the least value of class 1; JPEG files are
      read then, and soft edges.
    values: the label of each value in the files, -1 of those that mean none;
      None: the values are the labels.
  """

  color_map: ColorMap | None = None
  binary_masks: bool = False
  threshold: int | None = None
  values: Int32[np.ndarray, "65536"] | None = None

  def read(self, data: bytes, name: str = "") -> RawLabel:
    """Indices of a label file, turned as its own EXIF orientation says.

    Without a colour map it is of mode 1, P, L, I;16, LA or PA, or of equal
    channels (RGB, RGBA), which hold the index then. Of a paletted file the
    indices count, not the colours; alpha is dropped.

    Raises:
      LabelError: a JPEG, a colour label without a colour map, colours or
        values that the map lacks, a mask with other values than 0, 1 and 255,
        or an odd mode.
      DataError: not an image, or a broken one.
    """
    image = open_image(data, name)
    lossy = image.format in ("JPEG", "MPO", "JPEG2000")
    if lossy and self.threshold is None:
      raise LabelError(
        "label stored with loss",
        f"{image.format} file",
        "its compression changes labels near borders; make PNG files from the "
        "original labels"
        + (", or give --threshold=128" if self.binary_masks else ""),
      )
    image = oriented(image)
    # It must not be warned of, nor change what a palette says.
    image.info.pop("transparency", None)
    if self.color_map is not None:
      return RawLabel(_from_colors(image, self.color_map), None)
    if self.binary_masks:
      return RawLabel(_from_mask(image, self.threshold), None)
    if self.values is not None:
      rgb = image.mode in ("RGB", "RGBA")
      index = _equal_channels(image) if rgb else _first_channel(image)
      return RawLabel(_mapped(index, self.values), None)
    if image.mode in ("RGB", "RGBA"):
      return RawLabel(_equal_channels(image), None)
    palette = None
    if image.mode in ("P", "PA"):
      colors = image.getpalette("RGB") or []
      palette = np.array(colors, np.uint8).reshape(-1, 3)
    return RawLabel(_first_channel(image), palette)


def _first_channel(image: Image.Image) -> Int32[np.ndarray, "h w"]:
  if image.mode in ("LA", "PA"):
    return np.asarray(image)[..., 0].astype(np.int32)
  if image.mode not in ("1", "L", "P", *SIXTEEN_BIT):
    raise LabelError(
      "label of a mode that holds no indices",
      f"mode {image.mode}",
      "save it as PNG with one channel of 8 bits that holds the class index",
    )
  return np.asarray(image).astype(np.int32)


def _equal_channels(image: Image.Image) -> Int32[np.ndarray, "h w"]:
  """The value of an RGB label's channels, which have to be equal."""
  colors = np.asarray(image)[..., :3]
  if not (colors == colors[..., :1]).all():
    raise LabelError(
      "label in colours, and no colour map",
      f"mode {image.mode}, {_count_colors(colors)} colours",
      "give --colormap=FILE with the three integers of class i in line i (from "
      "0), and --void_color=R,G,B if a colour means void; or --label_map=FILE "
      "with lines 'R G B -> CLASS'",
    )
  return colors[..., 0].astype(np.int32)


def _from_colors(
  image: Image.Image, color_map: ColorMap
) -> Int32[np.ndarray, "h w"]:
  if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
    raise LabelError(
      "label of a mode that holds no colours",
      f"mode {image.mode}",
      "save it as PNG in RGB, 8 bits a channel; if it holds class indices, "
      "leave out --colormap",
    )
  index, unknown = color_map.indices(np.asarray(image.convert("RGB")))
  if unknown:
    shown = ", ".join(
      f"{color} in {count} pixels" for color, count in list(unknown.items())[:3]
    )
    more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
    by = "" if image.mode.startswith("RGB") else f", mode {image.mode}"
    raise LabelError(
      "label colour that is not in the colour map",
      f"{shown}{more}{by}",
      "add the colour to --label_map or --colormap, or name it with "
      "--void_color=R,G,B; many "
      "colours of few pixels each mean a resized or recompressed label"
      + (
        "; if its values are class indices, whatever their colours, leave out "
        "--colormap"
        if by
        else ""
      ),
    )
  return index.astype(np.int32)


def _mapped(
  index: Int32[np.ndarray, "h w"], values: Int32[np.ndarray, "65536"]
) -> Int32[np.ndarray, "h w"]:
  found = values[index.clip(0, len(values) - 1)]
  strange = (found < 0) | (index < 0) | (index >= len(values))
  if strange.any():
    odd, counts = np.unique(index[strange], return_counts=True)
    shown = ", ".join(
      f"{value} in {count} pixels"
      for value, count in list(zip(odd, counts, strict=True))[:5]
    )
    more = f" and {len(odd) - 5} more" if len(odd) > 5 else ""
    raise LabelError(
      "label value that is not in the label map",
      f"{shown}{more}",
      "give it a line in --label_map, 'VALUE -> CLASS' or 'VALUE -> void'",
    )
  return found


def _count_colors(colors: UInt8[np.ndarray, "h w 3"]) -> int:
  return int(np.count_nonzero(np.bincount(_codes(colors).ravel())))


def _from_mask(
  image: Image.Image, threshold: int | None
) -> Int32[np.ndarray, "h w"]:
  """0 and 1, by the grey that a mask shows."""
  values = _shown_grey(image, soft=threshold is not None)
  if image.mode in ("LA", "PA", "RGBA"):
    alpha = np.asarray(image.getchannel("A"))
    if (values == values[0, 0]).all() and (alpha != alpha[0, 0]).any():
      raise LabelError(
        "mask in the alpha channel",
        f"mode {image.mode}, one colour, and transparency that varies",
        "save the alpha channel as a grey PNG",
      )
  if threshold is not None:
    return (values >= threshold).astype(np.int32)
  wide = image.mode in SIXTEEN_BIT and values.max() == 65535
  counts = np.bincount(values.ravel().clip(min=0))
  meant = (0, 65535) if wide else (0, 1, VOID)
  odd = [v for v in np.flatnonzero(counts).tolist() if v not in meant]
  if odd:
    raise LabelError(
      "mask with values other than 0 and 255",
      f"values {odd[:5]}{'...' if len(odd) > 5 else ''} in "
      f"{int(counts[odd].sum())} pixels",
      "threshold the mask, without smoothing it, or give --threshold=128, or "
      "leave out --binary_masks",
    )
  return (values > 0).astype(np.int32)


def _shown_grey(image: Image.Image, soft: bool) -> Int32[np.ndarray, "h w"]:
  """What a mask shows; a palette of colours says nothing, indices count then.

  Args:
    image: of any mode.
    soft: take the luma of colours, as JPEG makes them.
  """
  if image.mode in ("P", "PA"):
    index = np.asarray(image)
    index = index[..., 0] if index.ndim == 3 else index
    colors = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    used = np.flatnonzero(np.bincount(index.ravel()))
    if used[-1] < len(colors):
      greys = colors[used]
      if (greys == greys[:, :1]).all() and 255 in greys:
        return colors[index, 0].astype(np.int32)
    return index.astype(np.int32)
  if image.mode in ("RGB", "RGBA") and not soft:
    return _equal_channels(image)
  if image.mode in ("RGB", "RGBA", "CMYK", "YCbCr"):
    return np.asarray(image.convert("RGB").convert("L")).astype(np.int32)
  if image.mode == "1":
    return 255 * np.asarray(image).astype(np.int32)
  return _first_channel(image)
