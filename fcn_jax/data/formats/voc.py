"""Trees laid out as PASCAL VOC's devkit, in a tar or a folder."""

import dataclasses
import os
import pathlib
import re
from collections import Counter
from collections.abc import Mapping

from fcn_jax.data.classes import parse_class_names
from fcn_jax.data.files import File, Pair, list_folder, list_tar
from fcn_jax.data.findings import Finding
from fcn_jax.files import DataError

CLASS_NAMES = (
  "background",
  "aeroplane",
  "bicycle",
  "bird",
  "boat",
  "bottle",
  "bus",
  "car",
  "cat",
  "chair",
  "cow",
  "diningtable",
  "dog",
  "horse",
  "motorbike",
  "person",
  "pottedplant",
  "sheep",
  "sofa",
  "train",
  "tvmonitor",
)
YEARS = tuple(range(2007, 2013))
_LISTS = "ImageSets/Segmentation"


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
    """The files directly in a folder, by stem."""
    found: dict[str, list[File]] = {}
    for key, file in self.files.items():
      parent, _, base = key.rpartition("/")
      if parent == name:
        found.setdefault(os.path.splitext(base)[0], []).append(file)
    return found


def open_tree(
  archive: str | None = None,
  devkit: str | None = None,
  year: int | None = None,
) -> Tree:
  """The VOC tree in a tar or below a folder.

  Args:
    archive: an uncompressed tar; it is read in place.
    devkit: a folder; the tree may begin there or further down.
    year: which one, where there are several (VOC2007 to VOC2012).

  Raises:
    DataError: none there, or several and no year.
  """
  place = str(archive or devkit)
  files = list_tar(archive) if archive else list_folder(devkit)
  roots = sorted(
    {
      str(path.parents[2])
      for path in map(pathlib.PurePosixPath, files)
      if path.suffix == ".txt" and str(path.parent).endswith(_LISTS)
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


def class_names(tree: Tree) -> tuple[str, ...]:
  """The names in classes.txt beside ImageSets, else VOC's 21.

  Raises:
    DataError: no classes.txt, and the tree is none of VOC2007 to VOC2012.
  """
  if "classes.txt" in tree.files:
    file = tree.files["classes.txt"]
    return parse_class_names(file.read().decode("utf-8-sig"), file.name)
  if tree.year is not None:
    return CLASS_NAMES
  raise DataError(
    f"{tree.place}: no classes.txt beside ImageSets, and not a VOC2007 to "
    "VOC2012 tree; give --class_names=FILE, one name per line"
  )


def find_pairs(tree: Tree) -> tuple[dict[str, list[Pair]], list[Finding]]:
  """The pairs of every list in ImageSets/Segmentation, in the list's order.

  A list none of whose images has a label (a test set) is left out, with a
  warning; train and val never are.

  Returns:
    Pairs by split, and what is wrong with the lists.
  """
  images, labels = tree.folder("JPEGImages"), tree.folder("SegmentationClass")
  splits, findings = {}, []
  for key, file in tree.files.items():
    if not key.startswith(_LISTS + "/") or file.extension != ".txt":
      continue
    if not re.fullmatch(r"\w+", file.stem) or file.stem.lower() == "all":
      findings.append(
        Finding(
          "list whose name cannot name a split",
          file.name,
          repr(file.stem),
          "rename it: letters, digits and underscores, and not 'all'",
        )
      )
      continue
    ids = read_list(file)
    twice = [image_id for image_id, n in Counter(ids).items() if n > 1]
    findings += [
      Finding("id listed twice", file.name, image_id, "take one line out")
      for image_id in twice
    ]
    if not ids:
      findings.append(
        Finding("empty list", file.name, "no image id", "fill or remove it")
      )
      continue
    if file.stem not in ("train", "val") and not labels.keys() & set(ids):
      findings.append(
        Finding(
          "list left out",
          file.name,
          f"none of its {len(ids)} images has a label",
          "nothing, if these are the unlabelled test images",
          warning=True,
        )
      )
      continue
    splits[file.stem] = []
    for image_id in ids:
      problems = [
        *_problems(images, image_id, "JPEGImages", file.name),
        *_problems(labels, image_id, "SegmentationClass", file.name),
      ]
      findings += problems
      if not problems:
        splits[file.stem].append(
          Pair(image_id, images[image_id][0], labels[image_id][0])
        )
  order = sorted(
    splits, key=lambda split: (split != "train", split != "val", split)
  )
  return {split: splits[split] for split in order}, findings


def read_list(file: File) -> list[str]:
  """Image ids of a list, one per line.

  Raises:
    DataError: not a text file.
  """
  try:
    lines = file.read().decode("utf-8-sig").splitlines()
  except UnicodeDecodeError:
    raise DataError(f"{file.name}: not a text file in UTF-8") from None
  return [line.strip() for line in lines if line.strip()]


def _year(root: str, place: str) -> int | None:
  folder = root if root not in ("", ".") else os.path.realpath(place)
  match = re.fullmatch(r"VOC(\d{4})", pathlib.PurePath(folder).name)
  return int(match[1]) if match and int(match[1]) in YEARS else None


def _problems(
  files: Mapping[str, list[File]], image_id: str, folder: str, list_name: str
) -> list[Finding]:
  found = files.get(image_id, [])
  if len(found) == 1:
    return []
  if not found:
    return [
      Finding(
        "listed file that is missing",
        list_name,
        f"{image_id}: no {folder}/{image_id}.*",
        "fetch the archive again, or take the line out of the list",
      )
    ]
  return [
    Finding(
      "several files of one stem",
      ", ".join(file.name for file in found),
      f"{len(found)} files for {image_id}",
      "keep one of them",
    )
  ]
