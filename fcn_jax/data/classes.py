"""Class colours: the VOC palette, colour maps, class-name files."""

import dataclasses
import os
from collections.abc import Iterable

import numpy as np
from jaxtyping import Int64, UInt8

from fcn_jax.files import DataError

VOID = 255  # the label of pixels that count for nothing


def voc_palette() -> UInt8[np.ndarray, "256 3"]:
  """The PASCAL VOC palette, RGB.

  Bit k of the index goes to bit 7 - k//3 of red, green or blue (k mod 3 = 0,
  1, 2), as in the VOC devkit's VOClabelcolormap.m. Index 255 (void) is
  (224, 224, 192).
  """
  index = np.arange(256)
  palette = np.zeros((256, 3), np.uint8)
  for k in range(8):
    bit = (index >> k) & 1
    palette[:, k % 3] |= (bit << (7 - k // 3)).astype(np.uint8)
  return palette


def unnamed_classes(number: int) -> tuple[str, ...]:
  """class0, class1, ...: names of classes whose names nobody gave."""
  return tuple(f"class{i}" for i in range(number))


def background_classes(class_names: Iterable[str]) -> tuple[int, ...]:
  """The ids of classes named 'background', in whatever letters."""
  return tuple(
    label
    for label, name in enumerate(class_names)
    if name.strip("_ ").lower() == "background"
  )


def read_class_names(path: str | os.PathLike) -> tuple[str, ...]:
  """Class names, one per line; line i (from 0) names label i.

  Raises:
    DataError: no such file, an empty line between names, a name given twice,
      no name at all, or more than 255 of them (label 255 is void).
  """
  return parse_class_names(_read_text(path), os.fspath(path))


def parse_class_names(text: str, name: str) -> tuple[str, ...]:
  """What read_class_names does, on text; `name` is the file's, for errors."""
  names = [line.strip() for line in text.rstrip().splitlines()]
  if not names:
    raise DataError(f"{name}: holds no class name; write one per line")
  for number, class_name in enumerate(names, 1):
    if not class_name:
      raise DataError(
        f"{name}: line {number} is empty; line i (from 1) names label i-1, "
        "so give every label a name"
      )
    if names.index(class_name) != number - 1:
      raise DataError(
        f"{name}: {class_name!r} stands in lines "
        f"{names.index(class_name) + 1} and {number}; names must differ"
      )
  if len(names) > VOID:
    raise DataError(
      f"{name}: {len(names)} classes, at most {VOID} fit beside void "
      f"({VOID}); merge some"
    )
  return tuple(names)


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
  for number, line in enumerate(_read_text(path).rstrip().splitlines(), 1):
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


def _read_text(path: str | os.PathLike) -> str:
  try:
    with open(os.path.expanduser(path), encoding="utf-8-sig") as stream:
      return stream.read()
  except OSError as error:
    raise DataError(f"{path}: cannot be read ({error.strerror})") from None
  except UnicodeDecodeError:
    raise DataError(
      f"{path}: not a text file in UTF-8; save it as such"
    ) from None


def shared_palette(
  labels: Iterable[tuple[UInt8[np.ndarray, "_ 3"], Int64[np.ndarray, "256"]]],
  classes: int,
) -> UInt8[np.ndarray, "256 3"] | None:
  """The palette that paletted label files agree on.

  Files agree if each index they use has one colour everywhere; what they say
  about other indices does not count. Where they are silent VOC's colours
  stand.

  Args:
    labels: palette (as long as the file's) and pixels per index of each file.
    classes: number of classes.

  Returns:
    None if there is no file, if they disagree, if two classes have the same
    colour, or if the palette is a mere grey ramp.
  """
  result, used = voc_palette(), np.zeros(256, bool)
  first = None
  for palette, counts in labels:
    if first is None:
      first = palette
      ids = [i for i in (*range(classes), VOID) if i < len(palette)]
      result[ids] = palette[ids]
    here = np.flatnonzero(counts)
    here = here[here < len(palette)]
    old = here[used[here]]
    if (result[old] != palette[old]).any():
      return None
    result[here] = palette[here]
    used[here] = True
  if first is None:
    return None
  of_classes = result[:classes]
  ramp = (of_classes == np.arange(classes)[:, None]).all()
  if ramp or len(np.unique(of_classes, axis=0)) < classes:
    return None
  return result
