"""The format of PASCAL VOC: its class names, lists of images, and pairs."""

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping
from typing import ClassVar

from fcn_jax.data.classes import (
  parse_class_names,
  read_class_names,
  unnamed_classes,
)
from fcn_jax.data.files import File, Pair
from fcn_jax.data.findings import Finding, report
from fcn_jax.data.formats.base import Format, Found, flag
from fcn_jax.data.formats.voc_tree import LISTS, YEARS, Tree, open_tree
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


def names_for(classes: int, path: str | None = None) -> tuple[str, ...]:
  """Names of so many classes: those of a file, else VOC's, else numbers.

  Args:
    classes: how many there are; VOC's names are for 21.
    path: of a text file whose line i (from 0) names class i.

  Raises:
    DataError: the file cannot be used, or names another number of classes.
  """
  if path is None:
    voc = classes == len(CLASS_NAMES)
    return CLASS_NAMES if voc else unnamed_classes(classes)
  names = read_class_names(path)
  if len(names) != classes:
    raise DataError(
      f"{path} names {len(names)} classes, --num_classes is {classes}"
    )
  return names


@dataclasses.dataclass(frozen=True, kw_only=True)
class Voc(Format):
  """A tree laid out as PASCAL VOC's, in a tar or a folder.

  Every list in ImageSets/Segmentation is a split.  Class names are those of
  --class_names, else of classes.txt beside ImageSets, else VOC's.
  """

  title: ClassVar[str] = "a tree laid out as PASCAL VOC's"

  archive: str | None = flag(
    None, "the tar, as downloaded; it is read in place"
  )
  devkit: str | None = flag(None, "the unpacked folder, instead of --archive")
  year: int | None = flag(
    None,
    f"{YEARS[0]} to {YEARS[-1]}, where there are several",
    lower_bound=YEARS[0],
    upper_bound=YEARS[-1],
  )

  def find(self) -> Found:
    """Pairs, class names and how to read labels, see `Format`."""
    if bool(self.archive) == bool(self.devkit):
      raise DataError("--dataset=voc: give --archive=FILE.tar or --devkit=DIR")
    tree = open_tree(self.archive, self.devkit, self.year)
    names = self.given_names() or class_names(tree)
    splits, findings = find_pairs(tree)
    if not splits:
      raise DataError(
        f"{report(findings)}\n{tree.place}: no list in ImageSets/Segmentation "
        "has images with labels"
      )
    name = f"voc{tree.year}" if tree.year else None
    return Found(splits, findings, names, self.reader(names), name, tree)


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
    if not key.startswith(LISTS + "/") or file.extension != ".txt":
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
