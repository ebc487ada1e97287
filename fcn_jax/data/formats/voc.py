"""The format of PASCAL VOC: its class names, lists of images, and pairs."""

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

from fcn_jax.data.classes import (
  parse_class_file,
  read_class_names,
  unnamed_classes,
)
from fcn_jax.data.files import File, Pair
from fcn_jax.data.findings import Finding, report
from fcn_jax.data.formats.base import Format, Found, LabelImages, flag
from fcn_jax.data.formats.lists import columns, known_as, read_list
from fcn_jax.data.formats.splits import Drawing
from fcn_jax.data.formats.voc_tree import LISTS, YEARS, Tree, open_tree
from fcn_jax.data.labels import ColorMap, color_map
from fcn_jax.files import DataError

Color = tuple[int, int, int]
IGNORED = "ignored"  # what CVAT's labelmap.txt calls void, as VOC's tools do
AUGMENTED = "SegmentationClassAug"  # labels of SBD, beside VOC's own

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


def names_for(
  classes: int | None = None, path: str | None = None
) -> tuple[str, ...]:
  """Names of so many classes: those of a file, else VOC's, else numbers.

  Args:
    classes: how many there are, by default as many as have names; VOC's names
      are for 21.
    path: of a text file whose line i (from 0) names class i.

  Raises:
    DataError: the file cannot be used, or names another number of classes.
  """
  if path is None:
    voc = classes in (None, len(CLASS_NAMES))
    return CLASS_NAMES if voc else unnamed_classes(classes)
  names = read_class_names(path)
  if classes not in (None, len(names)):
    raise DataError(
      f"{path} names {len(names)} classes, --num_classes is {classes}"
    )
  return names


@dataclasses.dataclass(frozen=True, kw_only=True)
class Voc(LabelImages, Drawing):
  """A tree laid out as PASCAL VOC's, in a tar or a folder.

  Every list in ImageSets/Segmentation is a split; what is no letter or digit
  in its name becomes '_'.  Class names are those of --class_names, else of
  classes.txt or CVAT's labelmap.txt beside ImageSets, else VOC's.
  """

  title: ClassVar[str] = "a tree laid out as PASCAL VOC's"

  archive: str | None = flag(
    None, "the tar or zip, as downloaded; it is read in place"
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
    found = find_tree(self, tree)
    splits = self.with_val(found.splits, tree.place)
    findings = [*found.findings]
    if not {"train", "val"} & splits.keys():
      findings.append(
        Finding(
          "no list called train",
          tree.place,
          f"there: {', '.join(splits)}",
          "to train on one list, divide it with --val_percent=10",
          warning=True,
        )
      )
    return dataclasses.replace(found, splits=splits, findings=findings)


def find_tree(source: Format, tree: Tree) -> Found:
  """What a tree holds, read as a format's flags say.

  Raises:
    DataError: no list has images with labels, or there are no class names.
  """
  given = source.given_names()
  names = given or class_names(tree)
  splits, findings = find_pairs(tree)
  if not splits:
    raise DataError(
      f"{report(findings)}\n{tree.place}: no list in ImageSets/Segmentation "
      "has images with labels"
    )
  reader = source.reader(names)
  plain = not (reader.color_map or reader.binary_masks)
  if not given and plain:
    reader = dataclasses.replace(reader, color_map=_colors(tree))
  name = f"voc{tree.year}" if tree.year else None
  return Found(splits, findings, names, reader, name, tree)


def class_names(tree: Tree) -> tuple[str, ...]:
  """The names in classes.txt or labelmap.txt beside ImageSets, else VOC's 21.

  Raises:
    DataError: neither, and the tree is none of VOC2007 to VOC2012.
  """
  if "classes.txt" in tree.files:
    file = tree.files["classes.txt"]
    return parse_class_file(file.text(), file.name).names
  if "labelmap.txt" in tree.files:
    return tuple(_labelmap(tree)[0])
  if tree.year is not None:
    return CLASS_NAMES
  raise DataError(
    f"{tree.place}: no classes.txt beside ImageSets, and not a VOC2007 to "
    "VOC2012 tree; give --class_names=FILE, one name per line"
  )


def _labelmap(
  tree: Tree,
) -> tuple[list[str], list[Color] | None, Color | None]:
  """Class names and colours of CVAT's labelmap.txt, and the colour of void.

  What it calls 'ignored' is void, as in the files of VOC that CVAT writes.
  """
  file = tree.files["labelmap.txt"]
  found = parse_class_file(file.text(), file.name)
  kept = [i for i, name in enumerate(found.names) if name != IGNORED]
  names = [found.names[i] for i in kept]
  if found.colors is None:
    return names, None, None
  void = dict(zip(found.names, found.colors, strict=True)).get(IGNORED)
  return names, [found.colors[i] for i in kept], void


def _colors(tree: Tree) -> ColorMap | None:
  """The colours of CVAT's labelmap.txt, where it names the classes."""
  if "labelmap.txt" not in tree.files or "classes.txt" in tree.files:
    return None
  names, colors, void = _labelmap(tree)
  name = tree.files["labelmap.txt"].name
  return colors and color_map(colors, names, void, name)


def find_pairs(tree: Tree) -> tuple[dict[str, list[Pair]], list[Finding]]:
  """The pairs of every list in ImageSets/Segmentation, in the list's order.

  A line is an id, whose label is in SegmentationClass or, if it is not, in
  SegmentationClassAug; or the paths of an image and its label. A list none of
  whose images has a label (a test set) is left out, with a warning; train and
  val never are.

  Returns:
    Pairs by split, and what is wrong with the lists.
  """
  images = tree.folder("JPEGImages")
  labels = {**tree.folder(AUGMENTED), **tree.folder("SegmentationClass")}
  splits, findings = {}, []
  for key, file in tree.files.items():
    if not key.startswith(LISTS + "/") or file.extension != ".txt":
      continue
    split = re.sub(r"\W", "_", file.stem)
    if split in ("", "all") or split in splits or not file.stem.isascii():
      findings.append(
        Finding(
          "list whose name cannot name a split",
          file.name,
          repr(file.stem),
          "rename it: letters, digits and underscores, not 'all', and not as "
          "another list",
        )
      )
      continue
    lines = read_list(file)
    twice = [line for line, n in Counter(lines).items() if n > 1]
    findings += [
      Finding("id listed twice", file.name, line, "take one line out")
      for line in twice
    ]
    if not lines:
      findings.append(
        Finding("empty list", file.name, "no image id", "fill or remove it")
      )
      continue
    rows = [_row(line, tree, images, labels) for line in lines]
    if split not in ("train", "val") and not any(row.labels for row in rows):
      findings.append(
        Finding(
          "list left out",
          file.name,
          f"none of its {len(lines)} images has a label",
          "nothing, if these are the unlabelled test images",
          warning=True,
        )
      )
      continue
    splits[split] = []
    for row in rows:
      problems = [
        *_problems(row.images, row.image_id, row.image_name, file.name),
        *_problems(row.labels, row.image_id, row.label_name, file.name),
      ]
      findings += problems
      if not problems:
        splits[split].append(Pair(row.image_id, row.images[0], row.labels[0]))
  order = sorted(
    splits, key=lambda split: (split != "train", split != "val", split)
  )
  return {split: splits[split] for split in order}, findings


class _Row(NamedTuple):
  """A line of a list: what it names, and the files of that name."""

  image_id: str
  images: list[File]
  labels: list[File]
  image_name: str
  label_name: str


def _row(
  line: str,
  tree: Tree,
  images: Mapping[str, list[File]],
  labels: Mapping[str, list[File]],
) -> _Row:
  parts = columns(line)
  if len(parts) == 1 or line in images:
    # An id, or the path of an image.
    path = known_as(line, tree.files)
    name = os.path.splitext(os.path.basename(path))[0] if path else line
    return _Row(
      name,
      images.get(name, []),
      labels.get(name, []),
      f"JPEGImages/{name}.*",
      f"SegmentationClass/{name}.*",
    )
  paths = [known_as(part, tree.files) for part in parts]
  found = [[tree.files[path]] if path else [] for path in paths]
  stem = os.path.splitext(os.path.basename(parts[0]))[0]
  return _Row(stem, *found, *parts)


def _problems(
  files: Sequence[File], image_id: str, what: str, list_name: str
) -> list[Finding]:
  if len(files) == 1:
    return []
  if not files:
    return [
      Finding(
        "listed file that is missing",
        list_name,
        f"{image_id}: no {what}",
        "fetch the archive again, or take the line out of the list",
      )
    ]
  return [
    Finding(
      "several files of one stem",
      ", ".join(file.name for file in files),
      f"{len(files)} files for {image_id}",
      "keep one of them",
    )
  ]
