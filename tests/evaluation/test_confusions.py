"""fcn_jax.confusions: mistakes worked by hand."""

import numpy as np

from fcn_jax.evaluation.confusions import Confusion, confusions

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
