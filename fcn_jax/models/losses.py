"""Masked cross entropy, as Caffe's SoftmaxWithLoss with ignore_label 255."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key, UInt8

from fcn_jax import models
from fcn_jax.models import geometry, ops
from fcn_jax.models import layers as d
from fcn_jax.models.network import PRECISIONS

VOID = 255


def cross_entropy(
  scores: Float[Array, "b h w c"], label: UInt8[Array, "b h w"]
) -> tuple[Float[Array, " b"], Int[Array, " b"]]:
  """Sum of -log softmax(scores)[label] over the valid pixels of each image.

  Args:
    scores: of every pixel of the canvas.
    label: class ids below c, or void (255): there, and beyond an image's
      extent, a pixel does not count.

  Returns:
    The sum and the number of valid pixels of each image.
  """
  valid = label != VOID
  target = jnp.where(valid, label, 0).astype(jnp.int32)
  scores = scores.astype(jnp.float32)
  of_label = jnp.take_along_axis(scores, target[..., None], axis=-1)[..., 0]
  loss = jax.nn.logsumexp(scores, axis=-1) - of_label
  total = jnp.where(valid, loss, 0.0).sum(axis=(1, 2))
  return total, valid.sum(axis=(1, 2))


def image_losses(
  total: Float[Array, " b"], valid: Int[Array, " b"], normalize: bool
) -> Float[Array, " b"]:
  """Loss of each image, as Caffe gives it for a batch of that one image.

  Args:
    total, valid: from `cross_entropy`.
    normalize: True divides by the number of valid pixels, at least 1 (DIGITS
      and FCN-AlexNet); False leaves the sum (the FCN authors' VGG recipes).
  """
  return total / jnp.maximum(valid, 1) if normalize else total


_ROWS = 64  # of a band, at most


def banded_cross_entropy(
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
      return cross_entropy(net(image, extent, dropout_keys), label)
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
  label = jnp.pad(label, ((0, 0), (0, beyond), (0, 0)), constant_values=VOID)
  label = label.reshape(-1, bands, rows_of_band, width)

  @jax.checkpoint
  def add_band(sums, band):
    scores = ops.interpolate(x, band[0], columns)
    found = cross_entropy(scores, band[1])
    return jax.tree.map(jnp.add, sums, found), None

  none = jnp.zeros(len(x), jnp.float32), jnp.zeros(len(x), jnp.int32)
  with jax.default_matmul_precision(PRECISIONS[net.precision][1]):
    sums, _ = lax.scan(
      add_band,
      none,
      (rows.reshape(bands, rows_of_band, -1), jnp.moveaxis(label, 1, 0)),
    )
  return sums
