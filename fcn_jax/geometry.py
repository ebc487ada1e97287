"""Integers only: sizes, strides, receptive fields and crop offsets.

Everything is derived from a declared sequence of layers, on one axis at a
time (height and width follow the same rules).
"""

import dataclasses
from fractions import Fraction

from fcn_jax import declaration as d


def out_size(layer: d.Layer, n, like=None):
  """Output size of one layer on one axis; n is an int or an integer array.

  Caffe's rules: convolution rounds down, pooling rounds up.

  Args:
    layer: the layer.
    n: size of its input.
    like: size of the reference blob, for a Crop.
  """
  match layer:
    case d.Conv():
      return (n + 2 * layer.pad - layer.kernel) // layer.stride + 1
    case d.MaxPool():
      return -((layer.kernel - n) // layer.stride) + 1
    case d.Upscore():
      return layer.stride * (n - 1) + layer.kernel
    case d.Crop():
      return like
    case _:
      return n


def sizes(layers: d.Layers, n) -> dict:
  """Size of every blob, by layer name, for an input of size n (int or array).

  Raises:
    ValueError: a layer's output would be empty (n too small for this network).
  """
  found = {}
  for layer, bottom in d.with_bottoms(layers):
    size = n if bottom is None else found[bottom]
    found[layer.name] = out_size(layer, size, found.get(_like(layer)))
    if isinstance(n, int) and found[layer.name] < 1:
      raise ValueError(
        f"an input of {n} pixels is too small: {layer.name} would have size "
        f"{found[layer.name]}"
      )
  return found


def _like(layer: d.Layer) -> str | None:
  return getattr(layer, "like", None)


@dataclasses.dataclass(frozen=True)
class Placement:
  """Where a blob lies over the image: its cell i is centred on
  `stride * i + start` (in pixels) and sees `field` pixels.

  The field of an upscored blob is that of the cells it was made from.
  """

  stride: Fraction
  start: Fraction
  field: int


def placements(layers: d.Layers) -> dict[str, Placement]:
  """Where every blob of a network lies over the image.

  Raises:
    ValueError: a Crop whose two blobs differ in stride, or whose offset is not
      a whole number of cells, at least 0.
  """
  found: dict[str, Placement] = {}
  for layer, bottom in d.with_bottoms(layers):
    below = found[bottom] if bottom else Placement(Fraction(1), Fraction(0), 1)
    match layer:
      case d.Conv() | d.MaxPool():
        centre = Fraction(layer.kernel - 1, 2) - layer.pad
        place = Placement(
          below.stride * layer.stride,
          below.start + below.stride * centre,
          below.field + int(below.stride * (layer.kernel - 1)),
        )
      case d.Upscore():
        stride = below.stride / layer.stride
        centre = Fraction(layer.kernel - 1, 2) - layer.pad
        place = Placement(stride, below.start - stride * centre, below.field)
      case d.Crop():
        offset = _offset(layer, below, found[layer.like])
        place = Placement(
          below.stride, below.start + offset * below.stride, below.field
        )
      case _:
        place = below
    found[layer.name] = place
  return found


def _offset(layer: d.Crop, blob: Placement, like: Placement) -> int:
  offset = (like.start - blob.start) / blob.stride
  if blob.stride != like.stride or offset.denominator != 1 or offset < 0:
    raise ValueError(
      f"{layer.name} cannot be laid over {layer.like}: strides {blob.stride} "
      f"and {like.stride}, offset {offset}; the offset must be a whole number "
      "of cells, at least 0. Change a pad or a kernel."
    )
  return int(offset)


def crop_offsets(layers: d.Layers) -> dict[str, int]:
  """The offset, in cells, of every Crop, derived from the layers before it."""
  place = placements(layers)
  return {
    layer.name: _offset(layer, place[bottom], place[layer.like])
    for layer, bottom in d.with_bottoms(layers)
    if isinstance(layer, d.Crop)
  }
