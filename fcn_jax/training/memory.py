"""What memory a train step needs, read from its compiled programs.

XLA plans the memory of a program when it compiles it: the arrays that go in,
and those that live for a while in between (activations, gradients,
workspaces).  Nothing is run and nothing allocated to ask.  On a CPU the process
itself comes on top; see `PROCESS` and `Need.checkpoint`.
"""

import dataclasses
import functools
import logging
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from fcn_jax import devices, models
from fcn_jax.data.pipeline import Loader, Part
from fcn_jax.models import geometry, losses
from fcn_jax.models import layers as d
from fcn_jax.models.describe import count_parameters
from fcn_jax.text import byte_size
from fcn_jax.text import table as text_table
from fcn_jax.training import optimizers
from fcn_jax.training.step import Stepper, Training, TrainState

_log = logging.getLogger(__name__)

# Python, libraries, compiler and scratch.  For whole runs on a CPU (float32,
# 375 x 500, one image at a time) the estimate was 7 % below to 12 % above the
# peak: 0.78 GiB with FCN-AlexNet at 1/20 of its width, 0.93 at 1/4, 1.72 whole,
# 2.23 where gradients of four images are added up, 4.06 with FCN-8s.
PROCESS = 800 * 2**20

TIGHT = 0.9  # share of the room from which it may not fit


@dataclasses.dataclass(frozen=True)
class MemoryNeed:
  """Bytes that are held at once in a train step.

  On a CPU of the whole process, else on each device.

  Attributes:
    canvas: (height, width) of the images.
    part_size: images that go through the network at once.
    parameters: learned ones and fixed ones.
    history: of the solver (momentum), and averaged parameters.
    gradients: their sum over the parts of a batch; 0 where it is one part.
    batch: images and labels.
    temporary: activations, gradients and workspaces, as XLA has planned them.
    process: Python, libraries and the compiler, on a CPU.
    checkpoint: on a CPU, a copy of parameters and history: what writing a
      checkpoint leaves behind.
  """

  canvas: tuple[int, int]
  part_size: int
  parameters: int
  history: int
  gradients: int
  batch: int
  temporary: int
  process: int = 0
  checkpoint: int = 0

  @property
  def total(self) -> int:
    """All of it together."""
    return sum(self.shares().values())

  def shares(self) -> dict[str, int]:
    """Bytes by what they are for, in words."""
    return {
      "parameters": self.parameters,
      "momentum": self.history,
      "sum of gradients": self.gradients,
      "images and labels": self.batch,
      "activations, gradients, workspace": self.temporary,
      "process": self.process,
      "writing checkpoints": self.checkpoint,
    }


def of_stepper(
  stepper: Stepper,
  state: TrainState,
  mesh,
  canvas: tuple[int, int],
  part_size: int,
  parts: int = 1,
  label_canvas: tuple[int, int] | None = None,
) -> MemoryNeed | None:
  """What a step needs; its programs are compiled for it, and kept.

  Args:
    stepper: that will take the steps.
    state: arrays, or jax.ShapeDtypeStruct with their sharding.
    mesh: the devices.
    canvas: (height, width) of the images.
    part_size: images in a part, over all devices.
    parts: in a batch.
    label_canvas: (height, width) of the labels; None: the images'.

  Returns:
    None: this kind of device does not tell.
  """
  along = NamedSharding(mesh, PartitionSpec("data"))

  def shaped(shape, dtype):
    return jax.ShapeDtypeStruct((part_size, *shape), dtype, sharding=along)

  part = Part(
    shaped((*canvas, 3), np.uint8),
    shaped(label_canvas or canvas, np.uint8),
    shaped((2,), np.int32),
    shaped((), np.int32),
  )
  programs = stepper.compile(state, part)
  plans = [program.memory_analysis() for program in programs]
  if None in plans:
    return None
  on_cpu = mesh.devices.flat[0].platform == "cpu"
  # Devices that are CPUs share the machine's memory.
  copies = len(mesh.local_devices) if on_cpu else 1
  learned = _bytes(state.params)
  parameters = learned + _bytes(state.frozen)
  history = _bytes((state.opt_state, state.ema))
  return MemoryNeed(
    canvas=canvas,
    part_size=part_size,
    parameters=copies * parameters,
    history=copies * history,
    gradients=copies * learned * (len(programs) > 1),
    batch=copies * parts * _bytes(part) // mesh.size,
    temporary=copies
    * max(
      plan.temp_size_in_bytes
      + plan.output_size_in_bytes
      - plan.alias_size_in_bytes
      for plan in plans
    ),
    process=PROCESS if on_cpu else 0,
    checkpoint=parameters + history if on_cpu else 0,
  )


def of_network(
  layers: d.Layers,
  canvas: tuple[int, int],
  mesh,
  *,
  precision: str = "float32",
  part_size: int = 1,
  parts: int = 1,
) -> MemoryNeed | None:
  """What a step of a declared network needs, without making the network.

  Args:
    layers: the declaration of a segmentation network.
    canvas: (height, width) of the images.
    mesh: the devices.
    precision: a name of models.network.PRECISIONS.
    part_size: images in a part, over all devices.
    parts: in a batch; of more than one, gradients are added up.

  Returns:
    None: this kind of device does not tell.
  """
  everywhere = NamedSharding(mesh, PartitionSpec())
  net = nnx.eval_shape(lambda: models.build(layers, precision))
  graphdef, params, frozen = nnx.split(net, nnx.Param, ...)
  solver = functools.partial(
    optimizers.caffe_sgd,
    multipliers=optimizers.multipliers(layers, params),
    images=part_size * parts,
    weight_decay=5e-4,
  )
  rate = optimizers.fixed(1e-4, total=1, steps=int)
  state = TrainState(
    jax.ShapeDtypeStruct((), jnp.int32),
    params,
    frozen,
    jax.eval_shape(solver(rate).init, params),
  )
  state = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere), state
  )
  training = Training(
    graphdef, solver, rate, losses.cross_entropy(), jax.random.key(0)
  )
  stepper = Stepper(training, mesh, parts == 1)
  return of_stepper(stepper, state, mesh, canvas, part_size, parts)


def _bytes(tree: Any) -> int:
  return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


def warning(
  need: MemoryNeed,
  room: devices.MemoryLimit,
  config: ConfigDict | None = None,
  sizes: Sequence[Sequence[int]] = (),
) -> str:
  """What is wrong and what would help; '' where the step fits well.

  Args:
    need: of the largest canvas.
    room: what there is.
    config: the recipe, whose fields are named with their values.
    sizes: (height, width) of the images.
  """
  if need.total <= TIGHT * room.bytes:
    return ""
  fits = "will not fit" if need.total > room.bytes else "may not fit"
  canvas = f"{need.canvas[0]}x{need.canvas[1]}"
  remedies = _remedies(need, room, config, sizes)
  return (
    f"a train step {fits}: on the canvas {canvas}, {need.part_size} at a time, "
    f"it needs {byte_size(need.total)}, and there is "
    f"{byte_size(room.bytes)} ({room.of}). What helps:\n  "
    + "\n  ".join(remedies)
  )


def _remedies(need, room, config, sizes) -> list[str]:
  found = []
  if need.part_size > 1:
    found.append(
      f"fewer images at once, now {need.part_size}: config.data.part_size; "
      "results do not change"
    )
  area = need.canvas[0] * need.canvas[1]
  if sizes and max(h * w for h, w in sizes) < area:
    largest = max(sizes, key=lambda size: size[0] * size[1])
    now = f" (now {config.data.max_canvases})" if config else ""
    found.append(
      f"more canvases: the largest image has {largest[0]}x{largest[1]}; raise "
      f"config.data.max_canvases{now}; results do not change"
    )
  in_half = config is not None and config.precision == "bfloat16"
  if not (in_half or room.shared):  # on a CPU it takes as much
    found.append(
      "config.precision = 'bfloat16': activations half as large, scores less "
      "exact; see docs/caffe.md"
    )
  if need.gradients:
    found.append(
      "config.batch_size = 1 and config.accumulation_steps = 1: no sum of "
      f"gradients ({byte_size(need.gradients)}); another recipe"
    )
  found.append(
    "smaller images: config.data.resize_mode = 'fill', with "
    "config.data.resize_height and config.data.resize_width"
  )
  weights = need.parameters + need.history + need.gradients + need.checkpoint
  if 2 * weights > need.total - need.process:
    found.append(
      "a narrower network: config.model.width; its weights and what belongs "
      f"to them take {byte_size(weights)}"
    )
  if not room.shared:
    found.append(
      "more of the device: XLA_PYTHON_CLIENT_MEM_FRACTION=0.95; JAX takes 0.75 "
      "of it by itself"
    )
  return found


def rows(needs: Sequence[MemoryNeed]) -> list[tuple[str, ...]]:
  """A table: headings, what the bytes are for in each need, their total.

  Nothing where there are no needs.
  """
  if not needs:
    return []
  canvases = [f"{h}x{w}" for h, w in (need.canvas for need in needs)]
  found = [("memory of a train step", *canvases)]
  for words in needs[0].shares():
    sizes = [need.shares()[words] for need in needs]
    if any(sizes):
      found.append((words, *map(byte_size, sizes)))
  return [*found, ("total", *(byte_size(need.total) for need in needs))]


def table(needs: Sequence[MemoryNeed]) -> str:
  """`rows` as text."""
  return text_table(rows(needs))


def parts_of(images: int, part_size: int, one_part: bool) -> int:
  """Parts of a batch whose images all lie on one canvas; 1: never more."""
  # A second part, however small the batch: its images may lie elsewhere.
  return 1 if one_part else max(2, -(-images // part_size))


def check_fits(
  layers: d.Layers, config: ConfigDict, canvases: Iterable[tuple[int, int]]
) -> None:
  """Refuses what cannot fit however it is computed; nothing is allocated.

  Args:
    layers: of the network, whose parameters, their gradients and their history
      are float32.
    config: the recipe.
    canvases: (height, width) of the images; one byte a color and one a label.

  Raises:
    ValueError: there is less memory than that.
  """
  room, host = devices.memory_limit(), devices.host_memory()
  parameters = count_parameters(layers)
  if room and 12 * parameters > room.bytes:
    width = f" (model.width = {config.model.width!r})" * (
      "width" in config.model
    )
    raise ValueError(
      f"{config.model.name}{width}: {parameters:,} parameters, their gradients "
      f"and their history fill {byte_size(12 * parameters)}; the {room.of}: "
      f"{byte_size(room.bytes)}"
    )
  images = optimizers.images_per_update(config)
  need = 4 * images * max(height * width for height, width in canvases)
  if host and need > host.bytes:
    raise ValueError(
      f"batch_size = {config.batch_size}, accumulation_steps = "
      f"{config.accumulation_steps}: the {images:,} images of an update fill "
      f"{byte_size(need)}; the {host.of}: {byte_size(host.bytes)}"
    )


def at_most(
  layers: d.Layers, canvas: tuple[int, int], images: int, copies: int = 1
) -> int:
  """More bytes than a step takes, from sizes alone: nothing is compiled.

  For the networks there are it is 1.5 to 5 times what XLA plans.

  Args:
    layers: the declaration of the network.
    canvas: (height, width) of the images.
    images: of a batch.
    copies: of the parameters, where several devices share the memory.
  """
  height, width = canvas
  rows, columns = (geometry.sizes(layers, side) for side in canvas)
  channels = d.channels(layers)
  blobs = sum(rows[name] * columns[name] * channels[name] for name in channels)
  scores = height * width * channels[layers[-1].name]
  # Float32: blobs and their gradients, twice; some losses keep as many numbers
  # as there are scores, several times; parameters, gradients, two moments and
  # averages, and again what a checkpoint copies.
  numbers = images * (4 * blobs + 8 * scores) + 10 * copies * count_parameters(
    layers
  )
  return 4 * numbers + PROCESS


def warn_before_training(
  stepper: Stepper,
  state: TrainState,
  mesh,
  loader: Loader,
  config: ConfigDict,
  layers: d.Layers,
) -> None:
  """Logs a warning where a step on the largest canvas may not fit.

  Nothing is compiled for it where there is more than enough memory.

  Args:
    stepper, state, mesh: as the run uses them: the program that is compiled
      here is the one that the first step on that canvas runs.
    loader: of the run, see `pipeline.Loader`.
    config: the recipe.
    layers: the declaration of the network.
  """
  room = devices.memory_limit()
  if room is None:
    return
  most = at_most(
    layers, loader.canvases[-1], loader.sampler.batch_size, mesh.size
  )
  if most < TIGHT * room.bytes:
    return
  need = of_loader(stepper, state, mesh, loader)
  if need is None:
    return
  if found := problem(need, room, config, loader):
    _log.warning("%s", found)


def problem(
  need: MemoryNeed,
  room: devices.MemoryLimit,
  config: ConfigDict,
  loader: Loader,
) -> str:
  """The `warning` of a run, which knows the sizes of its images."""
  sizes = loader.dataset.sizes(loader.split).tolist()
  return warning(need, room, config, sizes)


def of_loader(
  stepper: Stepper, state: TrainState, mesh, loader: Loader
) -> MemoryNeed | None:
  """What a step needs on the largest canvas of a run, see `of_stepper`."""
  images = loader.sampler.batch_size
  return of_stepper(
    stepper,
    state,
    mesh,
    loader.canvases[-1],
    loader.part_size,
    parts_of(images, loader.part_size, loader.one_part),
    (1, 1) if loader.dataset.square else None,
  )


def verdict(need: MemoryNeed, room: devices.MemoryLimit) -> str:
  """How much of what there is a step takes, in a sentence."""
  images = "1 image" if need.part_size == 1 else f"{need.part_size} images"
  return (
    f"{images} at a time on {need.canvas[0]}x{need.canvas[1]}: "
    f"{byte_size(need.total)} of {byte_size(room.bytes)} ({room.of})."
  )
