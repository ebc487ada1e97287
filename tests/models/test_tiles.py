"""Tiles give the scores of the whole image, whatever the network."""

import dataclasses
import functools
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from small_nets import (
  each_network,
  random_image,
  randomise,
  reference,
  reference_blobs,
  skip_net,
)

from fcn_jax import models
from fcn_jax.models import geometry, tiles
from fcn_jax.models import layers as d

WIDTH = (2, 4, 4, 4, 4, 6, 6)
FCNS = [name for name in models.NETWORKS if name.startswith("fcn")]
NAMES = [*FCNS, "norm_pool", "skip", "dilated"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dilated(d.Layer):
  """Mean of two cells, `gap` rows and columns apart; says `place` alone."""

  gap: int

  def out_size(self, below):
    return below - self.gap

  def place(self, below):
    return d.Placement(
      below.stride,
      below.start + below.stride * self.gap / 2,
      below.field + int(below.stride * self.gap),
    )

  def apply(self, given, x):
    return (x[:, : -self.gap, : -self.gap] + x[:, self.gap :, self.gap :]) / 2


def dilated_net():
  """Strides 3 and 2, and a layer that the package does not know."""
  return randomise(
    (
      d.Data("data", mean_bgr=(100.0, 110.0, 120.0)),
      d.Conv("conv1", features=4, kernel=4, stride=3, pad=30),
      d.MaxPool("pool1", kernel=3, stride=2, pad=1),
      Dilated("dilated", gap=5),
      d.score("score_fr", 5),
      d.Upscore("upscore", kernel=12, stride=6),
      d.Crop("score", like="data"),
    ),
    seed=5,
  )


@functools.cache
def network(name):
  """A narrow network."""
  if name == "skip":
    net = skip_net(seed=5)
  elif name == "dilated":
    net = dilated_net()
  else:
    order = {"order": name} if name == "norm_pool" else {}
    declared = models.declare(
      "fcn_alexnet" if order else name, 5, width=WIDTH, **order
    )
    net = randomise(declared, seed=5)
  return net


def whole(name, image):
  """Its scores of an image, in numpy where there is a reference."""
  net = network(name)
  if name in ("dilated", "fcn_alexnet_owt"):
    return np.asarray(net(jnp.asarray(image[None])))[0]
  return reference(net, image)


@functools.cache
def program(name, tile):
  graphdef, state = nnx.split(network(name))

  @jax.jit
  def run(window, corner, size):
    return tiles.blobs(nnx.merge(graphdef, state), tile, window, corner, size)

  return run


def cut(image, tile, top, left):
  """The pixels that a tile reads; 77 beyond the image."""
  (first_row, end_row), (first, end) = tile.pixels
  window = np.full((end_row - first_row, end - first, 3), 77, np.uint8)
  rows = np.arange(top + first_row, top + end_row)
  columns = np.arange(left + first, left + end)
  here = np.ix_(
    (rows >= 0) & (rows < image.shape[0]),
    (columns >= 0) & (columns < image.shape[1]),
  )
  there = np.ix_(
    rows[(rows >= 0) & (rows < image.shape[0])],
    columns[(columns >= 0) & (columns < image.shape[1])],
  )
  window[here] = image[there]
  return window


def tiled(name, image, tile):
  """The scores of an image, stitched from tiles."""
  height, width = image.shape[:2]
  scores = np.full((height, width, 5), np.nan, np.float32)
  for top in range(0, height, tile.height):
    for left in range(0, width, tile.width):
      found = program(name, tile)(
        cut(image, tile, top, left)[None],
        np.array([[top, left]], np.int32),
        np.array([[height, width]], np.int32),
      )
      rows = min(tile.height, height - top)
      columns = min(tile.width, width - left)
      scores[top : top + rows, left : left + columns] = np.asarray(
        found["score"]
      )[0, :rows, :columns]
  return scores


# (height, width) in strides of the network, and pixels that are added; tiles
# are of two strides. Last tiles of one pixel, an image smaller than a halo and
# of odd sides, a single row.
SIZES = [((2, 3), (1, 1)), ((1, 1), (-1, 13)), ((0, 2), (1, 1))]


@pytest.mark.parametrize("name", each_network(NAMES))
def test_tiles_are_the_whole(name):
  net = network(name)
  stride = tiles.total_stride(net.layers)
  tile = tiles.Tile(net.layers, 2 * stride, 2 * stride)
  for i, (strides, more) in enumerate(SIZES):
    size = [n * stride + m for n, m in zip(strides, more, strict=True)]
    image = random_image(np.random.default_rng(i), *size)
    ours = tiled(name, image, tile)
    theirs = whole(name, image)
    largest = np.abs(theirs).max()
    assert np.abs(ours - theirs).max() < 1e-5 * largest
    best, second = np.sort(theirs, -1)[..., :-3:-1].transpose(2, 0, 1)
    sure = best - second > 1e-5 * largest
    assert sure.mean() > 0.99
    assert (ours.argmax(-1) == theirs.argmax(-1))[sure].all()


def test_cells_by_hand():
  """FCN-AlexNet, tiles of 64: worked from the last layer to the first.

  score 0..63 are upscore 18..81; cell i of score_fr reaches upscore 32 i to
  32 i + 62, so 18..81 needs cells -1..2. fc6 reads -1..7 of pool5, pool5
  2 * -1 .. 2 * 7 + 2 of conv5, which with conv4 and conv3 reads three more,
  -5..19 of pool2. pool2 reads conv2 -10..40, conv2 reads pool1 -12..42, pool1
  reads conv1 -24..86, conv1 reads the pixels 4 * -24 - 100 .. 4 * 86 - 90.
  """
  layers = models.declare("fcn_alexnet", 5, width=WIDTH)
  tile = tiles.Tile(layers, 64, 96)
  rows = tile.rows
  assert rows["score"].span == (0, 64)
  assert rows["score_fr"].span == (-1, 3)
  assert rows["pool5"].span == (-1, 8)
  assert rows["conv5"].span == (-2, 17)
  assert rows["pool2"].span == (-5, 20)
  assert rows["pool1"].span == (-12, 43)
  assert rows["conv1"].span == (-24, 87)
  assert tile.pixels[0] == (-196, 255)
  assert tile.pixels[1] == (-196, 287)
  assert tile.halo == 196
  assert tiles.total_stride(layers) == 32


def test_every_blob_can_be_stitched():
  """Each tile gives its cells of all blobs, those beyond the image too."""
  net = network("fcn_alexnet8s")
  names = ("conv1", "pool2", "fc7", "score")
  tile = tiles.Tile(net.layers, 64, 64, names)
  image = random_image(np.random.default_rng(0), 70, 50)
  theirs = reference_blobs(net, image)
  places = geometry.placements(net.layers)
  run = program("fcn_alexnet8s", tile)
  size = np.array([[70, 50]], np.int32)
  stitched = {name: np.zeros(theirs[name].shape) for name in names}
  for top in range(0, 5 * 64, 64):
    for left in range(0, 5 * 64, 64):
      found = run(
        cut(image, tile, top, left)[None],
        np.array([[top, left]], np.int32),
        size,
      )
      for name, blob in found.items():
        stride = places[name].stride
        here = stitched[name][int(top / stride) :, int(left / stride) :]
        rows, columns = (min(64 / stride, n) for n in here.shape[:2])
        here[: int(rows), : int(columns)] = blob[0, : int(rows), : int(columns)]
  for name in names:
    worst = np.abs(stitched[name] - theirs[name]).max()
    assert worst < 1e-5 * np.abs(theirs[name]).max(), name


def test_cost_falls_towards_that_of_the_whole():
  layers = models.declare("fcn_alexnet", 21)
  costs = [tiles.Tile(layers, n, n).cost for n in (512, 1024, 2048, 8192)]
  assert costs == sorted(costs, reverse=True)
  assert costs[0] > 1.5
  assert 1 < costs[2] < 1.3
  assert costs[3] < 1.06


def test_bytes_by_hand():
  """conv1's window and its blob: 4 * (8 * 8 * 3 * 2 + 8 * 8 * 4)."""
  layers = (
    d.Data("data", mean_bgr=(0.0, 0.0, 0.0)),
    d.Conv("conv1", features=4, kernel=1),
    d.score("score", 2),
  )
  assert tiles.whole_bytes(layers, 8, 8) == 4 * 64 * (4 * 2 + 2)
  assert tiles.Tile(layers, 8, 8).bytes == tiles.whole_bytes(layers, 8, 8)
  layers = layers[:2]
  assert tiles.whole_bytes(layers, 8, 8) == 4 * 64 * (3 * 2 + 4)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageMean(d.Layer):
  """What a parsing network adds: the mean of the whole image."""

  words = "mean of all cells"
  local: ClassVar[bool] = False

  def apply(self, given, x):
    return x + x.mean((1, 2), keepdims=True)


def test_what_sees_the_whole_image_is_refused():
  layers = (
    d.Data("data", mean_bgr=(0.0, 0.0, 0.0)),
    ImageMean("context"),
    d.score("score", 2),
  )
  with pytest.raises(ValueError, match=r"context .* sees the whole image"):
    tiles.Tile(layers, 8, 8)


def test_a_finer_blob_has_to_be_explained():
  """Of a layer that makes cells finer its place does not tell what it reads."""

  class Doubled(d.Layer):
    def out_size(self, below):
      return 2 * below

    def place(self, below):
      return dataclasses.replace(below, stride=below.stride / 2)

  layers = (d.Data("data", mean_bgr=(0.0, 0.0, 0.0)), Doubled("doubled"))
  with pytest.raises(ValueError, match=r"doubled: Doubled makes .* `reads`"):
    _ = tiles.Tile(layers, 8, 8).rows


def test_a_tile_off_the_stride_is_refused():
  layers = models.declare("fcn_alexnet", 5, width=WIDTH)
  with pytest.raises(ValueError, match="multiples of the network's stride, 32"):
    tiles.Tile(layers, 500, 512)
