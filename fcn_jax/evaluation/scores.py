"""What was counted on the images of a split, and the scores it gives."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from fcn_jax.evaluation import bootstrap, metrics

# How the scores of a set are called, by their names in `figures`.
NAMES = {
  "mean_iu": "mean IU",
  "pixel_accuracy": "pixel accuracy",
  "mean_accuracy": "mean accuracy",
  "fw_iu": "fw IU",
  "digits_accuracy": "DIGITS' accuracy",
}


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """What was counted on each image of a split, and the scores it gives.

  Attributes:
    class_names: name of each class id.
    image_ids: the images, in the order of the arrays.
    confusions: pixels by [image, label, prediction], void left out.
    total_loss: sum of the cross entropy over each image's valid pixels.
    valid: number of valid pixels of each image.
    right: right pixels of each image by Caffe's rule (a tie is wrong).
    pixels: number of pixels of each image, void included.
    predictions: class ids of the images that were to be kept, by image id.
  """

  class_names: tuple[str, ...]
  image_ids: tuple[str, ...]
  confusions: Int[np.ndarray, "n c c"]
  total_loss: Float[np.ndarray, " n"]
  valid: Int[np.ndarray, " n"]
  right: Int[np.ndarray, " n"]
  pixels: Int[np.ndarray, " n"]
  predictions: Mapping[str, UInt8[np.ndarray, "h w"]] = dataclasses.field(
    default_factory=dict
  )

  @functools.cached_property
  def histogram(self) -> Int[np.ndarray, "c c"]:
    """The confusion matrix of the whole set, [label, prediction]."""
    return self.confusions.sum(0, dtype=np.int64)

  @functools.cached_property
  def scores(self) -> metrics.Scores:
    """Figures of the whole set."""
    return metrics.scores(self.histogram)

  @property
  def loss(self) -> float:
    """Mean over images of the cross entropy per valid pixel (Caffe's)."""
    return float((self.total_loss / np.maximum(self.valid, 1)).mean())

  @property
  def digits_accuracy(self) -> float:
    """DIGITS' "accuracy"."""
    return metrics.digits_accuracy(self.right, self.valid)

  def intervals(
    self, resamples: int = 1000, seed: int = 0
  ) -> bootstrap.Intervals:
    """How far the scores would move with other images.

    Raises:
      ValueError: no resamples.
    """
    return bootstrap.intervals(
      self.confusions, self.right, self.valid, resamples, seed
    )

  @property
  def collapsed_to(self) -> str | None:
    """The class that nearly all pixels are predicted as, if the labels differ.

    Nearly all: 99.9 % of the predictions, where at least 1 % of the labels
    are of another class.
    """
    predicted, labelled = self.histogram.sum(0), self.histogram.sum(1)
    top = int(predicted.argmax())
    if predicted[top] < 0.999 * predicted.sum():
      return None
    others = labelled.sum() - labelled[top]
    return self.class_names[top] if others > 0.01 * labelled.sum() else None

  def figures(self) -> dict[str, Any]:
    """All figures by name, as in the JSON of scripts/evaluate.py."""
    commonest, baseline = metrics.majority_baseline(self.histogram)
    by_baseline = self.confusions[:, commonest].sum(1)
    scores = self.scores
    return {
      "pixel_accuracy": scores.pixel_accuracy,
      "mean_accuracy": scores.mean_accuracy,
      "mean_iu": scores.mean_iu,
      "fw_iu": scores.fw_iu,
      "digits_accuracy": self.digits_accuracy,
      "loss": self.loss,
      "majority_baseline": {
        "class": self.class_names[commonest],
        "pixel_accuracy": baseline.pixel_accuracy,
        "mean_accuracy": baseline.mean_accuracy,
        "mean_iu": baseline.mean_iu,
        "fw_iu": baseline.fw_iu,
        "digits_accuracy": metrics.digits_accuracy(by_baseline, self.valid),
      },
      "per_class_iu": {
        name: float(iu)
        for name, iu in zip(self.class_names, scores.per_class_iu, strict=True)
      },
      "images": len(self.image_ids),
      "void_pixels": int(self.pixels.sum() - self.valid.sum()),
    }

  def summary(self) -> str:
    """One line, the majority-class baseline in it."""
    figures = self.figures()
    baseline = figures["majority_baseline"]
    return (
      f"mean IU {figures['mean_iu']:.4f}, "
      f"pixel accuracy {figures['pixel_accuracy']:.4f} "
      f"(only {baseline['class']}: {baseline['mean_iu']:.4f}, "
      f"{baseline['pixel_accuracy']:.4f}), "
      f"mean accuracy {figures['mean_accuracy']:.4f}, "
      f"fw IU {figures['fw_iu']:.4f}, "
      f"DIGITS' accuracy {figures['digits_accuracy']:.4f}, "
      f"loss {figures['loss']:.4f}"
    )

  def table(self, intervals: bootstrap.Intervals | None = None) -> str:
    """Per class and overall, for a terminal; with intervals beside scores."""
    figures = self.figures()
    baseline = figures["majority_baseline"]
    scores, labelled = self.scores, self.histogram.sum(1)
    width = max(len("DIGITS' accuracy"), *(len(n) for n in self.class_names))

    def between(ends) -> str:
      """The column of intervals, if there is one."""
      return f"  {ends:^14}" if intervals else ""

    heading = between(f"{bootstrap.PERCENT} interval")
    lines = [
      f"{'class':<{width}}  {'IU':>7}{heading}  {'found':>7}  {'pixels':>11}"
    ]
    for i, name in enumerate(self.class_names):
      ends = between(intervals and _ends(intervals.per_class_iu[i]))
      lines.append(
        f"{name:<{width}}  {_cell(scores.per_class_iu[i])}{ends}  "
        f"{_cell(scores.per_class_accuracy[i])}  {labelled[i]:>11,}"
      )
    only = f"only {baseline['class']}"
    lines += ["", f"{'':<{width}}  {'score':>7}{heading}  {only}"]
    for key, name in NAMES.items():
      ends = between(intervals and _ends(getattr(intervals, key)))
      lines.append(
        f"{name:<{width}}  {_cell(figures[key])}{ends}  {_cell(baseline[key])}"
      )
    lines.append(f"{'loss':<{width}}  {_cell(self.loss)}")
    if intervals:
      lines += ["", intervals.said]
    return "\n".join(lines)


def _cell(value: float) -> str:
  return "      -" if np.isnan(value) else f"{value:7.4f}"


def _ends(interval) -> str:
  low, high = interval
  return "-" if np.isnan(low) else f"{low:.4f}-{high:.4f}"
