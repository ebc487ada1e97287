"""Which images and labels a user means: pairs by split, names, colours."""

import dataclasses
from collections.abc import Mapping, Sequence

from fcn_jax.data.classes import read_class_names
from fcn_jax.data.files import Pair
from fcn_jax.data.findings import Finding, report
from fcn_jax.data.formats import folder, voc
from fcn_jax.data.labels import LabelReader, parse_color, read_color_map
from fcn_jax.files import DataError


@dataclasses.dataclass(frozen=True)
class Options:
  """Flags of scripts/prepare_dataset.py, which explains each.

  From `export_folders` on they say what to write, and so do `name`, `data_dir`
  and `overwrite`.
  """

  dataset: str
  name: str | None = None
  data_dir: str | None = None
  overwrite: bool = False
  archive: str | None = None
  devkit: str | None = None
  year: int | None = None
  train_images: str | None = None
  train_labels: str | None = None
  val_images: str | None = None
  val_labels: str | None = None
  test_images: str | None = None
  test_labels: str | None = None
  val_percent: float | None = None
  seed: int = 0
  class_names: str | None = None
  colormap: str | None = None
  void_color: str | None = None
  binary_masks: bool = False
  export_folders: str | None = None
  export_crops: str | None = None
  crop_context: float = 0.1
  export_only: bool = False


@dataclasses.dataclass(frozen=True)
class Found:
  """What the options name.

  Attributes:
    splits: pairs by split.
    findings: what is wrong with lists, stems and folders.
    class_names: the name of label i at place i.
    reader: how the label files are read.
    name: what the data set is called by default.
    tree: the VOC tree, where it is one.
  """

  splits: Mapping[str, Sequence[Pair]]
  findings: Sequence[Finding]
  class_names: tuple[str, ...]
  reader: LabelReader
  name: str | None
  tree: voc.Tree | None = None

  def summary(self) -> str:
    """One line: how many pairs and classes there are to look at."""
    count = len({pair for pairs in self.splits.values() for pair in pairs})
    return (
      f"checking {count} images and labels, {len(self.class_names)} classes, "
      "splits: "
      + ", ".join(f"{s} {len(pairs)}" for s, pairs in self.splits.items())
    )


def find_files(options: Options) -> Found:
  """Pairs, class names and colours of a VOC tree or of folders.

  Raises:
    DataError: options that do not fit together, or nothing to be found.
  """
  return _find_voc(options) if options.dataset == "voc" else _find(options)


def _reader(options: Options, names: tuple[str, ...]) -> LabelReader:
  void = options.void_color and parse_color(options.void_color)
  if void and not options.colormap:
    raise DataError("--void_color belongs to --colormap; give that too")
  color_map = options.colormap and read_color_map(options.colormap, names, void)
  return LabelReader(color_map or None, options.binary_masks)


def _find_voc(options: Options) -> Found:
  if bool(options.archive) == bool(options.devkit):
    raise DataError("--dataset=voc: give --archive=FILE.tar or --devkit=DIR")
  for flag in ("train", "val", "test"):
    if getattr(options, f"{flag}_images") or getattr(options, f"{flag}_labels"):
      raise DataError(f"--{flag}_images and _labels go with --dataset=folder")
  if options.val_percent is not None:
    raise DataError("--val_percent goes with --dataset=folder; VOC has lists")
  tree = voc.open_tree(options.archive, options.devkit, options.year)
  names = (
    read_class_names(options.class_names)
    if options.class_names
    else voc.class_names(tree)
  )
  splits, findings = voc.find_pairs(tree)
  if not splits:
    raise DataError(
      f"{report(findings)}\n{tree.place}: no list in ImageSets/Segmentation "
      "has images with labels"
    )
  name = f"voc{tree.year}" if tree.year else None
  reader = _reader(options, names)
  return Found(splits, findings, names, reader, name, tree)


def _find(options: Options) -> Found:
  if options.archive or options.devkit or options.year:
    raise DataError("--archive, --devkit and --year go with --dataset=voc")
  if not options.class_names:
    raise DataError(
      "--dataset=folder: give --class_names=FILE, the name of label i in "
      "line i (from 0)"
    )
  names = read_class_names(options.class_names)
  splits, findings = {}, []
  for split in ("train", "val", "test"):
    images = getattr(options, f"{split}_images")
    labels = getattr(options, f"{split}_labels")
    if bool(images) != bool(labels):
      raise DataError(f"give both --{split}_images and --{split}_labels")
    if images:
      splits[split], found = folder.find_pairs(images, labels)
      findings += found
  if "train" not in splits:
    raise DataError(
      "--dataset=folder: give --train_images and --train_labels, and "
      "--val_images and --val_labels or --val_percent"
    )
  if ("val" in splits) == (options.val_percent is not None):
    raise DataError(
      "give --val_images and --val_labels, or --val_percent=10 to draw the "
      "validation set from the training images (one of the two)"
    )
  for split, pairs in splits.items():
    if not pairs:
      raise DataError(
        f"{report(findings)}\n{split}: no image has a label of its stem"
      )
  if options.val_percent is not None:
    train, val = folder.divide(
      splits["train"], options.val_percent, options.seed
    )
    test = {"test": splits["test"]} if "test" in splits else {}
    splits = {"train": train, "val": val, **test}
  return Found(splits, findings, names, _reader(options, names), None)
