"""Roboflow's exports: semantic segmentation masks, or COCO segmentation."""

import dataclasses
import re
from collections.abc import Mapping
from typing import ClassVar

from fcn_jax.data.classes import parse_class_file
from fcn_jax.data.files import File, Pair, list_files
from fcn_jax.data.formats.base import Found, flag
from fcn_jax.data.formats.coco import pairs_of, same_names
from fcn_jax.data.formats.names import Suffixes, paired
from fcn_jax.data.formats.objects import labelled, names_of
from fcn_jax.data.formats.splits import Drawing
from fcn_jax.data.labels import LabelReader
from fcn_jax.files import DataError

_SPLITS = {"train": "train", "valid": "val", "test": "test"}
_CLASSES, _COCO = "_classes.csv", "_annotations.coco.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Roboflow(Drawing):
  """An export of Roboflow's, by its folders train, valid and test."""

  title: ClassVar[str] = "an export of Roboflow's, masks or COCO"

  archive: str | None = flag(None, "the zip of the export, or its folder")

  def find(self) -> Found:
    """Pairs, class names and how to read labels, see `Format`."""
    if not self.archive:
      raise DataError("--dataset=roboflow: give --archive=EXPORT.zip")
    folders = _folders(list_files(self.archive))
    marks = {
      name for name in (_CLASSES, _COCO) for f in folders.values() if name in f
    }
    if "train" not in folders or len(marks) != 1:
      raise DataError(
        f"{self.archive}: no folder train with {_CLASSES} or {_COCO}; export "
        "as 'Semantic Segmentation Masks' or 'COCO Segmentation'"
      )
    found = (
      self._of_coco(folders) if _COCO in marks else self._of_masks(folders)
    )
    splits = self.with_val(found.splits, self.archive)
    if "val" not in splits:
      raise DataError(
        f"{self.archive}: no folder valid; draw one with --val_percent=10"
      )
    return dataclasses.replace(found, splits=splits)

  def _of_masks(self, folders: Mapping[str, Mapping[str, File]]) -> Found:
    names = self.given_names()
    splits, findings = {}, []
    tables = set()
    for split, files in folders.items():
      if _CLASSES in files:
        table = files[_CLASSES]
        tables.add(parse_class_file(table.text(), table.name).names)
      suffixes = Suffixes(label_suffix="_mask.png")
      found = suffixes.by_key(files, files, [])
      splits[split], problems = paired(*found, split, split)
      findings += problems
    if len(tables) > 1 and not names:
      raise DataError(
        f"{self.archive}: {_CLASSES} of its folders differ; export again, or "
        "give --class_names"
      )
    names = names or tables.pop()
    return Found(_filled(splits), findings, names, self.reader(names))

  def _of_coco(self, folders: Mapping[str, Mapping[str, File]]) -> Found:
    splits, findings = {}, []
    for split, files in folders.items():
      splits[split], problems = pairs_of(files.get(_COCO), files)
      findings += problems
    splits = _filled(splits)
    names = names_of(self, same_names(splits))
    return Found(labelled(self, splits, names), findings, names, LabelReader())


def _folders(files: Mapping[str, File]) -> dict[str, dict[str, File]]:
  """The files of each split, by their name in its folder."""
  found: dict[str, dict[str, File]] = {split: {} for split in _SPLITS.values()}
  for key, file in files.items():
    match = re.fullmatch(r"(?:.*/)?(train|valid|test)/([^/]+)", key)
    if match:
      found[_SPLITS[match[1]]][match[2]] = file
  return {split: files for split, files in found.items() if files}


def _filled(splits: Mapping[str, list[Pair]]) -> dict[str, list[Pair]]:
  return {split: pairs for split, pairs in splits.items() if pairs}
