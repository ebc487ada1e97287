"""Boundary bands: the pixels of a class that lie near its contour.

Cheng, Girshick, Dollar, Berg and Kirillov, "Boundary IoU: Improving
Object-Centric Image Segmentation Evaluation", CVPR 2021.
"""

import math

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Int, UInt8

from fcn_jax.data.classes import VOID

_SHARE = 50  # a band is as wide as one 50th of the image's diagonal, 2 %


def boundary_counts(
  label: UInt8[Array, "b h w"],
  prediction: Int[Array, "b h w"] | UInt8[Array, "b h w"],
  classes: int,
  extent: Int[Array, "b 2"],
) -> Int[Array, "b classes 3"]:
  """Pixels of each class in the bands of the label, the prediction, and both.

  A pixel is in the band of its class where a pixel that is not of this class
  lies at most d rows and d columns away; d is 2 % of the image's diagonal, at
  least 1 (`band_width`).  As in the authors' code, what lies outside of the
  image is of no class, so the border of the image is contour as well.  Void
  is of no class either, and so is what is predicted there: a prediction that
  is right on all valid pixels has the bands of the label.

  Args:
    label: class ids, void (255) where nothing counts and beyond the extent.
    prediction: class ids.
    classes: number of them.
    extent: (height, width) of each image without its padding, in pixels.
  """
  label = label.astype(jnp.uint8)
  valid = label != VOID
  prediction = jnp.where(valid, prediction, VOID).astype(jnp.uint8)
  near_label, near_prediction = _near_contours(label, prediction, extent)
  row, column = (
    jnp.where(valid & near, ids.astype(jnp.int32), classes)  # of no band
    for near, ids in ((near_label, label), (near_prediction, prediction))
  )
  images, side = label.shape[0], classes + 1
  cell = (row * side + column).reshape(images, -1)
  image = jnp.arange(images)[:, None]
  pairs = jnp.zeros((images, side**2), jnp.int32).at[image, cell].add(1)
  pairs = pairs.reshape(images, side, side)
  counts = (pairs.sum(2), pairs.sum(1), jnp.diagonal(pairs, axis1=1, axis2=2))
  return jnp.stack(counts, -1)[:, :classes]


def band_width(
  extent: Int[Array, "b 2"], most: int | None = None
) -> Int[Array, " b"]:
  """2 % of the diagonal of each image in whole pixels, at least 1.

  Halves are rounded up.  Worked in integers, so it is the same everywhere.

  Args:
    extent: (height, width), in pixels; below 2^15.
    most: the largest that any of them has, if that is known; larger widths
      are cut to it.
  """
  most = most or _largest_width(2**15, 2**15)
  # d is at least k where diagonal / 50 is at least k - 1/2.
  steps = (_SHARE * np.arange(2, most + 1) - _SHARE // 2) ** 2
  squares = (extent.astype(jnp.int32) ** 2).sum(-1)
  return 1 + (squares[:, None] >= jnp.asarray(steps, jnp.int32)[None]).sum(-1)


def _largest_width(height: int, width: int) -> int:
  return max(1, math.floor(math.hypot(height, width) / _SHARE + 0.5))


def _near_contours(
  label: UInt8[Array, "b h w"],
  prediction: UInt8[Array, "b h w"],
  extent: Int[Array, "b 2"],
) -> tuple[Bool[Array, "b h w"], Bool[Array, "b h w"]]:
  """Where another id lies within the band's width, in each of the maps.

  A pixel has another id within d exactly where one within d - 1 of it, or
  itself, has a neighbour of another id. So the ids are compared once, and
  what is grown is one bit a map.
  """
  bits = _edges(label) | (_edges(prediction) << 1)
  most = _largest_width(*label.shape[1:])
  width = band_width(extent, most)[:, None, None]

  def grow(reach, bits):
    rows = _shifted(bits, 1)
    columns = _shifted(rows[0] | rows[1] | rows[2], 2)
    grown = columns[0] | columns[1] | columns[2]
    return jnp.where(reach < width, grown, bits)

  bits = lax.fori_loop(1, most, grow, bits)
  return (bits & 1) > 0, (bits & 2) > 0


def _edges(ids: UInt8[Array, "b h w"]) -> UInt8[Array, "b h w"]:
  """1 where one of the eight neighbours differs; there is void outside."""
  differs = jnp.zeros(ids.shape, bool)
  for row in _shifted(ids, 1, VOID):
    for neighbour in _shifted(row, 2, VOID):
      differs |= neighbour != ids
  return differs.astype(jnp.uint8)


def _shifted(x: UInt8[Array, "b h w"], axis: int, outside: int = 0):
  """Moved by one pixel to either side, and not at all."""
  before_and_after = [(1, 1) if a == axis else (0, 0) for a in range(3)]
  padded = jnp.pad(x, before_and_after, constant_values=outside)
  size = x.shape[axis]
  return [
    lax.slice_in_dim(padded, start, start + size, axis=axis)
    for start in range(3)
  ]
