"""How far scores would move with other images: the percentile bootstrap.

The images are what was drawn at random, not their pixels: neighbouring pixels
are right or wrong together. So whole images are drawn again, as many as there
are, with replacement; the confusion matrices of each drawing are added up and
scored like the set's own (Efron and Tibshirani, An Introduction to the
Bootstrap, section 13.3).
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from fcn_jax.evaluation import metrics

LEVEL = 0.95
PERCENT = f"{100 * LEVEL:g} %"
_MOST_WEIGHTS = 2**22  # held at a time

Interval = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Intervals:
  """Where scores lie in the middle `LEVEL` of the drawings.

  Attributes:
    resamples: number of drawings.
    seed: of the drawings.
    pixel_accuracy, mean_accuracy, mean_iu, fw_iu, digits_accuracy: lower and
      upper end, 0..1; NaN where no drawing has the score.
    per_class_iu: the ends by class. Drawings without a class say nothing of
      it, and the mean IU of such a drawing is that of the other classes.
  """

  resamples: int
  seed: int
  pixel_accuracy: Interval
  mean_accuracy: Interval
  mean_iu: Interval
  fw_iu: Interval
  digits_accuracy: Interval
  per_class_iu: Float[np.ndarray, "c 2"]

  @property
  def said(self) -> str:
    """How they were made, in a sentence."""
    return (
      f"The {PERCENT} intervals are percentiles of {self.resamples} "
      f"bootstrap resamples of the images (seed {self.seed})."
    )

  def figures(self, class_names: tuple[str, ...]) -> dict[str, Any]:
    """All of them by name, as in the JSON of scripts/evaluate.py."""
    return {
      "level": LEVEL,
      "method": "percentile bootstrap over images",
      "resamples": self.resamples,
      "seed": self.seed,
      "pixel_accuracy": list(self.pixel_accuracy),
      "mean_accuracy": list(self.mean_accuracy),
      "mean_iu": list(self.mean_iu),
      "fw_iu": list(self.fw_iu),
      "digits_accuracy": list(self.digits_accuracy),
      "per_class_iu": {
        name: ends.tolist()
        for name, ends in zip(class_names, self.per_class_iu, strict=True)
      },
    }


def intervals(
  confusions: Int[np.ndarray, "n c c"],
  right: Int[np.ndarray, " n"],
  valid: Int[np.ndarray, " n"],
  resamples: int = 1000,
  seed: int = 0,
) -> Intervals:
  """Intervals for the scores of a set of images.

  Args:
    confusions: pixels by [image, label, prediction].
    right, valid: of each image, as for `metrics.digits_accuracy`.
    resamples: number of drawings.
    seed: the same seed gives the same intervals.

  Raises:
    ValueError: no drawings, or no images.
  """
  if resamples < 1 or not len(confusions):
    raise ValueError(
      f"{resamples} drawings from {len(confusions)} images give no interval; "
      "ask for 1000 drawings from at least one image"
    )
  scores, digits = [], []
  for drawn, histogram in _drawings(confusions, resamples, seed):
    scores.append(metrics.scores(histogram))
    digits.append(metrics.digits_accuracy(right[drawn], valid[drawn]))

  def of(name: str) -> Interval:
    return _interval(np.array([getattr(score, name) for score in scores]))

  per_class = np.stack([score.per_class_iu for score in scores], axis=1)
  return Intervals(
    resamples=resamples,
    seed=seed,
    pixel_accuracy=of("pixel_accuracy"),
    mean_accuracy=of("mean_accuracy"),
    mean_iu=of("mean_iu"),
    fw_iu=of("fw_iu"),
    digits_accuracy=_interval(np.array(digits)),
    per_class_iu=np.array([_interval(values) for values in per_class]),
  )


def _drawings(
  confusions: Int[np.ndarray, "n c c"], resamples: int, seed: int
) -> Iterator[tuple[Int[np.ndarray, " n"], Int[np.ndarray, "c c"]]]:
  """The images of each drawing, and the sum of their confusion matrices.

  The sums are one matrix product: how often each image was drawn, times its
  counts. Float64 holds them exactly (up to 2^53 pixels).
  """
  images, classes = confusions.shape[:2]
  counts = confusions.reshape(images, -1).astype(np.float64)
  rng = np.random.default_rng(seed)
  at_once = max(1, _MOST_WEIGHTS // images)
  for first in range(0, resamples, at_once):
    number = min(at_once, resamples - first)
    drawn = rng.integers(images, size=(number, images))
    place = drawn + images * np.arange(number)[:, None]
    weights = np.bincount(place.ravel(), minlength=number * images)
    sums = weights.reshape(number, images).astype(np.float64) @ counts
    sums = sums.astype(np.int64).reshape(number, classes, classes)
    yield from zip(drawn, sums, strict=True)


def _interval(values: Float[np.ndarray, " n"]) -> Interval:
  known = values[~np.isnan(values)]
  if not known.size:
    return float("nan"), float("nan")
  rest = (1 - LEVEL) / 2
  low, high = np.quantile(known, (rest, 1 - rest))
  return float(low), float(high)
