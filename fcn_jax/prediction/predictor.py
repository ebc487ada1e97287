"""A trained network that takes images as people have them, of any size."""

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8
from PIL import Image

from fcn_jax import devices, models
from fcn_jax.data import pipeline
from fcn_jax.data.augment import Sample
from fcn_jax.data.canvases import Canvas, own_canvas
from fcn_jax.data.files import File
from fcn_jax.data.images import decode_image, read_header, to_rgb
from fcn_jax.evaluation import tiling
from fcn_jax.evaluation.tta import InMemory, Pixels, Tta, as_trained
from fcn_jax.files import DataError
from fcn_jax.models import geometry
from fcn_jax.prediction.result import Result
from fcn_jax.weights import checkpoints

Picture = str | os.PathLike | bytes | Image.Image | np.ndarray | jax.Array


@jax.jit
def most_likely(
  scores: Float[Array, "b h w c"],
) -> UInt8[Array, "b h w"]:
  """The class id of the highest score, the lower id at a tie."""
  return scores.argmax(-1).astype(jnp.uint8)


@jax.jit
def softmax(scores: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
  """exp(s_i) / sum_j exp(s_j)."""
  return jax.nn.softmax(scores)


@functools.partial(jax.jit, static_argnums=1)
def most_likely_classes(
  scores: Float[Array, "b h w c"], number: int
) -> tuple[UInt8[Array, "b h w k"], Float[Array, "b h w k"]]:
  """Class ids of the highest scores and their softmax, highest first.

  The first is `most_likely`. There are `number`, or as many as classes.
  """
  classes = scores.shape[-1]
  left, ids, highest = scores, [], []
  # A sort of each pixel's scores (jax.lax.top_k) takes six times as long.
  for _ in range(min(number, classes)):
    best = left.argmax(-1, keepdims=True)
    ids.append(best)
    highest.append(left.max(-1, keepdims=True))
    left = jnp.where(
      jnp.arange(classes)[None, None, None] == best, -jnp.inf, left
    )
  total = jax.nn.logsumexp(scores, axis=-1, keepdims=True)
  shares = jnp.exp(jnp.concatenate(highest, -1) - total)
  return jnp.concatenate(ids, -1).astype(jnp.uint8), shares


class Predictor:
  """A trained network; call it on an image.

  Args:
    net: a segmentation network.
    about: its class names and palette, and where it comes from.
    step: of the checkpoint it was read from.
    mesh: devices to share images; None: all of this process.
    tile: 'auto': an image that does not fit into memory is computed in tiles,
      with the same result; 'off': never; or the side of a tile in pixels.
    tta: how often an image is seen, and the probabilities averaged; None: once.

  Attributes:
    network: the network, a Flax NNX module.
    class_names: the name of class id i at place i.
    palette: uint8 [256, 3], RGB of each class id.
    value_range: values of 16-bit grey images that become 0 and 255, as in the
      training data; None: 0 and 65535.
    views: how an image is seen: as `tta` says, and resized as the images that
      the network has learned were; None: once, as it is.
    about, step, mesh, tile, tta: as given.

  Raises:
    ValueError: the network does not score every pixel, as a classifier.
  """

  def __init__(
    self,
    net: "models.Network",
    about: checkpoints.ModelCard,
    step: int = 0,
    mesh: jax.sharding.Mesh | None = None,
    tile: str | int = tiling.AUTO,
    tta: Tta | None = None,
  ):
    from flax import nnx  # a second, at the first network

    geometry.check_segmentation(net.layers, len(about.class_names))
    self.network = net
    self.about = about
    self.step = step
    self.tile = tile
    self.tta = tta
    self.views = as_trained(tta, about.resize)
    self.mesh = mesh or devices.local_mesh()
    self.class_names = tuple(about.class_names)
    self.palette = np.array(about.palette, np.uint8)
    self.value_range = about.value_range and tuple(about.value_range)
    self._graphdef, *state = nnx.split(net, nnx.Param, ...)
    self._state = devices.replicate(state, self.mesh)

  def __call__(self, image: Picture) -> Result:
    """Segments one image.

    The first image of each size, rounded up to multiples of 64 pixels, takes
    longer: the network is compiled for it.

    Args:
      image: of any size. A path or the bytes of an image file of any mode; a
        Pillow image; or an array, uint8 0..255, RGB [height, width, 3] or grey
        [height, width] (OpenCV's are BGR: give `image[..., ::-1]`).

    Raises:
      ValueError: an unreadable file, or an array of another type or shape.
      TypeError: something else.
    """
    pixels = as_rgb(image, self.value_range)
    sample = Sample(pixels, None)
    canvas = own_canvas(sample.size)
    scorer = self.scorer(canvas)

    def of_pixels(compute) -> np.ndarray:
      if scorer is not None:
        return stitched(scorer, InMemory(pixels), compute)
      height, width = sample.size
      part = self.place([sample], canvas)
      return np.asarray(compute(self.scores(part)))[0, :height, :width].copy()

    return Result(
      image=pixels,
      labels=of_pixels(most_likely),
      class_names=self.class_names,
      palette=self.palette,
      compute_probabilities=lambda: of_pixels(softmax),
    )

  def scorer(self, size: tuple[int, int]) -> tiling.Scorer | None:
    """What computes images in tiles, resized, or seen several times.

    Args:
      size: (height, width), of an image or of a canvas.

    Returns:
      None: they go through the network whole, and once.

    Raises:
      ValueError: an image that does not fit, and a network that cannot be
        computed in tiles.
    """
    layers, views = self.network.layers, self.views
    copies = views.copies if views else 1
    seen = views.resized(size) if views and views.resize else None
    sides = tiling.sides_for(layers, size, self.tile, copies, seen=seen)
    if sides is None and views is None:
      return None
    tiled = sides is not None
    return tiling.Scorer(
      self._graphdef, self._state, self.mesh, sides or size, tiled, views
    )

  def place(self, samples: Sequence[Sample], canvas: Canvas) -> pipeline.Part:
    """Images on one canvas, as `scores` takes them.

    Args:
      samples: none larger than the canvas.
      canvas: (height, width); made larger where the network does not take it.

    Returns:
      As many places as samples, rounded up to a multiple of the number of
      devices.

    Raises:
      ValueError: the network does not take an image of this size.
    """
    layers = self.network.layers
    for sample in samples:
      geometry.sizes(layers, np.unique(sample.size))
    canvas = tuple(geometry.next_fitting(layers, side) for side in canvas)
    count = devices.divisible(len(samples), self.mesh)
    return pipeline.place(samples, range(len(samples)), canvas, count)

  def scores(self, part: pipeline.Part) -> Float[Array, "b h w c"]:
    """Scores of images on a canvas, on the devices, perhaps still at work.

    Args:
      part: from `place`.

    Returns:
      Scores of image i at [i, :its height, :its width]; the rest has no
      meaning.
    """
    image, extent = devices.shard((part.image, part.extent), self.mesh)
    return tiling.forward(self._graphdef, *self._state, image, extent)

  def __repr__(self) -> str:
    model = self.about.model
    return (
      f"<Predictor {model['name']}, step {self.step}, "
      f"{len(self.class_names)} classes: {', '.join(self.class_names)}>"
    )


def load(
  directory: str | os.PathLike,
  step: str | int = "best",
  precision: str = "float32",
  tile: str | int = tiling.AUTO,
  tta: str = "",
) -> Predictor:
  """A trained network, ready to be called on images.

  >>> import fcn_jax
  >>> net = fcn_jax.load("runs/quickstart/fcn_alexnet")
  >>> result = net("runs/quickstart/new_images/new_01.jpg")
  >>> result.labels.dtype, result.probabilities.dtype
  (dtype('uint8'), dtype('float32'))
  >>> net(result.image).labels.tolist() == result.labels.tolist()
  True

  As the last line of a notebook's cell, `result` is shown as a picture.  A
  network that has learned resized images (config.data.resize_mode) sees images
  at their scale; labels and probabilities have the image's own size.

  Args:
    directory: the workdir of a training run, or the output directory of
      scripts/convert_weights.py.
    step: 'best' (by mean IoU on the validation set; the latest where none was
      scored), 'latest', or the number of a step that was kept.
    precision: of the products: 'float32', 'tf32' or 'bfloat16'; the latter two
      are faster on GPUs that have them, and less exact.
    tile: 'auto', 'off' or the side of tiles in pixels, see `Predictor`.
    tta: test-time augmentation: 'flip,0.75,1,1.25' sees each image at these
      scales, mirrored too, and takes the mean of the probabilities; '': once.

  Returns:
    A `Predictor`; `net(image)` is a `Result`.

  Raises:
    FileNotFoundError: no such directory or checkpoint.
    ValueError: not a segmentation network, an unknown precision, or a tile or
      tta that says something else.
  """
  directory = os.path.expanduser(os.fspath(directory))
  tile, views = tiling.parse(tile), Tta.parse(tta)
  loaded = checkpoints.load_model(directory, step, precision)
  return Predictor(*loaded, tile=tile, tta=views)


def stitched(
  scorer: tiling.Scorer,
  source: Pixels,
  compute: Callable[[Float[Array, "b h w c"]], Any],
) -> Any:
  """What is computed of the scores of every pixel of an image.

  Args:
    scorer: of this image's size.
    source: the image.
    compute: scores to an array [b, h, w, ...], or a tree of them.
  """
  found = None
  for corner, scores in tiling.by_tiles(scorer, source):
    part = jax.device_get(compute(scores))
    if found is None:
      found = jax.tree.map(
        lambda x: np.empty((*source.size, *x.shape[3:]), x.dtype), part
      )
    inside = tiling.inside(corner, scorer.sides, source.size)
    there = (0, *tiling.within(inside))
    for whole, array in zip(
      jax.tree.leaves(found), jax.tree.leaves(part), strict=True
    ):
      whole[inside] = array[there]
  return found


def as_rgb(
  image: Picture, value_range: tuple[int, int] | None = None
) -> UInt8[np.ndarray, "h w 3"]:
  """An image in any of the forms that `Predictor` takes, as an RGB array.

  Args:
    image: as `Predictor` takes it.
    value_range: of 16-bit grey, see `Predictor`.

  Raises:
    ValueError: an unreadable file, one of several pages, or an array of another
      type or shape.
    TypeError: something else.
  """
  match image:
    case str() | os.PathLike():
      path = os.path.expanduser(os.fspath(image))
      if not os.path.isfile(path):
        raise ValueError(f"{path}: no such file; check the path")
      return _from_file(File(path, path).read(), path, value_range)
    case bytes():
      return _from_file(image, "the image", value_range)
    case Image.Image():
      return to_rgb(image, "the image", value_range)
    case np.ndarray() | jax.Array():
      return _from_array(np.asarray(image))
  raise TypeError(
    f"the image is a {type(image).__name__}; give a path, the bytes of a file, "
    "a Pillow image, or a uint8 array [height, width, 3] or [height, width]"
  )


def _from_file(
  data: bytes, name: str, value_range: tuple[int, int] | None
) -> UInt8[np.ndarray, "h w 3"]:
  pages = len(read_header(data).pages)
  if pages > 1:
    raise DataError(
      f"{name}: {pages} pages or frames, and one image is asked for; give each "
      "as an array, or all of them to scripts/predict.py"
    )
  return decode_image(data, name, value_range)


def _from_array(image: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
  remedy = None
  if image.dtype != np.uint8:
    remedy = "convert it to uint8, 0..255"
    if np.issubdtype(image.dtype, np.floating):
      remedy += ": (255 * image).round().astype('uint8') if it is in 0..1"
  elif image.ndim == 4:
    remedy = "give one image at a time"
  elif image.ndim == 3 and image.shape[2] == 4:
    remedy = "drop its alpha: image[..., :3]"
  elif image.ndim == 3 and image.shape[2] == 1:
    remedy = "drop its last axis: image[..., 0]"
  elif image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
    remedy = "give RGB [height, width, 3] or grey [height, width]"
  elif image.size == 0:
    remedy = "it has no pixels"
  if remedy:
    raise ValueError(
      f"the image is an array of {image.dtype} {list(image.shape)}, not of "
      f"uint8 [height, width, 3] or [height, width]; {remedy}"
    )
  if image.ndim == 2:
    return np.repeat(image[..., None], 3, axis=-1)
  return image.copy()
