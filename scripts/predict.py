r"""Segments images: masks, overlays with legends, and a summary in a folder.

  python scripts/predict.py --checkpoint=runs/voc --images=photos \
    --output_dir=predictions

--images takes files, folders and glob patterns; several of them with blanks
or commas between, or given again; --data=NAME takes a split of a data set
instead. For an image photos/a/0001.jpg it writes

  masks/a/0001.png             class ids, a PNG with the class colours
  overlays/a/0001.png          the image under these colours, and a legend
  probabilities/a/0001.npz     with --save_probabilities: float16 [height,
                               width, classes] under the key 'probabilities'
  summary.json                 the share of the pixels that is of each class

An image that cannot be read is reported and left out; the exit code is then 1.

  --report=predictions.html

also writes a page that shows images under their classes, with the class and
its probability under the cursor. Where there are labels it says what is wrong,
and begins with the worst images. With --data they are those of the data set;
with --images, --labels=FOLDER holds a label of the same stem for each image.
"""

import os
import sys

from absl import flags
from tqdm import tqdm

import fcn_jax
from fcn_jax import cli
from fcn_jax.prediction import inputs
from fcn_jax.prediction.files import predict_files
from fcn_jax.prediction.folder import PredictionFolder, read_palette
from fcn_jax.reports.predictions import PredictionsReport
from fcn_jax.weights import checkpoints

_CHECKPOINT = flags.DEFINE_string(
  "checkpoint", None, "A training workdir, or a converted model."
)
_STEP = flags.DEFINE_string("step", "best", "best, latest or a number.")
_IMAGES = flags.DEFINE_multi_string(
  "images", None, "Files, folders or glob patterns."
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
  "precision", "float32", ["float32", "tf32", "bfloat16"], "Of the products."
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
  "stem; none leaves out the labels of --data.",
)
flags.mark_flags_as_required(["checkpoint", "output_dir"])
flags.mark_flags_as_mutual_exclusive(["images", "data"], required=True)

_LISTED = 10  # of the files that are no images


def main() -> int:
  if _LABELS.value and not _REPORT.value:
    raise ValueError("--labels are for the page: give --report=PAGE.html")
  dataset = None
  if _DATA.value:
    _, about = checkpoints.load_about(_CHECKPOINT.value, _STEP.value)
    trained_in = about.config.get("data", {}).get("data_dir")
    dataset = fcn_jax.load_dataset(
      _DATA.value, _DATA_DIR.value or trained_in or None
    )
    files, others = inputs.images_of(dataset, _SPLIT.value), []
  else:
    files, others = inputs.find_images(_IMAGES.value, _OUTPUT_DIR.value)
  if others:
    named = ", ".join(others[:_LISTED]) + ", ..." * (len(others) > _LISTED)
    print(f"left out {len(others)} files that are no images: {named}")
  net = fcn_jax.load(_CHECKPOINT.value, _STEP.value, _PRECISION.value)
  palette = read_palette(_PALETTE.value, net.palette, net.class_names)
  report = None
  if _REPORT.value:
    report = PredictionsReport(
      _REPORT.value,
      files,
      checkpoint=f"{_CHECKPOINT.value}, step {net.step}",
      class_names=net.class_names,
      palette=net.palette if palette is None else palette,
      label_of=_label_of(dataset, files, net.class_names),
      number=_REPORT_IMAGES.value,
    )
  folder = PredictionFolder(
    _OUTPUT_DIR.value,
    files,
    {
      "checkpoint": _CHECKPOINT.value,
      "step": net.step,
      "class_names": list(net.class_names),
    },
    palette_in_masks=palette is not None,
    save_probabilities=_SAVE_PROBABILITIES.value,
  )
  with tqdm(
    total=len(files), desc="predicting", unit="image", disable=None
  ) as bar:
    failed = predict_files(
      net,
      files,
      folder,
      palette=palette,
      max_canvases=_MAX_CANVASES.value,
      num_threads=_NUM_THREADS.value,
      observer=report,
      progress=bar.update,
    )
  for message in failed.values():
    print(f"error: {message}", file=sys.stderr)
  print(
    f"{_CHECKPOINT.value}, step {net.step}: {len(files) - len(failed)} of "
    f"{len(files)} images segmented; {folder.directory}/overlays"
  )
  if report:
    print(f"page: {report.write(failed)}")
  return 1 if failed else 0


def _label_of(dataset, files, class_names) -> inputs.LabelOf | None:
  """The labels that --labels and --data stand for, None if none."""
  if _LABELS.value == "none":
    return None
  if dataset:
    if _LABELS.value:
      raise ValueError(
        f"--labels={_LABELS.value}: with --data the labels are its own; give "
        "--images, or --labels=none to leave them out"
      )
    return inputs.labels_of(dataset, class_names)
  if not _LABELS.value:
    return None
  return inputs.find_labels(
    _LABELS.value, files, class_names, _NUM_THREADS.value
  )


def with_repeated_images(argv: list[str]) -> list[str]:
  """`--images a b` as `--images=a --images=b`: shells expand patterns so."""
  result, in_images = [], False
  for argument in argv:
    if argument.startswith("-"):
      in_images = argument in ("--images", "-images")
      result += [] if in_images else [argument]
    else:
      result.append(f"--images={argument}" if in_images else argument)
  return result


if __name__ == "__main__":
  sys.argv = with_repeated_images(sys.argv)
  cli.start(main)
