"""Integers only: sizes, strides, receptive fields and crop offsets.

Everything is derived from a declared sequence of layers, on one axis at a
time (height and width follow the same rules).
"""

import dataclasses
from fractions import Fraction

import numpy as np

from fcn_jax.models import layers as d


def out_size(layer: d.Layer, n, like=None):
  """Output size of one layer on one axis; n is an int or an integer array.

  Caffe's rules: convolution rounds down, pooling rounds up.

  Args:
    layer: the layer.
    n: size of its input.
    like: size of the blob it is cut to or added to, for a Crop or a Sum.
  """
  match layer:
    case d.Conv():
      return (n + 2 * layer.pad - layer.kernel) // layer.stride + 1
    case d.MaxPool():
      windows = -((layer.kernel - n - 2 * layer.pad) // layer.stride) + 1
      if layer.pad:
        # A last window that would lie in the padding alone is left out.
        windows = windows - ((windows - 1) * layer.stride >= n + layer.pad)
      return windows
    case d.Upscore():
      return layer.stride * (n - 1) + layer.kernel
    case d.Crop():
      return like
    case _:
      return n


def sizes(layers: d.Layers, n) -> dict:
  """Size of every blob, by layer name, for an input of size n.

  Args:
    layers: the declaration.
    n: an int, a numpy array, or an array of JAX's, which is not checked.

  Raises:
    ValueError: a blob would be empty, a Crop would reach beyond its bottom, or
      a Sum has two sizes.
  """
  checked = isinstance(n, int | np.ndarray)
  offsets = crop_offsets(layers)
  found = {}
  for layer, bottom in d.with_bottoms(layers):
    below = n if bottom is None else found[bottom]
    others = [found[name] for name in layer.others]
    size = out_size(layer, below, *others)
    if checked:
      _refuse(n, size < 1, f"is too small: {layer.name} would be empty")
      match layer:
        case d.Crop():
          beyond = size + offsets[layer.name] > below
          _refuse(
            n,
            beyond,
            f"does not fit: {layer.name} would reach beyond {bottom}; a larger "
            "pad in the first convolution gives it room",
          )
        case d.Sum():
          _refuse(
            n,
            others[0] != below,
            f"does not fit: {layer.name} adds {bottom} and {layer.other}, "
            "whose sizes differ; crop one of them to the other",
          )
    found[layer.name] = size
  return found


def check_segmentation(
  layers: d.Layers, classes: int, lengths: np.ndarray | None = None
) -> None:
  """Refuses a network that does not give each pixel a score for each class.

  Args:
    layers: the declaration.
    classes: that the scores are of.
    lengths: heights and widths of images, to be checked besides.

  Raises:
    ValueError: the last blob does not lie over the image, has other channels,
      or does not fit an image of one of these lengths.
  """
  last = layers[-1].name
  place = placements(layers)[last]
  if (place.stride, place.start) != (1, 0):
    raise ValueError(
      f"this network gives scores for an image, not for its pixels: {last} has "
      f"a cell every {place.stride} pixels from {place.start} on. Make it a "
      "segmentation network with scripts/convert_weights.py, or end it with "
      "Upscore and Crop(like='data')"
    )
  channels = d.channels(layers)[last]
  if channels != classes:
    raise ValueError(f"{last} has {channels} channels for {classes} classes")
  if lengths is not None:
    lengths = np.unique(lengths)
    found = sizes(layers, lengths)[last]
    _refuse(
      lengths, found != lengths, f"does not fit: {last} is of another size"
    )


def check_classifier(layers: d.Layers, classes: int) -> None:
  """Refuses a network that does not give an image one score for each class.

  Raises:
    ValueError: it takes images of any size, or its last blob is not one cell of
      so many channels.
  """
  side, last = layers[0].size, layers[-1].name
  cells = sizes(layers, side)[last] if side else None
  channels = d.channels(layers)[last]
  if cells != 1 or channels != classes:
    raise ValueError(
      f"this network does not classify images: {last} has {cells or 'any'} "
      f"cells and {channels} channels for {classes} classes"
    )


def next_fitting(layers: d.Layers, n: int) -> int:
  """The smallest length from n on that a network takes.

  Raises:
    ValueError: none of the next 256 is.
  """
  refusals = []
  for longer in range(n, n + 256):
    try:
      sizes(layers, longer)
    except ValueError as error:
      refusals.append(error)
    else:
      return longer
  raise refusals[0]


def _refuse(n: int | np.ndarray, wrong: bool | np.ndarray, why: str) -> None:
  if np.any(wrong):
    first = np.broadcast_to(n, np.shape(wrong))[wrong].ravel()[0]
    raise ValueError(f"an input of {first} pixels {why}")


@dataclasses.dataclass(frozen=True)
class Placement:
  """Where a blob lies over the image: its cell i is centred on
  `stride * i + start` (in pixels) and sees `field` pixels.

  The field of an upscored blob is that of the cells it was made from, the
  field of a sum that of the larger one.
  """

  stride: Fraction
  start: Fraction
  field: int


def placements(layers: d.Layers) -> dict[str, Placement]:
  """Where every blob of a network lies over the image.

  Raises:
    ValueError: a Crop whose two blobs differ in stride, or whose offset is not
      a whole number of cells, at least 0; a Sum of blobs that do not lie over
      each other.
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
      case d.Sum():
        other = found[layer.other]
        if (below.stride, below.start) != (other.stride, other.start):
          raise ValueError(
            f"{layer.name} adds {bottom} and {layer.other}, whose cells lie "
            f"elsewhere: every {below.stride} and {other.stride} pixels from "
            f"{below.start} and {other.start} on; crop one of them to the other"
          )
        field = max(below.field, other.field)
        place = dataclasses.replace(below, field=field)
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
