r"""Scores a trained network on a split: a table, the same as JSON, and a page.

  python scripts/evaluate.py --checkpoint=runs/voc --split=val \
    --output=metrics.json --report=evaluation.html

The page shows the confusion matrix, the scores of the classes with 95 %
intervals, and the images the network does worst on, with their errors.

  python scripts/evaluate.py --checkpoint=runs/voc --tta=flip,0.75,1,1.25

scores the mean of the probabilities of an image at several scales, mirrored
too, and says what that gains.

  python scripts/evaluate.py --checkpoint=runs/city --images=leftImg8bit/val \
    --labels=gtFine/val --image_suffix=_leftImg8bit.png \
    --label_suffix=_gtFine_labelIds.png --label_map=cityscapes

scores on images and label images as they lie on disk.

In the workdir of a run it keeps the counts of each image, by which
compare_runs.py tells whether two runs differ.
"""

import sys

from absl import flags

from fcn_jax import cli, files
from fcn_jax.data.formats.names import GivenLabels

_CHECKPOINT = flags.DEFINE_string(
  "checkpoint", None, "A training workdir, or a converted model."
)
_STEP = flags.DEFINE_string("step", "best", "best, latest or a number.")
_DATA = flags.DEFINE_string(
  "data", None, "Data set; by default the one the network was trained on."
)
_DATA_DIR = flags.DEFINE_string(
  "data_dir", None, "Where data sets lie; by default as in training."
)
_SPLIT = flags.DEFINE_string("split", "val", "What to score on.")
_IMAGES = flags.DEFINE_multi_string(
  "images", None, "Instead of --data: files, folders or glob patterns."
)
_LABELS = flags.DEFINE_string(
  "labels", None, "Folder of their labels, paired with --images by name."
)
cli.define_flags(GivenLabels)
_OUTPUT = flags.DEFINE_string("output", None, "JSON file for the figures.")
_REPORT = flags.DEFINE_string("report", None, "HTML file for the page.")
_WORST = flags.DEFINE_integer(
  "worst", 20, "Images on the page, by each score.", lower_bound=0
)
_BOOTSTRAP = flags.DEFINE_integer(
  "bootstrap",
  None,
  "Resamples of the images for intervals of all scores; 0: no intervals. By "
  "default 1000 with --report, else 0.",
  lower_bound=0,
)
_BOOTSTRAP_SEED = flags.DEFINE_integer(
  "bootstrap_seed", 0, "Of the resamples.", lower_bound=0
)
_PRECISION = flags.DEFINE_enum(
  "precision", "float32", cli.PRECISIONS, "Of the products."
)
_PART_SIZE = flags.DEFINE_integer(
  "part_size", 1, "Images per forward pass.", lower_bound=1
)
_TILE = cli.define_tile()
_TTA = flags.DEFINE_string(
  "tta",
  "",
  "Test-time augmentation, as flip,0.75,1,1.25; by default none.",
)
_GRID_BOUND = flags.DEFINE_boolean(
  "grid_bound", False, "Also say what the network's grid of scores allows."
)
cli.define_processes()
flags.mark_flag_as_required("checkpoint")


def chosen() -> dict:
  """What is scored, and how; by most flags under their names."""
  named = (_DATA, _DATA_DIR, _SPLIT, _PRECISION, _PART_SIZE, _BOOTSTRAP_SEED)
  named += (_IMAGES, _LABELS, _TILE, _TTA)
  resamples = 1000 if _REPORT.value else 0
  if _BOOTSTRAP.value is not None:
    resamples = _BOOTSTRAP.value
  given = {"given": cli.options_given(GivenLabels), "bootstrap": resamples}
  return {flag.name: flag.value for flag in named} | given


def write_page(path, scored) -> None:
  from fcn_jax.reports.evaluation import write_evaluation

  options = {"name": scored.title, "intervals": scored.intervals}
  found = (scored.evaluation, scored.dataset, scored.split)
  write_evaluation(path, *found, **options, worst=_WORST.value)


def main() -> None:
  from fcn_jax import devices
  from fcn_jax.prediction import scoring
  from fcn_jax.reports import page
  from fcn_jax.training.step import shown_loss

  devices.start(**cli.processes_given())
  report = _REPORT.value and page.claim(_REPORT.value)
  output = _OUTPUT.value and scoring.claim(_OUTPUT.value)
  found = scoring.score(
    _CHECKPOINT.value,
    _STEP.value,
    loss_of=shown_loss,
    **chosen(),
    worst=_WORST.value if report else 0,
    bound=_GRID_BOUND.value,
  )
  if not devices.is_first():
    return
  print(found.text())
  scoring.keep_counts(found)
  if output:
    files.write_json(output, found.figures())
  if report:
    write_page(report, found)


if __name__ == "__main__":
  sys.argv = cli.repeated(sys.argv, "images")
  cli.start(main)
