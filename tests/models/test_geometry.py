"""fcn_jax.models.geometry: sizes, offsets and receptive fields, by hand.

Caffe's sizes for every height: see test_parity.
"""

from fractions import Fraction

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from fcn_jax import models
from fcn_jax.models import geometry
from fcn_jax.models import layers as d

LAYERS = models.declare("fcn_alexnet", classes=21)
DATA = d.Data("data", mean_bgr=(0.0, 0.0, 0.0))


def test_an_integer_gives_what_an_array_gives():
  array = geometry.sizes(LAYERS, np.arange(1, 701))
  for n in (1, 30, 31, 375, 500, 700):
    one = geometry.sizes(LAYERS, n)
    assert one == {blob: sizes[n - 1] for blob, sizes in array.items()}


def test_fcn_alexnet_sees_355_pixels_every_32():
  """Row y of score_fr sits at image row 32 y + 13 (4 * 2 * 2 * 2 = 32)."""
  score = geometry.placements(LAYERS)["score_fr"]
  assert score == geometry.Placement(Fraction(32), Fraction(13), 355)
  assert geometry.placements(LAYERS)["score"] == geometry.Placement(
    Fraction(1), Fraction(0), 355
  )


def test_placements_by_hand():
  """Cells of conv: 3 wide, 2 apart, the first one centred on 1 - 1 = 0.

  pool halves again: windows of 2 cells, centred on 2 * 0.5 = 1, seeing
  3 + 2 = 5 pixels.  up puts two rows into each: cell 0 of its kernel of 4 is
  1.5 cells of half the stride before the pool's: 1 - 1.5 * 2 = -2.
  """
  layers = (
    DATA,
    d.Conv("conv", features=1, kernel=3, stride=2, pad=1),
    d.MaxPool("pool", kernel=2, stride=2),
    d.Upscore("up", kernel=4, stride=2),
    d.Crop("crop", like="conv"),
  )
  place = geometry.placements(layers)
  assert place["conv"] == geometry.Placement(Fraction(2), Fraction(0), 3)
  assert place["pool"] == geometry.Placement(Fraction(4), Fraction(1), 5)
  assert place["up"] == geometry.Placement(Fraction(2), Fraction(-2), 5)
  assert place["crop"] == geometry.Placement(Fraction(2), Fraction(0), 5)
  assert geometry.crop_offsets(layers) == {"crop": 1}


@pytest.mark.parametrize(
  ("layer", "n", "expected"),
  [
    (d.Conv("c", features=1, kernel=3, stride=2), 6, 2),  # floor(3 / 2) + 1
    (d.MaxPool("p", kernel=3, stride=2), 6, 3),  # ceil(3 / 2) + 1
    (d.MaxPool("p", kernel=3, stride=2), 7, 3),
    (d.Upscore("u", kernel=63, stride=32), 3, 127),
    (d.LRN("n"), 9, 9),
  ],
)
def test_sizes_by_hand(layer, n, expected):
  assert layer.out_size(n) == expected


@hypothesis.given(
  n=st.integers(1, 300), kernel=st.integers(1, 9), stride=st.integers(1, 5)
)
def test_every_cell_is_in_a_pooling_window(n, kernel, stride):
  """With ceil, windows reach the end, and the last one starts inside."""
  hypothesis.assume(n >= kernel >= stride)
  windows = d.MaxPool("p", kernel=kernel, stride=stride).out_size(n)
  assert (windows - 1) * stride + kernel >= n
  assert (windows - 1) * stride < n
  assert windows == 1 or (windows - 2) * stride + kernel < n


def test_an_image_that_is_too_small_is_refused():
  layers = models.declare("alexnet", classes=2)
  assert geometry.sizes(layers, 227)["fc8"] == 1
  with pytest.raises(
    ValueError, match="100 pixels is too small: fc6 would be empty"
  ):
    geometry.sizes(layers, 100)


def over(*chain):
  return (DATA, *chain, d.Crop("crop", like="data"))


POOL = d.MaxPool("pool", kernel=2, stride=2)


@pytest.mark.parametrize(
  ("layers", "message"),
  [
    (over(POOL), "strides 2 and 1"),
    (over(POOL, d.Upscore("up", kernel=3, stride=2)), "offset 1/2"),
    (over(d.Conv("conv", features=1, kernel=3)), "offset -1"),
  ],
)
def test_what_cannot_be_laid_over_is_refused(layers, message):
  with pytest.raises(ValueError, match=f"crop cannot be .* {message}"):
    geometry.crop_offsets(layers)


def two_streams(*between):
  """conv, and what was pooled and upscored, added."""
  return (
    DATA,
    d.Conv("conv", features=1, kernel=3, pad=1),
    POOL,
    d.Upscore("up", kernel=4, stride=2),
    *between,
    d.Sum("sum", other="conv"),
  )


def test_a_sum_by_hand():
  """pool's cells lie at 1/2 + 2 i, those of up at 1/2 - 3/2 = -1 and on.

  conv sees 3 pixels, pool 4: the sum sees as many.
  """
  layers = two_streams(d.Crop("crop", like="conv"))
  assert geometry.crop_offsets(layers) == {"crop": 1}
  place = geometry.placements(layers)["sum"]
  assert place == geometry.Placement(Fraction(1), Fraction(0), 4)
  assert geometry.sizes(layers, 7)["sum"] == 7


def test_a_sum_of_blobs_that_lie_elsewhere_is_refused():
  with pytest.raises(ValueError, match="sum adds up and conv, whose cells lie"):
    geometry.placements(two_streams())


def test_a_sum_of_two_sizes_is_refused():
  """3 cells pooled in twos are 2, upscored by pairs 4."""
  layers = (
    DATA,
    d.MaxPool("pool", kernel=2, stride=2),
    d.Upscore("up", kernel=2, stride=2),
    d.Sum("sum", other="data"),
  )
  assert geometry.sizes(layers, np.array([2, 4]))["sum"].tolist() == [2, 4]
  with pytest.raises(ValueError, match="3 pixels does not fit: sum adds up"):
    geometry.sizes(layers, np.array([2, 3, 4]))


def test_a_crop_beyond_what_is_cropped_is_refused():
  """8 pixels are 2 cells, upscored to 8 again; 9 pixels are 2 cells, too."""
  layers = over(
    d.Conv("conv", features=1, kernel=4, stride=4),
    d.Upscore("up", kernel=4, stride=4),
  )
  assert geometry.crop_offsets(layers) == {"crop": 0}
  assert geometry.sizes(layers, np.array([4, 8]))["crop"].tolist() == [4, 8]
  message = "9 pixels does not fit: crop would reach beyond up"
  for n in (9, np.array([8, 9, 12])):
    with pytest.raises(ValueError, match=message):
      geometry.sizes(layers, n)


def test_padded_pooling_sizes_by_hand():
  """ceil((n + 2 - 2) / 2) + 1, but for a window of padding alone."""
  pool = d.MaxPool("p", kernel=2, stride=2, pad=1)
  assert [pool.out_size(n) for n in (5, 6, 7)] == [3, 4, 4]


def test_what_lies_over_each_other_already_has_offset_0():
  layers = over(POOL, d.Upscore("up", kernel=2, stride=2))
  assert geometry.crop_offsets(layers) == {"crop": 0}


SEGMENTS = over(
  d.Conv("conv", features=3, kernel=4, stride=4),
  d.Upscore("up", kernel=4, stride=4),
)


def test_a_segmentation_network_scores_each_pixel_for_each_class():
  check = geometry.check_segmentation
  check(SEGMENTS, 3)
  check(SEGMENTS, 3, np.array([[4, 8], [12, 8]]))
  with pytest.raises(ValueError, match="crop has 3 channels for 4 classes"):
    check(SEGMENTS, 4)
  with pytest.raises(ValueError, match="9 pixels does not fit"):
    check(SEGMENTS, 3, np.array([[8, 9]]))
  with pytest.raises(ValueError, match="has a cell every 4 pixels from 3"):
    check(SEGMENTS[:2], 3)
  with pytest.raises(ValueError, match="scores for an image, not for its pix"):
    check(models.declare("vgg16", 3), 3)
  # Pixel over pixel, but the last of five is missing.
  short = (
    DATA,
    d.Conv("conv", features=2, kernel=2, stride=2),
    d.Upscore("up", kernel=2, stride=2),
  )
  check(short, 2, np.array([4]))
  with pytest.raises(ValueError, match="5 pixels does not fit: up is of anoth"):
    check(short, 2, np.array([4, 5]))


def test_the_next_length_that_fits():
  assert geometry.next_fitting(SEGMENTS, 9) == 12
  assert geometry.next_fitting(SEGMENTS, 8) == 8
  never = over(d.Conv("conv", features=1, kernel=999))
  with pytest.raises(ValueError, match="offset"):
    geometry.next_fitting(never, 5)
