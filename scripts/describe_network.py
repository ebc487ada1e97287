r"""Describes a network: layers, receptive field, crop offsets, memory.

  python scripts/describe_network.py --config=configs/voc_fcn_alexnet.py
  python scripts/describe_network.py --model=fcn8s --classes=21 \
    --size=375x500 --output=fcn8s.html
  python scripts/describe_network.py --checkpoint=runs/voc --format=json

Memory is that of a train step, read from the compiled step, which takes some
ten seconds a size; nothing is run. It is given for --size and, where the
config's data set is prepared, for its largest canvas. Where it does not fit,
the last lines say what would help.
"""

import dataclasses
import json
import logging
import pathlib

from absl import flags
from ml_collections import ConfigDict, config_flags

from fcn_jax import cli, devices, models
from fcn_jax.data import Dataset, load_dataset, pipeline
from fcn_jax.files import DataError
from fcn_jax.models import describe, geometry
from fcn_jax.models import layers as d
from fcn_jax.models.network import PRECISIONS
from fcn_jax.reports import page
from fcn_jax.reports.network import picture, write_network
from fcn_jax.text import byte_size
from fcn_jax.training import input, optimizers, recipe
from fcn_jax.training import memory as memory_lib
from fcn_jax.weights import checkpoints

_CONFIG = config_flags.DEFINE_config_file("config", help_string="A recipe.")
_MODEL = flags.DEFINE_string(
  "model", None, f"A network without a recipe: {', '.join(models.NETWORKS)}."
)
_CHECKPOINT = flags.DEFINE_string(
  "checkpoint", None, "A training workdir, or a converted model."
)
_CLASSES = flags.DEFINE_integer(
  "classes", 21, "Where no data set and no checkpoint tells.", 1, 255
)
_SIZE = flags.DEFINE_string(
  "size", None, "HEIGHTxWIDTH of the image; default: 375x500."
)
_PRECISION = flags.DEFINE_enum(
  "precision", "float32", list(PRECISIONS), "Where there is no recipe."
)
_PART_SIZE = flags.DEFINE_integer(
  "part_size", 1, "Images at once, where there is no recipe.", 1
)
_MEMORY = flags.DEFINE_boolean("memory", True, "Whether to say what it needs.")
_OUTPUT = flags.DEFINE_string(
  "output", None, "A page (.html), or the picture alone (.svg)."
)
_FORMAT = flags.DEFINE_enum(
  "format", "text", ["text", "json"], "What is printed."
)

_log = logging.getLogger("fcn_jax.describe_network")


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


def subject() -> Subject:
  """What the flags ask for."""
  given = [_CONFIG.value, _MODEL.value, _CHECKPOINT.value]
  if sum(value is not None for value in given) != 1:
    raise ValueError(
      "give one of --config=FILE, --model=NAME and --checkpoint=FOLDER"
    )
  if _MODEL.value:
    return Subject(_MODEL.value, models.declare(_MODEL.value, _CLASSES.value))
  if _CHECKPOINT.value:
    _, about = checkpoints.load_about(_CHECKPOINT.value)
    config = ConfigDict(about.config) if about.config else None
    name = about.model["name"]
    return Subject(name, about.declaration(), config, _data_of(config))
  config = _CONFIG.value
  recipe.check(config)
  data = _data_of(config)
  classes = len(data.class_names) if data else _CLASSES.value
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


def size_for(layers: d.Layers) -> tuple[int, int]:
  """--size, or what the network is made for."""
  if _SIZE.value is None:
    side = layers[0].size
    return (side, side) if side else (375, 500)
  height, _, width = _SIZE.value.partition("x")
  if not (height.isdigit() and width.isdigit() and int(height) * int(width)):
    raise ValueError(f"--size={_SIZE.value}: write it as 375x500, height first")
  return int(height), int(width)


def needs_of(
  what: Subject, size: tuple[int, int]
) -> list[memory_lib.MemoryNeed]:
  """Of --size and of the largest canvas, which comes last."""
  try:
    geometry.check_segmentation(what.layers, _channels(what.layers))
  except ValueError:
    _log.info("%s is no segmentation network: no memory is told", what.name)
    return []
  mesh = devices.data_mesh()
  canvases = [size]
  precision = what.config.precision if what.config else _PRECISION.value
  part_size = devices.divisible(_PART_SIZE.value, mesh)
  parts = 1
  if what.config:
    images = optimizers.images_per_update(what.config)
    part_size = min(what.config.data.part_size, what.config.batch_size)
    part_size = devices.divisible(part_size, mesh)
    by_canvas = what.config.data.batching == "by_canvas"
    one_part = pipeline.is_one_part(images, by_canvas, part_size)
    parts = memory_lib.parts_of(images, part_size, one_part)
  if what.data:
    largest = input.make_loader(what.config, what.data, mesh).canvases[-1]
    canvases = list(dict.fromkeys([size, largest]))
    canvases.sort(key=lambda canvas: canvas == largest)
  found = []
  for height, width in canvases:
    _log.info(
      "compiling a train step for %dx%d, to read its memory (--nomemory leaves "
      "that out)",
      height,
      width,
    )
    need = memory_lib.of_network(
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


def _channels(layers: d.Layers) -> int:
  return d.channels(layers)[layers[-1].name]


def verdict_on(need: memory_lib.MemoryNeed, room: devices.MemoryLimit) -> str:
  images = "1 image" if need.part_size == 1 else f"{need.part_size} images"
  return (
    f"{images} at a time on {need.canvas[0]}x{need.canvas[1]}: "
    f"{byte_size(need.total)} of "
    f"{byte_size(room.bytes)} ({room.of})."
  )


def main() -> None:
  output = _OUTPUT.value and pathlib.Path(_OUTPUT.value)
  suffix = output and output.suffix.lower()
  if suffix and suffix not in (".html", ".svg"):
    raise ValueError(f"--output={output}: end it in .html or .svg")
  if output:
    output = (page.claim if suffix == ".html" else page.claim_picture)(output)
  what = subject()
  size = size_for(what.layers)
  found = describe.describe(what.name, what.layers, *size)
  needs, room, verdict, warning = [], None, "", ""
  if _MEMORY.value and suffix != ".svg":
    needs = needs_of(what, size)
    room = devices.memory_limit()
  if needs and room:
    split = what.config.data.train_split if what.data else None
    sizes = what.data.sizes(split).tolist() if what.data else []
    verdict = verdict_on(needs[-1], room)
    warning = memory_lib.warning(
      needs[-1], room, what.config, [tuple(s) for s in sizes]
    )
  if suffix == ".svg":
    page.write_svg(output, picture(found))
  elif output:
    write_network(output, found, memory_lib.rows(needs), verdict, warning)
  if _FORMAT.value == "json":
    memory = [
      dataclasses.asdict(need) | {"total": need.total} for need in needs
    ]
    figures = found.figures() | {
      "memory": memory,
      "room": room and dataclasses.asdict(room),
      "warning": warning,
    }
    print(json.dumps(figures, indent=2))
    return
  print(found.table())
  if needs:
    print(f"\n{memory_lib.table(needs)}")
  print("".join(f"\n{text}\n" for text in (verdict, warning) if text), end="")
  if output:
    print(f"\nwritten to {output}")


if __name__ == "__main__":
  cli.start(main)
