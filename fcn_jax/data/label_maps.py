"""Label maps: what values, colours or names in label files mean."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping

import numpy as np

from fcn_jax.data.classes import VOID, parse_color
from fcn_jax.data.files import read_text
from fcn_jax.data.labels import ColorMap, LabelReader
from fcn_jax.files import DataError

_FOLDER = pathlib.Path(__file__).parent / "maps"
_VOID = "void"  # the class name that stands for no class
_VALUES = 1 << 16
_COLOR = re.compile(r"\d+[ ,]+\d+[ ,]+\d+")


@dataclasses.dataclass(frozen=True)
class LabelMap:
  """Which class each value, colour or name stands for; many to one.

  Attributes:
    name: of the file, for errors.
    targets: class names by what stands for them; None: void.
  """

  name: str
  targets: Mapping[str, str | None]

  @property
  def class_names(self) -> tuple[str, ...]:
    """The classes, in the order in which the file first names them."""
    return tuple(dict.fromkeys(c for c in self.targets.values() if c))

  def labels(self, class_names: tuple[str, ...]) -> dict[str, int]:
    """The label of each key, void 255.

    Raises:
      DataError: the map names a class that is none of these.
    """
    numbers = {name: label for label, name in enumerate(class_names)}
    strange = [name for name in self.class_names if name not in numbers]
    if strange:
      raise DataError(
        f"{self.name}: {strange[0]!r} is no class ({', '.join(class_names)}); "
        "the label map and the class names must agree"
      )
    return {
      key: VOID if name is None else numbers[name]
      for key, name in self.targets.items()
    }

  def reader(self, class_names: tuple[str, ...]) -> LabelReader:
    """A reader of label images whose values or colours are these.

    Raises:
      DataError: keys of several kinds, or names; or see `labels`.
    """
    labels = self.labels(class_names)
    colors = [bool(_COLOR.fullmatch(key)) for key in labels]
    if all(colors):
      return LabelReader(_color_map(labels, len(class_names)))
    if odd := [key for key in labels if not key.isdigit()]:
      raise DataError(
        f"{self.name}: {odd[0]!r} is no value of a label image; write values "
        "('7 -> road') in every line, or colours ('128 64 128 -> road')"
      )
    values = np.full(_VALUES, -1, np.int32)
    values[VOID] = VOID  # unless the map says otherwise
    for key, label in labels.items():
      if int(key) >= _VALUES:
        raise DataError(f"{self.name}: {key} is beyond 16 bits")
      values[int(key)] = label
    return LabelReader(values=values)


def _color_map(labels: Mapping[str, int], classes: int) -> ColorMap:
  """Colours of the map; a class is shown in the first of its own."""
  colors = {parse_color(key): label for key, label in labels.items()}
  first: dict[int, tuple[int, int, int]] = {}
  for color, label in colors.items():
    first.setdefault(label, color)
  shown = np.zeros((classes, 3), np.uint8)
  for label, color in first.items():
    if label != VOID:
      shown[label] = color
  return ColorMap(shown, first.get(VOID), tuple(colors.items()))


def shipped() -> list[str]:
  """The names of the maps that come with the package."""
  return sorted(path.stem for path in _FOLDER.glob("*.txt"))


def read_label_map(name: str | os.PathLike) -> LabelMap:
  """The map in a file, or the one of this name that comes with the package.

  Raises:
    DataError: no such file, or see `parse_label_map`.
  """
  text = os.fspath(name)
  there = os.path.isfile(os.path.expanduser(text))
  if text in shipped() and not there:
    path = _FOLDER / f"{text}.txt"
    return parse_label_map(path.read_text("utf-8"), f"label map {text}")
  if not there:
    raise DataError(
      f"{text}: no such file, and no label map of that name; there is "
      f"{', '.join(shipped())}"
    )
  return parse_label_map(read_text(text), text)


def parse_label_map(text: str, name: str) -> LabelMap:
  """Lines 'KEY -> CLASS'; what follows '#' is a comment.

  A key is a value, a colour ('R G B' or 'R,G,B') or the name of an object.
  The class 'void' stands for pixels that count for nothing.

  >>> parse_label_map("7 -> road\\n8 -> road\\n0 -> void", "x").targets
  {'7': 'road', '8': 'road', '0': None}

  Raises:
    DataError: names the line that is not understood, or a key given twice; no
      class, or more than 255.
  """
  targets: dict[str, str | None] = {}
  for number, line in enumerate(text.splitlines(), 1):
    line = re.sub(r"(^|\s)#.*", "", line).strip()
    if not line:
      continue
    key, arrow, target = (part.strip() for part in line.partition("->"))
    if not (key and arrow and target) or "->" in target:
      raise DataError(
        f"{name}: line {number} is {line[:60]!r}; write 'VALUE -> CLASS', as "
        "'7 -> road', '128 64 128 -> road' or '0 -> void'"
      )
    if _COLOR.fullmatch(key):
      key = " ".join(map(str, parse_color(key)))
    elif key.isdigit():
      key = str(int(key))
    if key in targets:
      raise DataError(f"{name}: line {number} names {key!r} once more")
    targets[key] = None if target == _VOID else target
  found = LabelMap(name, targets)
  if not 0 < len(found.class_names) <= VOID:
    raise DataError(
      f"{name}: {len(found.class_names)} classes; give 1 to {VOID}, in lines "
      "'VALUE -> CLASS'"
    )
  return found
