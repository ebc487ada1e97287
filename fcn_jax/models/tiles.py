"""A network computed tile by tile, with the numbers of the whole.

From the pixels of a tile one goes back through the declaration: which cells of
each blob are needed, down to the pixels that have to be read (`Tile`).  Then
every layer computes just those cells from windows of the blobs it reads.  What
lies beyond a blob is set to zero, as on a canvas: there Caffe's padding would
have been, so a tile at the border sees what the whole image shows there, and
nothing depends on where the tiles' edges are.

A tile's corner is a multiple of the network's total stride.  So all tiles of
one size need the same cells, only elsewhere, and share one compiled program.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8

from fcn_jax import models
from fcn_jax.models import geometry, ops
from fcn_jax.models import layers as d

# A tile is chosen among many, and these ask every layer.
_places = functools.lru_cache(geometry.placements)
_pairs = functools.lru_cache(d.with_bottoms)
_channels = functools.lru_cache(d.channels)

Span = tuple[int, int]  # first cell, and the one behind the last


class Cells(NamedTuple):
  """What a tile at the image's corner computes of a blob, on one axis.

  Attributes:
    span: its cells; below 0 and behind the last they are zeros.
    reads: the span that is given to the layer of each blob it reads: the
      bottom, then those of the others whose values are read.
    origin: the cell of its own that the first of these windows begins with.
  """

  span: Span
  reads: tuple[Span, ...] = ()
  origin: int = 0


def check_local(layers: d.Layers) -> None:
  """Refuses a network that cannot be computed tile by tile.

  Raises:
    ValueError: a layer that sees the whole image.
  """
  for layer in layers:
    if not layer.local:
      raise ValueError(
        f"{layer.name} ({layer.words}) sees the whole image, so tiles would "
        "change the result; give --tile=off, or a smaller image"
      )


@functools.lru_cache
def total_stride(layers: d.Layers) -> int:
  """Pixels after which the cells of all blobs lie as before."""
  strides = [place.stride for place in _places(layers).values()]
  return math.lcm(*(stride.numerator for stride in strides))


@dataclasses.dataclass(frozen=True)
class Tile:
  """What has to be computed for a tile, as the declaration says.

  Attributes:
    layers: the declaration.
    height, width: of the tile, in pixels: multiples of `total_stride`.
    outputs: names of the blobs that are wanted; of each, the cells from 0 to
      height / stride, and so on in the next tile. By default the scores.
  """

  layers: d.Layers
  height: int
  width: int
  outputs: tuple[str, ...] = ()

  def __post_init__(self):
    check_local(self.layers)
    stride = total_stride(self.layers)
    if (
      self.height < 1
      or self.width < 1
      or (self.height % stride or self.width % stride)
    ):
      raise ValueError(
        f"a tile of {self.height} x {self.width} pixels: sides must be "
        f"multiples of the network's stride, {stride}"
      )

  @functools.cached_property
  def rows(self) -> Mapping[str, Cells]:
    """The rows of every blob that is computed, by layer name."""
    return _cells(self.layers, self.height, self.wanted)

  @functools.cached_property
  def columns(self) -> Mapping[str, Cells]:
    """The columns, likewise."""
    return _cells(self.layers, self.width, self.wanted)

  @property
  def wanted(self) -> tuple[str, ...]:
    """The outputs."""
    return self.outputs or (self.layers[-1].name,)

  @property
  def pixels(self) -> tuple[Span, Span]:
    """Rows and columns of the image that a tile at its corner reads."""
    first = self.layers[0].name
    return self.rows[first].span, self.columns[first].span

  @property
  def halo(self) -> int:
    """By how many pixels it reads beyond its own, at most."""
    sides = (self.height, self.width)
    return max(
      max(-first, end - side, 0)
      for (first, end), side in zip(self.pixels, sides, strict=True)
    )

  @property
  def flops(self) -> int:
    """Operations of a tile, as the layers count them."""
    cells = {
      name: _length(rows.span) * _length(self.columns[name].span)
      for name, rows in self.rows.items()
    }
    return _flops(self.layers, cells)

  @property
  def cost(self) -> float:
    """Operations a pixel, as a multiple of those of an endless image."""
    side = 64 * total_stride(self.layers)
    places = _places(self.layers)
    cells = {name: int(side / places[name].stride) ** 2 for name in self.rows}
    endless = _flops(self.layers, cells) / side**2
    return self.flops / (self.height * self.width) / max(endless, 1e-9)

  @property
  def bytes(self) -> int:
    """Bytes of the blobs that are held at once, see `peak_bytes`."""
    sizes = {
      name: (_length(rows.span), _length(self.columns[name].span))
      for name, rows in self.rows.items()
    }
    return peak_bytes(self.layers, sizes)


def _length(span: Span) -> int:
  return span[1] - span[0]


def _cells(layers: d.Layers, side: int, outputs) -> dict[str, Cells]:
  """What is computed on one axis, from the last layer to the first."""
  places = _places(layers)
  needed = {name: (0, int(side / places[name].stride)) for name in outputs}
  found = {}
  for layer, bottom in reversed(_pairs(layers)):
    if layer.name not in needed:
      continue
    span = needed[layer.name]
    if bottom is None:
      found[layer.name] = Cells(span)
      continue
    here, names = places[layer.name], _read(layer, bottom)
    below = [places[name] for name in (bottom, *layer.others)]
    reached = layer.reads(span[0], span[1] - 1, here, *below)[: len(names)]
    steps = [here.stride / places[name].stride for name in names]
    # A window begins where a cell of its own does: the layer computes the
    # window as if it were the whole, its first cell being cell `origin`.
    grid = math.lcm(*(step.denominator for step in steps))
    origin = min(
      span[0],
      *(
        math.floor(first / step)
        for (first, _), step in zip(reached, steps, strict=True)
      ),
    )
    origin = origin // grid * grid
    reads = tuple(
      (int(origin * step), last + 1)
      for (_, last), step in zip(reached, steps, strict=True)
    )
    found[layer.name] = Cells(span, reads, origin)
    for name, (first, end) in zip(names, reads, strict=True):
      other = needed.get(name, (first, end))
      needed[name] = min(first, other[0]), max(end, other[1])
  return dict(reversed(found.items()))


def _read(layer: d.Layer, bottom: str) -> tuple[str, ...]:
  """The blobs whose values a layer reads."""
  return (bottom, *(layer.others if layer.adds_others else ()))


def _flops(layers: d.Layers, cells: Mapping[str, int]) -> int:
  channels = _channels(layers)
  return sum(
    layer.flops(channels[bottom], cells[bottom], cells[layer.name])
    for layer, bottom in _pairs(layers)
    if bottom and layer.name in cells
  )


def whole_bytes(layers: d.Layers, height: int, width: int) -> int:
  """Bytes of the blobs of a whole image that are held at once."""
  rows, columns = (geometry.sizes(layers, n) for n in (height, width))
  return peak_bytes(layers, {n: (rows[n], columns[n]) for n in rows})


def peak_bytes(layers: d.Layers, sizes: Mapping[str, tuple[int, int]]) -> int:
  """Bytes of the blobs that are held at once in a forward pass, float32.

  A blob is held until the last layer that reads it has run, a layer's windows
  beside what it makes of them.

  Args:
    layers: the declaration.
    sizes: (rows, columns) of every blob that is computed.
  """
  channels = _channels(layers)
  pairs = [(x, below) for x, below in _pairs(layers) if x.name in sizes]
  last = {}
  for number, (layer, bottom) in enumerate(pairs):
    for name in _read(layer, bottom) if bottom else ():
      last[name] = number

  def size(name):
    return 4 * math.prod(sizes[name]) * channels[name]

  held, most = {}, 0
  for number, (layer, bottom) in enumerate(pairs):
    held[layer.name] = size(layer.name)
    windows = sum(map(size, _read(layer, bottom))) if bottom else 0
    most = max(most, sum(held.values()) + windows)
    held = {x: n for x, n in held.items() if last.get(x, number) > number}
  return most


def blobs(
  net: "models.Network",
  tile: Tile,
  window: UInt8[Array, "b h w 3"],
  corner: Int[Array, "b 2"],
  size: Int[Array, "b 2"],
) -> dict[str, Float[Array, "b y x c"]]:
  """A tile's cells of each of its outputs, by layer name.

  They are `net.blobs(image)` there, but for rounding: sums of the same
  numbers, perhaps in another order.

  Args:
    net: of the tile's layers.
    tile: what is wanted.
    window: RGB, the pixels of the image from `corner` and the first of
      `tile.pixels` on; anything where these lie beyond the image.
    corner: (row, column) of each tile, multiples of `total_stride`.
    size: (height, width) of the image.

  Returns:
    float32; without meaning beyond the blob.
  """
  from fcn_jax.models.network import PRECISIONS  # with Flax: a second

  dtype, products = PRECISIONS[net.precision]
  places = _places(net.layers)
  sizes = geometry.sizes(net.layers, size)
  spans = {
    name: (rows.span, tile.columns[name].span)
    for name, rows in tile.rows.items()
  }
  found: dict[str, jax.Array] = {}
  with jax.default_matmul_precision(products):
    for layer, bottom in _pairs(net.layers):
      name = layer.name
      if name not in spans:
        continue
      own = getattr(net, name, None)
      given = d.Pass(window, dtype, own, places, lambda: None)
      rows, columns = tile.rows[name], tile.columns[name]
      corners = (rows.origin, columns.origin)
      if bottom is None:
        out = layer.apply(given)
      else:
        inputs = [
          _window(found[read], spans[read], across)
          for read, *across in zip(
            _read(layer, bottom), rows.reads, columns.reads, strict=True
          )
        ]
        if not layer.adds_others:
          # What it looks at for its size alone ends where its own cells do.
          ends = (rows.span[1], columns.span[1])
          shape = (
            end - first for end, first in zip(ends, corners, strict=True)
          )
          inputs += [jnp.zeros((len(window), *shape, 1))] * len(layer.others)
        out = layer.apply(given, *inputs)
        out = _window(out, tuple((first, 0) for first in corners), spans[name])
      # The last blob is cut by those who asked for it.
      if layer.fills_beyond and name != net.layers[-1].name:
        stride = places[name].stride
        first = corner * stride.denominator // stride.numerator
        first = first + jnp.asarray([span[0] for span in spans[name]])[None]
        out = ops.mask(out, sizes[name], first)
      found[name] = out
  sides = (tile.height, tile.width)
  return {
    name: _window(
      found[name],
      spans[name],
      tuple((0, int(side / places[name].stride)) for side in sides),
    ).astype(jnp.float32)
    for name in tile.wanted
  }


def _window(x, spans, wanted):
  """The rows and columns `wanted` of what holds those of `spans`."""
  (top, _), (left, _) = spans
  (first_row, end_row), (first, end) = wanted
  return x[:, first_row - top : end_row - top, first - left : end - left]
