"""The page of an evaluation: scores, confusion matrix, the worst images."""

import dataclasses
import math
import os
import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from fcn_jax import text
from fcn_jax.data import Dataset
from fcn_jax.data.classes import background_classes
from fcn_jax.data.pictures import Entry
from fcn_jax.evaluation import metrics
from fcn_jax.evaluation.bootstrap import PERCENT, Intervals
from fcn_jax.evaluation.errors import MEASURES, confusions
from fcn_jax.evaluation.scores import Evaluation
from fcn_jax.reports import charts, page
from fcn_jax.reports.worst_images import show_worst

_CONFUSIONS = 10  # named in words

# What each score is called, what it is, and what it hides.
SCORES = {
  "mean_iu": (
    "Mean IU",
    "Of each class, the pixels labelled and predicted so, of those that are "
    "either; then the mean over classes. Every class counts the same, however "
    "small. This is what papers and PASCAL VOC compare.",
  ),
  "pixel_accuracy": (
    "Pixel accuracy",
    "The share of all labelled pixels that are right. Classes that cover much "
    "decide it, so that predicting nothing else looks good.",
  ),
  "mean_accuracy": (
    "Mean accuracy",
    "Of each class, the share of its labelled pixels that is found; then the "
    "mean over classes. Predicting a class in too many places costs that class "
    "nothing.",
  ),
  "fw_iu": (
    "Frequency weighted IU",
    "The mean of the classes' IU, weighted by their labelled pixels: unlike "
    "mean IU, large classes decide it.",
  ),
  "digits_accuracy": (
    "DIGITS' accuracy",
    "The pixel accuracy of each image, then the mean over images: one of few "
    "labelled pixels counts as much as one of many. A pixel where two classes "
    "score the same is wrong, as in Caffe. This is DIGITS' “accuracy”; compare "
    "it with nothing else.",
  ),
}


@dataclasses.dataclass(frozen=True)
class Cell:
  """Of the confusion matrix: its texts, and how dark it is, 0..100."""

  pixels: str
  share: str
  shade: int
  right: bool


def write_evaluation(
  path: str | os.PathLike,
  evaluation: Evaluation,
  dataset: Dataset,
  split: str,
  *,
  name: str,
  intervals: Intervals | None = None,
  worst: int = 20,
) -> pathlib.Path:
  """Writes the page.

  Args:
    path: of the page.
    evaluation: of `split`, with the predictions of its worst images kept.
    dataset, split: what was scored on; only the worst images are read.
    name: of the network.
    intervals: of the scores.
    worst: how many images to show, by each of `worst.MEASURES`.

  Raises:
    DataError, OSError: as `page.write`.
  """
  histogram, names = evaluation.histogram, evaluation.class_names
  figures = evaluation.figures()
  baseline = figures["majority_baseline"]
  rows = [
    (
      called,
      text.score(figures[key]),
      *([_ends(getattr(intervals, key))] if intervals else []),
      text.score(baseline[key]),
    )
    for key, (called, _) in SCORES.items()
  ]
  return page.write(
    path,
    "evaluation.html.j2",
    name=name,
    where=f"{dataset.name}/{split}",
    evaluation=evaluation,
    figures=figures,
    intervals=intervals,
    level=PERCENT,
    rows=rows,
    meanings=SCORES.values(),
    chart=_chart(evaluation, intervals),
    classes=_class_rows(evaluation, intervals),
    entries=_entries(dataset),
    matrix=_matrix(histogram),
    confusions=confusions(histogram, names, _CONFUSIONS),
    worst=[
      (measure, SCORES[measure][0], place == 0)
      for place, measure in enumerate(MEASURES)
    ],
    number=worst,
    shown=show_worst(evaluation, dataset, split, worst),
  )


def _ends(interval: Sequence[float] | Float[np.ndarray, " 2"]) -> str:
  low, high = interval
  return "–" if np.isnan(low) else f"{low:.4f} – {high:.4f}"


def _entries(dataset: Dataset) -> list[Entry]:
  """Every class with its colour, background without; of no image's share."""
  names, plain = dataset.class_names, background_classes(dataset.class_names)
  return [
    Entry(
      label,
      name,
      None if label in plain else tuple(dataset.palette[label].tolist()),
      0.0,
    )
    for label, name in enumerate(names)
  ]


def _matrix(histogram: Int[np.ndarray, "c c"]) -> list[list[Cell]]:
  """Rows of labels; the root of a share makes small ones show, too."""
  shares = metrics.row_shares(histogram)
  return [
    [
      Cell(
        pixels=text.count(int(histogram[row, column])),
        share=_percents(shares[row, column]),
        shade=round(100 * math.sqrt(np.nan_to_num(shares[row, column]))),
        right=row == column,
      )
      for column in range(len(histogram))
    ]
    for row in range(len(histogram))
  ]


def _percents(share: float) -> str:
  """A number of percent for a narrow cell."""
  if np.isnan(share):
    return "–"
  if share == 0:
    return "0"
  return "<0.1" if share < 0.001 else f"{100 * share:.1f}"


def _chart(evaluation: Evaluation, intervals: Intervals | None) -> charts.Chart:
  """IU by class, the best first, classes without one last."""
  iu = evaluation.scores.per_class_iu
  order = np.argsort(-iu)  # NaN comes last
  return charts.bars(
    [evaluation.class_names[i] for i in order],
    iu[order].tolist(),
    "intersection over union",
    intervals=intervals and intervals.per_class_iu[order],
    baseline=("mean IU", evaluation.scores.mean_iu),
    limits=(0, 1),
  )


def _class_rows(
  evaluation: Evaluation, intervals: Intervals | None
) -> list[tuple[str, ...]]:
  """Cells by class, without the name."""
  scores, histogram = evaluation.scores, evaluation.histogram
  images = (evaluation.confusions.sum(2) > 0).sum(0)
  return [
    (
      text.score(scores.per_class_iu[i]),
      *([_ends(intervals.per_class_iu[i])] if intervals else []),
      text.score(scores.per_class_accuracy[i]),
      text.count(int(histogram[i].sum())),
      text.count(int(histogram[:, i].sum())),
      text.count(int(images[i])),
    )
    for i in range(len(evaluation.class_names))
  ]
