"""How far scores would move with other images: the percentile bootstrap.

The images are what was drawn at random, not their pixels: neighbouring pixels
are right or wrong together. So whole images are drawn again, as many as there
are, with replacement; the counts of each drawing are added up and scored like
the set's own (Efron and Tibshirani, An Introduction to the Bootstrap, section
13.3).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from fcn_jax.evaluation import metrics
from fcn_jax.evaluation.per_image import PerImage
from fcn_jax.evaluation.stored_counts import StoredCounts, of_drawing

LEVEL = 0.95
PERCENT = f"{100 * LEVEL:g} %"

Interval = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Intervals:
  """Where scores lie in the middle `LEVEL` of the drawings.

  Attributes:
    resamples: number of drawings.
    seed: of the drawings.
    scores: lower and upper end of each of `metrics.METRICS`, by name; NaN
      where no drawing has the score.
    class_iu: the ends by class. Drawings without a class say nothing of it,
      and the mean IoU of such a drawing is that of the other classes.
  """

  resamples: int
  seed: int
  scores: Mapping[str, Interval]
  class_iu: Float[np.ndarray, "c 2"]

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
      **{name: list(ends) for name, ends in self.scores.items()},
      "per_class_iu": {
        name: ends.tolist()
        for name, ends in zip(class_names, self.class_iu, strict=True)
      },
    }


def intervals(
  confusions: PerImage,
  right: Int[np.ndarray, " n"],
  valid: Int[np.ndarray, " n"],
  counted: Mapping[str, PerImage] | None = None,
  resamples: int = 1000,
  seed: int = 0,
) -> Intervals:
  """Intervals for the scores of a set of images.

  Args:
    confusions: pixels by [label, prediction] of each image.
    right, valid: of each image, as in `metrics.Counts`.
    counted: what the counters of the metrics found on each image, by name.
    resamples: number of drawings.
    seed: the same seed gives the same intervals.

  Raises:
    ValueError: no drawings, or no images.
  """
  images = len(confusions)
  if resamples < 1 or not images:
    raise ValueError(
      f"{resamples} drawings from {images} images give no interval; ask for "
      "1000 drawings from at least one image"
    )
  rng = np.random.default_rng(seed)
  scores, class_iu = [], []
  for _ in range(resamples):
    drawn = rng.integers(images, size=images)
    counts = of_drawing(confusions, right, valid, counted or {}, drawn)
    scores.append(metrics.figures(counts))
    class_iu.append(counts.class_iu)
  return Intervals(
    resamples=resamples,
    seed=seed,
    scores={
      name: _interval(np.array([score[name] for score in scores]))
      for name in scores[0]
    },
    class_iu=np.array(
      [_interval(values) for values in np.stack(class_iu, axis=1)]
    ),
  )


@dataclasses.dataclass(frozen=True)
class Difference:
  """By how much a score of one network is above that of another.

  Attributes:
    difference: on the set itself.
    interval: where it lies in the middle `LEVEL` of the drawings; both
      networks are scored on the same drawings.
    resamples: number of drawings.
    seed: of the drawings.
  """

  difference: float
  interval: Interval
  resamples: int
  seed: int

  @property
  def is_clear(self) -> bool:
    """Whether the interval leaves out 0: other images would hardly turn it."""
    low, high = self.interval
    return low > 0 or high < 0


def paired(
  one: StoredCounts,
  other: StoredCounts,
  score: str = "mean_iu",
  resamples: int = 1000,
  seed: int = 0,
) -> Difference:
  """The score of `one` minus that of `other`, on the same images.

  What makes an image hard is hard for both: their difference moves much less
  than either score, so intervals of the scores say too little of it.

  Args:
    one, other: of the same images in the same order.
    score: a name of `metrics.METRICS`.
    resamples: number of drawings.
    seed: the same seed gives the same interval.

  Raises:
    ValueError: no drawings, other images or other classes.
  """
  if one.image_ids != other.image_ids or one.class_names != other.class_names:
    raise ValueError("they were counted on other images, or other classes")
  if resamples < 1:
    raise ValueError(f"{resamples} drawings give no interval; ask for 1000")
  of = metrics.METRICS[score].of
  rng = np.random.default_rng(seed)
  images, found = len(one.image_ids), []
  for _ in range(resamples):
    times = np.bincount(rng.integers(images, size=images), minlength=images)
    found.append(of(one.counts(times)) - of(other.counts(times)))
  difference = of(one.counts()) - of(other.counts())
  return Difference(difference, _interval(np.array(found)), resamples, seed)


def _interval(values: Float[np.ndarray, " n"]) -> Interval:
  known = values[~np.isnan(values)]
  if not known.size:
    return float("nan"), float("nan")
  rest = (1 - LEVEL) / 2
  low, high = np.quantile(known, (rest, 1 - rest))
  return float(low), float(high)
