r"""Checks images and labels, and writes a data set that training reads.

  python scripts/prepare_dataset.py --dataset=voc \
    --archive=VOCtrainval_11-May-2012.tar
  python scripts/prepare_dataset.py --dataset=folder --name=streets \
    --train_images=train/images --train_labels=train/labels \
    --val_percent=10 --class_names=classes.txt
  python scripts/prepare_dataset.py --dataset=cvat --name=streets \
    --archive=EXPORT.zip --val_percent=10
  python scripts/prepare_dataset.py --dataset=shapes

docs/data.md has the command for whatever you have. Everything is looked at
before anything is written. Labels are index images (PNG of mode P, L or 1),
colours with --colormap or --label_map, or drawn from polygons; 255 is void.
"""

import signal
import sys

from absl import app

from fcn_jax import cli
from fcn_jax.data.prepare import Output, prepare_dataset
from fcn_jax.files import DataError

cli.define_format_flags(required=True)
cli.define_flags(Output)


def interrupt(*_):
  raise KeyboardInterrupt


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f"unexpected: {' '.join(argv[1:])}")
  signal.signal(signal.SIGTERM, interrupt)
  try:
    prepare_dataset(cli.format_given(), cli.options_given(Output))
  except (DataError, OSError) as error:
    print(error, file=sys.stderr)
    return 1
  except KeyboardInterrupt:
    print("\ninterrupted; nothing half-made is left", file=sys.stderr)
    return 130


if __name__ == "__main__":
  app.run(main)
