"""fcn_jax.evaluation.errors: rankings worked by hand."""

import jax.numpy as jnp
import numpy as np

from fcn_jax.evaluation import metrics
from fcn_jax.evaluation.errors import (
  COLORS,
  Confusion,
  Kind,
  confusions,
  error_map,
  rank,
)
from fcn_jax.evaluation.per_image import PerImage

# Ground and cat. 0: 8 of 10 right, the cat lost: IU 8 / 10 and 0. 1: 6 of 10
# right: IU 4 / 8 and 2 / 6. 2: void alone. 3: all right, without a cat. 4: as
# 0, ten times larger. 5: as 0.
RANKING = rank(
  PerImage.of(
    np.array(
      [
        [[8, 0], [2, 0]],
        [[4, 2], [2, 2]],
        [[0, 0], [0, 0]],
        [[9, 0], [0, 0]],
        [[80, 0], [20, 0]],
        [[8, 0], [2, 0]],
      ]
    )
  )
)


def test_scores_of_images_by_hand():
  np.testing.assert_allclose(
    RANKING.scores["mean_iu"], [0.4, 5 / 12, np.nan, 1, 0.4, 0.4]
  )
  np.testing.assert_allclose(
    RANKING.scores["pixel_accuracy"], [0.8, 0.6, np.nan, 1, 0.8, 0.8]
  )


def test_the_worst_first_and_void_never():
  assert RANKING.worst("mean_iu", 20) == [4, 0, 5, 1, 3]
  assert RANKING.worst("pixel_accuracy", 20) == [1, 4, 0, 5, 3]
  assert RANKING.worst("pixel_accuracy", 2) == [1, 4]
  assert RANKING.worst("mean_iu", 0) == []


def test_the_worst_by_any_measure():
  assert RANKING.worst_by_any(1) == [1, 4]
  assert RANKING.worst_by_any(3) == [0, 1, 4, 5]


def test_an_image_of_many_classes_is_scored_by_those_it_has():
  """As with the whole matrix, of 40 classes."""
  rng = np.random.default_rng(0)
  dense = rng.integers(0, 9, (5, 40, 40)) * (rng.random((5, 40, 40)) < 0.01)
  found = rank(PerImage.of(dense))
  for image, confusion in enumerate(dense):
    counts = metrics.Counts(confusion)
    for measure, scores in found.scores.items():
      assert scores[image] == metrics.METRICS[measure].of(counts)
    assert found.wrong[image] == confusion.sum() - np.trace(confusion)


NAMES = ("ground", "cat", "dog")


def test_by_hand():
  """Of 10 ground pixels 3 are taken for cats; of 8 cat pixels 2 for dogs."""
  histogram = np.array([[7, 3, 0], [0, 6, 2], [0, 0, 0]])
  assert confusions(histogram, NAMES, 5) == [
    Confusion("ground", "cat", 3, 3 / 10, 3 / 5),
    Confusion("cat", "dog", 2, 2 / 8, 2 / 5),
  ]
  assert len(confusions(histogram, NAMES, 1)) == 1


def test_nothing_is_wrong():
  assert confusions(np.diag([3, 0, 2]), NAMES, 5) == []


def test_an_error_map_by_hand():
  """Background 0: found, painted over; cat 1: found, missed, taken for 2."""
  label = np.array([[0, 0, 1], [1, 1, 255]], np.uint8)
  prediction = np.array([[0, 2, 1], [0, 2, 2]], np.uint8)
  right, wrong, missed, void = Kind
  found = error_map(label, prediction, background=(0,))
  assert found.dtype == np.uint8
  assert found.tolist() == [[right, wrong, right], [missed, wrong, void]]
  # Where no class is background, nothing is missed.
  found = error_map(label, prediction)
  assert found.tolist() == [[right, wrong, right], [wrong, wrong, void]]


def test_it_counts_what_the_confusion_matrix_counts():
  rng = np.random.default_rng(0)
  label = rng.choice(np.array([0, 1, 2, 255], np.uint8), (9, 11))
  prediction = rng.integers(0, 3, (9, 11), np.uint8)
  counted = metrics.confusion(
    jnp.array(label[None]), jnp.array(prediction[None]), 3
  )
  histogram = np.asarray(counted)[0]
  count = np.bincount(error_map(label, prediction, (0,)).ravel())
  assert count[Kind.RIGHT] == np.trace(histogram)
  assert count[Kind.MISSED] == histogram[1:, 0].sum()
  assert count[:3].sum() == histogram.sum()
  assert count[Kind.VOID] == (label == 255).sum()


def test_every_kind_has_a_name_and_a_colour():
  assert [kind.text for kind in Kind] == ["right", "wrong", "missed", "void"]
  lightness = COLORS @ np.array([0.299, 0.587, 0.114])
  assert len(COLORS) == len(Kind)
  assert (np.diff(lightness) > 25).all()
