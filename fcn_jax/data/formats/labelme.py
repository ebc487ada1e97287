"""LabelMe's JSON files, one an image."""

import base64
import concurrent.futures
import dataclasses
import json
import math
import os
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from fcn_jax.data.classes import VOID
from fcn_jax.data.drawn import Drawn, Region, as_points, polygon, stamped
from fcn_jax.data.files import File, list_files
from fcn_jax.data.formats.base import Found
from fcn_jax.data.formats.names import Suffixes, paired
from fcn_jax.data.formats.objects import labelled, names_of
from fcn_jax.data.formats.splits import Pairs, Splits, chosen_of
from fcn_jax.data.images import open_image
from fcn_jax.data.labels import LabelReader
from fcn_jax.files import DataError

_IGNORED = "__ignore__"  # LabelMe's name of void
_LINE, _POINT = 10, 5  # width and radius LabelMe draws them with


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labelme(Splits):
  """Images, and a JSON file of LabelMe's for each, of the same stem.

  Class names are those of --class_names (LabelMe's labels.txt), else the names
  of all objects, sorted, behind a background.
  """

  title: ClassVar[str] = "LabelMe's JSON files beside the images"

  def find(self) -> Found:
    """Pairs, class names and how to read labels, see `Format`."""
    splits, findings = self.find_splits(
      "labelme", beside="where the JSON files do not lie beside the images"
    )
    seen = []
    if not (self.class_names or self.label_map):
      labels = [pair.label for pairs in splits.values() for pair in pairs]
      with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = set().union(*pool.map(_names, labels))
      seen = sorted(found - {_IGNORED})
    names = names_of(self, seen)
    splits = labelled(self, splits, names, {_IGNORED: VOID})
    return Found(splits, findings, names, LabelReader())

  def pairs_in(
    self, images: str, labels: str | None, chosen: File | None
  ) -> Pairs:
    """Images with the JSON files of their stems."""
    image_files = list_files(images)
    label_files = list_files(labels) if labels else image_files
    found = Suffixes(label_suffix=".json").by_key(
      image_files, label_files, [], extensions=(".json",)
    )
    pairs, findings = paired(*found, images, labels or images)
    pairs = [
      dataclasses.replace(
        pair, label=LabelmeLabel(**_shallow(pair.label), source=pair.label)
      )
      for pair in pairs
    ]
    if chosen:
      findings = []
      pairs = chosen_of(chosen, pairs, findings)
    return pairs, findings


def _shallow(file: File) -> dict[str, Any]:
  return {f.name: getattr(file, f.name) for f in dataclasses.fields(File)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelmeLabel(Drawn):
  """A label drawn from one JSON file, shape after shape in its order."""

  source: File

  def content(self) -> dict[str, Any]:
    """What the file holds.

    Raises:
      DataError: not LabelMe's.
    """
    try:
      found = json.loads(self.source.read())
      names = [shape["label"] for shape in found["shapes"]]
    except (ValueError, KeyError, TypeError):
      names = [None]
    if not all(isinstance(name, str) for name in names):
      raise DataError(
        f"{self.name}: not a JSON file of LabelMe's; save it again with LabelMe"
      )
    return found

  def objects(self) -> tuple[tuple[int, int], Iterator[Region]]:
    """Shapes as LabelMe draws them, see `Drawn`."""
    content = self.content()
    try:
      size = int(content["imageHeight"]), int(content["imageWidth"])
    except (KeyError, TypeError, ValueError):
      size = (0, 0)
    if min(size) < 1:
      raise DataError(
        f"{self.name}: imageHeight and imageWidth are no size; save it again "
        "with LabelMe"
      )
    return size, self._regions(content["shapes"], size)

  def _regions(self, shapes, size: tuple[int, int]) -> Iterator[Region]:
    for number, shape in enumerate(shapes):
      try:
        yield _region(shape, size)
      except (DataError, KeyError, TypeError, ValueError) as error:
        why = error if isinstance(error, DataError) else "not understood"
        raise DataError(
          f"{self.name}: shape {number} ({shape['label']!r}): {why}; mend it "
          "with LabelMe"
        ) from None


def _names(label: LabelmeLabel) -> set[str]:
  return {shape["label"] for shape in label.content()["shapes"]}


def _region(shape: dict[str, Any], size: tuple[int, int]) -> Region:
  """A shape as labelme.utils.shape_to_mask draws it."""
  name, kind = shape["label"], shape.get("shape_type") or "polygon"
  points = as_points(shape["points"])
  if kind == "polygon":
    return polygon(name, points, size)
  if kind == "rectangle":
    low, high = points.min(0), points.max(0)
    corners = [low, (high[0], low[1]), high, (low[0], high[1])]
    return polygon(name, corners, size)
  if kind == "circle":
    radius = math.dist(*points[:2])
    return _disc(name, points[:1], radius, size)
  if kind == "point":
    return _disc(name, points[:1], _POINT, size)
  if kind in ("line", "linestrip"):
    return stamped(
      name,
      points,
      size,
      lambda draw, at: draw.line([*map(tuple, at)], fill=1, width=_LINE),
      margin=_LINE,
    )
  if kind == "mask":
    (left, top), (right, bottom) = points.astype(int).tolist()
    mask = np.asarray(open_image(base64.b64decode(shape["mask"]), "mask")) > 0
    if mask.shape != (bottom - top + 1, right - left + 1):
      raise DataError("its mask is not of the size of its box")
    return Region(name, mask, top, left)
  return Region(name, None, kind=kind)


def _disc(
  name: str, centre: np.ndarray, radius: float, size: tuple[int, int]
) -> Region:
  def draw_at(draw, at):
    (x, y) = at[0]
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=1)

  return stamped(name, centre, size, draw_at, margin=radius + 1)
