r"""Looks for mistakes in images and labels, and writes no data set.

  python scripts/check_dataset.py --dataset=voc \
    --archive=VOCtrainval_11-May-2012.tar
  python scripts/check_dataset.py --dataset=folder \
    --train_images=train/images --train_labels=train/labels \
    --val_percent=10 --class_names=classes.txt --output=findings.json
  python scripts/check_dataset.py --data=voc2012

It asks what prepare_dataset.py asks, and whether images look alike in two
splits, classes are missing in one, and palettes differ. Exit code: 1 where
there are errors, which training would stumble over; else 0, also with warnings,
which may be meant so (--output tells them apart).
"""

import dataclasses
import json
import pathlib

from absl import flags

from fcn_jax.cli import dataset_options, define_dataset_flags, start
from fcn_jax.data import DataError, load_dataset
from fcn_jax.data.findings import Finding, report, verdict
from fcn_jax.data.formats import find_files
from fcn_jax.data.inspection import inspect, inspect_prepared
from fcn_jax.files import replacing

_DATASET = flags.DEFINE_enum(
  "dataset",
  None,
  ["voc", "folder"],
  "Of files: voc, a tree laid out as PASCAL VOC's; folder, image and label "
  "folders.",
)
_DATA = flags.DEFINE_string("data", None, "Instead: a prepared data set.")
_DATA_DIR = flags.DEFINE_string(
  "data_dir", None, "Where prepared data sets lie; default: as tfds."
)
_OUTPUT = flags.DEFINE_string("output", None, "JSON file for the findings.")
_FILES = define_dataset_flags()


def main() -> int:
  if bool(_DATASET.value) == bool(_DATA.value):
    raise DataError(
      "give --dataset=voc or folder and its files, or --data=NAME of a "
      "prepared data set"
    )
  if _DATA.value:
    sizes, names, findings = _prepared()
  else:
    sizes, names, findings = _files()
  if findings:
    print(report(findings))
  print(verdict(findings))
  if _OUTPUT.value:
    _write(pathlib.Path(_OUTPUT.value).expanduser(), sizes, names, findings)
  return int(any(not finding.warning for finding in findings))


def _files():
  found = find_files(dataset_options())
  print(found.summary())
  _, findings = inspect(found.splits, found.reader, found.class_names)
  sizes = {split: len(pairs) for split, pairs in found.splits.items()}
  return sizes, found.class_names, [*found.findings, *findings]


def _prepared():
  for flag in _FILES:
    if flag.present:
      raise DataError(f"--{flag.name} goes with --dataset, not with --data")
  dataset = load_dataset(_DATA.value, _DATA_DIR.value)
  sizes = ", ".join(f"{s} {n}" for s, n in dataset.splits.items())
  print(f"checking {dataset.name}, splits: {sizes}")
  _, _, findings = inspect_prepared(dataset, tuple(dataset.splits))
  return dataset.splits, dataset.class_names, findings


def _write(
  path: pathlib.Path,
  sizes: dict[str, int],
  names: tuple[str, ...],
  findings: list[Finding],
) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  errors = sum(not finding.warning for finding in findings)
  figures = {
    "splits": sizes,
    "class_names": names,
    "errors": errors,
    "warnings": len(findings) - errors,
    "findings": [dataclasses.asdict(finding) for finding in findings],
  }
  with replacing(path) as temporary:
    temporary.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
  start(main)
