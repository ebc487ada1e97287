"""fcn_jax.reports.maps: pixels of small pictures."""

import numpy as np
from painted import png_pixels as pixels

from fcn_jax.reports import maps


def test_the_scale_goes_from_dark_blue_to_yellow():
  """Nine places; half way between the first two is (13, 45, 94.5)."""
  assert maps.colors(9).tolist() == [list(rgb) for rgb in maps.SCALE]
  assert maps.colors(17)[1].tolist() == [13, 45, 94]
  light = maps.colors(64) @ [0.2126, 0.7152, 0.0722]
  assert (np.diff(light) >= 0).all()


def test_a_map_is_coloured_from_low_to_high():
  values = np.array([[-1.0, 3.0], [1.0, 9.0]], np.float32)
  found = pixels(maps.map_picture(values, -1, 3))
  steps = maps.colors(64)
  assert found[0].tolist() == [steps[0].tolist(), steps[63].tolist()]
  # A half of 63 is rounded to the even 32; beyond the scale is its end.
  assert found[1].tolist() == [steps[32].tolist(), steps[63].tolist()]


def test_a_flat_map_is_dark():
  found = pixels(maps.map_picture(np.full((2, 3), 7.0, np.float32), 7, 7))
  assert (found == maps.SCALE[0]).all()


def test_large_maps_are_averaged():
  """256 x 128 with one value of 4: a quarter of it in one pixel."""
  values = np.zeros((256, 128), np.float32)
  values[10, 20] = 4
  found = maps.thumbnail(values)
  assert found.shape == (128, 64)
  assert found[5, 10] == 1
  assert found.sum() == 1
  small = np.arange(6, dtype=np.float32).reshape(2, 3)
  np.testing.assert_array_equal(maps.thumbnail(small), small)


def test_a_filter_shows_its_weights_as_rgb():
  """In blue, green, red: zero is 128, the largest 255, half against it 64."""
  weights = np.zeros((2, 2, 3), np.float32)
  weights[0, 0] = (0.2, 0, -0.1)
  weights[1, 1] = (0, 0, 0.2)
  found = pixels(maps.filter_picture(weights))
  assert found[0, 0].tolist() == [64, 128, 255]
  assert found[1, 1].tolist() == [255, 128, 128]
  assert found[0, 1].tolist() == [128, 128, 128]
  empty = pixels(maps.filter_picture(np.zeros((1, 1, 3), np.float32)))
  assert empty.tolist() == [[[128, 128, 128]]]


def test_heights_are_logarithms():
  assert maps.heights(np.array([0, 1, 3])) == [0, 0.5, 1]
