"""Scores of a network on a split: counts of each image, then their sums."""

import functools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, UInt8

from fcn_jax import devices, models
from fcn_jax.data import Dataset, pipeline
from fcn_jax.data.canvases import Canvas, canvases_of_one_pass
from fcn_jax.data.classes import VOID
from fcn_jax.evaluation import metrics, tiling
from fcn_jax.evaluation.per_image import PerImage
from fcn_jax.evaluation.scores import Evaluation
from fcn_jax.evaluation.tta import InMemory, Tta
from fcn_jax.models import geometry, losses


def counted(
  scores: Float[Array, "b h w c"],
  label: UInt8[Array, "b h w"],
  weights: Any = None,
  *,
  loss: losses.Loss,
) -> tuple[dict[str, Any], UInt8[Array, "b h w"]]:
  """What adds up over the pixels of each image, and the prediction.

  Args:
    scores, label: of the images, or of a tile of each.
    weights: of the pixels of a tile, where the loss selects some of the image;
      None: they follow from these scores.
    loss: see `Evaluator`.
  """
  right, valid = metrics.caffe_accuracy_counts(scores, label)
  prediction = scores.argmax(-1).astype(jnp.uint8)
  sums = {
    "confusions": metrics.confusion(label, prediction, scores.shape[-1]),
    "sums": losses.pixel_sums(loss, scores, label)
    if weights is None
    else loss.pixels(scores, label, weights),
    "right": right,
    "valid": valid,
  }
  return sums, prediction


def completed(
  sums: dict[str, Any],
  label: UInt8[Array, "b h w"],
  prediction: UInt8[Array, "b h w"],
  extent: Int[Array, "b 2"],
  *,
  loss: losses.Loss,
  counters: Mapping[str, metrics.Counter],
) -> dict[str, Any]:
  """What `Evaluation` holds of each image, from the sums over its pixels."""
  classes = sums["confusions"].shape[-1]
  sums = dict(sums)
  return {
    "losses": loss.shown(sums.pop("sums")),
    **sums,
    "counted": {
      name: counter(label, prediction, classes, extent)
      for name, counter in counters.items()
    },
  }


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
  sums, prediction = counted(scores, batch.label, loss=loss)
  given = (batch.label, prediction, batch.extent)
  return completed(sums, *given, loss=loss, counters=counters), prediction


class Evaluator:
  """Scores networks of one declaration on one split, compiled once a canvas.

  Of several processes each scores its share of the images on its own devices,
  and all get the counts of all; they call it together.

  Args:
    dataset, split: what to score on.
    loss: what is shown of it is the loss of an image; None: cross entropy.
    max_canvases: how many sizes to pad the images to, at most.
    part_size: images per forward pass.
    mesh: devices to share the images; None: all of this process.
    keep_decoded: keep the images in memory, for the next time.
    tile: 'auto': images that do not fit into memory are computed in tiles,
      with the same scores; 'off': never; or the side of a tile in pixels.
    views: how often an image is seen, and the probabilities averaged, and how
      it is resized for that; None: once, as it is.
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
    tile: str | int = tiling.AUTO,
    views: Tta | None = None,
  ):
    self.dataset = dataset
    self._read = pipeline.Reader(dataset, split, keep_decoded)
    self.split = split
    # Where there are fewer images than processes, each scores all.
    processes = devices.process_count()
    self._is_divided = 1 < processes <= len(dataset.ids(split))
    self._share = (0, 1)
    if self._is_divided:
      self._share = (devices.process_index(), processes)
    self.mesh = mesh or devices.local_mesh()
    self.part_size = devices.divisible(part_size, self.mesh)
    self.canvases: tuple[Canvas, ...] = canvases_of_one_pass(
      dataset.sizes(split), max_canvases
    )
    self.tile, self.views = tile, views
    self._chosen: dict[Canvas, tiling.Sides | None] = {}
    loss = loss or losses.cross_entropy()
    rest = {"loss": loss, "counters": metrics.counters()}
    step = functools.partial(evaluation_step, **rest)
    self._step = jax.jit(step, static_argnums=0)
    self._count = jax.jit(functools.partial(counted, loss=loss))
    self._complete = jax.jit(functools.partial(completed, **rest))
    selection = loss.selection
    self._measure = selection and jax.jit(selection.measure)
    self._weigh = jax.jit(functools.partial(losses.weigh, selection))

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
      progress: told the images done, and their number, of this process.
      stop: asked now and then; when it says True, None is returned.
      keep: ids of the images whose predictions are kept.
    """
    ids = self.dataset.ids(self.split)
    first, every = self._share
    number = len(range(first, len(ids), every))
    params, frozen = devices.local((params, frozen), self.mesh)
    order: list[int] = []
    counted = []
    predictions = {}
    for drawn in self._drawn():
      if stop():
        return None
      counts, predicted = self._score((graphdef, params, frozen), drawn)
      counts = jax.device_get(counts)
      predictions |= self._kept(drawn, predicted, keep)
      counted.append(_held(counts, len(drawn.indices)))
      order += drawn.indices
      progress(len(order), number)
    if self._is_divided:
      order, counted = _of_all(order, counted)
      predictions = _of_all_named(predictions)
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
    params, frozen = devices.local((params, frozen), self.mesh)
    for drawn in self._drawn(keep):
      _, predicted = self._score((graphdef, params, frozen), drawn)
      found |= self._kept(drawn, predicted, keep)
    return _of_all_named(found) if self._is_divided else found

  def _score(self, network: tuple, drawn: pipeline.Batch):
    """What is counted on the images of a batch, and their predictions."""
    part = drawn.parts[0]
    graphdef, *states = network
    canvas = part.image.shape[1:3]
    sides = self._sides(network, canvas)
    if sides is None and self.views is None:
      return self._step(*network, devices.shard(part, self.mesh))
    scorer = tiling.Scorer(
      graphdef,
      states,
      self.mesh,
      sides or canvas,
      tiled=sides is not None,
      views=self.views,
    )
    # Of the empty places of a part nothing is kept.
    part = jax.tree.map(lambda array: array[: len(drawn.indices)], part)
    found = [
      self._by_tiles(scorer, image, label, extent)
      for image, label, extent in zip(
        part.image, part.label, part.extent, strict=True
      )
    ]
    counts = [counts for counts, _ in found]
    return (
      jax.tree.map(lambda *parts: np.concatenate(parts), *counts),
      np.stack([prediction for _, prediction in found]),
    )

  def _sides(self, network: tuple, canvas: Canvas) -> tiling.Sides | None:
    """The tiles of images on a canvas, chosen once."""
    if canvas not in self._chosen:
      graphdef, *states = network
      copies = self.part_size // self.mesh.size
      views, seen = self.views, None
      if views:
        copies *= views.copies
        seen = views.resized(canvas) if views.resize else None
      self._chosen[canvas] = tiling.sides_for(
        tiling.layers_of(graphdef, states), canvas, self.tile, copies, seen=seen
      )
    return self._chosen[canvas]

  def _by_tiles(self, scorer: tiling.Scorer, image, label, extent):
    """The same of one image on its canvas, which goes through it alone."""
    size = tuple(extent.tolist())
    source = InMemory(image[: size[0], : size[1]])

    def by_tiles():
      """Where each tile lies, where it is inside of the image, its scores."""
      for corner, scores in tiling.by_tiles(scorer, source):
        place = tiling.inside(corner, scorer.sides, size)
        here = (0, *tiling.within(place))
        yield place, here, scores

    def cut(whole, place, here, fill):
      """A tile [1, h, w, ...] of an array of the canvas."""
      found = np.full((1, *scorer.sides, *whole.shape[2:]), fill, whole.dtype)
      found[here] = whole[place]
      return found

    weights = None
    if self._measure is not None:
      weights = self._weights(by_tiles(), label, cut)
    sums, predicted = None, np.zeros(label.shape, np.uint8)
    for place, here, scores in by_tiles():
      given = [cut(label, place, here, VOID)]
      if weights is not None:
        given.append(
          jax.tree.map(lambda x, p=place, h=here: cut(x, p, h, 0), weights)
        )
      found, prediction = self._count(scores, *given)
      sums = found if sums is None else jax.tree.map(jnp.add, sums, found)
      predicted[place] = np.asarray(prediction)[here]
    counts = self._complete(sums, label[None], predicted[None], extent[None])
    return jax.device_get(counts), predicted

  def _weights(self, parts, label, cut):
    """The weights of an image's pixels, where a loss has to see all of them."""
    measured = None
    for place, here, scores in parts:
      part = jax.device_get(
        self._measure(scores, cut(label, place, here, VOID))
      )
      if measured is None:
        measured = jax.tree.map(
          lambda x: np.zeros((*label.shape, *x.shape[3:]), x.dtype), part
        )
      for whole, found in zip(
        jax.tree.leaves(measured), jax.tree.leaves(part), strict=True
      ):
        whole[place] = found[here]
    of_image = jax.tree.map(lambda x: x[None], measured)
    weights = self._weigh(of_image, label[None])
    return jax.tree.map(lambda x: np.asarray(x)[0], weights)

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
      share=self._share,
    )

  def _kept(
    self,
    drawn: pipeline.Batch,
    predicted: Array | np.ndarray,
    keep: Collection[str],
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


def _of_all(
  order: Sequence[int], counted: Sequence[Any]
) -> tuple[list[int], list[Any]]:
  """The same of all processes, the counts of each in one."""
  rows = range(len(order))
  own = jax.tree.map(lambda *parts: _together(parts, rows), *counted)
  leaves, tree = jax.tree.flatten(own)
  found = zip(*map(_leaf_of_all, leaves), strict=True)
  orders = devices.of_all(np.array(order))
  return np.concatenate(orders).tolist(), [tree.unflatten(x) for x in found]


def _leaf_of_all(leaf: Any) -> list[Any]:
  """Counts of each process."""
  if not isinstance(leaf, PerImage):
    return devices.of_all(leaf)
  arrays = np.array([leaf.images]), leaf.image, leaf.cell, leaf.number
  return [
    PerImage(int(images[0]), leaf.shape, *fields)
    for images, *fields in zip(*map(devices.of_all, arrays), strict=True)
  ]


def _of_all_named(
  arrays: Mapping[str, UInt8[np.ndarray, "h w"]],
) -> dict[str, UInt8[np.ndarray, "h w"]]:
  """Images of all processes, by name."""
  shapes = {name: list(array.shape) for name, array in arrays.items()}
  flat = [np.zeros(0, np.uint8), *(array.ravel() for array in arrays.values())]
  found = {}
  for one, values in zip(
    devices.of_all_json(shapes),
    devices.of_all(np.concatenate(flat)),
    strict=True,
  ):
    ends = np.cumsum([np.prod(shape) for shape in one.values()], dtype=int)
    for (name, shape), array in zip(
      one.items(), np.split(values, ends)[: len(one)], strict=True
    ):
      found[name] = array.reshape(shape)
  return found


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
  sizes, views = dataset.sizes(split), options.get("views")
  if views and views.resize:
    sizes = views.resize.all_scaled(sizes)
  geometry.check_segmentation(net.layers, len(dataset.class_names), sizes)
  evaluator = Evaluator(dataset, split, **options)
  graphdef, *states = nnx.split(net, nnx.Param, ...)
  network = (graphdef, *devices.replicate(states, evaluator.mesh))
  evaluation = evaluator(*network)
  if worst:
    places = evaluation.ranking.worst_by_any(worst)
    keep = [evaluation.image_ids[place] for place in places]
    evaluation.predictions.update(evaluator.predictions(*network, keep))
  return evaluation
