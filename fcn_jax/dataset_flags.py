"""Flags that name a user's images and labels, the same for every script."""

import dataclasses

from absl import flags

from fcn_jax.data.formats import Options

flags.disclaim_key_flags()  # --help shows them as the script's own


def define() -> list[flags.FlagHolder]:
  """Defines them all but --dataset, which each script words for itself."""
  string = flags.DEFINE_string
  return [
    string("archive", None, "voc: the tar, as downloaded; it is read in place"),
    string("devkit", None, "voc: the unpacked folder, instead of --archive"),
    flags.DEFINE_integer(
      "year", None, "voc: 2007 to 2012, where there are several", 2007, 2012
    ),
    string("train_images", None, "folder: training images"),
    string("train_labels", None, "folder: their labels, of the same stems"),
    string("val_images", None, "folder: validation images"),
    string("val_labels", None, "folder: their labels"),
    string("test_images", None, "folder: test images, if there are any"),
    string("test_labels", None, "folder: their labels"),
    flags.DEFINE_float(
      "val_percent",
      None,
      "folder: draw the validation set from the training one",
    ),
    flags.DEFINE_integer("seed", 0, "of that draw; shapes: of the drawings"),
    string("class_names", None, "text file, line i (from 0) names label i"),
    string(
      "colormap",
      None,
      "for labels in colours: line i holds 'R G B' of label i",
    ),
    string("void_color", None, "R,G,B of pixels that count for nothing"),
    flags.DEFINE_boolean(
      "binary_masks",
      False,
      "labels are masks of 0 and 255, and 255 is class 1",
    ),
  ]


def options() -> Options:
  """What the flags of this script say, of all that `Options` holds."""
  names = {field.name for field in dataclasses.fields(Options)}
  return Options(**{n: flags.FLAGS[n].value for n in names & set(flags.FLAGS)})
