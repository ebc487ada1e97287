"""Integers only: sizes, strides, receptive fields and crop offsets.

Everything is derived from a declared sequence of layers, on one axis at a
time (height and width follow the same rules).
"""

from fractions import Fraction

import numpy as np

from fcn_jax.models import layers as d
from fcn_jax.models.layers import Placement


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
  places = placements(layers)

  def size_of(layer: d.Layer, *below):
    size = layer.out_size(*below)
    if checked:
      _refuse(n, size < 1, f"is too small: {layer.name} would be empty")
      names = (layer.bottom, *layer.others)
      wrong, why = layer.misfit(tuple(places[x] for x in names), *below)
      _refuse(n, wrong, f"does not fit: {why}")
    return size

  if checked:
    _refuse(n, n < 1, f"is too small: {layers[0].name} would be empty")
  return d.along(layers, n, size_of)


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


def placements(layers: d.Layers) -> dict[str, Placement]:
  """Where every blob of a network lies over the image.

  Raises:
    ValueError: a Crop whose two blobs differ in stride, or whose offset is not
      a whole number of cells, at least 0; a Sum of blobs that do not lie over
      each other.
  """
  image = Placement(Fraction(1), Fraction(0), 1)
  return d.along(layers, image, lambda layer, *below: layer.place(*below))


def crop_offsets(layers: d.Layers) -> dict[str, int]:
  """The offset, in cells, of every Crop, derived from the layers before it."""
  places = placements(layers)
  return {
    layer.name: layer.offset(places[bottom], places[layer.like])
    for layer, bottom in d.with_bottoms(layers)
    if isinstance(layer, d.Crop)
  }
