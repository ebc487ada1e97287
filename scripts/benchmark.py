r"""Measures speed and memory, beside other implementations and the machine.

  python scripts/benchmark.py --what=forward,step --model=fcn_alexnet \
    --size=375x500 --peers=plain,torch

In each group of rows all take turns (A B C A B C ...), after warming up;
medians are given, with the least and the most. The floor of a piece of work is
its floating-point operations, padding included, at the rate of a large matrix
product measured in the same turns, or its parameters' bytes at the rate of a
large copy where that takes longer. Peers: plain is the same network written as
one would first write it in JAX (fcn_jax/plain.py); torch is PyTorch with its
best settings (pip install torch), compiled where that is faster.

  forward   scores of a batch
  step      forward, backward and update
  memory    peak of a process that does either, once the batch is made
  input     made-up JPEGs with VOC's sizes and their labels, decoded and placed
            on canvases in one thread, beside a plain loop of Pillow and numpy
  train     an epoch of them, batch 1, from files and from memory; the number of
            compiled programs; the time from the command to the first step
  predict   a folder of them, masks written, beside the scores alone
"""

import contextlib
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

import jax
import numpy as np
from absl import flags

from fcn_jax import cli, models
from fcn_jax.benchmark import compute, machine
from fcn_jax.benchmark.files import (
  EPOCHS,
  measure_epoch,
  measure_input,
  measure_predict,
  prepare,
  seconds_to_first_step,
  write,
)
from fcn_jax.benchmark.machine import Timing, take_turns
from fcn_jax.models import describe
from fcn_jax.models.network import PRECISIONS

_WHATS = ("forward", "step", "memory", "input", "train", "predict")
_WHAT = flags.DEFINE_list("what", ["forward", "step"], ", ".join(_WHATS))
_MODEL = flags.DEFINE_string("model", "fcn_alexnet", "The network.")
_SIZE = flags.DEFINE_string("size", "375x500", "HEIGHTxWIDTH of the images.")
_BATCH = flags.DEFINE_integer("batch", 1, "Images at once.", 1)
_PRECISION = flags.DEFINE_enum(
  "precision", "float32", list(PRECISIONS), "Of the products."
)
_PEERS = flags.DEFINE_list("peers", ["plain"], "plain, torch; empty: none.")
_IMAGES = flags.DEFINE_integer(
  "images", 24, "Made-up images, for input, train and predict.", 1
)
_SIZES = flags.DEFINE_string(
  "sizes",
  str(pathlib.Path(__file__).with_name("voc2012_sizes.json")),
  "JSON list of [height, width, how often], of which their sizes are drawn.",
)
_REPEATS = flags.DEFINE_integer("repeats", 9, "Of each piece of work.", 7)
_JSON = flags.DEFINE_string("json", None, "Also write the rows there.")

_TORCH = str(pathlib.Path(__file__).with_name("torch_peer.py"))


class TorchPeer:
  """A process that runs scripts/torch_peer.py."""

  def __init__(self, work: str, compiled: bool = False):
    self._process = subprocess.Popen(
      [
        sys.executable,
        _TORCH,
        f"--model={_MODEL.value}",
        f"--size={_SIZE.value}",
        f"--batch={_BATCH.value}",
        f"--precision={_PRECISION.value}",
        f"--work={work}",
        *(["--compiled"] if compiled else []),
      ],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE if compiled else None,
      text=True,
    )
    line = self._process.stdout.readline()
    if not line:
      raise OSError(f"{_TORCH} ended; is torch installed (pip install torch)?")
    self.about = json.loads(line)

  def ask(self, what: str) -> float:
    print(what, file=self._process.stdin, flush=True)
    return json.loads(self._process.stdout.readline())

  def __call__(self) -> float:
    return self.ask("run")

  def close(self) -> None:
    with contextlib.suppress(OSError):
      self._process.stdin.close()
    self._process.wait()


def faster_torch(work: str) -> tuple[str, TorchPeer]:
  """PyTorch as it is, or compiled where that works and is faster."""
  plain = TorchPeer(work)
  try:
    compiled = TorchPeer(work, compiled=True)
  except OSError:
    return "torch", plain
  timings = take_turns({"plain": plain, "compiled": compiled}, 3, 0)
  if timings["compiled"].median < timings["plain"].median:
    plain.close()
    return "torch, compiled", compiled
  compiled.close()
  return "torch", plain


def size() -> tuple[int, int]:
  height, _, width = _SIZE.value.partition("x")
  if not (height.isdigit() and width.isdigit()):
    raise ValueError(f"--size={_SIZE.value}: write it as 375x500, height first")
  return int(height), int(width)


def measure_compute(what: str) -> list[dict]:
  """Rows of 'forward' or 'step': ours, then the peers."""
  height, width = size()
  layers = models.declare(_MODEL.value, compute.CLASSES)
  images = _BATCH.value
  given = compute.batch(height, width, images)
  arguments = (_MODEL.value, _PRECISION.value, given)
  works = machine.works(_PRECISION.value)
  peer = None
  if what == "forward":
    operations = images * sum(
      describe.forward_flops(layers, height, width).values()
    )
    works["fcn_jax"] = compute.forward(*arguments)
  else:
    operations = images * describe.step_flops(layers, height, width)
    works["fcn_jax"] = compute.step(*arguments)
  if "plain" in _PEERS.value:
    make = getattr(compute, f"plain_{what}")
    works["plain"] = make(*arguments)
  if "torch" in _PEERS.value:
    name, peer = faster_torch(what)
    works[name] = peer
  timings = take_turns(works, _REPEATS.value)
  if peer:
    peer.close()
  limit = machine.measured(timings)
  # Forward reads the parameters; a step reads them twice more, writes and
  # reads gradients, and reads and writes parameters and history.
  moved = (
    4 * describe.count_parameters(layers) * (1 if what == "forward" else 8)
  )
  least = limit.seconds(operations, moved)
  ours = timings["fcn_jax"].median
  rows = []
  for name, timing in timings.items():
    row = {"what": what, "name": name, **as_fields(timing)}
    if name not in ("matrix product", "copy"):
      row |= {
        "images_per_second": images / timing.median,
        "gflops_per_second": operations / timing.median / 1e9,
        "share_of_floor": least / timing.median,
        "ours_is_faster_by": timing.median / ours,
      }
    rows.append(row)
  rows.append(
    {
      "what": what,
      "name": "floor",
      "seconds": least,
      "gflop": operations / 1e9,
      "matrix_product_gflops_per_second": limit.flops / 1e9,
      "copy_gbytes_per_second": limit.bytes / 1e9,
    }
  )
  return rows


def as_fields(timing: Timing) -> dict:
  return {
    "seconds": timing.median,
    "least": timing.least,
    "most": timing.most,
  }


def measure_memory() -> list[dict]:
  """Rows of peak memory: each work in a process of its own."""
  rows = []
  for work in ("forward", "step"):
    command = [sys.executable, "-m", "fcn_jax.benchmark.memory", _MODEL.value]
    command += [work, _SIZE.value, str(_BATCH.value), _PRECISION.value]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
      raise OSError(done.stderr.strip().splitlines()[-1])
    row = {"what": "memory", "name": f"fcn_jax, {work}"}
    rows.append(row | {"bytes": int(done.stdout)})
    if "torch" in _PEERS.value:
      peer = TorchPeer(work)
      peer()
      row = {"what": "memory", "name": f"torch, {work}"}
      rows.append(row | {"bytes": int(peer.ask("memory"))})
      peer.close()
  return rows


def measure_whole(what: str, folder: pathlib.Path, data) -> list[dict]:
  """Rows of 'input', 'train' or 'predict'."""
  images = len(data.ids("train"))
  model, precision = _MODEL.value, _PRECISION.value
  notes = {}
  match what:
    case "input":
      timings = measure_input(folder, data, _REPEATS.value)
      images *= EPOCHS
      notes = {"of": "plain loop"}
    case "train":
      timings, programs, canvases = measure_epoch(data, model, precision, 3)
      notes = {"of": "from memory", "programs": programs}
      notes |= {"canvases": [list(canvas) for canvas in canvases]}
    case "predict":
      timings, programs = measure_predict(folder, model, precision, 3)
      notes = {"of": "alone", "programs": programs}
  other = timings[notes.pop("of")].median
  rows = [
    {
      "what": what,
      "name": name,
      **as_fields(timing),
      "images_per_second": images / timing.median,
      "share_of_other": other / timing.median,
    }
    for name, timing in timings.items()
  ]
  rows[0] |= notes
  if what == "train":
    root = pathlib.Path(__file__).parents[1]
    started = seconds_to_first_step(root, folder, model)
    rows += [
      {"what": what, "name": f"first step, {name}", "seconds": seconds}
      for name, seconds in started.items()
    ]
  return rows


def environment() -> dict:
  """The machine and the versions."""
  device = jax.devices()[0]
  return {
    "device": device.device_kind,
    "cores": os.cpu_count(),
    "machine": platform.machine(),
    "python": platform.python_version(),
    "jax": jax.__version__,
    "numpy": np.__version__,
    "load": os.getloadavg()[0],
    "model": _MODEL.value,
    "size": _SIZE.value,
    "batch": _BATCH.value,
    "precision": _PRECISION.value,
    "repeats": _REPEATS.value,
  }


def text(row: dict) -> str:
  """A row as a line."""
  parts = [f"{row['what']:8} {row['name']:23}"]
  if "bytes" in row:
    return f"{parts[0]} {row['bytes'] / 2**30:7.2f} GiB"
  parts.append(f"{1e3 * row['seconds']:9.1f} ms")
  if "least" in row:
    parts.append(f"({1e3 * row['least']:.1f} to {1e3 * row['most']:.1f})")
  if "images_per_second" in row:
    parts.append(f"{row['images_per_second']:7.2f} images/s")
  if "share_of_other" in row:
    parts.append(f"{row['share_of_other']:5.0%}")
  if "programs" in row:
    parts.append(f"{row['programs']} programs")
  if "gflops_per_second" in row:
    parts.append(f"{row['gflops_per_second']:7.0f} GFLOP/s")
    parts.append(f"{row['share_of_floor']:5.0%} of the floor")
    if row["name"] != "fcn_jax":
      parts.append(f"fcn_jax is {row['ours_is_faster_by']:.2f}x as fast")
  if "gflop" in row:
    parts.append(
      f"{row['gflop']:.1f} GFLOP at "
      f"{row['matrix_product_gflops_per_second']:.0f} GFLOP/s"
    )
  return "  ".join(parts)


def main() -> None:
  for name, known, given in (
    ("what", _WHATS, _WHAT.value),
    ("peers", ("plain", "torch"), [p for p in _PEERS.value if p]),
  ):
    if strange := [one for one in given if one not in known]:
      raise ValueError(f"--{name}={','.join(strange)}: there is {known}")
  about = environment()
  print("  ".join(f"{key} {value}" for key, value in about.items()))
  rows = []
  with tempfile.TemporaryDirectory() as name:
    folder, data = pathlib.Path(name), None
    for what in _WHAT.value:
      if what == "memory":
        made = measure_memory()
      elif what in ("forward", "step"):
        made = measure_compute(what)
      else:
        if data is None:
          counts = json.loads(pathlib.Path(_SIZES.value).read_text())
          write(folder, counts, _IMAGES.value)
          data = prepare(folder)
        made = measure_whole(what, folder, data)
      for row in made:
        print(text(row), flush=True)
      rows += made
  if _JSON.value:
    path = pathlib.Path(_JSON.value).expanduser()
    path.write_text(json.dumps({"environment": about, "rows": rows}, indent=1))


if __name__ == "__main__":
  cli.start(main)
