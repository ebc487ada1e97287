r"""Segments images: masks, overlays with legends, and a summary in a folder.

  python scripts/predict.py --checkpoint=runs/voc --images=photos \
    --output_dir=predictions

--images takes files, folders, zips and tars of them and glob patterns; several
with blanks or commas between, or given again; --data=NAME takes a split of a
data set instead. For an image photos/a/0001.jpg it writes

  masks/a/0001.png             class ids, a PNG with the class colours
  overlays/a/0001.png          the image under these colours, and a legend
  probabilities/a/0001.npz     with --save_probabilities: float16 [height,
                               width, classes] under the key 'probabilities'
  summary.json                 the share of the pixels that is of each class

An image that does not fit into memory is computed in tiles, with the labels of
the whole. The mask of a TIFF of more than 89 million pixels is a tiled TIFF,
masks/a/0001.tif; a run that was stopped goes on where it was (pip install
'fcn_jax[tiff]'; docs/large_images.md).

An image that cannot be read is reported and left out; the exit code is then 1.

  --report=predictions.html

also writes a page that shows images under their classes, with the class and
its probability under the cursor. Where there are labels it says what is wrong,
and begins with the worst images. With --data they are those of the data set;
with --images, --labels=FOLDER holds a label of the same stem for each image, or
of the name that --image_suffix and --label_suffix tell.

  --export=cvat --export_to=corrections.zip

also writes images and masks as CVAT (or voc, folders) takes them: correct them
there, and prepare the corrected export as a data set.
"""

import os
import sys

from absl import flags

from fcn_jax import cli
from fcn_jax.data.formats.names import GivenLabels
from fcn_jax.data.layouts import Exporting

_CHECKPOINT = flags.DEFINE_string(
  "checkpoint", None, "A training workdir, or a converted model."
)
_STEP = flags.DEFINE_string("step", "best", "best, latest or a number.")
_IMAGES = flags.DEFINE_multi_string(
  "images", None, "Files, folders, archives or glob patterns."
)
_DATA = flags.DEFINE_string(
  "data", None, "Instead of --images: a prepared data set."
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where data sets lie.")
_SPLIT = flags.DEFINE_string("split", "val", "Of the data set.")
_OUTPUT_DIR = flags.DEFINE_string(
  "output_dir", None, "New or empty, or of an earlier prediction of these."
)
_SAVE_PROBABILITIES = flags.DEFINE_boolean(
  "save_probabilities", False, "Also write probabilities/ID.npz."
)
_PALETTE = flags.DEFINE_string(
  "palette",
  "dataset",
  "Class colours: dataset (that the network was trained on), voc, none (masks "
  "are grey images of class ids), or a file with 'R G B' of class i on line i.",
)
_PRECISION = flags.DEFINE_enum(
  "precision", "float32", cli.PRECISIONS, "Of the products."
)
_TILE = cli.define_tile()
_TTA = flags.DEFINE_string(
  "tta",
  "",
  "Test-time augmentation: flip,0.75,1,1.25 takes the mean of the "
  "probabilities at these scales, mirrored too. By default none.",
)
_MAX_CANVASES = flags.DEFINE_integer(
  "max_canvases",
  3,
  "How many sizes to pad images to, at most; each costs a compilation.",
  lower_bound=1,
)
_NUM_THREADS = flags.DEFINE_integer(
  "num_threads",
  min(8, os.cpu_count() or 1),
  "For decoding, and as many for writing.",
  lower_bound=1,
)
_REPORT = flags.DEFINE_string("report", None, "HTML page of the predictions.")
_REPORT_IMAGES = flags.DEFINE_integer(
  "report_images",
  50,
  "How many images the page shows, at most: the worst ones where there are "
  "labels, else the first ones.",
  lower_bound=1,
)
_LABELS = flags.DEFINE_string(
  "labels",
  None,
  "For the page: a folder of label images (class ids), paired with --images by "
  "stem or suffix; none leaves out the labels of --data.",
)
cli.define_flags(GivenLabels)
cli.define_flags(Exporting)
cli.define_processes()
flags.mark_flags_as_required(["checkpoint", "output_dir"])
flags.mark_flags_as_mutual_exclusive(["images", "data"], required=True)


def source():
  from fcn_jax.prediction.job import Source

  if _LABELS.value and not _REPORT.value:
    raise ValueError("--labels are for the page: give --report=PAGE.html")
  where = {"data_dir": _DATA_DIR.value, "split": _SPLIT.value}
  labels = {"labels": _LABELS.value, "given": cli.options_given(GivenLabels)}
  return Source(_IMAGES.value, _DATA.value, **where, **labels)


def observer(job):
  from fcn_jax.reports.predictions import PredictionsReport

  return PredictionsReport.of_job(_REPORT.value, job, _REPORT_IMAGES.value)


def main() -> int:
  from fcn_jax import devices
  from fcn_jax.prediction import job

  devices.start(**cli.processes_given())
  named = (_OUTPUT_DIR, _PALETTE, _NUM_THREADS, _TILE, _TTA)
  planned = job.plan(
    source(),
    _CHECKPOINT.value,
    _STEP.value,
    _PRECISION.value,
    **{flag.name: flag.value for flag in named},
    exporting=cli.options_given(Exporting),
  )
  report = observer(planned) if _REPORT.value else None
  failed = planned.run(
    report,
    save_probabilities=_SAVE_PROBABILITIES.value,
    max_canvases=_MAX_CANVASES.value,
  )
  for message in failed.values():
    print(f"error: {message}", file=sys.stderr)
  if report and devices.is_first():
    print(f"page: {report.write(failed)}")
  return int(bool(failed))


if __name__ == "__main__":
  sys.argv = cli.repeated(sys.argv, "images")
  cli.start(main)
