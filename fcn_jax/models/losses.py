"""Losses of scores: one number an image, added up band by band of pixels.

`LOSSES` holds a function for every loss that a recipe can name; its arguments
are the options of `config.loss`.  A loss adds up numbers over pixels first and
works on the sums afterwards.  So it never needs all scores of an image at once,
and it depends neither on the canvas nor on the other images of the batch.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Key, PyTree, UInt8

from fcn_jax import models
from fcn_jax.data.classes import VOID
from fcn_jax.models import geometry, ops
from fcn_jax.models import layers as d
from fcn_jax.models.network import PRECISIONS

Scores = Float[Array, "b h w c"]
Label = UInt8[Array, "b h w"]
Sums = PyTree[Float[Array, "b ..."] | Int[Array, "b ..."]]
OfImages = Float[Array, " b"]


class Selection(NamedTuple):
  """How a loss weighs pixels that it has to see together first.

  Gradients do not go through it.

  Attributes:
    measure: (scores, label) to numbers of each pixel, arrays [b, h, w, ...].
      These are kept of every pixel, the scores are not.
    weigh: all of them, [b, n, ...] with n pixels in rows, and the labels [b, n]
      to the weight of each, in arrays like the first. What is void must not
      change the weights of others.
  """

  measure: Callable[[Scores, Label], PyTree[Array]]
  weigh: Callable[[PyTree[Array], UInt8[Array, "b n"]], PyTree[Array]]


class Loss(NamedTuple):
  """A loss in three steps.

  Attributes:
    pixels: (scores, label) to sums over the pixels of each image, arrays
      [b, ...].  Void pixels (255) and what lies beyond an image's extent,
      which is void, too, add nothing.  The sums of an image's bands are added.
    image: sums to the loss of each image, which is minimised.
    shown: sums to what people see of it: a mean over valid pixels, whatever
      is minimised.
    selection: where it weighs pixels by what the others are; `pixels` is given
      their weights after scores and label, [b, h, w, ...].
  """

  pixels: Callable[..., Sums]
  image: Callable[[Sums], OfImages]
  shown: Callable[[Sums], OfImages]
  selection: Selection | None = None


def cross_entropy(
  normalize: bool = True,
  class_weights: str | tuple[float, ...] = "none",
  label_smoothing: float = 0.0,
) -> Loss:
  """Softmax cross entropy, as Caffe's SoftmaxWithLoss with ignore_label 255.

  An image's loss is sum(w * ce) / sum(w) over its valid pixels, where w is the
  weight of a pixel's class and ce = -log softmax(scores)[label].  What is
  shown is the mean of ce without weights and smoothing.

  Args:
    normalize: False leaves sum(w * ce) as it is (the FCN authors' VGG recipes).
    class_weights: one weight a class; 'none': 1 for all.
    label_smoothing: e, of (1 - e) ce + e mean(-log softmax(scores)) in place of
      ce: a share e of the target is spread over all classes (Szegedy et al.,
      "Rethinking the Inception architecture", CVPR 2016).

  Raises:
    ValueError: label_smoothing outside 0 to 1.
  """
  weighted = class_weights != "none"
  if not 0 <= label_smoothing <= 1:
    raise ValueError(f"label_smoothing = {label_smoothing}: give 0 to 1")

  def pixels(scores, label):
    total, valid = cross_entropy_sums(scores, label)
    if not weighted and not label_smoothing:
      return {"total": total, "valid": valid}
    weight = (label != VOID).astype(jnp.float32)
    if weighted:
      weights = _weights_of(class_weights, scores.shape[-1])
      weight = jnp.where(label == VOID, 0, weights[_target(label)])
    losses = _pixel_cross_entropy(scores, label)
    if label_smoothing:
      spread = _pixel_uniform_cross_entropy(scores, label)
      losses = (1 - label_smoothing) * losses + label_smoothing * spread
    losses = weight * losses
    return {
      "total": total,
      "valid": valid,
      "weighted": losses.sum((1, 2)),
      "weight": weight.sum((1, 2)),
    }

  def shown(sums):
    return sums["total"] / jnp.maximum(sums["valid"], 1)

  def image(sums):
    if not weighted and not label_smoothing:
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


def ohem(keep: float = 0.25, probability: float = 0.7) -> Loss:
  """Mean cross entropy of an image's hardest pixels.

  A pixel is kept where its label has less than `probability`, and at least a
  share `keep` of the valid pixels is kept, those of the highest losses: a loss
  equal to the last one kept is kept, too.  Shrivastava, Gupta and Girshick,
  "Training region-based object detectors with online hard example mining",
  CVPR 2016, for pixels.  What is shown is the mean over all of them.

  Args:
    keep: at least 0, at most 1: the cross entropy.
    probability: at least 0: only `keep` decides; at most 1.

  Raises:
    ValueError: an option outside 0 to 1, or both 0.
  """
  for name, value in {"keep": keep, "probability": probability}.items():
    if not 0 <= value <= 1:
      raise ValueError(f"ohem: {name} = {value}: give 0 to 1")
  if not (keep or probability):
    raise ValueError("ohem: keep = 0 and probability = 0 keep no pixel")
  hard = -math.log(probability) if probability else math.inf

  def weigh(losses, label):
    valid = label != VOID
    kept = jnp.ceil(keep * valid.sum(1)).astype(jnp.int32)
    falling = -jnp.sort(jnp.where(valid, -losses, jnp.inf), axis=1)
    last = jnp.take_along_axis(falling, jnp.maximum(kept - 1, 0)[:, None], 1)
    last = jnp.where(kept[:, None] > 0, last, jnp.inf)
    return (valid & ((losses >= last) | (losses > hard))).astype(jnp.float32)

  def pixels(scores, label, weights):
    losses = _pixel_cross_entropy(scores, label)
    return {
      "hard": (weights * losses).sum((1, 2)),
      "kept": weights.sum((1, 2)),
      "total": losses.sum((1, 2)),
      "valid": (label != VOID).sum((1, 2)),
    }

  return Loss(
    pixels,
    image=lambda sums: sums["hard"] / jnp.maximum(sums["kept"], 1),
    shown=lambda sums: sums["total"] / jnp.maximum(sums["valid"], 1),
    selection=Selection(_pixel_cross_entropy, weigh),
  )


_BINS = 1 << 15  # of errors


def lovasz() -> Loss:
  """Lovasz-Softmax of each image: a surface of 1 - IoU that has a slope.

  Of each class that is labelled in the image, with the errors e = |g - p| of
  its valid pixels sorted, the largest first: sum(e * d), d being how much 1 -
  IoU grows when one more pixel is wrong; then the mean over these classes.
  Berman, Triki and Blaschko, "The Lovasz-Softmax loss", CVPR 2018.

  Errors that differ by less than 1 / 32768 may share their d, so the loss is
  right to 3e-5: counting them is many times faster than sorting. A number for
  each pixel and class is kept.
  """

  def errors(scores, label):
    classes = jnp.arange(scores.shape[-1])[None, None, None]
    valid = (label != VOID)[..., None]
    scores = jnp.where(valid, scores.astype(jnp.float32), 0)
    labelled = (label[..., None] == classes).astype(jnp.float32)
    return jnp.where(valid, jnp.abs(labelled - jax.nn.softmax(scores)), 0)

  def weigh(errors, label):
    images, _, classes = errors.shape
    here = label[..., None] == jnp.arange(classes)[None, None]
    valid = label != VOID
    # The largest errors lie in the first bin.
    bin_of = _BINS - 1 - (errors * (_BINS - 1)).astype(jnp.int32)
    row = classes * jnp.arange(images)[:, None] + jnp.arange(classes)[None]
    row = row[:, None, :]
    count = jnp.zeros((2 * images * classes, _BINS), jnp.int32)
    count = count.at[2 * row + here, bin_of].add(
      valid[..., None].astype(jnp.int32)
    )
    beside, of_class = count[::2], count[1::2]
    total = of_class.sum(-1, keepdims=True)
    # On a CPU many times faster than jnp.cumsum.
    wrong_here, wrong_beside = (
      lax.associative_scan(jnp.add, x, axis=1) for x in (of_class, beside)
    )
    lost = 1 - (total - wrong_here) / jnp.maximum(total + wrong_beside, 1)
    growth = jnp.diff(lost, axis=-1, prepend=0.0)
    growth = growth / jnp.maximum(of_class + beside, 1)
    there = (total > 0).reshape(images, 1, classes)
    share = there / jnp.maximum(there.sum(-1, keepdims=True), 1)
    return jnp.where(valid[..., None], growth[row, bin_of], 0) * share

  def pixels(scores, label, weights):
    return (weights * errors(scores, label)).sum((1, 2, 3))

  def image(sums):
    return sums

  return Loss(pixels, image, image, Selection(errors, weigh))


LOSSES: dict[str, Callable[..., Loss]] = {
  "cross_entropy": cross_entropy,
  "dice": dice,
  "focal": focal,
  "lovasz": lovasz,
  "ohem": ohem,
}


def weighted_sum(terms: Mapping[str, tuple[float, Loss]], shown: str) -> Loss:
  """The sum of losses, each times its weight.

  Args:
    terms: weight and loss by name.
    shown: the name of the one that people see.
  """
  selections = {
    name: loss.selection for name, (_, loss) in terms.items() if loss.selection
  }

  def pixels(scores, label, weights=None):
    return {
      name: loss.pixels(
        scores, label, *([weights[name]] if name in selections else [])
      )
      for name, (_, loss) in terms.items()
    }

  def image(sums):
    return sum(
      weight * loss.image(sums[name]) for name, (weight, loss) in terms.items()
    )

  together = Selection(
    lambda *given: {n: s.measure(*given) for n, s in selections.items()},
    lambda measured, label: {
      n: s.weigh(measured[n], label) for n, s in selections.items()
    },
  )
  return Loss(
    pixels,
    image,
    lambda sums: terms[shown][1].shown(sums[shown]),
    together if selections else None,
  )


def pixel_sums(loss: Loss, scores: Scores, label: Label) -> Sums:
  """`loss.pixels` of all scores at once, after its selection."""
  if loss.selection is None:
    return loss.pixels(scores, label)
  measured = loss.selection.measure(lax.stop_gradient(scores), label)
  weights = weigh(loss.selection, measured, label)
  return loss.pixels(scores, label, weights)


def weigh(selection: Selection, measured: Any, label: Label) -> Any:
  """The weights [b, h, w, ...] of numbers [b, h, w, ...]."""
  b, h, w = label.shape
  flat = jax.tree.map(lambda x: x.reshape(b, h * w, *x.shape[3:]), measured)
  weights = selection.weigh(flat, label.reshape(b, h * w))
  return jax.tree.map(lambda x: x.reshape(b, h, w, *x.shape[2:]), weights)


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


def _pixel_uniform_cross_entropy(scores, label) -> Float[Array, "b h w"]:
  """Mean of -log softmax(scores) over the classes, 0 where void."""
  scores = scores.astype(jnp.float32)
  loss = jax.nn.logsumexp(scores, axis=-1) - scores.mean(-1)
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
  """`pixel_sums(loss, net(image, extent, dropout_keys), label)`, in bands.

  A step would keep scores, their softmax and its gradient for every pixel and
  class: 250 MB each for 1500 x 2000 pixels and 21 classes.  Where the network
  ends with an upscore and a crop, bands of rows are upscored, scored and
  forgotten, and upscored again for the gradient, which takes no longer.  The
  sums are added in another order then.
  """
  # Compiled, the blobs that are not used are not computed.
  blobs = net.blobs(image, extent, dropout_keys)
  return _sums_of_blobs(loss, net, blobs, label)


def losses_of_images(
  loss: Loss,
  net: models.Network,
  image: UInt8[Array, "b h w 3"],
  label: UInt8[Array, "b y x"],
  extent: Int[Array, "b 2"] | None = None,
  dropout_keys: Key[Array, " b"] | None = None,
  auxiliary: Mapping[str, float] | None = None,
) -> tuple[OfImages, OfImages]:
  """What is minimised of each image, and what is shown of it.

  Args:
    loss: of the scores.
    net, image, label, extent, dropout_keys: see `image_sums`.
    auxiliary: weights of the same loss of scores that lie below, by the names
      of their layers. They are held against the label of the pixel in the
      middle of each cell, as DeepLab does (Chen et al., ICLR 2015).
  """
  blobs = net.blobs(image, extent, dropout_keys)
  sums = _sums_of_blobs(loss, net, blobs, label)
  each = loss.image(sums)
  places = geometry.placements(net.layers) if auxiliary else {}
  for name, weight in (auxiliary or {}).items():
    scores = blobs[name].astype(jnp.float32)
    cells = _label_of_cells(label, places[name], scores.shape[1:3])
    each += weight * loss.image(pixel_sums(loss, scores, cells))
  return each, loss.shown(sums)


def check_auxiliary(
  layers: d.Layers, names: Mapping[str, float], classes: int
) -> None:
  """Raises ValueError: a name is of no layer that gives a score for each class.

  The last layer's scores have the loss itself.
  """
  channels = d.channels(layers)
  there = [
    layer.name
    for layer in layers[:-1]
    if isinstance(layer, d.Conv) and channels[layer.name] == classes
  ]
  for name in names:
    if name not in there:
      raise ValueError(
        f"config.loss.auxiliary: {name} gives no scores of {classes} classes; "
        f"there is {', '.join(there) or 'no such layer'}"
      )


def _label_of_cells(
  label: Label, place: d.Placement, cells: tuple[int, int]
) -> UInt8[Array, "b y x"]:
  """The label of the pixel in the middle of each cell; void outside."""
  for axis, count in enumerate(cells, 1):
    at = [
      math.floor(place.start + place.stride * i + 0.5) for i in range(count)
    ]
    inside = [0 <= i < label.shape[axis] for i in at]
    taken = jnp.take(label, np.clip(at, 0, label.shape[axis] - 1), axis=axis)
    shape = [1, 1, 1]
    shape[axis] = count
    label = jnp.where(np.reshape(inside, shape), taken, np.uint8(VOID))
  return label


def _sums_of_blobs(
  loss: Loss, net: models.Network, blobs: Mapping[str, Array], label: Label
) -> Sums:
  below = {layer.name: bottom for layer, bottom in d.with_bottoms(net.layers)}
  match net.layers[-2:]:
    case d.Upscore() as upscore, d.Crop() as crop if (
      below[crop.name] == upscore.name and crop.like == net.layers[0].name
    ):
      pass
    case _:
      return pixel_sums(loss, blobs[net.layers[-1].name], label)
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

  def in_bands(array):
    """[b, rows, ...] to [bands, b, rows of a band, ...]."""
    shape = (len(array), bands, rows_of_band, *array.shape[2:])
    return jnp.moveaxis(array.reshape(shape), 1, 0)

  rows, whole_label = rows.reshape(bands, rows_of_band, -1), label
  label = in_bands(label)

  def of_band(rows, label, *weights):
    return loss.pixels(ops.interpolate(x, rows, columns), label, *weights)

  @jax.checkpoint
  def add_band(sums, band):
    return jax.tree.map(jnp.add, sums, of_band(*band)), None

  with jax.default_matmul_precision(PRECISIONS[net.precision][1]):
    given = (rows, label)
    if loss.selection is not None:
      given += (
        _weights_of_bands(
          loss.selection, x, columns, given, whole_label, in_bands
        ),
      )
    shapes = jax.eval_shape(of_band, *jax.tree.map(lambda a: a[0], given))
    none = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    sums, _ = lax.scan(add_band, none, given)
  return sums


def _weights_of_bands(selection, x, columns, given, label, in_bands):
  """The weights of a selection, in bands; `given` are rows and labels."""
  x = lax.stop_gradient(x)

  def measure(band):
    rows, label = band
    return selection.measure(ops.interpolate(x, rows, columns), label)

  def whole(array):
    """[bands, b, rows of a band, ...] to [b, rows, ...]."""
    array = jnp.moveaxis(array, 0, 1)
    return array.reshape(len(array), -1, *array.shape[3:])

  measured = jax.tree.map(whole, lax.map(measure, given))
  return jax.tree.map(in_bands, weigh(selection, measured, label))
