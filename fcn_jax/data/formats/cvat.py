"""CVAT's exports: 'CVAT for images' (XML) and 'Segmentation mask'."""

import dataclasses
import math
import os
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np

from fcn_jax.data.drawn import (
  Drawn,
  Region,
  as_points,
  decode_runs,
  ordered,
  polygon,
)
from fcn_jax.data.files import File, Pair, list_files
from fcn_jax.data.findings import Finding
from fcn_jax.data.formats.base import Found, flag
from fcn_jax.data.formats.lists import by_end
from fcn_jax.data.formats.objects import labelled, names_of
from fcn_jax.data.formats.splits import Drawing
from fcn_jax.data.formats.voc import find_tree
from fcn_jax.data.formats.voc_tree import open_tree
from fcn_jax.data.labels import LabelReader
from fcn_jax.files import DataError

_XML = "annotations.xml"
_SPLITS = {"train": "train", "validation": "val", "val": "val", "test": "test"}
_CORNERS = 64  # of an ellipse


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cvat(Drawing):
  """An export of CVAT's, with or without the images."""

  title: ClassVar[str] = "an export of CVAT's, XML or masks"

  archive: str | None = flag(
    None, "the zip of the export, or its folder, or annotations.xml"
  )
  train_images: str | None = flag(
    None, "the images, where the export holds none"
  )

  def find(self) -> Found:
    """Pairs, class names and how to read labels, see `Format`."""
    if not self.archive:
      raise DataError(
        "--dataset=cvat: give --archive=EXPORT.zip, and --train_images=FOLDER "
        "if it holds no images"
      )
    found = self._of_xml() if _xml_in(self.archive) else self._of_masks()
    splits = found.splits
    if len(splits) == 1:  # a task, whatever its list or subset is called
      splits = {"train": next(iter(splits.values()))}
    splits = self.with_val(splits, self.archive)
    if "val" not in splits:
      raise DataError(
        f"{self.archive}: no subset for validation; draw one with "
        "--val_percent=10"
      )
    return dataclasses.replace(found, splits=splits)

  def _images(self) -> Mapping[str, File]:
    return list_files(self.train_images) if self.train_images else {}

  def _of_masks(self) -> Found:
    """The masks of labelmap.txt's colours, laid out as VOC's."""
    tree = open_tree(self.archive)
    images = {f"JPEGImages/{key}": file for key, file in self._images().items()}
    tree = dataclasses.replace(tree, files={**images, **tree.files})
    return find_tree(self, tree)

  def _of_xml(self) -> Found:
    files = {}
    if not self.archive.lower().endswith(".xml"):
      files = dict(list_files(self.archive))
    by_name = by_end({**self._images(), **files})
    names: list[str] = []
    splits: dict[str, list[Pair]] = {}
    findings = []
    for file in _xml_in(self.archive):
      labels, images = read_xml(file)
      names += [name for name in labels if name not in names]
      for element in images:
        split, pair = _pair(element, file, by_name, findings)
        if pair:
          splits.setdefault(split, []).append(pair)
    if not splits:
      raise DataError(
        f"{self.archive}: none of its images is there; export it with images, "
        "or give --train_images=FOLDER"
      )
    class_names = names_of(self, names)
    splits = labelled(self, splits, class_names)
    return Found(splits, findings, class_names, LabelReader())


def _xml_in(archive: str) -> list[File]:
  """The files annotations.xml of an export."""
  place = os.path.expanduser(archive)
  if place.lower().endswith(".xml") and os.path.isfile(place):
    return [File(archive, place)]
  return [
    file
    for key, file in list_files(archive).items()
    if os.path.basename(key) == _XML
  ]


def read_xml(file: File) -> tuple[tuple[str, ...], list[ET.Element]]:
  """Names of the labels, and the elements of the images.

  Raises:
    DataError: not CVAT's XML of images; or one with a document type (which
      could name other files, or grow without bound).
  """
  try:
    text = file.read().decode("utf-8-sig")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
      raise DataError("document types are not read")
    root = ET.fromstring(text)
  except (DataError, ET.ParseError, ValueError) as error:
    raise DataError(
      f"{file.name}: not an XML file of CVAT's ({error}); export it again"
    ) from None
  images = root.findall("image")
  if root.tag != "annotations" or not images:
    raise DataError(
      f"{file.name}: no image in it; export the task as 'CVAT for images 1.1' "
      "(not for video)"
    )
  found = (
    (label.findtext("name") or "").strip()
    for label in root.findall("./meta//labels/label")
    if label.find("parent") is None  # a part of a skeleton
  )
  return tuple(ordered(found, "labels", file.name)), images


def _pair(
  element: ET.Element,
  file: File,
  images: Mapping[str, File],
  findings: list[Finding],
) -> tuple[str, Pair | None]:
  """The split and the pair of an image of the XML."""
  name = element.get("name", "").replace("\\", "/")
  subset = element.get("subset", "")
  image = images.get(f"{subset}/{name}") or images.get(name)
  if image is None:
    findings.append(
      Finding(
        "listed file that is missing",
        file.name,
        f"{name}: no such image",
        "export with images, or give --train_images=FOLDER",
      )
    )
    return "", None
  label = CvatLabel(
    f"{file.name}#{subset}{'/' * bool(subset)}{name}",
    file.path,
    element=ET.tostring(element),
  )
  split = _SPLITS.get(subset.lower(), subset or "train")
  return split, Pair(os.path.splitext(name)[0], image, label)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CvatLabel(Drawn):
  """A label drawn from the shapes of one image, from the lowest layer up.

  Attributes:
    element: XML of the image.
  """

  element: bytes = dataclasses.field(compare=False, repr=False)

  def objects(self) -> tuple[tuple[int, int], Iterator[Region]]:
    """See `Drawn`."""
    image = ET.fromstring(self.element)
    try:
      size = int(image.get("height", "")), int(image.get("width", ""))
    except ValueError:
      raise DataError(
        f"{self.name}: no width and height; export it again"
      ) from None
    return size, self._regions(image, size)

  def _regions(
    self, image: ET.Element, size: tuple[int, int]
  ) -> Iterator[Region]:
    shapes = [shape for shape in image if shape.get("label") is not None]
    try:
      shapes.sort(key=lambda shape: int(shape.get("z_order", "0")))
      for shape in shapes:
        if shape.tag != "tag":
          yield _region(shape, size)
    except (AttributeError, DataError, TypeError, ValueError) as error:
      raise DataError(
        f"{self.name}: a shape is not understood ({error}); export it again"
      ) from None


def _region(shape: ET.Element, size: tuple[int, int]) -> Region:
  name = shape.get("label")

  def numbers(*keys: str) -> list[float]:
    return [float(shape.get(key)) for key in keys]

  if shape.tag == "polygon":
    pairs = [one.split(",") for one in shape.get("points").split(";")]
    return polygon(name, as_points(pairs), size)
  if shape.tag == "box":
    left, top, right, bottom = numbers("xtl", "ytl", "xbr", "ybr")
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return polygon(name, _rotated(corners, shape), size)
  if shape.tag == "ellipse":
    x, y, across, down = numbers("cx", "cy", "rx", "ry")
    angles = np.arange(_CORNERS) * 2 * math.pi / _CORNERS
    corners = np.stack(
      [x + across * np.cos(angles), y + down * np.sin(angles)], axis=1
    )
    return polygon(name, _rotated(corners, shape), size)
  if shape.tag == "mask":
    left, top, width, height = map(
      int, numbers("left", "top", "width", "height")
    )
    runs = [int(run) for run in shape.get("rle").split(",")]
    return Region(name, decode_runs(runs, height, width), top, left)
  return Region(name, None, kind=shape.tag)


def _rotated(corners, shape: ET.Element) -> np.ndarray:
  """Corners turned clockwise about their middle, as CVAT's rotation says."""
  corners = as_points(corners)
  angle = math.radians(float(shape.get("rotation", "0")))
  if not angle:
    return corners
  middle = (corners.min(0) + corners.max(0)) / 2
  turn = np.array(
    [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]
  )
  return (corners - middle) @ turn + middle
