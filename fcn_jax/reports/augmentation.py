"""The page of what training sees: images as stored, and as they are drawn."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from fcn_jax.data import Dataset, pictures
from fcn_jax.data.augment import Augmentation, Sample, augmented
from fcn_jax.data.classes import VOID
from fcn_jax.data.pipeline import Reader
from fcn_jax.reports import page, viewer

_LONGEST = 360  # pixels of a picture's longer side


def write_augmentation(
  path: str | os.PathLike,
  dataset: Dataset,
  split: str,
  augmentations: Sequence[Augmentation],
  chosen: Mapping[str, str],
  seed: int = 0,
  images: int = 6,
  times: int = 4,
) -> pathlib.Path:
  """Writes the page: each image as it is stored, and as `times` steps see it.

  Args:
    path: of the page.
    dataset, split: whose images, evenly spaced.
    augmentations: in order, as `training.input.augmentations` has them.
    chosen: what they are called, and their options in words.
    seed: of the run. The first steps would see row i so, if it were at place i
      of their batches.
    images: rows of the page.
    times: steps in a row.
  """
  read = Reader(dataset, split, whole=True)
  ids = dataset.ids(split)
  rows = min(images, len(ids))
  numbers = [(2 * i + 1) * len(ids) // (2 * rows) for i in range(rows)]
  drawn = []
  for place, number in enumerate(numbers):
    stored = read(number)
    seen = [
      augmented(stored, augmentations, seed, step, place)
      for step in range(times)
    ]
    drawn.append((ids[number], [_picture(x, dataset) for x in (stored, *seen)]))
  names = {**dict(enumerate(dataset.class_names)), VOID: "void"}
  return page.write(
    path,
    "augmentation.html.j2",
    name=dataset.name,
    split=split,
    rows=drawn,
    chosen=list(chosen.items()),
    classes=[
      pictures.Entry(label, name, tuple(dataset.palette[label].tolist()), 0.0)
      for label, name in names.items()
    ],
  )


def _picture(sample: Sample, dataset: Dataset) -> dict[str, Any]:
  """The image, and the image with the label over it, where it has pixels."""
  shown = viewer.shown_size(sample.size, _LONGEST)[::-1]
  found = {"photo": Image.fromarray(sample.image)}
  if sample.label.shape == sample.size:
    found["label"] = pictures.tint(sample.image, sample.label, dataset.palette)
  return {
    "size": "x".join(map(str, sample.size)),
    **{
      kind: page.jpeg(np.asarray(image.resize(shown, Image.Resampling.BOX)))
      for kind, image in found.items()
    },
  }
