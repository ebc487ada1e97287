"""Scores of a network on a split: one confusion matrix an image, then sums."""

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float, Int, UInt8

from fcn_jax import devices, geometry, losses, metrics, models
from fcn_jax.data import Dataset, pipeline
from fcn_jax.data.canvases import Canvas, choose_canvases


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """What was counted on each image of a split, and the scores it gives.

  Attributes:
    class_names: name of each class id.
    image_ids: the images, in the order of the arrays.
    confusions: pixels by [image, label, prediction], void left out.
    total_loss: sum of the cross entropy over each image's valid pixels.
    valid: number of valid pixels of each image.
    right: right pixels of each image by Caffe's rule (a tie is wrong).
    pixels: number of pixels of each image, void included.
    predictions: class ids of the images that were to be kept, by image id.
  """

  class_names: tuple[str, ...]
  image_ids: tuple[str, ...]
  confusions: Int[np.ndarray, "n c c"]
  total_loss: Float[np.ndarray, " n"]
  valid: Int[np.ndarray, " n"]
  right: Int[np.ndarray, " n"]
  pixels: Int[np.ndarray, " n"]
  predictions: Mapping[str, UInt8[np.ndarray, "h w"]] = dataclasses.field(
    default_factory=dict
  )

  @functools.cached_property
  def histogram(self) -> Int[np.ndarray, "c c"]:
    """The confusion matrix of the whole set, [label, prediction]."""
    return self.confusions.sum(0, dtype=np.int64)

  @functools.cached_property
  def scores(self) -> metrics.Scores:
    """Figures of the whole set."""
    return metrics.scores(self.histogram)

  @property
  def loss(self) -> float:
    """Mean over images of the cross entropy per valid pixel (Caffe's)."""
    return float((self.total_loss / np.maximum(self.valid, 1)).mean())

  @property
  def digits_accuracy(self) -> float:
    """DIGITS' "accuracy"."""
    return metrics.digits_accuracy(self.right, self.valid)

  @property
  def collapsed_to(self) -> str | None:
    """The class that nearly all pixels are predicted as, if the labels differ.

    Nearly all: 99.9 % of the predictions, where at least 1 % of the labels
    are of another class.
    """
    predicted, labelled = self.histogram.sum(0), self.histogram.sum(1)
    top = int(predicted.argmax())
    if predicted[top] < 0.999 * predicted.sum():
      return None
    others = labelled.sum() - labelled[top]
    return self.class_names[top] if others > 0.01 * labelled.sum() else None

  def figures(self) -> dict[str, Any]:
    """All figures by name, as in the JSON of scripts/evaluate.py."""
    commonest, baseline = metrics.majority_baseline(self.histogram)
    scores = self.scores
    return {
      "pixel_accuracy": scores.pixel_accuracy,
      "mean_accuracy": scores.mean_accuracy,
      "mean_iu": scores.mean_iu,
      "fw_iu": scores.fw_iu,
      "digits_accuracy": self.digits_accuracy,
      "loss": self.loss,
      "majority_baseline": {
        "class": self.class_names[commonest],
        "pixel_accuracy": baseline.pixel_accuracy,
        "mean_accuracy": baseline.mean_accuracy,
        "mean_iu": baseline.mean_iu,
        "fw_iu": baseline.fw_iu,
      },
      "per_class_iu": {
        name: float(iu)
        for name, iu in zip(self.class_names, scores.per_class_iu, strict=True)
      },
      "images": len(self.image_ids),
      "void_pixels": int(self.pixels.sum() - self.valid.sum()),
    }

  def summary(self) -> str:
    """One line, the majority-class baseline in it."""
    figures = self.figures()
    baseline = figures["majority_baseline"]
    return (
      f"mean IU {figures['mean_iu']:.4f}, "
      f"pixel accuracy {figures['pixel_accuracy']:.4f} "
      f"(only {baseline['class']}: {baseline['mean_iu']:.4f}, "
      f"{baseline['pixel_accuracy']:.4f}), "
      f"mean accuracy {figures['mean_accuracy']:.4f}, "
      f"fw IU {figures['fw_iu']:.4f}, "
      f"DIGITS' accuracy {figures['digits_accuracy']:.4f}, "
      f"loss {figures['loss']:.4f}"
    )

  def table(self) -> str:
    """Per class and overall, for a terminal."""
    figures = self.figures()
    baseline = figures["majority_baseline"]
    labelled = self.histogram.sum(1)
    width = max(len("pixel accuracy"), *(len(n) for n in self.class_names))
    lines = [f"{'class':<{width}}  {'IU':>7}  {'found':>7}  {'pixels':>11}"]
    with np.errstate(invalid="ignore"):
      found = np.diag(self.histogram) / labelled
    for i, name in enumerate(self.class_names):
      iu = self.scores.per_class_iu[i]
      lines.append(
        f"{name:<{width}}  {_cell(iu)}  {_cell(found[i])}  {labelled[i]:>11,}"
      )
    only = f"only {baseline['class']}"
    lines += ["", f"{'':<{width}}  {'score':>7}  {only}"]
    for key in ("mean_iu", "pixel_accuracy", "mean_accuracy", "fw_iu"):
      name = key.replace("_", " ").replace(" iu", " IU")
      lines.append(
        f"{name:<{width}}  {_cell(figures[key])}  {_cell(baseline[key])}"
      )
    name = "DIGITS' accuracy"
    lines.append(f"{name:<{width}}  {_cell(self.digits_accuracy)}")
    lines.append(f"{'loss':<{width}}  {_cell(self.loss)}")
    return "\n".join(lines)


def _cell(value: float) -> str:
  return "      -" if np.isnan(value) else f"{value:7.4f}"


def evaluation_step(graphdef, params, frozen, batch: pipeline.Batch):
  """What `Evaluation` holds of each image of a batch, and its prediction."""
  net = nnx.merge(graphdef, params, frozen)
  scores = net(batch.image, batch.extent)
  total, valid = losses.cross_entropy(scores, batch.label)
  right, _ = metrics.caffe_accuracy_counts(scores, batch.label)
  prediction = scores.argmax(-1)
  counts = metrics.confusion(batch.label, prediction, scores.shape[-1])
  return counts, total, valid, right, prediction.astype(jnp.uint8)


class Evaluator:
  """Scores networks of one declaration on one split, compiled once a canvas.

  Args:
    dataset, split: what to score on.
    max_canvases: how many sizes to pad the images to, at most.
    part_size: images per forward pass.
    mesh: devices to share the images; None: all.
  """

  def __init__(
    self,
    dataset: Dataset,
    split: str,
    *,
    max_canvases: int = 3,
    part_size: int = 1,
    mesh: jax.sharding.Mesh | None = None,
  ):
    self.dataset = dataset
    self.split = split
    self.mesh = mesh or devices.data_mesh()
    self.part_size = devices.divisible(part_size, self.mesh)
    self.canvases: tuple[Canvas, ...] = choose_canvases(
      dataset.sizes(split), max_canvases
    )
    self._step = jax.jit(evaluation_step, static_argnums=0)

  def __call__(
    self,
    graphdef,
    params,
    frozen,
    *,
    progress: Callable[[int, int], None] = lambda done, images: None,
    stop: Callable[[], bool] = lambda: False,
    keep: Collection[str] = (),
  ) -> Evaluation | None:
    """Scores the network on the whole split.

    Args:
      graphdef, params, frozen: from `nnx.split(net, nnx.Param, ...)`.
      progress: told the images done, and their number.
      stop: asked now and then; when it says True, None is returned.
      keep: ids of the images whose predictions are kept.
    """
    ids = self.dataset.ids(self.split)
    sizes = self.dataset.sizes(self.split)
    order: list[int] = []
    counted = []
    predictions = {}
    for drawn in pipeline.in_canvas_order(
      self.dataset, self.split, self.canvases, self.part_size
    ):
      if stop():
        return None
      batch = devices.shard(drawn.parts[0], self.mesh)
      *found, predicted = self._step(graphdef, params, frozen, batch)
      found = jax.device_get(found)
      for place, index in enumerate(drawn.indices):
        if ids[index] in keep:
          height, width = sizes[index]
          labels = np.asarray(predicted)[place, :height, :width]
          predictions[ids[index]] = labels.copy()
      counted.append([array[: len(drawn.indices)] for array in found])
      order += drawn.indices
      progress(len(order), len(ids))
    back = np.argsort(order)
    confusions, total, valid, right = (
      np.concatenate(arrays)[back] for arrays in zip(*counted, strict=True)
    )
    return Evaluation(
      class_names=self.dataset.class_names,
      image_ids=tuple(ids),
      confusions=confusions,
      total_loss=total.astype(np.float64),
      valid=valid,
      right=right,
      pixels=sizes.astype(np.int64).prod(1),
      predictions=predictions,
    )


def evaluate(
  net: models.Network, dataset: Dataset, split: str, **options
) -> Evaluation:
  """Scores a network on a split; `options` are those of `Evaluator`.

  Raises:
    ValueError: the network does not score pixels, or does not take an image of
      one of these sizes.
  """
  geometry.check_segmentation(
    net.layers, len(dataset.class_names), dataset.sizes(split)
  )
  evaluator = Evaluator(dataset, split, **options)
  graphdef, *states = nnx.split(net, nnx.Param, ...)
  params, frozen = devices.replicate(states, evaluator.mesh)
  return evaluator(graphdef, params, frozen)
