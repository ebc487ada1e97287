"""From the user's files to a data set: find, check, write, tell."""

import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from fcn_jax.data import exports
from fcn_jax.data.builder import DatasetPlan, check_name, write_dataset
from fcn_jax.data.checks import Facts, check_splits
from fcn_jax.data.classes import VOID, shared_palette, voc_palette
from fcn_jax.data.dataset import default_data_dir
from fcn_jax.data.files import Pair
from fcn_jax.data.findings import report
from fcn_jax.data.formats import Options, find_files, voc
from fcn_jax.data.labels import LabelReader
from fcn_jax.data.statistics import summarize
from fcn_jax.files import DataError


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
  found = find_files(options)
  name = options.name or found.name
  data_dir = options.data_dir or default_data_dir()
  if not options.export_only:
    if not name:
      raise DataError("give the data set a name with --name")
    check_name(name, data_dir, options.overwrite)
  elif not (options.export_folders or options.export_crops):
    raise DataError("--export_only: give --export_folders or --export_crops")
  names, reader = found.class_names, found.reader
  say(found.summary())
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
    plan = DatasetPlan(name, found.splits, sizes, reader, names, palette)
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
