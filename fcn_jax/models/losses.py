"""Losses of scores: one number an image, added up band by band of pixels.

`LOSSES` holds a function for every loss that a recipe can name; its arguments
are the options of `config.loss`.  A loss adds up numbers over pixels first and
works on the sums afterwards.  So it never needs all scores of an image at once,
and it depends neither on the canvas nor on the other images of the batch.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key, PyTree, UInt8

from fcn_jax import models
from fcn_jax.data.classes import VOID
from fcn_jax.models import geometry, ops
from fcn_jax.models import layers as d
from fcn_jax.models.network import PRECISIONS

Scores = Float[Array, "b h w c"]
Label = UInt8[Array, "b h w"]
Sums = PyTree[Float[Array, "b *of_each"] | Int[Array, "b *of_each"]]
OfImages = Float[Array, " b"]


class Loss(NamedTuple):
  """A loss in three steps.

  Attributes:
    pixels: (scores, label) to sums over the pixels of each image, arrays
      [b, ...].  Void pixels (255) and what lies beyond an image's extent,
      which is void, too, add nothing.  The sums of an image's bands are added.
    image: sums to the loss of each image, which is minimised.
    shown: sums to what people see of it: a mean over valid pixels, whatever
      is minimised.
  """

  pixels: Callable[[Scores, Label], Sums]
  image: Callable[[Sums], OfImages]
  shown: Callable[[Sums], OfImages]


def cross_entropy(
  normalize: bool = True, class_weights: str | tuple[float, ...] = "none"
) -> Loss:
  """Softmax cross entropy, as Caffe's SoftmaxWithLoss with ignore_label 255.

  An image's loss is sum(w * ce) / sum(w) over its valid pixels, where w is the
  weight of a pixel's class and ce = -log softmax(scores)[label].  What is
  shown is the mean of ce without weights.

  Args:
    normalize: False leaves sum(w * ce) as it is (the FCN authors' VGG recipes).
    class_weights: one weight a class; 'none': 1 for all.
  """
  weighted = class_weights != "none"

  def pixels(scores, label):
    total, valid = cross_entropy_sums(scores, label)
    if not weighted:
      return {"total": total, "valid": valid}
    weights = _weights_of(class_weights, scores.shape[-1])
    weight = jnp.where(label == VOID, 0, weights[_target(label)])
    losses = weight * _pixel_cross_entropy(scores, label)
    return {
      "total": total,
      "valid": valid,
      "weighted": losses.sum((1, 2)),
      "weight": weight.sum((1, 2)),
    }

  def shown(sums):
    return sums["total"] / jnp.maximum(sums["valid"], 1)

  def image(sums):
    if not weighted:
      return shown(sums) if normalize else sums["total"]
    weight = sums["weight"] if normalize else 1.0
    return sums["weighted"] / jnp.where(weight == 0, 1, weight)

  return Loss(pixels, image, shown)


def focal(gamma: float = 2.0) -> Loss:
  """Mean over valid pixels of (1 - p) ** gamma * -log p, p that of the label.

  Lin et al., "Focal loss for dense object detection", ICCV 2017, without alpha.

  Args:
    gamma: at least 0; 0 is the cross entropy.
  """

  def pixels(scores, label):
    loss = _pixel_cross_entropy(scores, label)
    # 1 - p = -expm1(-loss), exact where p is close to 1.
    wrong = jnp.maximum(-jnp.expm1(-loss), jnp.finfo(jnp.float32).tiny)
    return {
      "total": (wrong**gamma * loss).sum((1, 2)),
      "valid": (label != VOID).sum((1, 2)),
    }

  def image(sums):
    return sums["total"] / jnp.maximum(sums["valid"], 1)

  return Loss(pixels, image, image)


def dice() -> Loss:
  """1 - the mean of 2 sum(p g) / (sum(p) + sum(g)) over an image's classes.

  p is the softmax of a class, g is 1 where the label is that class, and the
  sums run over the valid pixels.  The mean is over the classes that are
  labelled in the image; an image of void alone has loss 0.  Milletari, Navab
  and Ahmadi, "V-Net", 3DV 2016, with sums in place of sums of squares.
  """

  def pixels(scores, label):
    classes = jnp.arange(scores.shape[-1])[None, None, None]
    valid = (label != VOID)[..., None]
    labelled = label[..., None] == classes
    scores = jnp.where(valid, scores.astype(jnp.float32), 0)
    p = jnp.where(valid, jax.nn.softmax(scores), 0)
    return {
      "overlap": jnp.where(labelled, p, 0).sum((1, 2)),
      "predicted": p.sum((1, 2)),
      "labelled": labelled.sum((1, 2)),
    }

  def image(sums):
    there = sums["labelled"] > 0
    both = sums["predicted"] + sums["labelled"]
    scores = jnp.where(there, 2 * sums["overlap"] / jnp.maximum(both, 1), 0)
    classes = there.sum(-1)
    mean = scores.sum(-1) / jnp.maximum(classes, 1)
    return jnp.where(classes > 0, 1 - mean, 0.0)

  return Loss(pixels, image, image)


LOSSES: dict[str, Callable[..., Loss]] = {
  "cross_entropy": cross_entropy,
  "dice": dice,
  "focal": focal,
}


def cross_entropy_sums(
  scores: Scores, label: Label
) -> tuple[OfImages, Int[Array, " b"]]:
  """Sum of -log softmax(scores)[label] over the valid pixels of each image.

  Args:
    scores: of every pixel of the canvas.
    label: class ids below c, or void (255): there, and beyond an image's
      extent, a pixel does not count.

  Returns:
    The sum and the number of valid pixels of each image.
  """
  loss = _pixel_cross_entropy(scores, label)
  return loss.sum(axis=(1, 2)), (label != VOID).sum(axis=(1, 2))


def _pixel_cross_entropy(scores, label) -> Float[Array, "b h w"]:
  """-log softmax(scores)[label], 0 where the label is void."""
  scores = scores.astype(jnp.float32)
  target = _target(label)[..., None]
  of_label = jnp.take_along_axis(scores, target, axis=-1)[..., 0]
  loss = jax.nn.logsumexp(scores, axis=-1) - of_label
  return jnp.where(label != VOID, loss, 0.0)


def _target(label) -> Int[Array, "b h w"]:
  """The labels, with 0 in the place of void."""
  return jnp.where(label != VOID, label, 0).astype(jnp.int32)


def _weights_of(given, classes: int) -> Float[Array, " c"]:
  if isinstance(given, str) or len(given) != classes:
    raise ValueError(
      f"class_weights = {given!r}: give {classes} numbers, one a class"
    )
  return jnp.asarray(given, jnp.float32)


_ROWS = 64  # of a band, at most


def image_sums(
  loss: Loss,
  net: models.Network,
  image: UInt8[Array, "b h w 3"],
  label: UInt8[Array, "b y x"],
  extent: Int[Array, "b 2"] | None = None,
  dropout_keys: Key[Array, " b"] | None = None,
) -> Sums:
  """`loss.pixels(net(image, extent, dropout_keys), label)`, in bands of rows.

  A step would keep scores, their softmax and its gradient for every pixel and
  class: 250 MB each for 1500 x 2000 pixels and 21 classes.  Where the network
  ends with an upscore and a crop, bands of rows are upscored, scored and
  forgotten, and upscored again for the gradient, which takes no longer.  The
  sums are added in another order then.
  """
  below = {layer.name: bottom for layer, bottom in d.with_bottoms(net.layers)}
  match net.layers[-2:]:
    case d.Upscore() as upscore, d.Crop() as crop if (
      below[crop.name] == upscore.name and crop.like == net.layers[0].name
    ):
      pass
    case _:
      return loss.pixels(net(image, extent, dropout_keys), label)
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

  rows = rows.reshape(bands, rows_of_band, -1)
  label = jnp.moveaxis(label, 1, 0)

  def of_band(rows, label):
    return loss.pixels(ops.interpolate(x, rows, columns), label)

  @jax.checkpoint
  def add_band(sums, band):
    return jax.tree.map(jnp.add, sums, of_band(*band)), None

  shapes = jax.eval_shape(of_band, rows[0], label[0])
  none = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
  with jax.default_matmul_precision(PRECISIONS[net.precision][1]):
    sums, _ = lax.scan(add_band, none, (rows, label))
  return sums
