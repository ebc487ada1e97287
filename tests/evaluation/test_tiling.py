"""Which tiles are chosen, and what is computed of them."""

import jax
import numpy as np
import pytest
import small_network
from small_nets import random_image

from fcn_jax import devices, models
from fcn_jax.evaluation import tiling
from fcn_jax.evaluation.tta import InMemory, Tta
from fcn_jax.models import tiles

LAYERS = models.declare("fcn_alexnet", 21, width=0.25)


def room(mebibytes: float, shared=False) -> devices.MemoryLimit:
  return devices.MemoryLimit(int(mebibytes * 2**20), "a test", shared)


def test_what_the_flag_says():
  assert [tiling.parse(x) for x in ("auto", "off", "512", 64)] == [
    "auto",
    "off",
    512,
    64,
  ]
  for wrong in ("0", "-5", "on", "1.5", ""):
    with pytest.raises(ValueError, match="give auto, off, or the side"):
      tiling.parse(wrong)


def test_what_fits_is_computed_whole():
  need = 1.5 * tiles.whole_bytes(LAYERS, 1000, 1500) / 2**20
  weights = 4 * models.describe.count_parameters(LAYERS) / 2**20
  enough, little = ((need * share + weights) / 0.9 for share in (1.01, 0.99))
  size = (1000, 1500)
  assert tiling.sides_for(LAYERS, size, room=room(enough)) is None
  assert tiling.sides_for(LAYERS, size, room=room(little)) is not None
  assert tiling.sides_for(LAYERS, size, copies=2, room=room(enough))
  assert tiling.sides_for(LAYERS, size, "off", room=room(1)) is None
  # On a CPU the process itself is in that memory, too.
  assert tiling.sides_for(LAYERS, size, room=room(enough, True)) is not None


def test_tiles_are_as_cheap_as_memory_allows():
  height, width = tiling.sides_for(LAYERS, (20_000, 20_000), room=room(4000))
  assert height == width
  assert tiles.Tile(LAYERS, height, width).cost <= 1.15
  assert tiles.Tile(LAYERS, height - 480, width - 480).cost > 1.15
  less, _ = tiling.sides_for(LAYERS, (20_000, 20_000), room=room(200))
  assert 32 < less < height
  # None is larger than the image, rounded up to the stride.
  assert tiling.sides_for(LAYERS, (90, 40_000), room=room(200))[0] == 96
  assert tiling.sides_for(LAYERS, (9000, 9000), room=room(1)) == (32, 32)


def test_a_given_side_is_rounded_up_to_the_stride():
  assert tiling.sides_for(LAYERS, (600, 800), 500) == (512, 512)
  assert tiling.sides_for(LAYERS, (100, 800), 500) == (128, 512)
  assert tiling.sides_for(LAYERS, (500, 512), 500) is None


def test_every_pixel_is_in_one_tile():
  size, sides = (65, 97), (64, 32)
  seen = np.zeros(size, int)
  for corner in tiling.corners(size, sides):
    seen[tiling.inside(corner, sides, size)] += 1
  assert (seen == 1).all()
  assert len(tiling.corners(size, sides)) == 8


def scores_of(net, image, sides, tiled, views=None):
  scorer = tiling.Scorer(
    net._graphdef, net._state, net.mesh, sides, tiled, views
  )
  found = np.zeros((*image.shape[:2], 3), np.float32)
  for corner, scores in tiling.by_tiles(scorer, InMemory(image)):
    inside = tiling.inside(corner, sides, image.shape[:2])
    rows, columns = (side.stop - side.start for side in inside)
    found[inside] = np.asarray(scores)[0, :rows, :columns]
  return found


@pytest.fixture(scope="module")
def net():
  return small_network.predictor(small_network.random(3))


def test_tiles_of_several_views_are_those_of_the_whole(net):
  """Scaled windows may be a grey level off."""
  image = random_image(np.random.default_rng(0), 65, 97)
  views = Tta.parse("flip,0.75")
  whole = scores_of(net, image, (128, 128), False, views)
  tiled = scores_of(net, image, (64, 64), True, views)
  assert np.abs(np.exp(whole).sum(-1) - 1).max() < 1e-5
  assert np.abs(np.exp(tiled) - np.exp(whole)).max() < 0.02


def test_a_mirrored_image_gets_mirrored_scores(net):
  """Only so if it is seen both ways, and each is turned back."""
  image = random_image(np.random.default_rng(1), 40, 61)
  other = np.ascontiguousarray(image[:, ::-1])
  views = Tta(flip=True)
  one = scores_of(net, image, (64, 64), False, views)
  same = scores_of(net, other, (64, 64), False, views)[:, ::-1]
  np.testing.assert_allclose(one, same, atol=1e-5)
  alone = [
    jax.nn.softmax(scores_of(net, x, (64, 64), False)) for x in (image, other)
  ]
  mean = (alone[0] + alone[1][:, ::-1]) / 2
  np.testing.assert_allclose(np.exp(one), mean, atol=1e-5)
