"""Scores of a network on a split: counts of each image, then their sums."""

import functools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, UInt8

from fcn_jax import devices, models
from fcn_jax.data import Dataset, pipeline
from fcn_jax.data.canvases import Canvas, choose_canvases
from fcn_jax.evaluation import metrics
from fcn_jax.evaluation.per_image import PerImage
from fcn_jax.evaluation.scores import Evaluation
from fcn_jax.models import geometry, losses


def evaluation_step(
  graphdef,
  params,
  frozen,
  batch: pipeline.Part,
  *,
  loss: losses.Loss,
  counters: Mapping[str, metrics.Counter],
) -> tuple[dict[str, Any], UInt8[Array, "b h w"]]:
  """What `Evaluation` holds of each image of a batch, and its prediction."""
  net = nnx.merge(graphdef, params, frozen)
  scores = net(batch.image, batch.extent)
  classes, label = scores.shape[-1], batch.label
  right, valid = metrics.caffe_accuracy_counts(scores, label)
  prediction = scores.argmax(-1)
  counts = {
    "confusions": metrics.confusion(label, prediction, classes),
    "losses": loss.shown(losses.pixel_sums(loss, scores, label)),
    "right": right,
    "valid": valid,
    "counted": {
      name: counter(label, prediction, classes, batch.extent)
      for name, counter in counters.items()
    },
  }
  return counts, prediction.astype(jnp.uint8)


class Evaluator:
  """Scores networks of one declaration on one split, compiled once a canvas.

  Args:
    dataset, split: what to score on.
    loss: what is shown of it is the loss of an image; None: cross entropy.
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
    loss: losses.Loss | None = None,
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
    step = functools.partial(
      evaluation_step,
      loss=loss or losses.cross_entropy(),
      counters=metrics.counters(),
    )
    self._step = jax.jit(step, static_argnums=0)

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
    order: list[int] = []
    counted = []
    predictions = {}
    for drawn in self._drawn():
      if stop():
        return None
      batch = devices.shard(drawn.parts[0], self.mesh)
      counts, predicted = self._step(graphdef, params, frozen, batch)
      counts = jax.device_get(counts)
      predictions |= self._kept(drawn, predicted, keep)
      counted.append(_held(counts, len(drawn.indices)))
      order += drawn.indices
      progress(len(order), len(ids))
    together = jax.tree.map(lambda *parts: _together(parts, order), *counted)
    return Evaluation(
      class_names=self.dataset.class_names,
      image_ids=tuple(ids),
      pixels=self.dataset.label_sizes(self.split).astype(np.int64).prod(1),
      predictions=predictions,
      **together,
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
    ids = self.dataset.ids(self.split)
    kept = {}
    for place, index in enumerate(drawn.indices):
      if ids[index] in keep:
        height, width = self._read.sizes[index]
        kept[ids[index]] = np.asarray(predicted)[place, :height, :width].copy()
    return kept


def _held(counts: dict[str, Any], images: int) -> dict[str, Any]:
  """The counts of a batch's images, small enough to be kept of every image."""
  counts = jax.tree.map(lambda array: array[:images], counts)
  return {
    "confusions": PerImage.of(counts["confusions"]),
    "losses": counts["losses"].astype(np.float64),
    "right": counts["right"],
    "valid": counts["valid"],
    "counted": {
      name: PerImage.of(array) for name, array in counts["counted"].items()
    },
  }


def _together(parts: Sequence[Any], order: Sequence[int]) -> Any:
  """The counts of all batches, those of image order[i] in its place."""
  if isinstance(parts[0], PerImage):
    return PerImage.joined(parts, order)
  return np.concatenate(parts)[np.argsort(order)]


def evaluate(
  net: models.Network, dataset: Dataset, split: str, worst: int = 0, **options
) -> Evaluation:
  """Scores a network on a split.

  Args:
    net, dataset, split: what to score.
    worst: by each of `errors.MEASURES`, of how many of the worst images the
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
  if worst:
    places = evaluation.ranking.worst_by_any(worst)
    keep = [evaluation.image_ids[place] for place in places]
    evaluation.predictions.update(evaluator.predictions(*network, keep))
  return evaluation
