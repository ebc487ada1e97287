"""Scores of images that a device cannot take whole, and of several views.

What `models.tiles` says of a network is carried out here: the tile is chosen by
what there is of memory and by what tiles cost, pixels are cut out of the image,
and all devices get a tile each.
"""

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fcn_jax import devices
from fcn_jax.data.canvases import own_canvas
from fcn_jax.evaluation import tta
from fcn_jax.evaluation.tta import Pixels, Tta, window
from fcn_jax.models import geometry, tiles
from fcn_jax.models import layers as d
from fcn_jax.models.describe import count_parameters

AUTO, OFF = "auto", "off"
Corner = tuple[int, int]  # row and column of a tile's first pixel
Sides = tuple[int, int]  # height and width of a tile

# A tile is not made larger than this asks for: operations a pixel, as a
# multiple of those of an endless image.
_CHEAP = 1.15
_TIGHT = 0.9  # share of the memory from which an image may not fit
# Beside the blobs: on a CPU Python, libraries and the compiler; and what XLA's
# plans were above the bytes of the blobs in `models.tiles` (0.7 to 1.1 of them
# for FCN-AlexNet and FCN-8s at a quarter of their width and whole).
_PROCESS = 600 * 2**20
_PLANNED = 1.5


def parse(given: str | int) -> str | int:
  """What --tile says: 'auto', 'off' or the side of a tile in pixels.

  Raises:
    ValueError: something else.
  """
  words = str(given)
  if words in (AUTO, OFF):
    return words
  if words.isascii() and words.isdigit() and int(words):
    return int(words)
  raise ValueError(
    f"--tile={given}: give auto, off, or the side of a tile in pixels"
  )


def sides_for(
  layers: d.Layers,
  size: tuple[int, int],
  tile: str | int = AUTO,
  copies: float = 1,
  room: devices.MemoryLimit | None = None,
  seen: tuple[int, int] | None = None,
) -> Sides | None:
  """The tiles of an image; None: it is computed whole.

  Args:
    layers: the declaration.
    size: (height, width) of the image.
    tile: 'auto': tiles where the whole does not fit into memory, as small as
      costs 15 % more than the whole, or as memory allows; 'off': never;
      a number: tiles of this side, rounded up to the network's stride.
    copies: images that one device computes at once; see `Tta.copies`.
    room: what memory there is; None: as `devices.memory_limit` says, and all
      fits where that does not know.
    seen: (height, width) at which the network sees the image, where it is
      resized; None: its own.

  Raises:
    ValueError: a layer sees the whole image, and it does not fit.
  """
  if tile == OFF:
    return None
  stride = tiles.total_stride(layers)
  if tile != AUTO:
    side = -(-tile // stride) * stride
    tiles.check_local(layers)
    return None if max(size) <= side else _at_most(size, side, stride)
  room = room or devices.memory_limit()
  if room is None:
    return None
  left = _TIGHT * room.bytes - 4 * _parameters(layers)
  left -= _PROCESS if room.shared else 0
  whole = copies * _PLANNED * _bytes_of_whole(layers, seen or size)
  if seen:
    whole += copies * _bytes_laid_back(layers, size)
  if whole <= left:
    return None
  chosen = _at_most(size, stride, stride)
  for side in _candidates(stride, max(size)):
    sides = _at_most(size, side, stride)
    found = tiles.Tile(layers, *sides)
    if copies * _PLANNED * found.bytes > left:
      break
    chosen = sides
    if found.cost <= _CHEAP:
      break
  return chosen


# An image at a time, and asked for each.
_parameters = functools.lru_cache(count_parameters)


@functools.lru_cache
def _bytes_of_whole(layers: d.Layers, size: tuple[int, int]) -> int:
  canvas = (geometry.next_fitting(layers, n) for n in size)
  return tiles.whole_bytes(layers, *canvas)


def _bytes_laid_back(layers: d.Layers, size: tuple[int, int]) -> int:
  """Of the scores of an image that were brought back to its size.

  They are there three times: as probabilities, their sum and its logarithm.
  """
  return 3 * 4 * math.prod(size) * d.channels(layers)[layers[-1].name]


def _at_most(size: tuple[int, int], side: int, stride: int) -> Sides:
  """A tile of this side, no larger than the image rounded up to the stride."""
  height, width = (min(side, -(-n // stride) * stride) for n in size)
  return height, width


def _candidates(stride: int, largest: int) -> Iterator[int]:
  """Sides of tiles, each some quarter larger than the one before."""
  side = stride
  while side < largest + stride:
    yield side
    side += max(1, side // (4 * stride)) * stride


def corners(size: tuple[int, int], sides: Sides) -> list[Corner]:
  """Where the tiles of an image begin, row by row."""
  rows, columns = (
    range(0, n, side) for n, side in zip(size, sides, strict=True)
  )
  return [(top, left) for top in rows for left in columns]


def inside(
  corner: Corner, sides: Sides, size: tuple[int, int]
) -> tuple[slice, slice]:
  """The rows and columns of an image that a tile covers."""
  rows, columns = (
    slice(first, min(n, first + side))
    for first, side, n in zip(corner, sides, size, strict=True)
  )
  return rows, columns


def within(place: tuple[slice, slice]) -> tuple[slice, slice]:
  """The rows and columns of `inside`, counted from the tile's own first."""
  rows, columns = (slice(side.stop - side.start) for side in place)
  return rows, columns


@dataclasses.dataclass(frozen=True, eq=False)
class Scorer:
  """Scores of images' tiles, or of whole images on a canvas.

  Attributes:
    graphdef, states: of the network, from `nnx.split`; the states on all
      devices.
    mesh: the devices.
    sides: of the tiles, or of the canvas.
    tiled: whether images are divided; else each is computed whole, at the top
      left of the canvas.
    views: how often an image is seen; None: once, as it is. Then the scores are
      the logarithms of the mean probabilities, whose softmax these are.
  """

  graphdef: Any
  states: Sequence[Any]
  mesh: jax.sharding.Mesh
  sides: Sides
  tiled: bool = True
  views: Tta | None = None

  def __call__(
    self, parts: Sequence[tuple[Pixels, Corner]]
  ) -> Float[Array, "b h w c"]:
    """The scores of some tiles, on the devices.

    Args:
      parts: images and the corners of their tiles, as `corners` gives them;
        (0, 0) where images are whole.

    Returns:
      Scores of tile i at [i]: those of the pixels from its corner on, without
      meaning beyond the image. As many as parts, rounded up to a multiple of
      the number of devices.
    """
    count = devices.divisible(len(parts), self.mesh)
    parts = [*parts, *[parts[-1]] * (count - len(parts))]
    if self.views is None:
      return self._scores(parts, self.sides)
    seen = [self.views.of(source) for source, _ in parts]
    total = None
    for views in zip(*seen, strict=True):
      shares = self._laid_back(parts, views)
      total = shares if total is None else total + shares
    # A probability of 0 has a logarithm that sums stay finite with.
    mean = total / len(seen[0])
    return jnp.log(jnp.maximum(mean, jnp.finfo(mean.dtype).tiny))

  def _laid_back(self, parts, views) -> Float[Array, "b h w c"]:
    """Probabilities of the parts, as the network saw them in these views."""
    stride = tiles.total_stride(self._layers)
    extra = 4 + (stride - 1 if self.tiled else 0)
    scale = np.max([view.scale for view in views], axis=0).tolist()
    sides = tuple(
      -(-(math.ceil(side * factor) + extra) // stride) * stride
      for side, factor in zip(self.sides, scale, strict=True)
    )
    if not self.tiled:
      if self.views.resize:
        # Of every size of image these would be others.
        largest = np.max([view.size for view in views], axis=0)
        sides = own_canvas(tuple(largest.tolist()))
      sides = tuple(geometry.next_fitting(self._layers, side) for side in sides)
    asked, axes = [], ([], [])
    for (source, corner), view in zip(parts, views, strict=True):
      begin = []
      for axis, found in enumerate(axes):
        first, n = corner[axis], view.size[axis]
        before, weight = tta.positions(
          (first, first + self.sides[axis]),
          source.size[axis],
          n,
          mirrored=view.mirrored and axis == 1,
        )
        start = int(before.min()) // stride * stride if self.tiled else 0
        begin.append(start)
        found.append((before - start, weight))
      asked.append((view, tuple(begin)))
    rows, columns = (
      tuple(np.stack(arrays) for arrays in zip(*axis, strict=True))
      for axis in axes
    )
    scores = self._scores(asked, sides)
    return tta.laid_back(
      scores,
      devices.shard(rows, self.mesh),
      devices.shard(columns, self.mesh),
    )

  def _scores(self, parts, sides: Sides) -> Float[Array, "b h w c"]:
    for source, _ in parts:
      for n in source.size:
        geometry.sizes(self._layers, n)
    size = np.array([source.size for source, _ in parts], np.int32)
    if not self.tiled:
      whole = tuple((0, side) for side in sides)
      images = np.stack([window(source, *whole) for source, _ in parts])
      given = devices.shard((images, size), self.mesh)
      return forward(self.graphdef, *self.states, *given)
    tile = tiles.Tile(self._layers, *sides)
    images = np.stack(
      [window(source, *pixels_of(tile, corner)) for source, corner in parts]
    )
    corner = np.array([corner for _, corner in parts], np.int32)
    given = devices.shard((images, corner, size), self.mesh)
    return _of_tiles(self.graphdef, tile, *self.states, *given)

  @functools.cached_property
  def _layers(self):
    return layers_of(self.graphdef, self.states)


def layers_of(graphdef: Any, states: Sequence[Any]) -> d.Layers:
  """The declaration of a network that was split."""
  from flax import nnx

  return nnx.merge(graphdef, *states).layers


def by_tiles(
  scorer: Scorer, source: Pixels, places: Sequence[Corner] | None = None
) -> Iterator[tuple[Corner, Float[Array, "1 h w c"]]]:
  """The scores of an image, tile by tile; of one computed whole, at once.

  Args:
    scorer: of images of this size.
    source: the image.
    places: corners of the tiles that are wanted; None: all.
  """
  if places is None:
    places = corners(source.size, scorer.sides) if scorer.tiled else [(0, 0)]
  at_once = scorer.mesh.size
  for number in range(0, len(places), at_once):
    some = places[number : number + at_once]
    scores = scorer([(source, corner) for corner in some])
    for i, corner in enumerate(some):
      yield corner, scores[i : i + 1] if at_once > 1 else scores


def pixels_of(
  tile: tiles.Tile, corner: Corner
) -> tuple[tiles.Span, tiles.Span]:
  """The rows and columns that a tile at this corner reads."""
  return tuple(
    (begin + first, begin + end)
    for begin, (first, end) in zip(corner, tile.pixels, strict=True)
  )


@functools.partial(jax.jit, static_argnums=0)
def forward(graphdef, params, frozen, image, extent):
  """Scores [b, h, w, classes]; one program per declaration and canvas."""
  from flax import nnx

  return nnx.merge(graphdef, params, frozen)(image, extent)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _of_tiles(graphdef, tile, params, frozen, image, corner, size):
  from flax import nnx

  net = nnx.merge(graphdef, params, frozen)
  return tiles.blobs(net, tile, image, corner, size)[tile.wanted[0]]
