"""fcn_jax.evaluation.per_image: sparse counts are the dense ones, and small."""

import tracemalloc

import numpy as np
import pytest

from fcn_jax.evaluation.per_image import PerImage
from fcn_jax.evaluation.scores import Evaluation

ARRAYS = np.array([[[3, 1], [0, 2]], [[0, 0], [0, 0]], [[0, 0], [4, 0]]])


def test_by_hand():
  found = PerImage.of(ARRAYS)
  assert found.image.tolist() == [0, 0, 0, 2]
  assert found.cell.tolist() == [0, 1, 3, 2]
  assert found.number.tolist() == [3, 1, 2, 4]
  assert len(found) == 3
  np.testing.assert_array_equal(np.stack([*found]), ARRAYS)
  assert found.sum().tolist() == [[3, 1], [4, 2]]
  assert found.sum(np.array([2, 5, 1])).tolist() == [[6, 2], [4, 4]]
  assert [a.tolist() for a in found.entries(2)] == [[2], [4]]
  with pytest.raises(IndexError, match="image 3 of 3"):
    found[3]


def test_parts_are_brought_in_order():
  """The first part holds images 2 and 0, the second image 1."""
  parts = [PerImage.of(ARRAYS[[2, 0]]), PerImage.of(ARRAYS[[1]])]
  found = PerImage.joined(parts, [2, 0, 1])
  np.testing.assert_array_equal(np.stack([*found]), ARRAYS)
  assert found.image.tolist() == [0, 0, 0, 2]


def peak(images: int, classes: int = 255, cells: int = 20) -> tuple[int, int]:
  """Bytes held by an evaluation of so many images, and the most in use."""
  rng = np.random.default_rng(0)
  cell = [
    np.sort(rng.choice(classes**2, cells, replace=False)) for _ in range(images)
  ]
  image = np.repeat(np.arange(images, dtype=np.int32), cells)
  confusions = PerImage(
    images,
    (classes, classes),
    image,
    np.concatenate(cell).astype(np.int32),
    rng.integers(1, 9999, images * cells, np.int32),
  )
  of_each = np.full(images, 9)
  tracemalloc.start()
  evaluation = Evaluation(
    class_names=tuple(f"class {i}" for i in range(classes)),
    image_ids=tuple(f"id{i}" for i in range(images)),
    confusions=confusions,
    losses=of_each.astype(float),
    valid=of_each,
    right=of_each,
    pixels=of_each,
  )
  evaluation.figures()
  evaluation.ranking.worst_by_any(20)
  evaluation.intervals(resamples=2)
  _, most = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  arrays = (confusions.image, confusions.cell, confusions.number)
  return sum(array.nbytes for array in arrays), most


def test_memory_grows_with_what_is_there_not_with_the_classes_squared():
  """255 x 255 counts of 400 images would be 104 MB; there are 20 an image.

  Beside what grows with the images a few matrices of the set are held.
  """
  (held, most), (held_of_4, most_of_4) = peak(100), peak(400)
  assert held == 100 * 20 * 12
  assert held_of_4 == 4 * held
  of_an_image = (most_of_4 - most) / 300
  assert of_an_image < 20 * 12 * 8
  assert most < 20 * 255**2 * 8
