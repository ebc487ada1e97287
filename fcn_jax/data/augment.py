"""Data augmentation: image and label changed together, as a step sees them."""

from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8


class Sample(NamedTuple):
  """One decoded image and its label."""

  image: UInt8[np.ndarray, "h w 3"]
  label: UInt8[np.ndarray, "h w"]


class Cut(NamedTuple):
  """What a step sees of an image: flipped first, then cut.

  Attributes:
    mirror: flipped left to right.
    top, left: pixels cut off there.
    height, width: of what is left.
  """

  mirror: bool
  top: int
  left: int
  height: int
  width: int


def cut_sample(sample: Sample, view: Cut) -> Sample:
  """The image and its label, changed in the same way."""
  if view.mirror:
    sample = Sample(sample.image[:, ::-1], sample.label[:, ::-1])
  rows = slice(view.top, view.top + view.height)
  columns = slice(view.left, view.left + view.width)
  return Sample(sample.image[rows, columns], sample.label[rows, columns])


AUGMENTATIONS: dict = {}
