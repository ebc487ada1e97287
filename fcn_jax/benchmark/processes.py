"""What it costs to be several: steps of the same images in other shapes.

  python -m fcn_jax.benchmark.processes

takes steps of one and of two images on one and two CPU devices, these in one
process or in two, and prints a table. The shapes take turns, in processes of
their own; of each the median of all steps is given.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

from absl import flags

from fcn_jax import cli

_ROOT = pathlib.Path(__file__).parents[2]
# (processes, devices of each, images a step)
_SHAPES = ((1, 1, 1), (1, 1, 2), (1, 2, 2), (2, 1, 2))

_WIDTH = flags.DEFINE_float("width", 0.25, "Share of FCN-AlexNet's features.")
_SIZE = flags.DEFINE_string("size", "125x167", "HEIGHTxWIDTH of the images.")
_STEPS = flags.DEFINE_integer("steps", 10, "In each turn.", 1)
_TURNS = flags.DEFINE_integer("turns", 2, "Of each shape.", 1)
_IMAGES = flags.DEFINE_integer("images", 0, "Of a step: be one of the shapes.")
cli.define_processes()


def step_seconds(
  images: int, size: tuple[int, int], width: float, steps: int
) -> tuple[int, list[float]]:
  """In this process, with the others: its devices are all of them.

  Returns:
    Parameters that are learned, and the seconds of each step.
  """
  import jax

  from fcn_jax import devices
  from fcn_jax.benchmark import compute
  from fcn_jax.data import pipeline
  from fcn_jax.training.step import Stepper

  mesh = devices.data_mesh()
  net = compute.network("fcn_alexnet", "float32", width)
  functions, state = compute.training(net, images)
  state = devices.replicate(state, mesh)
  stepper = Stepper(functions, mesh, one_part=True)
  rows = devices.own_rows(images, mesh) or slice(None)
  part = jax.tree.map(
    lambda array: jax.device_get(array)[rows], compute.batch(*size, images)
  )
  drawn = pipeline.Batch(tuple(range(images)), (part,))
  seconds = []
  for _ in range(2 + steps):
    began = time.perf_counter()
    state, each = stepper(state, drawn)
    jax.block_until_ready((state, each))
    seconds.append(time.perf_counter() - began)
  return sum(x.size for x in jax.tree.leaves(state.params)), seconds[2:]


def _turn(processes: int, each: int, images: int) -> tuple[int, list[float]]:
  """The same in processes of their own; of the first one."""
  options = {"width": _WIDTH.value, "size": _SIZE.value, "steps": _STEPS.value}
  given = [f"--{name}={value}" for name, value in options.items()]
  command = [sys.executable, "-m", "fcn_jax.benchmark.processes", *given]
  command.append(f"--images={images}")
  if processes > 1:
    launcher = str(_ROOT / "scripts/launch_local.sh")
    command = [launcher, str(processes), *command]
  environment = os.environ | {
    "JAX_PLATFORMS": "cpu",
    "JAX_NUM_CPU_DEVICES": str(each),
    "PYTHON": sys.executable,
  }
  done = subprocess.run(
    command, env=environment, stdout=subprocess.PIPE, text=True, check=True
  )
  return json.loads(done.stdout.splitlines()[-1])  # Gloo prints before


def main() -> None:
  if _IMAGES.value:
    from fcn_jax import devices

    devices.start(**cli.processes_given())
    size = cli.image_size(_SIZE.value)
    found = step_seconds(_IMAGES.value, size, _WIDTH.value, _STEPS.value)
    if devices.is_first():
      print(json.dumps(found))
    return
  seconds: dict[tuple, list[float]] = {shape: [] for shape in _SHAPES}
  for _ in range(_TURNS.value):
    for shape in _SHAPES:
      parameters, found = _turn(*shape)
      seconds[shape] += found
  print(f"{parameters:,} parameters, images of {_SIZE.value}\n")
  print("| processes x devices | images | ms a step | least |")
  print("|---|---:|---:|---:|")
  for (processes, each, images), found in seconds.items():
    median, least = 1000 * statistics.median(found), 1000 * min(found)
    shape = f"{processes} x {each}"
    print(f"| {shape} | {images} | {median:.0f} | {least:.0f} |")


if __name__ == "__main__":
  cli.start(main)
