"""Scores of a network on a split: one confusion matrix an image, then sums."""

import dataclasses
from collections.abc import Callable, Collection, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import UInt8

from fcn_jax import devices, models
from fcn_jax.data import Dataset, pipeline
from fcn_jax.data.canvases import Canvas, choose_canvases
from fcn_jax.evaluation import metrics
from fcn_jax.evaluation.errors import worst_by_any
from fcn_jax.evaluation.scores import Evaluation
from fcn_jax.models import geometry, losses


def evaluation_step(graphdef, params, frozen, batch: pipeline.Part):
  """What `Evaluation` holds of each image of a batch, and its prediction."""
  net = nnx.merge(graphdef, params, frozen)
  scores = net(batch.image, batch.extent)
  total, valid = losses.cross_entropy_sums(scores, batch.label)
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
    keep_decoded: keep the images in memory, for the next time.
  """

  def __init__(
    self,
    dataset: Dataset,
    split: str,
    *,
    max_canvases: int = 3,
    part_size: int = 1,
    mesh: jax.sharding.Mesh | None = None,
    keep_decoded: bool = False,
  ):
    self.dataset = dataset
    self._read = pipeline.Reader(dataset, split, keep_decoded)
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
    for drawn in self._drawn():
      if stop():
        return None
      batch = devices.shard(drawn.parts[0], self.mesh)
      *found, predicted = self._step(graphdef, params, frozen, batch)
      found = jax.device_get(found)
      predictions |= self._kept(drawn, predicted, keep)
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

  def predictions(
    self, graphdef, params, frozen, keep: Collection[str]
  ) -> dict[str, UInt8[np.ndarray, "h w"]]:
    """The class ids of some images, by id, as they are counted in a call.

    Only the batches they are in go through the network.
    """
    found = {}
    for drawn in self._drawn(keep):
      batch = devices.shard(drawn.parts[0], self.mesh)
      *_, predicted = self._step(graphdef, params, frozen, batch)
      found |= self._kept(drawn, predicted, keep)
    return found

  def _drawn(
    self, wanted: Collection[str] | None = None
  ) -> Iterator[pipeline.Batch]:
    """Every batch of the split, or those with an image that is wanted."""
    ids = self.dataset.ids(self.split)
    return pipeline.in_canvas_order(
      self._read,
      self.canvases,
      self.part_size,
      wanted=None if wanted is None else [i in wanted for i in ids],
    )

  def _kept(
    self, drawn: pipeline.Batch, predicted: jax.Array, keep: Collection[str]
  ) -> dict[str, UInt8[np.ndarray, "h w"]]:
    ids, sizes = self.dataset.ids(self.split), self.dataset.sizes(self.split)
    kept = {}
    for place, index in enumerate(drawn.indices):
      if ids[index] in keep:
        height, width = sizes[index]
        kept[ids[index]] = np.asarray(predicted)[place, :height, :width].copy()
    return kept


def evaluate(
  net: models.Network, dataset: Dataset, split: str, worst: int = 0, **options
) -> Evaluation:
  """Scores a network on a split.

  Args:
    net, dataset, split: what to score.
    worst: by each of `worst.MEASURES`, of how many of the worst images the
      predictions are kept. They go through the network once more, so memory
      does not grow with the split.
    **options: of `Evaluator`.

  Raises:
    ValueError: the network does not score pixels, or does not take an image of
      one of these sizes.
  """
  geometry.check_segmentation(
    net.layers, len(dataset.class_names), dataset.sizes(split)
  )
  evaluator = Evaluator(dataset, split, **options)
  graphdef, *states = nnx.split(net, nnx.Param, ...)
  network = (graphdef, *devices.replicate(states, evaluator.mesh))
  evaluation = evaluator(*network)
  chosen = worst_by_any(evaluation.confusions, worst)
  if not chosen:
    return evaluation
  keep = [evaluation.image_ids[place] for place in chosen]
  predictions = evaluator.predictions(*network, keep)
  return dataclasses.replace(evaluation, predictions=predictions)
