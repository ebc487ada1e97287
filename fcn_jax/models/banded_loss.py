"""The loss of a network whose scores are never held at full size.

A step would keep scores, their softmax and its gradient for every pixel and
class: 250 MB each for 1500 x 2000 pixels and 21 classes.  Here bands of rows
are upscored, scored and forgotten, and upscored again for the gradient, which
takes no longer.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key, UInt8

from fcn_jax import models
from fcn_jax.models import geometry, losses, ops
from fcn_jax.models import layers as d
from fcn_jax.models.network import PRECISIONS

_ROWS = 64  # of a band, at most


def cross_entropy(
  net: models.Network,
  image: UInt8[Array, "b h w 3"],
  label: UInt8[Array, "b y x"],
  extent: Int[Array, "b 2"] | None = None,
  dropout_keys: Key[Array, " b"] | None = None,
) -> tuple[Float[Array, " b"], Int[Array, " b"]]:
  """`losses.cross_entropy(net(image, extent, dropout_keys), label)`.

  In bands where the network ends with an upscore and a crop; the adding up is
  in another order then.
  """
  below = {layer.name: bottom for layer, bottom in d.with_bottoms(net.layers)}
  match net.layers[-2:]:
    case d.Upscore() as upscore, d.Crop() as crop if (
      below[crop.name] == upscore.name and crop.like == net.layers[0].name
    ):
      pass
    case _:
      return losses.cross_entropy(net(image, extent, dropout_keys), label)
  # Compiled, the blobs above this one are not computed: nothing reads them.
  blobs = net.blobs(image, extent, dropout_keys)
  x = blobs[below[upscore.name]].astype(jnp.float32)
  kernel = getattr(net, upscore.name).kernel1d[...]
  offset = geometry.crop_offsets(net.layers)[crop.name]
  height, width = label.shape[1:]
  rows, columns = (
    ops.upscore_matrix(n, kernel, upscore.stride)[offset : offset + side]
    for n, side in zip(x.shape[1:3], (height, width), strict=True)
  )
  bands = -(-height // _ROWS)
  rows_of_band = -(-height // bands)
  beyond = bands * rows_of_band - height
  rows = jnp.pad(rows, ((0, beyond), (0, 0)))
  label = jnp.pad(
    label, ((0, 0), (0, beyond), (0, 0)), constant_values=losses.VOID
  )
  label = label.reshape(-1, bands, rows_of_band, width)

  @jax.checkpoint
  def add_band(sums, band):
    scores = ops.interpolate(x, band[0], columns)
    found = losses.cross_entropy(scores, band[1])
    return jax.tree.map(jnp.add, sums, found), None

  none = jnp.zeros(len(x), jnp.float32), jnp.zeros(len(x), jnp.int32)
  with jax.default_matmul_precision(PRECISIONS[net.precision][1]):
    sums, _ = lax.scan(
      add_band,
      none,
      (rows.reshape(bands, rows_of_band, -1), jnp.moveaxis(label, 1, 0)),
    )
  return sums
