"""Class colours: the VOC palette, colour maps, class-name files."""

import csv
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

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


class ClassFile(NamedTuple):
  """What a file of class names holds.

  Attributes:
    names: the name of label i at place i.
    colors: RGB of each, where the file gives them.
  """

  names: tuple[str, ...]
  colors: tuple[tuple[int, int, int], ...] | None


def read_class_names(path: str | os.PathLike) -> tuple[str, ...]:
  """Class names, see `parse_class_file`."""
  return parse_class_file(read_text(path), os.fspath(path)).names


class _Row(NamedTuple):
  """A class as one line tells it: without an id, lines count from 0."""

  line: int
  name: str
  label: int | None = None
  color: tuple[int, int, int] | None = None


# Words of headings, in order of preference.
_NAMES = ("name", "class_name", "label_name", "class", "label", "category")
_IDS = ("id", "idx", "index", "pixel_value", "value", "class_id", "label_id")
_COLORS = ("color_rgb", "color", "rgb")
_CHANNELS = (("r", "g", "b"), ("red", "green", "blue"))
_HEADINGS = {*_NAMES, *(f"{word}s" for word in _NAMES), "classes", "categories"}
_ALONE = set('\t,;:={}[]|"')  # in a line that is more than a name


def parse_class_file(text: str, name: str) -> ClassFile:
  """Class names as people's tools write them.

  One name a line, line i (from 0) naming label i; LabelMe's first line
  __ignore__ names no label. Or a table, with commas, tabs, semicolons or colons
  between: ids and names, names and colours, all of them, with a heading that
  says which or without (Roboflow's _classes.csv, CVAT's labelmap.txt,
  ADE20K's objectInfo150.txt, CamVid's class_dict.csv). Lines that begin with #
  are comments. Where ids begin at 1, label 0 is called class0.

  Args:
    text: of the file.
    name: of the file, for errors.

  Raises:
    DataError: names the line that is not understood: an empty one between
      names, a name or an id given twice or left out; no name at all, or more
      than 255 of them (label 255 is void).
  """
  lines = [line.strip() for line in text.rstrip().splitlines()]
  numbered = [
    (number, line)
    for number, line in enumerate(lines, 1)
    if not line.startswith("#")
  ]
  long = [(number, line) for number, line in numbered if len(line) > 1000]
  if long:
    _not_understood(long[0][0], f"{long[0][1][:60]}...", name)
  if len(numbered) > 2 * VOID:
    raise DataError(
      f"{name}: {len(numbered)} lines, at most {VOID} classes fit beside void "
      f"({VOID}); merge some"
    )
  # CVAT's heading is a comment.
  headings = [line.lstrip("# ") for line in lines[:1] if line.startswith("#")]
  rows = _rows(numbered, headings, name)
  if not rows:
    raise DataError(f"{name}: holds no class name; write one per line")
  names, first = [], {}
  for row in _in_order(rows, name):
    if row.name in first:
      raise DataError(
        f"{name}: {row.name!r} stands in lines {first[row.name]} and "
        f"{row.line}; names must differ"
      )
    first[row.name] = row.line
    names.append(row.name)
  if len(names) > VOID:
    raise DataError(
      f"{name}: {len(names)} classes, at most {VOID} fit beside void "
      f"({VOID}); merge some"
    )
  colors = [row.color for row in rows]
  known = None not in colors and len(rows) == len(names)
  return ClassFile(tuple(names), tuple(colors) if known else None)


def _rows(
  lines: Sequence[tuple[int, str]], headings: Sequence[str], name: str
) -> list[_Row]:
  """Reads lines, by a heading if there is one, in order of their ids."""
  filled = [(number, line) for number, line in lines if line]
  if not filled:
    return []
  for heading in [*headings, filled[0][1]]:
    for mark in "\t,;:":
      columns = _columns(_cells(heading, mark))
      if columns:
        body = filled if heading in headings else filled[1:]
        return [
          _row(number, line, mark, columns, name) for number, line in body
        ]
  for mark in "\t,;:":
    guesses = {_guess(_cells(line, mark)) for _, line in filled}
    if len(guesses - {None}) == 1:
      (columns,) = guesses - {None}
      found = sum(_guess(_cells(line, mark)) is not None for _, line in filled)
      if 2 * found > len(filled):
        columns = dict(columns)
        return [
          _row(number, line, mark, columns, name) for number, line in filled
        ]
  by_blank = [re.fullmatch(r"(\d+)\s+(\S.*)", line) for _, line in filled]
  if 2 * sum(match is not None for match in by_blank) > len(filled):
    return [
      _Row(number, match[2], int(match[1]))
      if match
      else _not_understood(number, line, name)
      for (number, line), match in zip(filled, by_blank, strict=True)
    ]
  if filled[0][1] == "__ignore__":
    lines = lines[lines.index(filled[0]) + 1 :]
  rows = []
  for number, line in lines:
    if not line:
      raise DataError(
        f"{name}: line {number} is empty; line i (from 1) names label i-1, "
        "so give every label a name"
      )
    cells = _cells(line, ",")
    heading = number == filled[0][0] and line.lower() in _HEADINGS
    odd = heading or line == "__ignore__" or line.startswith("- ")
    quoted = len(line) > 2 and line[0] == line[-1] == '"'
    if odd or len(cells) != 1 or (not quoted and _ALONE & set(line)):
      _not_understood(number, line, name)
    rows.append(_Row(number, cells[0]))
  return rows


def _cells(line: str, mark: str) -> list[str]:
  """The cells of a line; a mark between double quotes parts none."""
  (cells,) = csv.reader([line], delimiter=mark, skipinitialspace=True)
  return [cell.strip() for cell in cells]


def _columns(heading: Sequence[str]) -> dict[str, int | tuple[int, ...]] | None:
  """Where a heading's columns are: 'name', 'id', 'color'; None: it is none."""
  words = [re.sub(r"[\s-]+", "_", cell.lower()) for cell in heading]
  names = [word for word in _NAMES if word in words]
  if len(words) < 2 or not names:
    return None
  columns = {"name": words.index(names[0])}
  # Beside a name, 'label' or 'class' is a number.
  for word in (*_IDS, *names[1:]):
    if word in words:
      columns["id"] = words.index(word)
      break
  for channels in _CHANNELS:
    if all(word in words for word in channels):
      columns["color"] = tuple(words.index(word) for word in channels)
  for word in _COLORS:
    if word in words:
      columns["color"] = (words.index(word),)
  return columns if len(columns) > 1 else None


def _guess(cells: Sequence[str]) -> tuple[tuple[str, Any], ...] | None:
  """Columns of a line without a heading, by what looks like a number."""
  numbers = [cell.isascii() and cell.isdigit() for cell in cells]
  triples = [re.fullmatch(r"\d+[ ,]+\d+[ ,]+\d+", cell) for cell in cells]
  if len(cells) == 2 and all(cells):
    if sum(numbers) == 1:
      return ("id", numbers.index(True)), ("name", numbers.index(False))
    if any(triples) and not all(triples):
      place = [bool(triple) for triple in triples].index(True)
      return ("color", (place,)), ("name", 1 - place)
  if len(cells) == 4 and all(cells) and sum(numbers) == 3:
    if not numbers[0]:
      return ("name", 0), ("color", (1, 2, 3))
    if not numbers[3]:
      return ("name", 3), ("color", (0, 1, 2))
  if len(cells) == 4 and cells[0] and triples[1] and not numbers[0]:
    return ("name", 0), ("color", (1,))  # CVAT's, without its heading
  return None


def _row(
  number: int, line: str, mark: str, columns: Mapping[str, Any], name: str
) -> _Row:
  cells = _cells(line, mark)
  try:
    label = int(cells[columns["id"]]) if "id" in columns else None
    color = None
    if "color" in columns:
      texts = " ".join(cells[place] for place in columns["color"])
      color = parse_color(texts) if texts.strip() else None
    row = _Row(number, cells[columns["name"]], label, color)
  except (IndexError, ValueError):
    _not_understood(number, line, name)
  return row if row.name else _not_understood(number, line, name)


def _not_understood(number: int, line: str, name: str) -> NoReturn:
  raise DataError(
    f"{name}: line {number} is {line!r}, which is not understood; write one "
    "class name per line, line i (from 0) for label i, or 'id,name' in every "
    "line; a name with a comma or the like stands in double quotes"
  )


def _in_order(rows: list[_Row], name: str) -> list[_Row]:
  """Rows by their ids: 0, 1, ... or from 1 on; a line for void goes."""
  if rows[0].label is None:
    return rows
  rows.sort(key=lambda row: row.label)
  if rows[-1].label == VOID and len(rows) <= VOID:
    rows.pop()
  if rows and rows[0].label == 1:
    rows = [_Row(0, unnamed_classes(1)[0], 0), *rows]
  for label, row in enumerate(rows):
    if row.label != label:
      raise DataError(
        f"{name}: line {row.line} names label {row.label}, and "
        + (
          f"so does line {rows[label - 1].line}"
          if label and rows[label - 1].label == row.label
          else f"no line names label {label}"
        )
        + "; give every label from 0 on one name"
      )
  return rows


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
