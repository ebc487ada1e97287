"""The mistakes of a network: worst images, confusions, error maps."""

import dataclasses
import enum
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8

from fcn_jax.data.classes import VOID
from fcn_jax.evaluation import metrics
from fcn_jax.evaluation.per_image import PerImage

# What images can be ranked by: names of METRICS. An image's mean IoU is that of
# its own confusion matrix: over the classes that are labelled or predicted in
# this image, 0 for one that is predicted without being there. Neither's mean
# over images is the score of the set.
MEASURES = ("mean_iu", "pixel_accuracy")


@dataclasses.dataclass(frozen=True, eq=False)
class Ranking:
  """Every image's own scores, from which the worst images follow.

  Attributes:
    scores: by `MEASURES`, of each image, 0..1; NaN where all of it is void.
    wrong: number of wrong pixels of each image.
  """

  scores: Mapping[str, Float[np.ndarray, " n"]]
  wrong: Int[np.ndarray, " n"]

  def worst(self, measure: str, number: int) -> list[int]:
    """Places of the images of the lowest scores, the worst first.

    Where two are equal, the one with more wrong pixels comes first, then the
    one that is stored first. Images of void alone are left out.

    Args:
      measure: one of `MEASURES`.
      number: at most so many.
    """
    scores = self.scores[measure]
    order = np.lexsort((-self.wrong, scores))
    return [int(i) for i in order if not np.isnan(scores[i])][:number]

  def worst_by_any(self, number: int) -> list[int]:
    """Places of the images that are among the worst by one of `MEASURES`."""
    return sorted(
      {place for measure in MEASURES for place in self.worst(measure, number)}
    )


def rank(confusions: PerImage) -> Ranking:
  """Scores every image for itself.

  Args:
    confusions: pixels by [label, prediction] of each image.
  """
  images = len(confusions)
  scores = {measure: np.empty(images) for measure in MEASURES}
  wrong = np.empty(images, np.int64)
  for image in range(images):
    counts = _own_counts(confusions, image)
    for measure in MEASURES:
      scores[measure][image] = metrics.METRICS[measure].of(counts)
    wrong[image] = counts.labelled.sum() - counts.matched.sum()
  return Ranking(scores, wrong)


def _own_counts(confusions: PerImage, image: int) -> metrics.Counts:
  """Counts of one image, of the classes alone that occur in it.

  The scores are those of all classes: the others have none in this image.
  """
  cell, number = confusions.entries(image)
  classes = confusions.shape[0]
  there, place = np.unique(
    np.concatenate([cell // classes, cell % classes]), return_inverse=True
  )
  confusion = np.zeros((len(there), len(there)), np.int64)
  confusion[place[: len(cell)], place[len(cell) :]] = number
  return metrics.Counts(confusion)


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


class Kind(enum.IntEnum):
  """What an error map says of a pixel."""

  RIGHT = 0
  WRONG = 1  # a class is predicted that is not there
  MISSED = 2  # background is predicted where a class is
  VOID = 3  # the label counts for nothing

  @property
  def text(self) -> str:
    """For legends."""
    return self.name.lower()


# RGB by kind. Of rising lightness, and told apart by the colour-blind (orange
# and blue are from Okabe and Ito's set).
COLORS = np.array(
  [(70, 70, 70), (213, 94, 0), (86, 180, 233), (225, 225, 225)], np.uint8
)


def error_map(
  label: UInt8[np.ndarray, "h w"],
  prediction: UInt8[np.ndarray, "h w"],
  background: Collection[int] = (),
) -> UInt8[np.ndarray, "h w"]:
  """The `Kind` of every pixel.

  RIGHT are the pixels on the diagonal of the confusion matrix, WRONG and MISSED
  those beside it, VOID those that are not in it.

  Args:
    label: class ids, 255 = void.
    prediction: class ids.
    background: class ids that mean 'nothing here'
      (`data.palette.background_classes`); without one nothing is MISSED.
  """
  kinds = np.full(label.shape, Kind.WRONG, np.uint8)
  kinds[np.isin(prediction, list(background))] = Kind.MISSED
  kinds[label == prediction] = Kind.RIGHT
  kinds[label == VOID] = Kind.VOID
  return kinds
