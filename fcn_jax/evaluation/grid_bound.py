"""What a network's grid of scores allows: the best mask that it can give.

A network that scores every 32nd pixel and interpolates between them cannot
follow a contour of ten pixels, whatever it has learned.  Here scores of that
grid are fitted to the true labels themselves, image by image; how they fit
bounds what training can reach, about: the cross entropy is minimised, not the
mean IoU.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, UInt8

from fcn_jax.data import Dataset, pipeline
from fcn_jax.data.canvases import canvases_of_one_pass
from fcn_jax.data.classes import VOID
from fcn_jax.evaluation import metrics
from fcn_jax.models import geometry, losses, ops
from fcn_jax.models import layers as d

# Of Adam on the scores; from 0.3 down to 0.
_UPDATES = 100
_RATE = 0.3
# Pixels of each axis between two scores that they are fitted to.
_FITTED = 16


@dataclasses.dataclass(frozen=True)
class GridBound:
  """The scores of masks that a grid of scores gives at its best.

  Attributes:
    stride: pixels between two scores.
    counts: of these masks.
    images: number of them.
  """

  stride: int
  counts: metrics.Counts
  images: int

  @property
  def mean_iu(self) -> float:
    """Mean IoU of these masks."""
    return metrics.mean_iu(self.counts)

  def text(self) -> str:
    """For a terminal."""
    return (
      f"scores every {self.stride} pixels, fitted to the labels themselves "
      f"({self.images} images): mean IoU {self.mean_iu:.4f}, pixel accuracy "
      f"{metrics.pixel_accuracy(self.counts):.4f}. No training can do much "
      "better with this network."
    )

  def figures(self) -> dict[str, float | int]:
    """By name, for JSON."""
    return {
      "stride": self.stride,
      "images": self.images,
      "mean_iu": self.mean_iu,
      "pixel_accuracy": metrics.pixel_accuracy(self.counts),
    }


def grid_bound(
  layers: d.Layers,
  dataset: Dataset,
  split: str,
  progress: Callable[[int, int], None] = lambda done, images: None,
) -> GridBound:
  """Fits the scores below a network's last upscore to the labels of a split.

  Args:
    layers: the declaration of the network; its weights do not matter.
    dataset, split: whose labels.
    progress: told the images done, and their number.

  Raises:
    ValueError: the network does not end with an upscore and its crop.
  """
  match layers[-2:]:
    case d.Upscore() as upscore, d.Crop() as crop:
      pass
    case _:
      raise ValueError(
        "--grid_bound needs a network that ends with Upscore and Crop; this "
        f"one ends with {layers[-1].name}"
      )
  classes = len(dataset.class_names)
  offset = geometry.crop_offsets(layers)[crop.name]
  below = {layer.name: bottom for layer, bottom in d.with_bottoms(layers)}
  kernel = jnp.asarray(ops.bilinear_kernel(upscore.kernel))

  @functools.partial(jax.jit, static_argnums=1)
  def of_image(label, cells):
    rows, columns = (
      ops.upscore_matrix(n, kernel, upscore.stride)[offset : offset + side]
      for n, side in zip(cells, label.shape[1:], strict=True)
    )
    every = max(1, upscore.stride // _FITTED)
    fitted = label[:, ::every, ::every]
    scores = best_scores(fitted, rows[::every], columns[::every], classes)
    found = ops.interpolate(scores, rows, columns).argmax(-1)
    return metrics.confusion(label, found, classes)[0]

  read = pipeline.Reader(dataset, split)
  canvases = canvases_of_one_pass(dataset.sizes(split), 3)
  confusion = np.zeros((classes, classes), np.int64)
  done = 0
  for drawn in pipeline.in_canvas_order(read, canvases, 1):
    label = drawn.parts[0].label
    cells = tuple(
      int(geometry.sizes(layers, n)[below[upscore.name]])
      for n in label.shape[1:]
    )
    confusion += np.asarray(of_image(label, cells))
    done += 1
    progress(done, len(read.sizes))
  return GridBound(upscore.stride, metrics.Counts(confusion), done)


def best_scores(
  label: UInt8[Array, "1 h w"],
  rows: Float[Array, "h y"],
  columns: Float[Array, "w x"],
  classes: int,
) -> Float[Array, "1 y x c"]:
  """The scores that fit a label best, once they are interpolated.

  Args:
    label: class ids, 255 = void.
    rows, columns: what each pixel takes of the scores, on each axis.
    classes: number of them.
  """
  there = (label[..., None] == jnp.arange(classes)[None, None, None]).astype(
    jnp.float32
  )

  def interpolated(scores):
    return ops.interpolate(scores, rows, columns)

  def gathered(pixels):
    return ops.interpolate(pixels, rows.T, columns.T)

  # To begin with: how often each class is seen by a cell.
  seen = gathered(there)
  scores = jnp.log(
    (seen + 0.01) / (seen.sum(-1, keepdims=True) + 0.01 * classes)
  )
  valid = jnp.maximum((label != VOID).sum(), 1)

  def loss(scores):
    return losses.cross_entropy_sums(interpolated(scores), label)[0][0] / valid

  def update(carry, step):
    scores, mean, square = carry
    slope = jax.grad(loss)(scores)
    mean = 0.9 * mean + 0.1 * slope
    square = 0.99 * square + 0.01 * slope**2
    count = step + 1.0
    size = jnp.sqrt(square / (1 - 0.99**count)) + 1e-12
    rate = _RATE * (1 - step / _UPDATES)
    scores -= rate * (mean / (1 - 0.9**count)) / size
    return (scores, mean, square), None

  none = jnp.zeros_like(scores)
  steps = jnp.arange(_UPDATES, dtype=jnp.float32)
  (scores, _, _), _ = lax.scan(update, (scores, none, none), steps)
  return scores
