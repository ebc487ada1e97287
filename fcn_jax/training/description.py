"""A network described for its recipe: layers, and what a train step needs."""

import dataclasses
import logging
from typing import Any

from ml_collections import ConfigDict

from fcn_jax import devices, models
from fcn_jax.data import Dataset, load_dataset, pipeline
from fcn_jax.files import DataError
from fcn_jax.models import describe, geometry
from fcn_jax.models import layers as d
from fcn_jax.training import input, memory, optimizers, recipe
from fcn_jax.weights import checkpoints

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Subject:
  """What is described.

  Attributes:
    name: what the network is called.
    layers: its declaration.
    config: its recipe; None: there is none.
    data: of the recipe; None: not prepared.
  """

  name: str
  layers: d.Layers
  config: ConfigDict | None = None
  data: Dataset | None = None

  @property
  def size(self) -> tuple[int, int]:
    """(height, width) of the image the network is made for."""
    side = self.layers[0].size
    return (side, side) if side else (375, 500)


def subject(
  config: ConfigDict | None = None,
  model: str | None = None,
  checkpoint: str | None = None,
  classes: int = 21,
) -> Subject:
  """A network by exactly one of its recipe, its name and its checkpoint.

  Args:
    config: a recipe.
    model: a registered name.
    checkpoint: a model directory.
    classes: where no data set and no checkpoint tells.

  Raises:
    ValueError: not one of them is given, or it cannot be used.
    FileNotFoundError: there is no such checkpoint.
  """
  if sum(given is not None for given in (config, model, checkpoint)) != 1:
    raise ValueError(
      "give one of --config=FILE, --model=NAME and --checkpoint=FOLDER"
    )
  if model:
    return Subject(model, models.declare(model, classes))
  if checkpoint:
    _, card = checkpoints.load_about(checkpoint)
    config = ConfigDict(card.config) if card.config else None
    name = card.model["name"]
    return Subject(name, card.declaration(), config, _data_of(config))
  recipe.check(config)
  data = _data_of(config)
  classes = len(data.class_names) if data else classes
  layers = models.declare(**{**config.model.to_dict(), "classes": classes})
  return Subject(config.model.name, layers, config, data)


def _data_of(config: ConfigDict | None) -> Dataset | None:
  if config is None or "name" not in config.get("data", {}):
    return None
  try:
    return load_dataset(config.data.name, config.data.data_dir or None)
  except DataError:
    _log.info(
      "the data set %r is not prepared: its canvases are not known",
      config.data.name,
    )
    return None


@dataclasses.dataclass(frozen=True)
class Described:
  """A network in figures and words.

  Attributes:
    network: its layers.
    needs: the memory of a train step, the largest canvas last; may be empty.
    room: the memory there is; None: not known, or not asked.
    verdict: whether the last of the needs fits, in a sentence; or ''.
    warning: what is wrong and what would help, or ''.
  """

  network: describe.Description
  needs: list[memory.MemoryNeed] = dataclasses.field(default_factory=list)
  room: devices.MemoryLimit | None = None
  verdict: str = ""
  warning: str = ""

  def text(self) -> str:
    """For a terminal."""
    parts = [self.network.table()]
    if self.needs:
      parts.append(memory.table(self.needs))
    parts += [said for said in (self.verdict, self.warning) if said]
    return "\n\n".join(parts)

  def figures(self) -> dict[str, Any]:
    """All of it by name, for JSON."""
    return self.network.figures() | {
      "memory": [
        dataclasses.asdict(need) | {"total": need.total} for need in self.needs
      ],
      "room": self.room and dataclasses.asdict(self.room),
      "warning": self.warning,
    }


def described(
  what: Subject,
  size: tuple[int, int] | None = None,
  *,
  with_memory: bool = True,
  precision: str = "float32",
  part_size: int = 1,
) -> Described:
  """Describes a network, and compiles a train step to read its memory.

  Args:
    what: the network.
    size: (height, width) of the image; None: that it is made for.
    with_memory: whether to say what a step needs.
    precision, part_size: of a step where there is no recipe.

  Raises:
    ValueError: the network does not take an image of this size.
  """
  size = size or what.size
  network = describe.describe(what.name, what.layers, *size)
  if not with_memory:
    return Described(network)
  needs = _needs(what, size, precision, part_size)
  room = devices.memory_limit()
  if not (needs and room):
    return Described(network, needs, room)
  sizes = []
  if what.data:
    sizes = what.data.sizes(what.config.data.train_split).tolist()
  warning = memory.warning(needs[-1], room, what.config, sizes)
  verdict = memory.verdict(needs[-1], room)
  return Described(network, needs, room, verdict, warning)


def _needs(
  what: Subject, size: tuple[int, int], precision: str, part_size: int
) -> list[memory.MemoryNeed]:
  """Of an image of this size and of the largest canvas, which comes last."""
  try:
    geometry.check_segmentation(
      what.layers, d.channels(what.layers)[what.layers[-1].name]
    )
  except ValueError:
    _log.info("%s is no segmentation network: no memory is told", what.name)
    return []
  mesh = devices.data_mesh()
  canvases, parts = [size], 1
  part_size = devices.divisible(part_size, mesh)
  if config := what.config:
    precision = config.precision
    images = optimizers.images_per_update(config)
    part_size = min(config.data.part_size, config.batch_size)
    part_size = devices.divisible(part_size, mesh)
    one_canvas = (
      config.data.batching == "by_canvas" or config.data.max_canvases == 1
    )
    one_part = pipeline.is_one_part(images, one_canvas, part_size)
    parts = memory.parts_of(images, part_size, one_part)
  if what.data:
    loader = input.make_loader(what.config, what.data, mesh)
    parts = memory.parts_of(images, loader.part_size, loader.one_part)
    largest = loader.canvases[-1]
    canvases = [canvas for canvas in canvases if canvas != largest] + [largest]
  found = []
  for height, width in canvases:
    _log.info(
      "compiling a train step for %dx%d, to read its memory (--nomemory leaves "
      "that out)",
      height,
      width,
    )
    need = memory.of_network(
      what.layers,
      (height, width),
      mesh,
      precision=precision,
      part_size=part_size,
      parts=parts,
    )
    if need is None:
      _log.info("this kind of device does not tell what a step needs")
      return []
    found.append(need)
  return found
