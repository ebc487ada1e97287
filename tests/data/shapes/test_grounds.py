import numpy as np
import pytest

from fcn_jax.data.shapes import grounds


def test_blend_by_hand():
  a = np.zeros((1, 3, 3), np.float32)
  b = np.full((1, 3, 3), 4.0, np.float32)
  t = np.array([[-1.0, 0.25, 2.0]])
  assert grounds.blend(a, b, t)[0, :, 0] == pytest.approx([0, 1, 4])


def test_noise_is_smooth_and_of_unit_deviation():
  field = grounds.noise(np.random.default_rng(0), 200, 240, 20, 24)
  assert field.shape == (200, 240)
  assert 0.5 < field.std() < 1.1
  # Ten pixels to a cell: neighbours differ little.
  assert np.abs(np.diff(field, axis=1)).max() < 1.0


@pytest.mark.parametrize("paint", grounds.GROUNDS)
def test_every_ground_is_rgb_about_0_to_1(paint):
  y = np.broadcast_to(
    np.linspace(0, 1, 50, dtype=np.float32)[:, None], (50, 70)
  )
  picture = paint(np.random.default_rng(3), 50, 70, y)
  assert picture.shape == (50, 70, 3)
  assert -0.3 < picture.min() < picture.max() < 1.7
  assert 0.15 < picture.mean() < 1.0


def test_grounds_vary_and_repeat_with_the_seed():
  def draw(seed):
    return grounds.ground(np.random.default_rng(seed), 31, 47)

  assert draw(0).shape == (31, 47, 3)
  assert draw(0).dtype == np.float32
  assert (draw(0) == draw(0)).all()
  means = np.array([draw(seed).mean((0, 1)) for seed in range(20)])
  assert means.std(0).min() > 0.05
