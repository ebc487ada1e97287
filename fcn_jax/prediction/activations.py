"""What every layer of a network holds, and makes of one image, in figures."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float, Float32, Int, UInt8
from PIL import Image

from fcn_jax import models
from fcn_jax.evaluation import tiling
from fcn_jax.evaluation.tta import InMemory, as_trained, window
from fcn_jax.models import geometry, tiles
from fcn_jax.models import layers as d
from fcn_jax.prediction.predictor import as_rgb
from fcn_jax.prediction.result import Result
from fcn_jax.weights import checkpoints

BINS = 40
_BLOCK = 2**22  # values held in float64 at a time


@dataclasses.dataclass(frozen=True, eq=False)
class Distribution:
  """Figures of an array whose last axis are its channels, in float64.

  Attributes:
    shape: of the array.
    mean, std: of all values; the standard deviation divides by their number.
    minimum, maximum: of all values.
    zeros: share of the values that are exactly 0.
    counts: values in each of `BINS` bins of equal width from minimum to
      maximum; the last one holds the maximum. Where all values are the same,
      the bins reach half a unit to either side.
    edges: of the bins.
    channel_means: mean of each channel.
    dead: channels that are 0 throughout.
  """

  shape: tuple[int, ...]
  mean: float
  std: float
  minimum: float
  maximum: float
  zeros: float
  counts: Int[np.ndarray, " bins"]
  edges: Float[np.ndarray, " bins+1"]
  channel_means: Float[np.ndarray, " c"]
  dead: tuple[int, ...]

  @property
  def size(self) -> int:
    """Number of values."""
    return int(np.prod(self.shape))

  def figures(self) -> dict:
    """All of it by name, as JSON has it."""
    figures = dataclasses.asdict(self)
    for name, value in figures.items():
      if isinstance(value, np.ndarray):
        figures[name] = value.tolist()
      if isinstance(value, tuple):
        figures[name] = list(value)
    return figures


def distribution(array: Float[np.ndarray, "*shape c"]) -> Distribution:
  """The figures of an array that holds something.

  Raises:
    ValueError: a value is NaN or infinite.
  """
  rows = array.reshape(-1, array.shape[-1])
  step = max(1, _BLOCK // rows.shape[1])

  def blocks():
    for start in range(0, len(rows), step):
      yield rows[start : start + step].astype(np.float64)

  sums, used = np.zeros(rows.shape[1]), np.zeros(rows.shape[1], np.int64)
  lowest, highest = np.inf, -np.inf
  for block in blocks():
    sums += block.sum(0)
    used += np.count_nonzero(block, axis=0)
    lowest = min(lowest, block.min())
    highest = max(highest, block.max())
  if not np.isfinite(sums).all() or not np.isfinite([lowest, highest]).all():
    wrong = array.size - np.count_nonzero(np.isfinite(array))
    raise ValueError(f"{wrong} of {array.size} values are NaN or infinite")
  mean = sums.sum() / array.size
  edges = np.histogram_bin_edges(np.zeros(0), BINS, (lowest, highest))
  counts, squares = np.zeros(BINS, np.int64), 0.0
  for block in blocks():
    counts += np.histogram(block, edges)[0]
    squares += np.square(block - mean).sum()
  return Distribution(
    shape=array.shape,
    mean=float(mean),
    std=float(np.sqrt(squares / array.size)),
    minimum=float(lowest),
    maximum=float(highest),
    zeros=1 - int(used.sum()) / array.size,
    counts=counts,
    edges=edges,
    channel_means=sums / len(rows),
    dead=tuple(np.flatnonzero(used == 0).tolist()),
  )


@dataclasses.dataclass(frozen=True, eq=False)
class LayerActivity:
  """One layer: its weights, and its blob for one image.

  Attributes:
    layer: as declared.
    blob: the values [y, x, channels], a convolution's after its ReLU; of the
      layer's true extent, padding of the first convolution included.
    activation: figures of the blob.
    weights: the layer's arrays by name: kernel [y, x, in / groups, out] and
      bias, or kernel1d of an upscore.
    distributions: figures of each of them.
    parameters: learnable numbers.
    place: where the blob's cells lie over the image.
    channel_names: of the channels that mean something; else empty.
    sees_image: its kernel reads the image's channels blue, green, red.
  """

  layer: d.Layer
  blob: Float32[np.ndarray, "y x c"]
  activation: Distribution
  weights: dict[str, np.ndarray]
  distributions: dict[str, Distribution]
  parameters: int
  place: d.Placement
  channel_names: tuple[str, ...]
  sees_image: bool

  @property
  def name(self) -> str:
    return self.layer.name

  @property
  def kind(self) -> str:
    """What the layer does, in words."""
    words = [self.layer.words]
    words += ["ReLU"] * getattr(self.layer, "relu", False)
    words += ["in training only"] * (not self.layer.acts)
    return ", ".join(words)

  def strongest(self, count: int) -> list[int]:
    """The channels of the largest mean, largest first."""
    order = np.argsort(-self.activation.channel_means, kind="stable")
    return order[:count].tolist()

  def figures(self) -> dict:
    """All figures by name, as in the JSON of scripts/inspect_activations.py."""
    return {
      "name": self.name,
      "kind": self.kind,
      "parameters": self.parameters,
      "stride": float(self.place.stride),
      "field": self.place.field,
      "activation": self.activation.figures(),
      "weights": {k: v.figures() for k, v in self.distributions.items()},
    }


def activity(
  net: models.Network,
  image: UInt8[np.ndarray, "h w 3"],
  class_names: Sequence[str] = (),
  only: Sequence[str] = (),
  tile: str | int = tiling.AUTO,
) -> tuple[LayerActivity, ...]:
  """What each layer holds, and makes of an image.

  The network runs on the image at its own size, without a canvas; in tiles
  where it does not fit into memory otherwise. The blobs that are asked for are
  held as a whole.

  Args:
    net: a segmentation network or a classifier.
    image: RGB, of the side that a classifier takes (see `classifier_image`).
    class_names: of the channels of the scores.
    only: names of the layers that are asked for; empty: all.
    tile: 'auto', 'off' or the side of tiles, see `tiling.sides_for`.

  Raises:
    ValueError: no layer of that name, an image that the network does not take,
      or values that are NaN or infinite.
  """
  names = [layer.name for layer in net.layers]
  if strange := [name for name in only if name not in names]:
    raise ValueError(
      f"no layer is called {', '.join(strange)}; there is {', '.join(names)}"
    )
  kept = tuple(name for name in names if not only or name in only)
  blobs = _blobs(net, image, kept, tile)
  places = geometry.placements(net.layers)
  channels, weights = d.channels(net.layers), d.weights(net.layers)
  scores = _score_layers(net.layers)
  found = []
  for layer, bottom in d.with_bottoms(net.layers):
    if layer.name not in kept:
      continue
    blob = np.asarray(blobs[layer.name], np.float32)
    own = getattr(net, layer.name, None)
    arrays = {
      name: np.asarray(getattr(own, name)[...])
      for name in weights.get(layer.name, {})
    }
    of_image = bottom is None
    of_classes = layer.name in scores and len(class_names) == blob.shape[-1]
    channel_names = ("blue", "green", "red") if of_image else ()
    found.append(
      LayerActivity(
        layer=layer,
        blob=blob,
        activation=_named(layer.name, "", blob),
        weights=arrays,
        distributions={
          name: _named(layer.name, f".{name}", array)
          for name, array in arrays.items()
        },
        parameters=layer.parameters(channels[bottom]) if bottom else 0,
        place=places[layer.name],
        channel_names=tuple(class_names) if of_classes else channel_names,
        sees_image=bottom == names[0] and "kernel" in arrays,
      )
    )
  return tuple(found)


def _blobs(
  net: models.Network,
  image: UInt8[np.ndarray, "h w 3"],
  kept: tuple[str, ...],
  tile: str | int,
) -> dict[str, np.ndarray]:
  """Some blobs of an image, [y, x, channels] by layer name."""
  graphdef, state = nnx.split(net)
  sides = None
  if net.layers[0].size is None:
    sizes = _sizes(net.layers, image.shape[:2])
    bytes_kept = 4 * sum(math.prod(sizes[name]) for name in kept)
    peak = tiles.whole_bytes(net.layers, *image.shape[:2])
    copies = 1 + bytes_kept / peak
    sides = tiling.sides_for(net.layers, image.shape[:2], tile, copies)
  if sides is None:

    @jax.jit
    def run(state, image):
      blobs = nnx.merge(graphdef, state).blobs(image)
      return {name: blobs[name][0] for name in kept}

    return jax.device_get(run(state, image[None]))

  part = tiles.Tile(net.layers, *sides, kept)

  @jax.jit
  def compute(state, pixels, corner, size):
    net = nnx.merge(graphdef, state)
    return tiles.blobs(net, part, pixels, corner, size)

  places = geometry.placements(net.layers)
  found = {name: np.zeros(sizes[name], np.float32) for name in kept}
  # Cells of an axis in a tile; those of the padding make for further tiles.
  cells = {
    name: [int(side / places[name].stride) for side in sides] for name in kept
  }
  counts = (
    max(-(-sizes[name][axis] // cells[name][axis]) for name in kept)
    for axis in (0, 1)
  )
  size = np.array([image.shape[:2]], np.int32)
  for index in np.ndindex(*counts):
    corner = tuple(i * side for i, side in zip(index, sides, strict=True))
    pixels = window(InMemory(image), *tiling.pixels_of(part, corner))
    corners = np.array([corner], np.int32)
    for name, blob in compute(state, pixels[None], corners, size).items():
      here = tuple(
        slice(i * n, (i + 1) * n)
        for i, n in zip(index, cells[name], strict=True)
      )
      height, width, _ = found[name][here].shape
      found[name][here] = np.asarray(blob)[0, :height, :width]
  return found


def _sizes(
  layers: d.Layers, size: tuple[int, int]
) -> dict[str, tuple[int, int, int]]:
  """Rows, columns and channels of every blob."""
  rows, columns = (geometry.sizes(layers, n) for n in size)
  channels = d.channels(layers)
  return {name: (rows[name], columns[name], channels[name]) for name in rows}


def _score_layers(layers: d.Layers) -> set[str]:
  """The heads, and what is made of their channels one by one."""
  found: set[str] = set()
  channels = d.channels(layers)
  for layer, bottom in d.with_bottoms(layers):
    made_of_scores = bottom in found and not layer.parameters(channels[bottom])
    if layer.head or made_of_scores:
      found.add(layer.name)
  return found


def _named(layer: str, what: str, array: np.ndarray) -> Distribution:
  try:
    return distribution(array)
  except ValueError as error:
    raise ValueError(f"{layer}{what}: {error}") from None


def classifier_image(
  image: UInt8[np.ndarray, "h w 3"], side: int
) -> UInt8[np.ndarray, "side side 3"]:
  """An image as a classifier takes it: the middle square, scaled to its side.

  Args:
    image: RGB, of any size.
    side: of the classifier's images, in pixels.
  """
  height, width = image.shape[:2]
  square = min(height, width)
  top, left = (height - square) // 2, (width - square) // 2
  middle = image[top : top + square, left : left + square]
  scaled = Image.fromarray(middle).resize(
    (side, side), Image.Resampling.BILINEAR
  )
  return np.asarray(scaled)


def table(layers: Sequence[LayerActivity]) -> str:
  """The figures of blobs and weights, one line each, for a terminal."""
  lines = [
    f"{'array':<20}{'shape':>20}{'parameters':>12}{'mean':>11}{'std':>11}"
    f"{'min':>11}{'max':>11}{'zeros':>8}  channels that are 0 throughout"
  ]
  for layer in layers:
    lines.append(_line(layer.name, "", layer.activation))
    for name, found in layer.distributions.items():
      learned = f"{found.size:,}" if layer.parameters else "fixed"
      lines.append(_line(f"  {layer.name}.{name}", learned, found))
  total = sum(layer.parameters for layer in layers)
  lines.append(f"{'together':<40}{total:>12,}")
  return "\n".join(lines)


def _line(name: str, parameters: str, found: Distribution) -> str:
  shape = " x ".join(map(str, found.shape))
  cells = "".join(
    f"{value:>11.4g}"
    for value in (found.mean, found.std, found.minimum, found.maximum)
  )
  dead = dead_channels(found)
  line = f"{name:<20}{shape:>20}{parameters:>12}{cells}{found.zeros:>8.1%}"
  return f"{line}  {dead}".rstrip()


def dead_channels(found: Distribution, most: int = 12) -> str:
  """The channels that are 0 throughout: their number, and the first of them."""
  if not found.dead:
    return ""
  first = ", ".join(map(str, found.dead[:most]))
  more = ", ..." if len(found.dead) > most else ""
  return f"{len(found.dead)} of {found.shape[-1]}: {first}{more}"


@dataclasses.dataclass(frozen=True, eq=False)
class Inspected:
  """A checkpoint, and what it makes of one image.

  Attributes:
    checkpoint: the model directory, as it was named.
    step: of the checkpoint.
    path: of the image.
    card: of the network.
    image: RGB, as the network saw it.
    note: how the image was made to fit; '': it was not.
    layers: those that were asked for.
    result: the segmentation; of a classifier the likeliest classes and their
      probabilities.
  """

  checkpoint: str
  step: int
  path: str
  card: checkpoints.ModelCard
  image: UInt8[np.ndarray, "h w 3"]
  note: str
  layers: tuple[LayerActivity, ...]
  result: Result | list[tuple[str, float]]

  @property
  def title(self) -> str:
    """The network in words: where its checkpoint lies, and its step."""
    return f"{self.checkpoint}, step {self.step}"

  def text(self) -> str:
    """The figures for a terminal, and what they are of."""
    return f"{self.title}, on {self.path}\n\n{table(self.layers)}"

  def figures(self) -> dict[str, Any]:
    """The figures by name, for JSON."""
    return {
      "checkpoint": self.checkpoint,
      "step": self.step,
      "image": self.path,
      "layers": [layer.figures() for layer in self.layers],
    }


def inspect(
  checkpoint: str,
  path: str,
  *,
  step: str | int = "best",
  only: Sequence[str] = (),
  tile: str | int = tiling.AUTO,
) -> Inspected:
  """Runs a checkpoint on an image, and looks into every layer.

  Args:
    checkpoint: a model directory, or a classifier's workdir.
    path: of the image; a classifier is given its middle square, scaled.
    step: 'best', 'latest' or a number.
    only: names of the layers that are asked for; empty: all.
    tile: see `activity`.

  Raises:
    FileNotFoundError: there is no such checkpoint.
    ValueError: the image cannot be read, or there is no such layer.
  """
  tile = tiling.parse(tile)
  net, card, number = checkpoints.load_model(checkpoint, step)
  image = as_rgb(path, card.value_range and tuple(card.value_range))
  side, note = net.layers[0].size, ""
  if views := as_trained(None, card.resize):
    (view,) = views.of(InMemory(image))
    note = (
      f"The network has learned resized images ({views.resize}): it sees this "
      f"one of {image.shape[1]} × {image.shape[0]} pixels at {view.size[1]} × "
      f"{view.size[0]}."
    )
    image = view.read(*((0, n) for n in view.size))
  if side and image.shape[:2] != (side, side):
    note = (
      f"A classifier takes images of {side} × {side} pixels. It sees the "
      f"middle square of this image of {image.shape[1]} × {image.shape[0]}, "
      "scaled."
    )
    image = classifier_image(image, side)
  asked = only and [*only, net.layers[-1].name]
  found = activity(net, image, card.class_names, asked, tile)
  scores = found[-1].blob
  shown = tuple(x for x in found if not asked or x.name in only)
  result = _likeliest(scores, card) if side else _result(image, scores, card)
  return Inspected(checkpoint, number, path, card, image, note, shown, result)


def _shares(scores: Float[np.ndarray, "*shape c"]):
  """The softmax over the last axis."""
  shares = np.exp(scores - scores.max(-1, keepdims=True))
  return shares / shares.sum(-1, keepdims=True)


def _result(image, scores, card: checkpoints.ModelCard) -> Result:
  return Result(
    image=image,
    labels=scores.argmax(-1).astype(np.uint8),
    class_names=tuple(card.class_names),
    palette=np.array(card.palette, np.uint8),
    compute_probabilities=lambda: _shares(scores),
  )


def _likeliest(
  scores, card: checkpoints.ModelCard, most: int = 5
) -> list[tuple[str, float]]:
  shares = _shares(scores[0, 0])
  order = np.argsort(-shares, kind="stable")[:most].tolist()
  return [(card.class_names[i], float(shares[i])) for i in order]
