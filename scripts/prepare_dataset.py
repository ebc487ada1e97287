r"""Checks images and labels and makes a data set of them that trains.

  python scripts/prepare_dataset.py --dataset=voc \
    --archive=VOCtrainval_11-May-2012.tar
  python scripts/prepare_dataset.py --dataset=folder --name=streets \
    --train_images=train/images --train_labels=train/labels \
    --val_percent=10 --class_names=classes.txt
  python scripts/prepare_dataset.py --dataset=shapes

Everything is looked at before anything is written. Labels are index images
(PNG of mode P, L or 1) or colours with --colormap; 255 is void.
"""

import signal
import sys

from absl import app, flags

from fcn_jax import cli
from fcn_jax.data.prepare import prepare_dataset
from fcn_jax.files import DataError

S, B = flags.DEFINE_string, flags.DEFINE_boolean

flags.DEFINE_enum(
  "dataset",
  None,
  ["voc", "folder", "shapes"],
  "voc: a tree laid out as PASCAL VOC's; folder: image and label folders; "
  "shapes: a made-up data set, drawn on the spot",
  required=True,
)
S("name", None, "what to call the data set; voc: default voc2012 or the like")
S("data_dir", None, "folder of data sets; default: as tfds, $TFDS_DATA_DIR")
B("overwrite", False, "replace a data set of that name, once done")
cli.define_dataset_flags()
S("export_folders", None, "also write {train,val}/{images,labels}/ID there")
S("export_crops", None, "voc: also write crops of annotated objects there")
flags.DEFINE_float(
  "crop_context", 0.1, "share of a box's side added at each of its ends"
)
B("export_only", False, "write what --export_... say, and no data set")


def interrupt(*_):
  raise KeyboardInterrupt


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f"unexpected: {' '.join(argv[1:])}")
  signal.signal(signal.SIGTERM, interrupt)
  try:
    prepare_dataset(cli.dataset_options())
  except (DataError, OSError) as error:
    print(error, file=sys.stderr)
    return 1
  except KeyboardInterrupt:
    print("\ninterrupted; nothing half-made is left", file=sys.stderr)
    return 130


if __name__ == "__main__":
  app.run(main)
