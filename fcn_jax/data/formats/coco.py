"""COCO's JSON files: polygons, and runs with holes.

Only this file knows pycocotools, whose pixels are COCO's own.
"""

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from fcn_jax.data.drawn import Drawn, Region, ordered
from fcn_jax.data.files import File, Pair, list_files, own_file
from fcn_jax.data.findings import Finding
from fcn_jax.data.formats.base import Found
from fcn_jax.data.formats.lists import by_end, known_as
from fcn_jax.data.formats.objects import labelled, names_of
from fcn_jax.data.formats.splits import Pairs, Splits, chosen_of
from fcn_jax.data.labels import LabelReader
from fcn_jax.files import DataError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coco(Splits):
  """Folders of images, and a JSON file of COCO's for each.

  Class names are those of --class_names, else of the categories in the order
  of their ids, behind a background.
  """

  title: ClassVar[str] = "COCO's JSON files"

  def find(self) -> Found:
    """Pairs, class names and how to read labels, see `Format`."""
    splits, findings = self.find_splits(
      "coco", beside="the JSON file, where it does not lie beside the images"
    )
    categories = same_names(splits)
    names = names_of(self, categories)
    return Found(labelled(self, splits, names), findings, names, LabelReader())

  def pairs_in(
    self, images: str, labels: str | None, chosen: File | None
  ) -> Pairs:
    """Images that the JSON file names, with what it says of them."""
    files = list_files(images)
    file = _json_in(images, files)
    if labels:
      file = own_file(labels)
    pairs, findings = pairs_of(file, files)
    if chosen:
      pairs = chosen_of(chosen, pairs, findings)
    return pairs, findings


def _json_in(images: str, files: Mapping[str, File]) -> File | None:
  found = [file for file in files.values() if file.extension == ".json"]
  if len(found) > 1:
    raise DataError(
      f"{images}: {len(found)} JSON files; name one with --train_labels (or "
      "--val_labels, --test_labels)"
    )
  return found[0] if found else None


def same_names(splits: Mapping[str, list[Pair]]) -> tuple[str, ...]:
  """The categories, which all splits must share.

  Raises:
    DataError: they do not.
  """
  found = {s: pairs[0].label.categories for s, pairs in splits.items()}
  first = next(iter(found))
  for split, categories in found.items():
    if categories != found[first]:
      odd = sorted({*categories} ^ {*found[first]}) or ["their order"]
      raise DataError(
        f"the categories of {first} and {split} differ: {', '.join(odd[:5])}; "
        "export both from the same project"
      )
  return found[first]


def pairs_of(
  file: File | None, files: Mapping[str, File]
) -> tuple[list[Pair], list[Finding]]:
  """Images that a JSON file names, with what it says of them.

  Args:
    file: the JSON file.
    files: where the images are, by path.

  Raises:
    DataError: not COCO's, of boxes alone, or pycocotools is not installed.
  """
  if file is None:
    raise DataError(
      "no JSON file beside the images; name it with --train_labels (or "
      "--val_labels, --test_labels)"
    )
  _pycocotools()
  content = _content(file)
  try:
    categories = sorted(content["categories"], key=lambda one: one["id"])
    names = {one["id"]: one["name"] for one in categories}
    images = [
      (one["id"], one["file_name"], (one["height"], one["width"]))
      for one in content["images"]
    ]
    annotations: dict[Any, list[dict[str, Any]]] = {}
    for one in content["annotations"]:
      annotations.setdefault(one["image_id"], []).append(
        {
          "name": names[one["category_id"]],
          "outline": one.get("segmentation"),
          "crowd": bool(one.get("iscrowd")),
          "id": one.get("id"),
        }
      )
  except (KeyError, TypeError) as error:
    raise DataError(
      f"{file.name}: not a JSON file of COCO's objects ({error}); it has "
      "images (id, file_name, height, width), annotations (image_id, "
      "category_id, segmentation) and categories (id, name)"
    ) from None
  del content
  outlined = [
    any(a["outline"] for a in group) for group in annotations.values()
  ]
  if annotations and not any(outlined):
    raise DataError(
      f"{file.name}: its annotations have no segmentation (boxes alone?); "
      "export polygons or masks"
    )
  categories = tuple(ordered(names.values(), "categories", file.name))
  ends = by_end(files)
  pairs, findings = [], []
  for image_id, name, size in images:
    image = ends.get(name) or files.get(known_as(name, files) or "")
    if image is None:
      findings.append(
        Finding(
          "listed file that is missing",
          file.name,
          f"{name}: no such image",
          "add the image, or take it out of the JSON file",
        )
      )
      continue
    # Text takes a tenth of the memory of what it stands for.
    text = json.dumps(annotations.pop(image_id, []), separators=(",", ":"))
    label = CocoLabel(
      f"{file.name}#{name}",
      file.path,
      size_of=size,
      annotations=text,
      categories=categories,
    )
    pairs.append(Pair(os.path.splitext(name)[0], image, label))
  counts = Counter(pair.image_id for pair in pairs)
  findings += [
    Finding("id listed twice", file.name, one, "take one of them out")
    for one, count in counts.items()
    if count > 1
  ]
  return pairs, findings


def _content(file: File) -> dict[str, Any]:
  try:
    found = json.loads(file.read())
  except ValueError as error:
    raise DataError(
      f"{file.name}: not a JSON file ({error}); export it again"
    ) from None
  if not isinstance(found, dict):
    raise DataError(f"{file.name}: not a JSON file of COCO's")
  return found


def _pycocotools():
  try:
    import pycocotools.mask
  except ImportError:
    raise DataError(
      "COCO's files need pycocotools: pip install 'fcn_jax[coco]'"
    ) from None
  return pycocotools.mask


@dataclasses.dataclass(frozen=True, kw_only=True)
class CocoLabel(Drawn):
  """A label drawn from the annotations of one image.

  Crowds come first, then objects from the largest to the smallest, so that a
  small one before a large one is seen; the file's order says nothing of depth.

  Attributes:
    size_of: height and width.
    annotations: JSON of them.
    categories: names of all categories of the file.
  """

  size_of: tuple[int, int]
  annotations: str = dataclasses.field(compare=False, repr=False)
  categories: tuple[str, ...] = dataclasses.field(compare=False, repr=False)

  def objects(self) -> tuple[tuple[int, int], Iterator[Region]]:
    """See `Drawn`."""
    return self.size_of, self._regions()

  def _regions(self) -> Iterator[Region]:
    runs = _pycocotools()
    found = []
    for one in json.loads(self.annotations):
      if not one["outline"]:
        yield Region(one["name"], None, kind="box without outline")
        continue
      try:
        code = _encoded(one["outline"], self.size_of)
      except DataError as error:
        raise self._broken(one["id"], error) from None
      area = int(runs.area(code))
      found.append((not one["crowd"], -area, one["name"], one["id"], code))
    for _, _, name, number, code in sorted(found, key=lambda one: one[:2]):
      try:
        yield Region(name, runs.decode(code).astype(bool))
      except ValueError as error:  # runs that are damaged
        raise self._broken(number, error) from None

  def _broken(self, number: Any, error: Exception) -> DataError:
    return DataError(
      f"{self.name}: annotation {number}: {error}; export it again"
    )


def _encoded(outline: Any, size: tuple[int, int]) -> dict[str, Any]:
  """Polygons, runs or compressed runs as pycocotools' compressed runs.

  Raises:
    DataError: it is neither, or of another size.
  """
  runs = _pycocotools()
  try:
    if isinstance(outline, list):
      if any(len(p) < 6 or len(p) % 2 for p in outline):
        raise DataError("a polygon of fewer than three corners")
      return runs.merge(runs.frPyObjects(outline, *size))
    if tuple(outline["size"]) != tuple(size):
      raise DataError(
        f"runs of size {outline['size']} in an image of {list(size)}"
      )
    if isinstance(outline["counts"], list):
      if sum(outline["counts"]) != size[0] * size[1]:
        raise DataError("runs that do not fill the image")
      return runs.frPyObjects(outline, *size)
    return {"size": list(size), "counts": outline["counts"].encode()}
  except DataError:
    raise
  except (KeyError, TypeError, ValueError, AttributeError) as error:
    raise DataError(f"segmentation that is not COCO's ({error})") from None
