"""Class colours: the VOC palette, colour maps, class-name files."""

import os
from collections.abc import Iterable

import numpy as np
from jaxtyping import Int64, UInt8

from fcn_jax.data.files import read_text
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
  return parse_class_names(read_text(path), os.fspath(path))


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
