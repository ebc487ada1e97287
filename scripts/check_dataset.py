r"""Looks for mistakes in images and labels, and writes no data set.

  python scripts/check_dataset.py --dataset=voc \
    --archive=VOCtrainval_11-May-2012.tar
  python scripts/check_dataset.py --dataset=folder \
    --train_images=train/images --train_labels=train/labels \
    --val_percent=10 --class_names=classes.txt --output=findings.json
  python scripts/check_dataset.py --data=voc2012

It checks what prepare_dataset.py checks, and whether images look alike in two
splits, classes are missing in one, and palettes differ. The exit code is 1 if
there are errors, which prepare_dataset.py refuses; else 0, also with warnings,
which may be intended (--output tells them apart).
"""

from absl import flags

from fcn_jax import cli
from fcn_jax.data import DataError, load_dataset
from fcn_jax.data.findings import report, verdict
from fcn_jax.data.formats import FORMATS
from fcn_jax.data.inspection import inspect_dataset, inspect_files
from fcn_jax.files import check_writable

_DATASET = cli.define_format_flags()
_DATA = flags.DEFINE_string("data", None, "Instead: a prepared data set.")
_DATA_DIR = flags.DEFINE_string(
  "data_dir", None, "Where prepared data sets lie; default: as tfds."
)
_OUTPUT = flags.DEFINE_string("output", None, "JSON file for the findings.")


def main() -> int:
  if bool(_DATASET.value) == bool(_DATA.value):
    raise DataError(
      f"give --dataset={' or '.join(FORMATS)} and its files, or --data=NAME of "
      "a prepared data set"
    )
  if _OUTPUT.value:
    check_writable(_OUTPUT.value)
  source = cli.format_given()
  if source:
    found = inspect_files(source)
  else:
    found = inspect_dataset(load_dataset(_DATA.value, _DATA_DIR.value))
  if found.findings:
    print(report(found.findings))
  print(verdict(found.findings))
  if _OUTPUT.value:
    found.write(_OUTPUT.value)
  return int(found.errors > 0)


if __name__ == "__main__":
  cli.start(main)
