"""From the user's files to a data set: find, check, write, tell."""

import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from fcn_jax.data import exports, folder, voc
from fcn_jax.data.builder import Pair, Plan, check_name, write_dataset
from fcn_jax.data.checks import Facts, check_splits
from fcn_jax.data.dataset import default_data_dir
from fcn_jax.data.files import DataError
from fcn_jax.data.findings import Finding, report
from fcn_jax.data.labels import LabelReader
from fcn_jax.data.palette import (
  VOID,
  parse_color,
  read_class_names,
  read_color_map,
  shared_palette,
  voc_palette,
)
from fcn_jax.data.summary import summarize


@dataclasses.dataclass(frozen=True)
class Options:
  """What prepare_dataset takes; scripts/prepare_dataset.py explains each."""

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
class _Found:
  """What a road brings: pairs by split, what is wrong so far, class names."""

  splits: Mapping[str, Sequence[Pair]]
  findings: Sequence[Finding]
  class_names: tuple[str, ...]
  name: str | None  # what the data set is called by default
  tree: voc.Tree | None = None


def prepare_dataset(
  options: Options, say: Callable[[str], None] = print
) -> pathlib.Path | None:
  """Checks the user's files, then writes the data set and what else is asked.

  Args:
    options: see there.
    say: takes the lines meant for the user.

  Returns:
    The folder written; None with export_only.

  Raises:
    DataError: options that do not fit together, or findings (all of them in
      the message). Nothing has been written then.
  """
  if options.dataset == "shapes":
    return _prepare_shapes(options, say)
  found = _find_voc(options) if options.dataset == "voc" else _find(options)
  name = options.name or found.name
  data_dir = options.data_dir or default_data_dir()
  if not options.export_only:
    if not name:
      raise DataError("give the data set a name with --name")
    check_name(name, data_dir, options.overwrite)
  elif not (options.export_folders or options.export_crops):
    raise DataError("--export_only: give --export_folders or --export_crops")
  names = found.class_names
  void = options.void_color and parse_color(options.void_color)
  if void and not options.colormap:
    raise DataError("--void_color belongs to --colormap; give that too")
  color_map = options.colormap and read_color_map(options.colormap, names, void)
  reader = LabelReader(color_map or None, options.binary_masks)
  count = len({pair for pairs in found.splits.values() for pair in pairs})
  say(
    f"checking {count} images and labels, {len(names)} classes, splits: "
    + ", ".join(f"{s} {len(p)}" for s, p in found.splits.items())
  )
  facts, findings = check_splits(found.splits, reader, names)
  findings = [*found.findings, *findings]
  crops = {}
  if options.export_crops:
    crops, problems = _crops(found.tree, options)
    findings += problems
  errors = sum(not finding.warning for finding in findings)
  if errors:
    raise DataError(
      f"{report(findings)}\n{errors} errors; nothing was written. Mend the "
      "files and run the command again."
    )
  if findings:
    say(report(findings))
  palette, said = _palette(facts, reader, names)
  if said:
    say(said)
  folders = {}
  if options.export_folders:
    folders = exports.folder_exports(found.splits, reader, palette)
    exports.check_exports(options.export_folders, folders)
  if crops:
    exports.check_exports(options.export_crops, crops)
  written = []
  if folders:
    exports.write_exports(options.export_folders, folders)
    written.append(f"folders: {options.export_folders}")
  if crops:
    exports.write_exports(options.export_crops, crops)
    written.append(f"crops: {options.export_crops} ({len(crops)})")
  target = None
  if not options.export_only:
    sizes = {
      split: [facts[pair].size for pair in pairs]
      for split, pairs in found.splits.items()
    }
    plan = Plan(name, found.splits, sizes, reader, names, palette)
    target = write_dataset(plan, data_dir, options.overwrite)
    written.append(f"data set: {name} in {target}")
  say("\n" + summarize(found.splits, facts, names) + "\n")
  say("\n".join(written))
  return target


def _prepare_shapes(options: Options, say) -> pathlib.Path | None:
  from fcn_jax.data.shapes import write_voc_tar

  name = options.name or "shapes"
  if not options.export_only:
    check_name(name, options.data_dir or default_data_dir(), options.overwrite)
  with tempfile.TemporaryDirectory(prefix="shapes_") as place:
    archive = os.path.join(place, "shapes.tar")
    say("drawing the made-up data set")
    write_voc_tar(archive, seed=options.seed)
    return prepare_dataset(
      dataclasses.replace(options, dataset="voc", archive=archive, name=name),
      say,
    )


def _find_voc(options: Options) -> _Found:
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
  return _Found(splits, findings, names, name, tree)


def _find(options: Options) -> _Found:
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
  return _Found(splits, findings, names, None)


def _crops(tree: voc.Tree | None, options: Options):
  if tree is None:
    raise DataError("--export_crops goes with --dataset=voc")
  return exports.crop_exports(tree, options.crop_context)


def _palette(
  facts: Mapping[Pair, Facts], reader: LabelReader, names: Sequence[str]
) -> tuple[UInt8[np.ndarray, "256 3"], str]:
  """The colour map's colours, else the label files', else VOC's."""
  if reader.color_map is not None:
    palette = voc_palette()
    palette[: len(names)] = reader.color_map.colors
    if reader.color_map.void is not None:
      palette[VOID] = reader.color_map.void
    return palette, ""
  paletted = [fact for fact in facts.values() if fact.palette is not None]
  palette = shared_palette(
    ((fact.palette, fact.counts) for fact in paletted), len(names)
  )
  if palette is not None:
    return palette, ""
  if paletted:
    return voc_palette(), (
      "the palettes of the label files differ, or do not tell classes apart: "
      "results will be shown in VOC's colours"
    )
  return voc_palette(), ""
