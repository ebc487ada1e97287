"""Masked cross entropy, as Caffe's SoftmaxWithLoss with ignore_label 255."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8

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
