"""Which images a training run reads, in which order, and where it keeps them.

Where decoded images are kept changes no batch, only how fast it is there.
"""

import logging

import numpy as np
from jaxtyping import Int
from ml_collections import ConfigDict

from fcn_jax import devices
from fcn_jax.data import Dataset, pipeline, sampling
from fcn_jax.data.canvases import assign, choose_canvases
from fcn_jax.devices import MemoryLimit
from fcn_jax.text import GIB
from fcn_jax.training import optimizers

_log = logging.getLogger(__name__)

# The share of the machine's memory that decoded images may take where the
# config says 'auto'.
_SHARE = 0.25


def choose(
  wanted: str,
  sizes: Int[np.ndarray, "n 2"],
  room: MemoryLimit | None,
) -> str:
  """Whether decoded images are kept in memory: 'host' (yes) or 'none'.

  'auto' keeps them if they fill at most a quarter of the memory.

  Args:
    wanted: a name of `pipeline.CACHES`.
    sizes: (height, width) of every image.
    room: the machine's memory; None: unknown, so that 'auto' keeps none.

  Raises:
    ValueError: another name.
  """
  if wanted not in pipeline.CACHES:
    raise ValueError(
      f"config.data.cache = {wanted!r}: there is {', '.join(pipeline.CACHES)}"
    )
  pixels = int(np.prod(sizes, axis=1, dtype=np.int64).sum())
  if wanted != "auto":
    chosen, why = wanted, "as the config says"
  elif room is None or 4 * pixels > _SHARE * room.bytes:
    chosen, why = "none", "more than a quarter of the memory, or unknown"
  else:
    chosen, why = "host", "a quarter of the memory or less"
  _log.info(
    "decoded images, %.2f GiB: %s (%s)",
    4 * pixels / GIB,
    {"none": "not kept", "host": "kept in the host's memory"}[chosen],
    why,
  )
  return chosen


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
