"""Views of an image, and how their probabilities come back to its pixels."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from small_nets import random_image

from fcn_jax.evaluation import tta
from fcn_jax.evaluation.tta import InMemory, Scaled, Tta


def test_what_the_flag_says():
  assert Tta.parse("") is None
  assert Tta.parse("flip") == Tta((1.0,), flip=True)
  assert Tta.parse("flip,0.75,1,1.25") == Tta((0.75, 1.0, 1.25), flip=True)
  assert Tta.parse(" 0.5, 2") == Tta((0.5, 2.0))
  assert str(Tta.parse("flip,0.75,1")) == "flip,0.75,1"
  for wrong in ("flop", "0", "-1", "nan", "9", "1;2"):
    with pytest.raises(ValueError, match="neither flip nor a scale"):
      Tta.parse(wrong)


def test_every_view_once():
  source = InMemory(np.zeros((10, 7, 3), np.uint8))
  views = Tta((0.5, 1.0), flip=True).of(source)
  assert [(v.scale[0], v.mirrored, v.size) for v in views] == [
    (0.5, False, (5, 4)),  # 3.5 pixels are 4
    (0.5, True, (5, 4)),
    (1.0, False, (10, 7)),
    (1.0, True, (10, 7)),
  ]
  assert Tta((1.5, 0.5)).copies == 1.5**2 + 1


def test_a_window_has_zeros_beyond_the_image():
  image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) + 1
  found = tta.window(InMemory(image), (-1, 3), (1, 5))
  expected = np.zeros((4, 4, 3), np.uint8)
  expected[1:3, :2] = image[:, 1:]
  np.testing.assert_array_equal(found, expected)
  assert not tta.window(InMemory(image), (2, 4), (-9, -1)).any()


@pytest.mark.parametrize("scale", [0.4, 0.75, 1.3])
def test_a_window_of_a_scaled_image_is_cut_out_of_the_whole(scale):
  """Within a grey level: Pillow rounds where a window begins."""
  image = random_image(np.random.default_rng(0), 61, 83)
  view = Scaled(InMemory(image), (scale, scale))
  whole = Image.fromarray(image).resize(
    view.size[::-1], Image.Resampling.BILINEAR
  )
  whole = np.asarray(whole).astype(int)
  for rows, columns in (((0, 9), (3, 20)), ((11, 24), (20, view.size[1]))):
    inside = (slice(*rows), slice(*columns))
    assert np.abs(view.read(rows, columns) - whole[inside]).max() <= 1
    mirrored = Scaled(InMemory(image), (scale, scale), mirrored=True)
    there = whole[:, ::-1][inside]
    assert np.abs(mirrored.read(rows, columns) - there).max() <= 1


def test_positions_by_hand():
  """Pixels 0..3 of 4 seen as 2: (i + 1/2) / 2 - 1/2 = -1/4, 1/4, 3/4, 5/4."""
  before, weight = tta.positions((0, 4), 4, 2)
  assert before.tolist() == [0, 0, 0, 0]
  assert weight.tolist() == [0, 0.25, 0.75, 1]  # not beyond the last centre
  before, weight = tta.positions((1, 3), 4, 2, mirrored=True)
  assert (before + weight).tolist() == [0.75, 0.25]
  before, weight = tta.positions((2, 5), 3, 6)  # one pixel, and beyond: 4.5
  assert (before + weight).tolist() == [4.5, 5, 5]
  before, weight = tta.positions((0, 2), 2, 1)
  assert (before.tolist(), weight.tolist()) == ([0, 0], [0, 0])


def test_probabilities_are_laid_back_bilinearly():
  """Between 1/5 and 4/5 of a class, on both axes."""
  scores = np.log(np.array([[1, 4], [4, 1]], np.float32))  # [y, class]
  scores = np.repeat(scores[None, :, None], 3, 2)
  rows = (np.zeros((1, 3), np.int32), np.array([[0, 0.5, 1]], np.float32))
  columns = (np.array([[0, 2]], np.int32), np.array([[0.7, 0]], np.float32))
  found = np.asarray(tta.laid_back(jnp.asarray(scores), rows, columns))
  assert found.shape == (1, 3, 2, 2)
  np.testing.assert_allclose(found[0, :, 0, 0], [0.2, 0.5, 0.8], rtol=1e-5)
  np.testing.assert_allclose(found[0, :, 1, 1], [0.8, 0.5, 0.2], rtol=1e-5)
