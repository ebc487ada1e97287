"""Trees laid out as PASCAL VOC's devkit, in a tar or a folder."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping

from fcn_jax.data.files import File, list_files
from fcn_jax.files import DataError

YEARS = tuple(range(2007, 2013))
LISTS = "ImageSets/Segmentation"


@dataclasses.dataclass(frozen=True)
class Tree:
  """One VOC tree: files by their path below it.

  Attributes:
    place: archive or folder, for messages.
    root: path of the tree within it, '' or 'VOCdevkit/VOC2012'.
    files: the tree's files, by path relative to root.
  """

  place: str
  root: str
  files: Mapping[str, File]

  @property
  def year(self) -> int | None:
    """2007 to 2012 if the tree's own folder is named VOC2007 to VOC2012."""
    return _year(self.root, self.place)

  def folder(self, name: str) -> dict[str, list[File]]:
    """The files below a folder, by their path in it without extension."""
    found: dict[str, list[File]] = {}
    for key, file in self.files.items():
      if key.startswith(f"{name}/"):
        stem = os.path.splitext(key[len(name) + 1 :])[0]
        found.setdefault(stem, []).append(file)
    return found


def open_tree(
  archive: str | None = None,
  devkit: str | None = None,
  year: int | None = None,
) -> Tree:
  """The VOC tree in a tar or below a folder.

  Args:
    archive: a tar or zip (see `files.list_files`), or a folder; the tree may
      begin there or further down.
    devkit: the same, of a folder.
    year: which one, where there are several (VOC2007 to VOC2012).

  Raises:
    DataError: none there, or several and no year.
  """
  place = str(archive or devkit)
  files = list_files(place)
  roots = sorted(
    {
      str(path.parents[2])
      for path in map(pathlib.PurePosixPath, files)
      if path.suffix == ".txt" and str(path.parent).endswith(LISTS)
    }
  )
  if not roots:
    raise DataError(
      f"{place}: no ImageSets/Segmentation/*.txt in it; a VOC tree has those "
      "lists beside JPEGImages and SegmentationClass"
    )
  chosen = roots
  if year is not None:
    chosen = [root for root in roots if _year(root, place) == year]
  there = ", ".join(roots)
  if not chosen:
    raise DataError(f"{place}: no VOC{year} in it; there: {there}")
  if len(chosen) > 1:
    raise DataError(
      f"{place}: {len(chosen)} VOC trees ({there}); choose one with "
      "--year=2007 ... 2012, or give its folder with --devkit"
    )
  root = "" if chosen[0] == "." else chosen[0]
  start = len(root) + 1 if root else 0
  return Tree(
    place,
    root,
    {
      key[start:]: file
      for key, file in files.items()
      if not root or key.startswith(root + "/")
    },
  )


def _year(root: str, place: str) -> int | None:
  folder = root if root not in ("", ".") else os.path.realpath(place)
  match = re.fullmatch(r"VOC(\d{4})", pathlib.PurePath(folder).name)
  return int(match[1]) if match and int(match[1]) in YEARS else None
