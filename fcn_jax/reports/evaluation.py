"""The page of an evaluation: scores, confusion matrix, the worst images."""

import dataclasses
import math
import os
import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

from fcn_jax import text
from fcn_jax.data import Dataset, augment, pictures, pipeline
from fcn_jax.data.classes import background_classes
from fcn_jax.data.pictures import Entry
from fcn_jax.evaluation import metrics
from fcn_jax.evaluation.bootstrap import PERCENT, Intervals
from fcn_jax.evaluation.errors import (
  COLORS,
  MEASURES,
  Confusion,
  Kind,
  confusions,
  error_map,
)
from fcn_jax.evaluation.metrics import METRICS
from fcn_jax.evaluation.per_image import PerImage
from fcn_jax.evaluation.scores import Evaluation
from fcn_jax.reports import charts, page, viewer

_CONFUSIONS = 10  # named in words


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
    worst: how many images to show, by each of `errors.MEASURES`.

  Raises:
    DataError, OSError: as `page.write`.
  """
  histogram, names = evaluation.histogram, evaluation.class_names
  figures = evaluation.figures()
  baseline = figures["majority_baseline"]
  rows = [
    (
      metric.heading,
      text.score(figures[key]),
      *([_ends(intervals.scores[key])] if intervals else []),
      text.score(baseline[key]),
    )
    for key, metric in METRICS.items()
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
    meanings=[(m.heading, m.meaning) for m in METRICS.values()],
    chart=_chart(evaluation, intervals),
    classes=_class_rows(evaluation, intervals),
    entries=_entries(dataset),
    matrix=_matrix(histogram),
    confusions=confusions(histogram, names, _CONFUSIONS),
    worst=[
      (measure, METRICS[measure].heading, place == 0)
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
  """IoU by class, the best first, classes without one last."""
  iu = evaluation.counts.class_iu
  order = np.argsort(-iu)  # NaN comes last
  return charts.bars(
    [evaluation.class_names[i] for i in order],
    iu[order].tolist(),
    "intersection over union",
    intervals=intervals and intervals.class_iu[order],
    baseline=(METRICS["mean_iu"].title, evaluation.scores["mean_iu"]),
    limits=(0, 1),
  )


def _class_rows(
  evaluation: Evaluation, intervals: Intervals | None
) -> list[tuple[str, ...]]:
  """Cells by class, without the name."""
  counts, histogram = evaluation.counts, evaluation.histogram
  images = _images_of(evaluation.confusions)
  return [
    (
      text.score(counts.class_iu[i]),
      *([_ends(intervals.class_iu[i])] if intervals else []),
      text.score(counts.class_accuracy[i]),
      text.count(int(histogram[i].sum())),
      text.count(int(histogram[:, i].sum())),
      text.count(int(images[i])),
    )
    for i in range(len(evaluation.class_names))
  ]


def _images_of(confusions: PerImage) -> Int[np.ndarray, " c"]:
  """The number of images that each class is labelled in."""
  classes = confusions.shape[0]
  there = np.unique(confusions.image * classes + confusions.cell // classes)
  return np.bincount(there % classes, minlength=classes)


_LONGEST = 800  # pixels of an image in its viewer
_LONGEST_SMALL = 360  # and of the pictures side by side
_OPACITY = 0.65
_QUALITY = 80  # of the small pictures


@dataclasses.dataclass(frozen=True)
class Side:
  """One of an image's small pictures; the photograph has no legend."""

  name: str
  uri: str
  entries: Sequence[Entry] = ()


@dataclasses.dataclass(frozen=True)
class Shown:
  """An image among the worst.

  Attributes:
    view: for the viewer; its layers are errors, prediction and label.
    scores: by measure.
    ranks: place among the worst, from 1, by measure; none by those by which it
      is not among them.
    mistake: the largest in this image; None where all is right.
    sides: image, label, prediction and errors.
  """

  view: viewer.View
  scores: dict[str, float]
  ranks: dict[str, int]
  mistake: Confusion | None
  sides: tuple[Side, ...]


def show_worst(
  evaluation: Evaluation, dataset: Dataset, split: str, number: int
) -> list[Shown]:
  """The worst images by each of `MEASURES`, in the order of the first of them.

  Those that are only among the worst by another one follow, in its order.

  Args:
    evaluation: with the predictions of these images.
    dataset, split: what was scored on; only these images are read.
    number: by each measure.
  """
  ranking = evaluation.ranking
  ranks = {
    measure: {
      place: rank
      for rank, place in enumerate(ranking.worst(measure, number), 1)
    }
    for measure in MEASURES
  }
  places = dict.fromkeys(place for ranked in ranks.values() for place in ranked)
  source = dataset.source(split)
  names = evaluation.class_names
  shown = []
  for place in places:
    image_id = evaluation.image_ids[place]
    sample = pipeline.read_sample(source, place)
    prediction = evaluation.predictions[image_id]
    layers = (
      viewer.error_layer(sample.label, prediction, names),
      _worst_layer("Prediction", prediction, dataset),
      _worst_layer("Label", sample.label, dataset),
    )
    mistakes = confusions(evaluation.confusions[place], names, 1)
    shown.append(
      Shown(
        view=viewer.view(image_id, sample.image, layers, longest=_LONGEST),
        scores={m: float(ranking.scores[m][place]) for m in MEASURES},
        ranks={
          name: ranked[place]
          for name, ranked in ranks.items()
          if place in ranked
        },
        mistake=mistakes[0] if mistakes else None,
        sides=_sides(sample, prediction, dataset, layers),
      )
    )
  return shown


def _worst_layer(
  name: str, ids: UInt8[np.ndarray, "h w"], dataset: Dataset
) -> viewer.Layer:
  entries = viewer.entries(ids, dataset.class_names, dataset.palette)
  return viewer.Layer(name, ids, entries)


def _sides(
  sample: augment.Sample,
  prediction: UInt8[np.ndarray, "h w"],
  dataset: Dataset,
  layers: Sequence[viewer.Layer],
) -> tuple[Side, ...]:
  errors, predicted, label = layers
  size = sample.label.shape
  shown = viewer.shown_size(size, _LONGEST_SMALL)
  rows, columns = map(viewer.nearest, size, shown)
  background = background_classes(dataset.class_names)

  reduced = Image.fromarray(sample.image).resize(
    shown[::-1], Image.Resampling.BOX
  )
  photo = np.array(reduced)
  grey = photo.mean(-1, keepdims=True).astype(np.uint8).repeat(3, -1)
  kinds = error_map(sample.label, prediction, background)
  colors = np.zeros((256, 3), np.uint8)
  colors[: len(COLORS)] = COLORS

  def tinted(under, ids, palette, untinted) -> str:
    small = ids[rows[:, None], columns].copy()
    picture = pictures.tint(under, small, palette, _OPACITY, untinted)
    return page.jpeg(np.array(picture), _QUALITY)

  by_class = (dataset.palette, background)
  return (
    Side("Image", page.jpeg(photo, _QUALITY)),
    Side("Label", tinted(photo, sample.label, *by_class), label.entries),
    Side("Prediction", tinted(photo, prediction, *by_class), predicted.entries),
    Side("Errors", tinted(grey, kinds, colors, (Kind.RIGHT,)), errors.entries),
  )
