r"""Scores a trained network on a split: a table, the same as JSON, and a page.

  python scripts/evaluate.py --checkpoint=runs/voc --split=val \
    --output=metrics.json --report=evaluation.html

The page shows the confusion matrix, the scores of the classes with 95 %
intervals, and the images the network does worst on, with their errors.
"""

import json
import pathlib

from absl import flags

from fcn_jax import cli, files
from fcn_jax.data import load_dataset
from fcn_jax.evaluation.evaluator import evaluate
from fcn_jax.files import DataError, replacing
from fcn_jax.reports import page
from fcn_jax.reports.evaluation import write_evaluation
from fcn_jax.training.step import shown_loss
from fcn_jax.weights import checkpoints

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
  "precision", "float32", ["float32", "tf32", "bfloat16"], "Of the products."
)
_PART_SIZE = flags.DEFINE_integer(
  "part_size", 1, "Images per forward pass.", lower_bound=1
)
flags.mark_flag_as_required("checkpoint")


def main() -> None:
  net, about, step = checkpoints.load_model(
    _CHECKPOINT.value, _STEP.value, _PRECISION.value
  )
  trained_on = about.config.get("data", {})
  name = _DATA.value or trained_on.get("name")
  if not name:
    raise ValueError(
      f"{_CHECKPOINT.value} was not trained on a data set: name one with --data"
    )
  data_dir = _DATA_DIR.value or trained_on.get("data_dir")
  dataset = load_dataset(name, data_dir or None)
  if list(dataset.class_names) != about.class_names:
    raise ValueError(
      f"the network's classes ({', '.join(about.class_names)}) are not those "
      f"of {name} ({', '.join(dataset.class_names)}); name another --data, or "
      "give convert_weights.py the names with --class_names"
    )
  if _REPORT.value:
    page.claim(_REPORT.value)
  output = _claim(_OUTPUT.value) if _OUTPUT.value else None
  evaluation = evaluate(
    net,
    dataset,
    _SPLIT.value,
    worst=_WORST.value if _REPORT.value else 0,
    loss=shown_loss(about.config),
    part_size=_PART_SIZE.value,
  )
  resamples = _BOOTSTRAP.value
  if resamples is None:
    resamples = 1000 if _REPORT.value else 0
  intervals = None
  if resamples:
    intervals = evaluation.intervals(resamples, _BOOTSTRAP_SEED.value)
  title = f"{_CHECKPOINT.value}, step {step}"
  print(
    f"{title}, on {len(evaluation.image_ids)} images of {name}/{_SPLIT.value}"
    f"\n\n{evaluation.table(intervals)}"
  )
  if output:
    figures = evaluation.figures()
    if intervals:
      figures["intervals"] = intervals.figures(evaluation.class_names)
    _write(
      output,
      {
        "checkpoint": _CHECKPOINT.value,
        "step": step,
        "data": name,
        "split": _SPLIT.value,
        **figures,
      },
    )
  if _REPORT.value:
    write_evaluation(
      _REPORT.value,
      evaluation,
      dataset,
      _SPLIT.value,
      name=title,
      intervals=intervals,
      worst=_WORST.value,
    )


def _claim(output: str) -> pathlib.Path:
  """The path of the figures, where nothing but figures is overwritten."""
  path = pathlib.Path(output).expanduser()
  path.parent.mkdir(parents=True, exist_ok=True)
  if path.exists() and not _holds_figures(path):
    raise DataError(
      f"--output={path} holds no figures of evaluate.py; name another file, so "
      "that nothing of yours is overwritten"
    )
  return path


def _holds_figures(path: pathlib.Path) -> bool:
  try:
    return "majority_baseline" in json.loads(path.read_text())
  except (OSError, ValueError, TypeError):
    return False


def _write(path: pathlib.Path, figures: dict) -> None:
  """Writes JSON, NaN as null, complete or not at all."""
  text = json.dumps(files.without_nan(figures), indent=2) + "\n"
  with replacing(path) as temporary:
    temporary.write_text(text)


if __name__ == "__main__":
  cli.start(main)
