"""Which images a training run reads, in which order, and where it keeps them.

Where decoded images are kept changes no batch, only how fast it is there.
"""

import logging
from typing import Any

import numpy as np
from jaxtyping import Int
from ml_collections import ConfigDict

from fcn_jax import devices, models
from fcn_jax.data import (
  Dataset,
  augment,
  load_dataset,
  pipeline,
  sampling,
  statistics,
)
from fcn_jax.data.augment import AUGMENTATIONS, Augmentation
from fcn_jax.data.canvases import assign, choose_canvases
from fcn_jax.data.class_folders import load_class_folders
from fcn_jax.data.resizing import Resize
from fcn_jax.devices import MemoryLimit
from fcn_jax.files import DataError
from fcn_jax.models.options import options_of
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
  processes: int = 1,
) -> str:
  """Whether decoded images are kept in memory: 'host' (yes) or 'none'.

  'auto' keeps them if they fill at most a quarter of the memory.

  Args:
    wanted: a name of `pipeline.CACHES`.
    sizes: (height, width) of every image.
    room: the machine's memory; None: unknown, so that 'auto' keeps none.
    processes: that share it; each may come to keep every image.

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
  elif room is None or 4 * pixels * processes > _SHARE * room.bytes:
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


def load_data(config: ConfigDict) -> Dataset:
  """The data of a recipe: a prepared data set, or folders of classes.

  Raises:
    ValueError: the network is a classifier and the data set has labels of
      pixels, or the other way round.
    DataError: there is no such data.
  """
  model, data = config.model, config.data
  (first, *_) = models.declare(**{**model.to_dict(), "classes": 1})
  if bool(first.size) != bool(data.directory):
    kind = "classifies images" if first.size else "scores the pixels of images"
    wanted = "directory, a folder per class" if first.size else "name"
    raise ValueError(f"{model.name} {kind}: give config.data.{wanted}")
  if not data.directory:
    return load_dataset(data.name, data.data_dir or None)
  # Around an image lies the mean, which becomes 0.
  fill = tuple(round(x) for x in reversed(first.mean_bgr))
  return load_class_folders(data.directory, first.size, fill, data.resize)


def resize_of(config: ConfigDict) -> Resize | None:
  """The one size of all images that a recipe asks for; None: their own.

  Raises:
    ValueError: another mode, or a side below 1.
  """
  data = config.data
  if not data.get("resize_mode"):
    return None
  return Resize(data.resize_mode, data.resize_height, data.resize_width)


def augmentations(
  config: ConfigDict, data: Dataset
) -> tuple[Augmentation, ...]:
  """How a recipe changes every image that is drawn, in order.

  First the square that a classifier sees, at a random place, or the size of
  config.data.resize_mode, then the mirror of config.data.mirror, the crop of
  config.data.random_crop, and those that config.data.augment names, with the
  options in config.augment.NAME.

  Raises:
    ValueError: an unknown name, one of the first two, an option out of its
      range, or a crop of a square.
  """
  chosen = [data.square] if data.square else []
  if data.square and config.data.random_crop:
    raise ValueError(
      f"config.data.random_crop = {config.data.random_crop}: a classifier sees "
      "a square at a random place already; set it to 0"
    )
  if resize := resize_of(config):
    chosen.append(resize.augmentation())
  if config.data.mirror:
    chosen.append(augment.make("mirror"))
  if config.data.random_crop:
    chosen.append(augment.make("random_crop", pixels=config.data.random_crop))
  options = config.get("augment", {})
  for name in config.data.get("augment", ()):
    if name in ("mirror", "random_crop"):
      raise ValueError(
        f"config.data.augment = {name!r}: set config.data.{name} instead"
      )
    if data.square and name in augment.MOVING:
      raise ValueError(
        f"config.data.augment = {name!r}: a classifier sees a square at a "
        "random place already; take it out"
      )
    chosen.append(augment.make(name, **options.get(name, {})))
  return tuple(chosen)


def augmented_data(config: ConfigDict) -> dict[str, Any]:
  """What `reports.augmentation` shows of a recipe, as its arguments."""
  dataset, data = load_data(config), config.data
  chosen = {
    f"data.{name}": str(data[name])
    for name in ("mirror", "random_crop")
    if data[name]
  }
  if resize := resize_of(config):
    chosen["data.resize_mode"] = str(resize)
  for name in data.augment:
    options = {**options_of(AUGMENTATIONS[name]), **config.augment[name]}
    chosen[name] = ", ".join(f"{key} = {x}" for key, x in options.items())
  return {
    "dataset": dataset,
    "split": data.train_split,
    "augmentations": augmentations(config, dataset),
    "chosen": chosen,
    "seed": config.seed,
  }


def steps_per_epoch(
  config: ConfigDict, images: int | None = None
) -> int | None:
  """Steps in an epoch, as training has them.

  Args:
    config: the recipe.
    images: for training; None: those of the recipe's data set.

  Returns:
    None: neither known nor needed.

  Raises:
    DataError: there is no such data set, and a field is in epochs.
  """
  if images:
    return -(-images // optimizers.images_per_update(config))
  try:
    data = load_data(config)
  except DataError as error:
    needed = optimizers.needs_epochs(config)
    if not needed:
      return None
    fields = ", ".join(f"config.{name}" for name in needed)
    raise DataError(
      f"{fields} is in epochs, and {error}; or say how many training images "
      "there are with --images_per_epoch=N"
    ) from None
  return make_loader(config, data, devices.data_mesh()).sampler.steps_per_epoch


def make_loader(
  config: ConfigDict, data: Dataset, mesh, cache: str = "none"
) -> pipeline.Loader:
  """The loader of a recipe's training images, with canvases chosen for them.

  Args:
    config: the recipe.
    data: the data set it names.
    mesh: the devices; parts are of a multiple of their number. Of several
      processes, each reads its own rows of them.
    cache: 'host' keeps decoded images, see `choose`.

  Raises:
    ValueError: augmentations that there are not, see `augmentations`.
  """
  split = config.data.train_split
  changes = augmentations(config, data)
  sizes = augment.largest_sizes(changes, data.sizes(split))
  canvases = choose_canvases(sizes, config.data.max_canvases)
  by_canvas = config.data.batching == "by_canvas"
  canvas_of = tuple(assign(sizes, canvases).tolist()) if by_canvas else None
  part_size = devices.divisible(
    min(config.data.part_size, config.batch_size), mesh
  )
  return pipeline.Loader(
    dataset=data,
    split=split,
    sampler=sampling.Sampler(
      images=len(sizes),
      batch_size=optimizers.images_per_update(config),
      order=config.data.order,
      seed=config.seed,
      canvas_of=canvas_of,
      **_draws(config, data),
    ),
    canvases=canvases,
    part_size=part_size,
    augmentations=changes,
    num_threads=config.data.num_threads,
    keep=cache == "host",
    rows=devices.own_rows(part_size, mesh),
  )


def _draws(config: ConfigDict, data: Dataset) -> dict[str, Any]:
  """What a recipe says of how often images are drawn, for the sampler.

  Raises:
    ValueError: factors that are not one number a class.
  """
  threshold = config.data.get("repeat_threshold", 0.0)
  given = np.array(config.data.get("repeat_factors", ()), float)
  each = config.data.get("images_per_class", 0)
  if not (threshold or given.size or each):
    return {}
  if given.size and given.size != len(data.class_names):
    raise ValueError(
      f"config.data.repeat_factors: {given.size} numbers for "
      f"{len(data.class_names)} classes; give one a class"
    )
  there = statistics.classes_of_images(data, config.data.train_split)
  if each:
    groups = [np.flatnonzero(column) for column in there.T if column.any()]
    if not groups:
      raise ValueError("config.data.images_per_class: no image has a class")
    return {
      "groups": tuple(tuple(group.tolist()) for group in groups),
      "images_per_group": each,
    }
  if threshold:
    factors = sampling.repeat_factors(there, threshold)
  else:
    factors = sampling.highest_factors(there, given)
  _log.info(
    "images are drawn %.2f to %.2f times an epoch, %.2f in the mean",
    factors.min(),
    factors.max(),
    factors.mean(),
  )
  return {"factors": tuple(factors.tolist())}
