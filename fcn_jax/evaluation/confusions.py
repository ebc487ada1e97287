"""The mistakes of a confusion matrix, in words."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from fcn_jax.evaluation import metrics


@dataclasses.dataclass(frozen=True)
class Confusion:
  """Pixels of one class that are predicted as another.

  Attributes:
    label, prediction: names of the classes.
    pixels: number of such pixels.
    of_label: their share of the pixels that are labelled so, 0..1.
    of_wrong: their share of all wrong pixels, 0..1.
  """

  label: str
  prediction: str
  pixels: int
  of_label: float
  of_wrong: float


def confusions(
  histogram: Int[np.ndarray, "c c"], class_names: Sequence[str], number: int
) -> list[Confusion]:
  """The `number` confusions of most pixels, the largest first."""
  shares = metrics.row_shares(histogram)
  wrong = int(histogram.sum() - np.trace(histogram))
  return [
    Confusion(
      label=class_names[label],
      prediction=class_names[prediction],
      pixels=int(histogram[label, prediction]),
      of_label=float(shares[label, prediction]),
      of_wrong=int(histogram[label, prediction]) / wrong,
    )
    for label, prediction in metrics.largest_confusions(histogram, number)
  ]
