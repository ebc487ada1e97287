"""Segmentation metrics: one confusion matrix, and what follows from it.

The arithmetic is that of the FCN authors' score.py and of the VOC devkit: one
histogram over the whole set, never a mean of per-image scores.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from fcn_jax.models.losses import VOID


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


@dataclasses.dataclass(frozen=True)
class Scores:
  """The figures of one confusion matrix, all in 0..1 or NaN.

  Attributes:
    pixel_accuracy: share of valid pixels that are right.
    mean_accuracy: mean over labelled classes of the share found.
    mean_iu: mean of `per_class_iu`, classes without one left out.
    fw_iu: mean of `per_class_iu`, weighted by the share of labelled pixels.
    per_class_iu: intersection over union; 0 for a class predicted but never
      labelled, NaN for one that is neither.
    per_class_accuracy: share of each class's labelled pixels that is found;
      NaN for a class that is never labelled.
  """

  pixel_accuracy: float
  mean_accuracy: float
  mean_iu: float
  fw_iu: float
  per_class_iu: np.ndarray
  per_class_accuracy: np.ndarray


def scores(histogram: Int[np.ndarray, "classes classes"]) -> Scores:
  """Scores of h[label, prediction] (Long, Shelhamer and Darrell, section 5)."""
  h = histogram.astype(np.float64)
  right, labelled, predicted = np.diag(h), h.sum(1), h.sum(0)
  union = labelled + predicted - right
  with np.errstate(invalid="ignore", divide="ignore"):
    iu = right / union
    found = right / labelled
    share = labelled / h.sum()
    pixel_accuracy = right.sum() / h.sum()
  present = share > 0
  return Scores(
    pixel_accuracy=float(pixel_accuracy),
    mean_accuracy=_nanmean(found),
    mean_iu=_nanmean(iu),
    fw_iu=float((share[present] * iu[present]).sum()),
    per_class_iu=iu,
    per_class_accuracy=found,
  )


def _nanmean(values: np.ndarray) -> float:
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


def majority_baseline(histogram: Int[np.ndarray, "c c"]) -> tuple[int, Scores]:
  """The commonest class of the labels, and the scores of predicting only it."""
  labelled = histogram.sum(1)
  commonest = int(labelled.argmax())
  constant = np.zeros_like(histogram)
  constant[:, commonest] = labelled
  return commonest, scores(constant)


def digits_accuracy(
  right: Int[np.ndarray, " images"], valid: Int[np.ndarray, " images"]
) -> float:
  """DIGITS' "accuracy": the mean over images of Caffe's pixel accuracy.

  Images without a valid pixel are left out (Caffe would give NaN for ever).
  """
  labelled = valid > 0
  if not labelled.any():
    return float("nan")
  return float((right[labelled] / valid[labelled]).mean())
