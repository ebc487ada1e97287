"""fcn_jax.worst: rankings worked by hand."""

import numpy as np
import pytest

from fcn_jax.evaluation.errors import image_scores, worst_by_any, worst_images

# Ground and cat. 0: 8 of 10 right, the cat lost: IU 8 / 10 and 0. 1: 6 of 10
# right: IU 4 / 8 and 2 / 6. 2: void alone. 3: all right, without a cat. 4: as
# 0, ten times larger. 5: as 0.
CONFUSIONS = np.array(
  [
    [[8, 0], [2, 0]],
    [[4, 2], [2, 2]],
    [[0, 0], [0, 0]],
    [[9, 0], [0, 0]],
    [[80, 0], [20, 0]],
    [[8, 0], [2, 0]],
  ]
)


def test_scores_of_images_by_hand():
  np.testing.assert_allclose(
    image_scores(CONFUSIONS, "mean_iu"), [0.4, 5 / 12, np.nan, 1, 0.4, 0.4]
  )
  np.testing.assert_allclose(
    image_scores(CONFUSIONS, "pixel_accuracy"), [0.8, 0.6, np.nan, 1, 0.8, 0.8]
  )


def test_the_worst_first_and_void_never():
  assert worst_images(CONFUSIONS, "mean_iu", 20) == [4, 0, 5, 1, 3]
  assert worst_images(CONFUSIONS, "pixel_accuracy", 20) == [1, 4, 0, 5, 3]
  assert worst_images(CONFUSIONS, "pixel_accuracy", 2) == [1, 4]
  assert worst_images(CONFUSIONS, "mean_iu", 0) == []


def test_the_worst_by_any_measure():
  assert worst_by_any(CONFUSIONS, 1) == [1, 4]
  assert worst_by_any(CONFUSIONS, 3) == [0, 1, 4, 5]


def test_another_measure():
  with pytest.raises(ValueError, match="there is mean_iu, pixel_accuracy"):
    image_scores(CONFUSIONS, "loss")
