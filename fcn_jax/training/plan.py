"""A recipe written from a data set and a machine, with the reasons.

A place to start from: every choice is a rule of thumb, which its comment
states with the figures that led to it.
"""

import dataclasses
import json
import math
import textwrap
from collections.abc import Iterator

import numpy as np

from fcn_jax import devices, models
from fcn_jax.data import Dataset
from fcn_jax.data.canvases import Canvas
from fcn_jax.data.statistics import SplitStatistics, split_statistics
from fcn_jax.models import geometry
from fcn_jax.text import byte_size
from fcn_jax.training import memory

MARK = "Written by scripts/plan.py"

_BATCH = 4  # images in an update
_UPDATES = 5000  # that fine-tuning takes, about
_FEW = 2000  # training images up to which more of them are made up
_RARE_WEIGHT = 4.0  # median-frequency weight from which on a class is rare
_RARE_IMAGES = 0.1  # share of images below which a class is repeated
_SHARE = 0.8  # of the memory that a step may take


@dataclasses.dataclass(frozen=True)
class Choice:
  """A field of a recipe.

  Attributes:
    field: its name.
    value: of it.
    reason: in words.
  """

  field: str
  value: object
  reason: str


def plan(
  data: Dataset, network: str = "fcn_alexnet8s", split: str = "train"
) -> str:
  """The text of a recipe for a prepared data set, on this machine.

  Args:
    data: the data set; its labels are read.
    network: a name of models.NETWORKS.
    split: that is trained on.

  Raises:
    ValueError: no such network, one that does not score pixels, or no image of
      the split fits into the memory.
  """
  if network not in models.NETWORKS:
    raise ValueError(
      f"--network={network}: there is {', '.join(models.NETWORKS)}"
    )
  layers = models.declare(network, classes=len(data.class_names))
  geometry.check_segmentation(layers, len(data.class_names))
  counted = split_statistics(data, split)
  canvas, part_size, space = _space(layers, counted)
  choices = [
    *space,
    *_augmentation(counted, canvas),
    *_classes(counted),
    *_duration(len(counted.image_ids), part_size),
  ]
  return _recipe(data, network, counted, choices)


def _space(layers, counted: SplitStatistics):
  """The largest canvas, images at once, and the choices of both."""
  paddings = counted.paddings
  least = paddings[-1].share
  number = next(
    i for i, one in enumerate(paddings, 1) if one.share <= least + 0.02
  )
  padded = paddings[number - 1]
  whole = padded.canvases[-1]
  room = devices.memory_limit()
  canvas, part_size, need = _fitting(layers, whole, room)
  cropped = canvas != whole or len(counted.image_ids) <= _FEW
  choices = []
  if not cropped:
    said = f"padding is {padded.share:.0%} of the pixels, {least:.0%} at best"
    choices.append(Choice("data.max_canvases", number, said))
  else:
    said = "all images are cut to one size"
    choices.append(Choice("data.max_canvases", 1, said))
  if need:
    said = f"{byte_size(need.total)} of {byte_size(room.bytes)} ({room.of})"
  else:
    said = "this device does not tell what a step needs"
  choices.append(Choice("data.part_size", part_size, said))
  return canvas, part_size, choices


def _fitting(layers, canvas: Canvas, room):
  """A canvas, images at once and what they need: as much as fits."""
  mesh = devices.data_mesh()
  if room is None:
    return canvas, devices.divisible(1, mesh), None
  while True:
    for part_size in (4, 2, 1):
      part_size = devices.divisible(part_size, mesh)
      need = memory.of_network(layers, canvas, mesh, part_size=part_size)
      if need is None or need.total <= _SHARE * room.bytes:
        return canvas, part_size, need
    smaller = tuple(max(64, 32 * (side // 64)) for side in canvas)
    if smaller == canvas:
      raise ValueError(
        f"a step on {canvas[0]}x{canvas[1]} pixels needs "
        f"{byte_size(need.total)} of {byte_size(room.bytes)} ({room.of}); "
        "choose a smaller --network"
      )
    canvas = smaller


def _augmentation(counted: SplitStatistics, canvas: Canvas) -> Iterator[Choice]:
  images = len(counted.image_ids)
  yield Choice(
    "data.mirror", True, "set it to False where left and right differ in kind"
  )
  largest = counted.sizes.max(0).tolist()
  too_large = any(a > b for a, b in zip(largest, canvas, strict=True))
  if images <= _FEW:
    names = ("random_scale", "fixed_crop", "photometric")
    reason = f"{images} images are few: sizes and colours are made up"
  elif too_large:
    names = ("fixed_crop",)
    reason = f"{largest[0]}x{largest[1]} does not fit into the memory"
  else:
    return
  yield Choice("data.augment", names, reason)
  reason = "no more than an image" if not too_large else "what fits"
  yield Choice("augment.fixed_crop.height", canvas[0], reason)
  yield Choice("augment.fixed_crop.width", canvas[1], reason)


def _classes(counted: SplitStatistics) -> Iterator[Choice]:
  weights = np.nan_to_num(counted.weights, nan=0.0)
  rarest = int(weights.argmax())
  share = counted.share_of_pixels[rarest]
  name = counted.class_names[rarest]
  if weights[rarest] >= _RARE_WEIGHT:
    yield Choice(
      "loss.class_weights",
      "median_frequency",
      f"{name!r} has {share:.2%} of the pixels and gets a weight of "
      f"{weights[rarest]:.1f}; watch pixel accuracy, which may fall",
    )
  of_images = counted.share_of_images[: len(counted.class_names)]
  there = of_images > 0
  if there.any() and of_images[there].min() < _RARE_IMAGES:
    rare = int(np.where(there, of_images, 2).argmin())
    name, share = counted.class_names[rare], of_images[rare]
    reason = f"{name!r} is in {share:.1%} of the images"
    yield Choice("data.repeat_threshold", _RARE_IMAGES, reason)


def _duration(images: int, part_size: int) -> Iterator[Choice]:
  epoch = math.ceil(images / _BATCH)
  epochs = min(max(math.ceil(_UPDATES / epoch), 10), 200)
  yield Choice("batch_size", max(_BATCH, part_size), "the mean of few images")
  yield Choice(
    "duration",
    f"{epochs} epochs",
    f"{epochs * epoch} updates of {images} images",
  )
  yield Choice("base_lr", 1e-3, "of a normalised loss, with clipped gradients")
  yield Choice("lr_power", 0.9, "as DeepLab and later ones")
  yield Choice("weight_decay", 5e-4, "as the FCN authors")
  yield Choice("clip_gradients", 20.0, "against the first steps of a new head")


def _recipe(
  data: Dataset, network: str, counted: SplitStatistics, choices: list[Choice]
) -> str:
  lines = [
    f"{_comment(choice.reason)}  config.{choice.field} = {_code(choice.value)}"
    for choice in choices
    if choice.field != "data.augment"
  ]
  augment = next((c for c in choices if c.field == "data.augment"), None)
  chosen = f"    augment={_code(augment.value)},\n" if augment else ""
  reason = _comment(augment.reason) if augment else ""
  directory = data.directory.removesuffix(f"/{data.name}/1.0.0")
  others = {s: n for s, n in data.splits.items() if s in ("train", "val")}
  return (
    f'''"""{network} on {data.name}, {len(data.class_names)} classes. {MARK}.

  python scripts/train.py --config=THIS_FILE --workdir=runs/{data.name} \\
    --config.init.path=converted/MODEL

What it costs is told by --dry_run, what training sees by explore_dataset.py
--augment=THIS_FILE --output=augmented.html.

Data      {", ".join(f"{n} {s}" for s, n in others.items())}
Hardware
Time
Expected
"""

from ml_collections import ConfigDict

from fcn_jax import default_recipe


def get_config() -> ConfigDict:
  """A place to start from; the reasons stand beside the values."""
{reason}  config = default_recipe(
    {_code(network)},
    lr_policy="poly",
{chosen}  )
  config.data.name = {_code(data.name)}
  config.data.data_dir = {_code(directory)}
'''
    + "\n".join(lines)
    + "\n  return config\n"
  )


def _comment(reason: str) -> str:
  """Lines of a comment, which begins with a capital and ends with a point."""
  words = f"{reason[0].upper()}{reason[1:]}."
  return textwrap.indent(textwrap.fill(words, 74), "  # ") + "\n"


def _code(value: object) -> str:
  """A value as Python writes it, strings in double quotes."""
  if isinstance(value, tuple):
    return f"({', '.join(map(_code, value))},)"
  return json.dumps(value) if isinstance(value, str) else repr(value)
