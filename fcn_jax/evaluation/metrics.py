"""Segmentation metrics: one confusion matrix, and what follows from it.

`METRICS` holds every score of a set of images.  Evaluation, its table and page,
the intervals and the comparison of runs go through it, so a new metric is a
function of `Counts` and a line in the table.

The arithmetic is that of the FCN authors' score.py and of the VOC devkit: one
histogram over the whole set, never a mean of per-image scores.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from fcn_jax.data.classes import VOID
from fcn_jax.evaluation.boundary import boundary_counts

# (label [b h w], prediction [b h w], classes, extent [b 2]) to integers of each
# image, [b ...]. It is compiled with the network. Void (255) and what lies
# beyond the extent, which is void, too, must add nothing.
Counter = Callable[[Array, Array, int, Array], Int[Array, "b *of_each"]]


@dataclasses.dataclass(frozen=True, eq=False)
class Counts:
  """What was counted on a set of images.

  Attributes:
    confusion: pixels by [label, prediction], void left out.
    right: right pixels of each image by Caffe's rule (a tie is wrong).
    valid: number of valid pixels of each image.
    sums: what the counters of the metrics found, by their name, added up over
      the images; without those that were not counted.
  """

  confusion: Int[np.ndarray, "c c"]
  right: Int[np.ndarray, " n"] = dataclasses.field(
    default_factory=lambda: np.zeros(0, int)
  )
  valid: Int[np.ndarray, " n"] = dataclasses.field(
    default_factory=lambda: np.zeros(0, int)
  )
  sums: Mapping[str, Int[np.ndarray, "*of_each"]] = dataclasses.field(
    default_factory=dict
  )

  @functools.cached_property
  def labelled(self) -> Float[np.ndarray, " c"]:
    """Pixels of each class in the labels."""
    return self.confusion.sum(1).astype(np.float64)

  @functools.cached_property
  def predicted(self) -> Float[np.ndarray, " c"]:
    """Pixels of each class in the predictions."""
    return self.confusion.sum(0).astype(np.float64)

  @functools.cached_property
  def matched(self) -> Float[np.ndarray, " c"]:
    """Pixels of each class in both: the diagonal."""
    return np.diag(self.confusion).astype(np.float64)

  @functools.cached_property
  def class_iu(self) -> Float[np.ndarray, " c"]:
    """Intersection over union of each class.

    0 for a class predicted but never labelled, NaN for one that is neither.
    """
    union = self.labelled + self.predicted - self.matched
    return _ratio(self.matched, union)

  @property
  def class_accuracy(self) -> Float[np.ndarray, " c"]:
    """Share of each class's labelled pixels that is predicted so.

    NaN for a class that is never labelled.
    """
    return _ratio(self.matched, self.labelled)


class Metric(NamedTuple):
  """A score of a set of images.

  Attributes:
    title: what people read: 'mean IoU'.
    of: counts to the score, 0..1 or NaN.
    meaning: what it is, and what it hides, in sentences.
    counters: what evaluation counts for it beside the confusion matrix, by the
      name under which `of` finds it in `Counts.sums`.
  """

  title: str
  of: Callable[[Counts], float]
  meaning: str
  counters: Mapping[str, Counter] = {}

  @property
  def heading(self) -> str:
    """The title at the beginning of a sentence: 'Mean IoU'."""
    return self.title[0].upper() + self.title[1:]


def mean_iu(counts: Counts) -> float:
  """Mean of the classes' IoU, those without one left out."""
  return _nanmean(counts.class_iu)


def pixel_accuracy(counts: Counts) -> float:
  """Share of valid pixels that are right."""
  return float(_ratio(counts.matched.sum(), counts.labelled.sum()))


def mean_accuracy(counts: Counts) -> float:
  """Mean of the class accuracy over the labelled classes."""
  return _nanmean(counts.class_accuracy)


def fw_iu(counts: Counts) -> float:
  """Mean of the classes' IoU, weighted by their share of labelled pixels."""
  share = _ratio(counts.labelled, counts.labelled.sum())
  present = share > 0
  return float((share[present] * counts.class_iu[present]).sum())


def digits_accuracy(counts: Counts) -> float:
  """DIGITS' "accuracy": the mean over images of Caffe's pixel accuracy.

  Images without a valid pixel are left out (Caffe would give NaN for ever).
  """
  labelled = counts.valid > 0
  if not labelled.any():
    return float("nan")
  return float((counts.right[labelled] / counts.valid[labelled]).mean())


def mean_dice(counts: Counts) -> float:
  """Mean of 2 TP / (2 TP + FP + FN) over the classes.

  Those that are neither labelled nor predicted are left out.
  """
  both = counts.labelled + counts.predicted
  return _nanmean(_ratio(2 * counts.matched, both))


def boundary_iou(counts: Counts) -> float:
  """Mean over the classes of the IoU of their boundary bands.

  Classes without a band in labels and predictions are left out.
  """
  label, prediction, both = counts.sums["boundary"].T.astype(np.float64)
  return _nanmean(_ratio(both, label + prediction - both))


METRICS: dict[str, Metric] = {
  "mean_iu": Metric(
    "mean IoU",
    mean_iu,
    "Of each class, the pixels labelled and predicted so, of those that are "
    "either: intersection over union; then the mean over classes. Every class "
    "counts the same, however small. This is what papers and PASCAL VOC "
    "compare.",
  ),
  "pixel_accuracy": Metric(
    "pixel accuracy",
    pixel_accuracy,
    "The share of all labelled pixels that are right. Classes that cover much "
    "decide it, so that predicting nothing else looks good.",
  ),
  "mean_accuracy": Metric(
    "mean accuracy",
    mean_accuracy,
    "Of each class, the share of its labelled pixels that is predicted so; "
    "then the mean over classes. Predicting a class in too many places costs "
    "that class nothing.",
  ),
  "fw_iu": Metric(
    "frequency-weighted IoU",
    fw_iu,
    "The mean of the classes' IoU, weighted by their labelled pixels: unlike "
    "mean IoU, large classes decide it.",
  ),
  "digits_accuracy": Metric(
    "DIGITS' accuracy",
    digits_accuracy,
    "The pixel accuracy of each image, then the mean over images: one of few "
    "labelled pixels counts as much as one of many. A pixel where two classes "
    "score the same is wrong, as in Caffe. This is DIGITS' “accuracy”; compare "
    "it with nothing else.",
  ),
  "mean_dice": Metric(
    "mean Dice",
    mean_dice,
    "Of each class, twice the pixels labelled and predicted so, of those "
    "labelled and those predicted; then the mean over classes. It orders the "
    "predictions of a class as IoU does and is higher, 2 IoU / (1 + IoU). "
    "Medical papers compare it.",
  ),
  "boundary_iou": Metric(
    "boundary IoU",
    boundary_iou,
    "Mean IoU of the pixels near contours alone: of each class, those that "
    "are at most 2 % of the image's diagonal away from where the class ends. "
    "Unlike mean IoU it tells a sharp contour of a large object from a coarse "
    "one.",
    {"boundary": boundary_counts},
  ),
}


def counters() -> dict[str, Counter]:
  """All that is counted beside the confusion matrix, by name."""
  return {
    name: counter
    for metric in METRICS.values()
    for name, counter in metric.counters.items()
  }


def figures(counts: Counts) -> dict[str, float]:
  """Every score of the table by name; NaN where its counts are not there."""
  return {
    name: metric.of(counts)
    if metric.counters.keys() <= counts.sums.keys()
    else float("nan")
    for name, metric in METRICS.items()
  }


def confusion(
  label: UInt8[Array, "b h w"],
  prediction: Int[Array, "b h w"] | UInt8[Array, "b h w"],
  classes: int,
) -> Int[Array, "b classes classes"]:
  """Pixels of each image by [label, prediction]; void labels are left out."""
  images = label.shape[0]
  cell = label.astype(jnp.int32) * classes + prediction.astype(jnp.int32)
  outside = classes * classes
  cell = jnp.where(label == VOID, outside, cell).reshape(images, -1)
  row = jnp.arange(images)[:, None]
  counts = jnp.zeros((images, outside + 1), jnp.int32).at[row, cell].add(1)
  return counts[:, :outside].reshape(images, classes, classes)


def caffe_accuracy_counts(
  scores: Float[Array, "b h w c"], label: UInt8[Array, "b h w"]
) -> tuple[Int[Array, " b"], Int[Array, " b"]]:
  """Right pixels and valid pixels of each image by Caffe's Accuracy layer.

  A tie between the true class and another counts as wrong.
  """
  valid = label != VOID
  target = jnp.where(valid, label, 0).astype(jnp.int32)[..., None]
  of_label = jnp.take_along_axis(scores, target, axis=-1)
  rivals = (scores >= of_label).sum(axis=-1)  # the label's own score is one
  right = valid & (rivals == 1)
  return right.sum(axis=(1, 2)), valid.sum(axis=(1, 2))


def _ratio(part, whole):
  """NaN where the whole is 0."""
  with np.errstate(invalid="ignore", divide="ignore"):
    return part / whole


def _nanmean(values: Float[np.ndarray, " n"]) -> float:
  known = values[~np.isnan(values)]
  return float(known.mean()) if known.size else float("nan")


def row_shares(
  histogram: Int[np.ndarray, "c c"],
) -> Float[np.ndarray, "c c"]:
  """Of each label's pixels the share of each prediction: rows add up to 1.

  The row of a class that is never labelled is NaN.
  """
  with np.errstate(invalid="ignore"):
    return histogram / histogram.sum(1, keepdims=True)


def largest_confusions(
  histogram: Int[np.ndarray, "c c"], number: int
) -> list[tuple[int, int]]:
  """The (label, prediction) of most wrong pixels, the largest first.

  At most `number`, and none without pixels; equal ones in order of class ids.
  """
  wrong = histogram.copy()
  np.fill_diagonal(wrong, 0)
  order = np.argsort(-wrong, axis=None, kind="stable")
  cells = np.column_stack(np.unravel_index(order, wrong.shape))[:number]
  return [(int(a), int(b)) for a, b in cells if wrong[a, b]]


def commonest_class(confusion: Int[np.ndarray, "c c"]) -> int:
  """The class of most labelled pixels."""
  return int(confusion.sum(1).argmax())


def majority_counts(
  confusion: Int[np.ndarray, "c c"],
  of_commonest: Int[np.ndarray, " n"] | None = None,
  valid: Int[np.ndarray, " n"] | None = None,
) -> Counts:
  """The counts, if only the commonest class were predicted.

  What is counted beside the confusion matrix is not known of it.

  Args:
    confusion: of the set.
    of_commonest: pixels of each image that are labelled as that class; None:
      not known.
    valid: number of valid pixels of each image.
  """
  commonest = commonest_class(confusion)
  constant = np.zeros_like(confusion)
  constant[:, commonest] = confusion.sum(1)
  if of_commonest is None:
    return Counts(constant)
  return Counts(constant, of_commonest, valid)
