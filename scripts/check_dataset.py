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

_DATASET = cli.define_format_flags()
_DATA = flags.DEFINE_string("data", None, "Instead: a prepared data set.")
_DATA_DIR = flags.DEFINE_string(
  "data_dir", None, "Where prepared data sets lie; default: as tfds."
)
_OUTPUT = flags.DEFINE_string("output", None, "JSON file for the findings.")


def main() -> int:
  from fcn_jax import data
  from fcn_jax.data import findings, inspection
  from fcn_jax.data.formats import FORMATS

  if bool(_DATASET.value) == bool(_DATA.value):
    raise ValueError(
      f"give --dataset={' or '.join(FORMATS)} and its files, or --data=NAME of "
      "a prepared data set"
    )
  output = _OUTPUT.value and inspection.claim(_OUTPUT.value)
  if source := cli.format_given():
    found = inspection.inspect_files(source)
  else:
    dataset = data.load_dataset(_DATA.value, _DATA_DIR.value)
    found = inspection.inspect_dataset(dataset)
  if found.findings:
    print(findings.report(found.findings))
  print(findings.verdict(found.findings))
  if output:
    found.write(output)
  return int(found.errors > 0)


if __name__ == "__main__":
  cli.start(main)
