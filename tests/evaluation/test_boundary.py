"""fcn_jax.evaluation.boundary: bands by hand, and by the paper's erosion."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.evaluation import boundary, metrics

VOID = 255
boundary_counts = jax.jit(boundary.boundary_counts, static_argnums=2)


def counts(label, prediction, classes, extent=None) -> list:
  """Of one image: [label's band, prediction's band, both] of each class."""
  label, prediction = (np.array(a, np.uint8) for a in (label, prediction))
  found = boundary_counts(
    jnp.asarray(label[None]),
    jnp.asarray(prediction[None]),
    classes,
    jnp.asarray([extent or label.shape], jnp.int32),
  )
  return np.asarray(found)[0].tolist()


def test_a_square_by_hand():
  """6 x 6 pixels, d = 1: a cat of 4 x 4 on ground.

  Of the ground all 20 pixels lie at the border of the image or beside the
  cat. Of the cat the 12 at its rim are in its band, the 4 inside are not. The
  prediction has lost its last column: 4 x 3, of which 10 are rim. 2 pixels of
  the label's inside are in this rim; the label's rim has 4 more in the column
  that was lost. Both: 12 - 4 = 8.
  """
  label = np.zeros((6, 6), np.uint8)
  label[1:5, 1:5] = 1
  prediction = label.copy()
  prediction[1:5, 4] = 0
  found = counts(label, prediction, 3)
  # Of the predicted ground the column that was lost is in the band, too.
  assert found == [[20, 24, 20], [12, 10, 8], [0, 0, 0]]
  of_set = metrics.Counts(
    np.zeros((3, 3), int), sums={"boundary": np.array(found)}
  )
  iou = metrics.boundary_iou(of_set)
  assert iou == pytest.approx((20 / 24 + 8 / 14) / 2)


def test_widths_by_hand():
  """2 % of the diagonal: 30, 40 give 50 and 1; VOC's 375, 500 give 625, 12.5.

  45, 60: 75, 1.5, and halves go up. 5000, 12000: 13000, 260.
  """
  sizes = [(1, 1), (30, 40), (45, 60), (44, 60), (375, 500), (5000, 12000)]
  found = boundary.band_width(jnp.array(sizes))
  assert found.tolist() == [1, 1, 2, 1, 13, 260]
  assert boundary.band_width(jnp.array(sizes), 13).tolist()[4:] == [13, 13]


def eroded(mask: np.ndarray) -> np.ndarray:
  """By a 3 x 3 square; there is nothing outside."""
  padded = np.pad(mask, 1)
  height, width = mask.shape
  parts = [
    padded[y : y + height, x : x + width] for y in range(3) for x in range(3)
  ]
  return np.all(parts, axis=0)


def by_the_paper(label, prediction, classes) -> list:
  """mask_to_boundary of the authors' code, for each class' masks."""
  d = max(1, int(0.02 * np.hypot(*label.shape) + 0.5))
  found = []
  for k in range(classes):
    bands = []
    for ids in (label, prediction):
      mask = inside = (ids == k) & (label != VOID)
      for _ in range(d):
        inside = eroded(inside)
      bands.append(mask & ~inside)
    found.append([int(band.sum()) for band in (*bands, bands[0] & bands[1])])
  return found


@pytest.mark.parametrize(("height", "width"), [(9, 14), (60, 97), (150, 110)])
def test_the_papers_erosion(height, width):
  """Of blocks of classes and void, shifted and with noise."""
  rng = np.random.default_rng(height)
  blocks = rng.choice([0, 1, 2, 254, VOID], (height // 13 + 1, width // 13 + 1))
  label = blocks.repeat(13, 0).repeat(13, 1)[:height, :width].astype(np.uint8)
  prediction = np.roll(label, 2, (0, 1))
  prediction[rng.random(label.shape) < 0.002] = 1
  prediction[prediction == VOID] = 0
  expected = by_the_paper(label, prediction, 255)
  assert counts(label, prediction, 255) == expected
  # What is right on all valid pixels is right in the bands.
  right = np.where(label == VOID, prediction, label)
  assert all(a == b == c for a, b, c in counts(label, right, 255))


def test_neither_the_canvas_nor_batch_mates_matter():
  rng = np.random.default_rng(0)
  canvas, sizes = (120, 130), [(120, 100), (7, 9)]
  label = np.full((2, *canvas), VOID, np.uint8)
  prediction = rng.integers(0, 3, (2, *canvas), np.uint8)  # beyond, too
  alone = []
  for i, (h, w) in enumerate(sizes):
    blocks = rng.integers(0, 3, (h // 9 + 1, w // 9 + 1), np.uint8)
    label[i, :h, :w] = blocks.repeat(9, 0).repeat(9, 1)[:h, :w]
    prediction[i, :h, :w] = np.roll(label[i, :h, :w], 3, 1)
    alone.append(counts(label[i, :h, :w], prediction[i, :h, :w], 3))
  together = boundary_counts(
    jnp.asarray(label), jnp.asarray(prediction), 3, jnp.asarray(sizes)
  )
  assert together.tolist() == alone


def test_an_image_of_one_label_is_all_band():
  """Of a classifier: the label is a pixel, whatever the image measures."""
  assert counts([[1]], [[1]], 2, (224, 224)) == [[0, 0, 0], [1, 1, 1]]
  assert counts([[1]], [[0]], 2, (224, 224)) == [[0, 1, 0], [1, 0, 0]]
  assert counts([[VOID]], [[0]], 2, (224, 224)) == [[0, 0, 0], [0, 0, 0]]
