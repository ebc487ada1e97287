"""Which images of a set a network does worst on."""

import numpy as np
from jaxtyping import Float, Int

from fcn_jax.evaluation import metrics

# What images can be ranked by. An image's mean IU is that of its own confusion
# matrix: over the classes that are labelled or predicted in this image, 0 for
# one that is predicted without being there. Neither's mean over images is the
# score of the set.
MEASURES = ("mean_iu", "pixel_accuracy")


def image_scores(
  confusions: Int[np.ndarray, "n c c"], measure: str
) -> Float[np.ndarray, " n"]:
  """The score of every image for itself, 0..1; NaN where all of it is void.

  Args:
    confusions: pixels by [image, label, prediction].
    measure: one of `MEASURES`.
  """
  if measure not in MEASURES:
    raise ValueError(f"no measure {measure!r}; there is {', '.join(MEASURES)}")
  every = (getattr(metrics.scores(each), measure) for each in confusions)
  return np.fromiter(every, np.float64, len(confusions))


def worst_images(
  confusions: Int[np.ndarray, "n c c"], measure: str, number: int
) -> list[int]:
  """Places of the images of the lowest scores, the worst first.

  Where two are equal, the one with more wrong pixels comes first, then the one
  that is stored first. Images of void alone are left out.
  """
  scores = image_scores(confusions, measure)
  wrong = confusions.sum((1, 2)) - np.trace(confusions, axis1=1, axis2=2)
  order = np.lexsort((-wrong, scores))
  return [int(i) for i in order if not np.isnan(scores[i])][:number]


def worst_by_any(
  confusions: Int[np.ndarray, "n c c"], number: int
) -> list[int]:
  """Places of the images that are among the worst by one of `MEASURES`."""
  return sorted(
    {
      place
      for measure in MEASURES
      for place in worst_images(confusions, measure, number)
    }
  )
