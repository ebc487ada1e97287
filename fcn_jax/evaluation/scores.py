"""What was counted on the images of a split, and the scores it gives."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from fcn_jax.evaluation import bootstrap, errors, metrics
from fcn_jax.evaluation.per_image import PerImage
from fcn_jax.evaluation.stored_counts import StoredCounts


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """What was counted on each image of a split, and the scores it gives.

  Attributes:
    class_names: name of each class id.
    image_ids: the images, in the order of the arrays.
    confusions: pixels by [label, prediction] of each image, void left out.
    losses: of each image, as it is shown (see `models.losses`).
    valid: number of valid pixels of each image.
    right: right pixels of each image by Caffe's rule (a tie is wrong).
    pixels: number of pixels of each image's label, void included.
    counted: what the counters of `metrics.METRICS` found, by their name.
    predictions: class ids of the images that were to be kept, by image id.
  """

  class_names: tuple[str, ...]
  image_ids: tuple[str, ...]
  confusions: PerImage
  losses: Float[np.ndarray, " n"]
  valid: Int[np.ndarray, " n"]
  right: Int[np.ndarray, " n"]
  pixels: Int[np.ndarray, " n"]
  counted: Mapping[str, PerImage] = dataclasses.field(default_factory=dict)
  predictions: dict[str, UInt8[np.ndarray, "h w"]] = dataclasses.field(
    default_factory=dict
  )

  @functools.cached_property
  def counts(self) -> metrics.Counts:
    """The counts of the whole set."""
    sums = {name: each.sum() for name, each in self.counted.items()}
    return metrics.Counts(self.confusions.sum(), self.right, self.valid, sums)

  @functools.cached_property
  def baseline(self) -> metrics.Counts:
    """The counts, if only the commonest class were predicted."""
    commonest = metrics.commonest_class(self.histogram)
    here = self.confusions.cell // len(self.class_names) == commonest
    of_commonest = np.bincount(
      self.confusions.image[here],
      self.confusions.number[here],
      minlength=len(self.confusions),
    )
    return metrics.majority_counts(
      self.histogram, of_commonest.astype(np.int64), self.valid
    )

  @property
  def histogram(self) -> Int[np.ndarray, "c c"]:
    """The confusion matrix of the whole set, [label, prediction]."""
    return self.counts.confusion

  @functools.cached_property
  def scores(self) -> dict[str, float]:
    """The whole set's scores by the names of `metrics.METRICS`."""
    return metrics.figures(self.counts)

  @functools.cached_property
  def ranking(self) -> errors.Ranking:
    """Every image's own scores."""
    return errors.rank(self.confusions)

  @property
  def loss(self) -> float:
    """Mean of the images' losses."""
    return float(self.losses.mean())

  def intervals(
    self, resamples: int = 1000, seed: int = 0
  ) -> bootstrap.Intervals:
    """How far the scores would move with other images.

    Raises:
      ValueError: no resamples.
    """
    return bootstrap.intervals(
      self.confusions, self.right, self.valid, self.counted, resamples, seed
    )

  def stored(self, step: int) -> StoredCounts:
    """The counts of each image, to be kept in a file.

    Args:
      step: of the checkpoint that was evaluated.
    """
    return StoredCounts(
      self.class_names,
      self.image_ids,
      step,
      self.confusions,
      self.right,
      self.valid,
      self.counted,
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
    commonest = metrics.commonest_class(self.histogram)
    return {
      **self.scores,
      "loss": self.loss,
      "majority_baseline": {
        "class": self.class_names[commonest],
        **metrics.figures(self.baseline),
      },
      "per_class_iu": {
        name: float(iu)
        for name, iu in zip(self.class_names, self.counts.class_iu, strict=True)
      },
      "images": len(self.image_ids),
      "void_pixels": int(self.pixels.sum() - self.valid.sum()),
    }

  def summary(self) -> str:
    """One line, with what the commonest class alone would score."""
    figures = self.figures()
    baseline = figures["majority_baseline"]
    titles = {name: metric.title for name, metric in metrics.METRICS.items()}
    scores = _listed(figures, titles | {"loss": "loss"})
    only = {name: titles[name] for name in errors.MEASURES}
    return f"{scores} (only {baseline['class']}: {_listed(baseline, only)})"

  def table(self, intervals: bootstrap.Intervals | None = None) -> str:
    """Per class and overall, for a terminal; with intervals beside scores."""
    figures = self.figures()
    baseline = figures["majority_baseline"]
    counts = self.counts
    titles = [metric.title for metric in metrics.METRICS.values()]
    width = max(len(name) for name in (*titles, *self.class_names))

    def between(ends) -> str:
      """The column of intervals, if there is one."""
      return f"  {ends:^14}" if intervals else ""

    heading = between(f"{bootstrap.PERCENT} interval")
    accuracy = "class accuracy"
    lines = [
      f"{'class':<{width}}  {'IoU':>7}{heading}  {accuracy}  {'pixels':>11}"
    ]
    for i, name in enumerate(self.class_names):
      ends = between(intervals and _ends(intervals.class_iu[i]))
      lines.append(
        f"{name:<{width}}  {_cell(counts.class_iu[i])}{ends}  "
        f"{_cell(counts.class_accuracy[i]):>{len(accuracy)}}  "
        f"{int(counts.labelled[i]):>11,}"
      )
    only = f"only {baseline['class']}"
    lines += ["", f"{'':<{width}}  {'score':>7}{heading}  {only}"]
    for name, metric in metrics.METRICS.items():
      ends = between(intervals and _ends(intervals.scores[name]))
      lines.append(
        f"{metric.title:<{width}}  {_cell(figures[name])}{ends}  "
        f"{_cell(baseline[name])}"
      )
    lines.append(f"{'loss':<{width}}  {_cell(self.loss)}")
    if intervals:
      lines += ["", intervals.said]
    return "\n".join(lines)


def _listed(figures: Mapping[str, Any], titles: Mapping[str, str]) -> str:
  """'mean IoU 0.5, pixel accuracy 0.75'."""
  return ", ".join(
    f"{title} {figures[name]:.4f}" for name, title in titles.items()
  )


def _cell(value: float) -> str:
  return "      -" if np.isnan(value) else f"{value:7.4f}"


def _ends(interval) -> str:
  low, high = interval
  return "-" if np.isnan(low) else f"{low:.4f}-{high:.4f}"
