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

import dataclasses
import signal
import sys

from absl import app, flags

from fcn_jax.data.files import DataError
from fcn_jax.data.prepare import Options, prepare_dataset

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
S("archive", None, "voc: the tar, as downloaded; it is read in place")
S("devkit", None, "voc: the unpacked folder, instead of --archive")
flags.DEFINE_integer(
  "year", None, "voc: 2007 to 2012, where there are several", 2007, 2012
)
S("train_images", None, "folder: training images")
S("train_labels", None, "folder: their labels, of the same stems")
S("val_images", None, "folder: validation images")
S("val_labels", None, "folder: their labels")
S("test_images", None, "folder: test images, if there are any")
S("test_labels", None, "folder: their labels")
flags.DEFINE_float(
  "val_percent", None, "folder: draw the validation set from the training one"
)
flags.DEFINE_integer("seed", 0, "of that draw; shapes: of the drawings")
S("class_names", None, "text file, line i (from 0) names label i")
S("colormap", None, "for labels in colours: line i holds 'R G B' of label i")
S("void_color", None, "R,G,B of pixels that count for nothing")
B("binary_masks", False, "labels are masks of 0 and 255, and 255 is class 1")
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
  names = [field.name for field in dataclasses.fields(Options)]
  try:
    prepare_dataset(Options(**{n: flags.FLAGS[n].value for n in names}))
  except DataError as error:
    print(error, file=sys.stderr)
    return 1
  except KeyboardInterrupt:
    print("\ninterrupted; nothing half-made is left", file=sys.stderr)
    return 130


if __name__ == "__main__":
  app.run(main)
