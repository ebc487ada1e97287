"""Masked cross entropy, as Caffe's SoftmaxWithLoss with ignore_label 255."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt8

VOID = 255


def pixel_cross_entropy(
  scores: Float[Array, "b h w c"], label: UInt8[Array, "b h w"]
) -> tuple[Float[Array, "b h w"], Bool[Array, "b h w"]]:
  """-log softmax(scores)[label] per pixel, and which pixels count.

  Void pixels give 0 and do not count.  Labels must be below c, or void: the
  data set was checked for that when it was prepared.
  """
  valid = label != VOID
  target = jnp.where(valid, label, 0).astype(jnp.int32)
  scores = scores.astype(jnp.float32)
  of_label = jnp.take_along_axis(scores, target[..., None], axis=-1)[..., 0]
  loss = jax.nn.logsumexp(scores, axis=-1) - of_label
  return jnp.where(valid, loss, 0.0), valid


def image_losses(
  scores: Float[Array, "b h w c"],
  label: UInt8[Array, "b h w"],
  normalize: bool = True,
) -> Float[Array, " b"]:
  """Loss of each image, as Caffe gives it with a batch of that one image.

  Args:
    scores: of every pixel of the canvas.
    label: void beyond the image.
    normalize: True divides the sum over an image's pixels by its number of
      valid pixels, at least 1 (DIGITS, FCN-AlexNet); False leaves the sum (the
      FCN authors' VGG recipes).
  """
  loss, valid = pixel_cross_entropy(scores, label)
  total = loss.sum(axis=(1, 2))
  if not normalize:
    return total
  return total / jnp.maximum(valid.sum(axis=(1, 2)), 1)
