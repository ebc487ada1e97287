"""The images a network does worst on, as a page shows them."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from fcn_jax.data import Dataset, pictures, pipeline
from fcn_jax.data.classes import background_classes
from fcn_jax.data.pictures import Entry
from fcn_jax.evaluation.errors import (
  COLORS,
  MEASURES,
  Confusion,
  Kind,
  confusions,
  error_map,
  image_scores,
  worst_images,
)
from fcn_jax.evaluation.scores import Evaluation
from fcn_jax.reports import page, viewer

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
  scores, ranks = {}, {}
  for measure in MEASURES:
    scores[measure] = image_scores(evaluation.confusions, measure)
    order = worst_images(evaluation.confusions, measure, number)
    ranks[measure] = {place: rank for rank, place in enumerate(order, 1)}
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
      _layer("Prediction", prediction, dataset),
      _layer("Label", sample.label, dataset),
    )
    mistakes = confusions(evaluation.confusions[place], names, 1)
    shown.append(
      Shown(
        view=viewer.view(image_id, sample.image, layers, longest=_LONGEST),
        scores={name: float(scores[name][place]) for name in MEASURES},
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


def _layer(
  name: str, ids: UInt8[np.ndarray, "h w"], dataset: Dataset
) -> viewer.Layer:
  entries = viewer.entries(ids, dataset.class_names, dataset.palette)
  return viewer.Layer(name, ids, entries)


def _sides(
  sample: pipeline.Sample,
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
