"""Decoded images, kept where the next epoch finds them.

Where they are kept changes no batch, only how fast it is there.
"""

import dataclasses
import functools
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Int, Int32, UInt32
from ml_collections import ConfigDict

from fcn_jax import devices
from fcn_jax.data import Dataset, pipeline, sampling
from fcn_jax.data.canvases import assign, choose_canvases
from fcn_jax.devices import MemoryLimit, replicate, shard
from fcn_jax.text import GIB
from fcn_jax.training import optimizers

_log = logging.getLogger(__name__)

# Of the memory there is, the share that images may take where the config says
# 'auto'; the rest is the network's.
_SHARE = 0.25

# Pixels are counted in int32.
_MOST_PIXELS = 2**31 - 1


def choose(
  wanted: str,
  sizes: Int[np.ndarray, "n 2"],
  room: MemoryLimit | None,
) -> str:
  """Where to keep the images: 'none', 'host' or 'device'.

  'auto' is the device's memory where that is its own (a GPU's), else the
  host's, if the images fill at most a quarter of it; else none.  Images of
  validation are never kept on a device, but on the host instead.

  Args:
    wanted: a name of `pipeline.CACHES`.
    sizes: (height, width) of every image.
    room: the memory there is; None: unknown.

  Raises:
    ValueError: 'device', and they are of more pixels than int32 can count.
  """
  pixels = int(np.prod(sizes, axis=1, dtype=np.int64).sum())
  if wanted == "device" and pixels > _MOST_PIXELS:
    raise ValueError(
      f"config.data.cache = 'device': {pixels} pixels are more than "
      f"{_MOST_PIXELS}; use 'host' or 'none'"
    )
  if wanted != "auto":
    chosen, why = wanted, "as the config says"
  elif room is None or 4 * pixels > _SHARE * room.bytes:
    chosen, why = "none", "more than a quarter of the memory, or unknown"
  elif room.shared or pixels > _MOST_PIXELS:
    chosen, why = "host", "a quarter of the memory or less"
  else:
    chosen, why = "device", "a quarter of its memory or less"
  _log.info(
    "decoded images, %.2f GiB: %s (%s)",
    4 * pixels / GIB,
    {
      "none": "not kept",
      "host": "kept in the host's memory",
      "device": "kept in each device's memory",
    }[chosen],
    why,
  )
  return chosen


class OnDevice:
  """Draws the batches of a loader from images in the devices' memory.

  Every device holds all images, 4 bytes a pixel: red, green, blue and label.
  A part is gathered from them by a small program, one for each canvas.

  Args:
    loader: whose batches; its own `keep` does not matter.
    mesh: the devices; parts are divided over them by image.
  """

  def __init__(self, loader: pipeline.Loader, mesh: Mesh):
    self._loader = loader
    self._sizes = loader.dataset.sizes(loader.split)
    areas = self._sizes.prod(1, dtype=np.int64)
    self._first = (np.cumsum(areas) - areas).astype(np.int32)
    along = NamedSharding(mesh, PartitionSpec("data"))
    self._gather = jax.jit(gather, static_argnums=2, out_shardings=along)
    self._mesh = mesh

  @functools.cached_property
  def _pixels(self) -> UInt32[Array, " n"]:
    read = pipeline.Reader(self._loader.dataset, self._loader.split)
    packed = np.empty(self._sizes.prod(1, dtype=np.int64).sum(), np.uint32)

    def put(index: int) -> None:
      image, label = read(index)
      four = np.dstack([image, label]).reshape(-1, 4)
      first = self._first[index]
      packed[first : first + len(four)] = four.view("<u4")[:, 0]

    with ThreadPoolExecutor(max(1, self._loader.num_threads)) as threads:
      for _ in threads.map(put, range(len(self._sizes))):
        pass
    return replicate(packed, self._mesh)

  def steps(self, start: int, stop: int) -> Iterator[pipeline.Batch]:
    """The batches of steps start .. stop - 1, as `Loader.steps` gives them."""
    for step in range(start, stop):
      yield self.batch(step)

  def batch(self, step: int) -> pipeline.Batch:
    """The batch of one step, on the devices."""
    loader = self._loader
    indices = loader.sampler.indices(step)
    views = loader.views(step, self._sizes[list(indices)].tolist())
    seen = np.array([(view.height, view.width) for view in views])
    parts = pipeline.parts_of(seen, loader.canvases, loader.part_size)
    return pipeline.Batch(
      indices,
      tuple(
        self._part(indices, views, members, canvas) for canvas, members in parts
      ),
    )

  def _part(self, indices, views, members, canvas) -> pipeline.Part:
    cuts = Cuts.empty(self._loader.part_size)
    for place, position in enumerate(members):
      index, view = indices[position], views[position]
      width = self._sizes[index, 1]
      across = width - 1 - view.left if view.mirror else view.left
      cuts.corner[place] = self._first[index] + view.top * width + across
      cuts.stride[place] = width
      cuts.mirror[place] = view.mirror
      cuts.extent[place] = view.height, view.width
      cuts.position[place] = position
    return self._gather(self._pixels, shard(cuts, self._mesh), canvas)


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=["corner", "stride", "mirror", "extent", "position"],
  meta_fields=[],
)
@dataclasses.dataclass(frozen=True)
class Cuts:
  """What a part sees of the images.

  Attributes:
    corner: where each view's top left pixel is.
    stride: pixels from one row to the next.
    mirror: whether columns go backwards.
    extent: (height, width) of each view; 0: an empty place.
    position: place in the batch as drawn.
  """

  corner: Int32[Array | np.ndarray, " b"]
  stride: Int32[Array | np.ndarray, " b"]
  mirror: Bool[Array | np.ndarray, " b"]
  extent: Int32[Array | np.ndarray, "b 2"]
  position: Int32[Array | np.ndarray, " b"]

  @classmethod
  def empty(cls, places: int) -> "Cuts":
    """All places empty."""
    zeros = [np.zeros(places, np.int32) for _ in range(3)]
    return cls(
      corner=zeros[0],
      stride=zeros[1],
      mirror=np.zeros(places, bool),
      extent=np.zeros((places, 2), np.int32),
      position=zeros[2],
    )


def gather(
  pixels: UInt32[Array, " n"], cuts: Cuts, canvas: tuple[int, int]
) -> pipeline.Part:
  """The views on canvases, as `pipeline.place` puts them there.

  Args:
    pixels: all images, row by row: red + 2^8 green + 2^16 blue + 2^24 label.
    cuts: b views.
    canvas: (height, width).
  """
  row = jnp.arange(canvas[0])[None, :, None]
  column = jnp.arange(canvas[1])[None, None, :]

  def each(values):
    return values[:, None, None]

  inside = (row < each(cuts.extent[:, 0])) & (column < each(cuts.extent[:, 1]))
  along = jnp.where(each(cuts.mirror), -column, column)
  index = each(cuts.corner) + row * each(cuts.stride) + along
  found = pixels[jnp.where(inside, index, 0)]
  void = jnp.uint32(pipeline.VOID << 24)
  found = jnp.where(inside, found, void)
  shifts = jnp.array([0, 8, 16], jnp.uint32)[None, None, None]
  return pipeline.Part(
    image=(found[..., None] >> shifts).astype(jnp.uint8),
    label=(found >> 24).astype(jnp.uint8),
    extent=cuts.extent,
    position=cuts.position,
  )


def make_loader(
  config: ConfigDict, data: Dataset, mesh, cache: str = "none"
) -> pipeline.Loader:
  """What reads the training images of a recipe, on canvases of its choice."""
  split = config.data.train_split
  sizes = data.sizes(split)
  canvases = choose_canvases(sizes, config.data.max_canvases)
  by_canvas = config.data.batching == "by_canvas"
  canvas_of = tuple(assign(sizes, canvases).tolist()) if by_canvas else None
  return pipeline.Loader(
    dataset=data,
    split=split,
    sampler=sampling.Sampler(
      images=len(sizes),
      batch_size=optimizers.images_per_update(config),
      order=config.data.order,
      seed=config.seed,
      canvas_of=canvas_of,
    ),
    canvases=canvases,
    part_size=devices.divisible(
      min(config.data.part_size, config.batch_size), mesh
    ),
    mirror=config.data.mirror,
    random_crop=config.data.random_crop,
    num_threads=config.data.num_threads,
    keep=cache == "host",
  )
