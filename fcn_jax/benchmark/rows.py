"""What scripts/benchmark.py measures, as rows of figures."""

import dataclasses
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from fcn_jax import files, models
from fcn_jax.benchmark import (
  PEERS,
  WHATS,
  compute,
  machine,
  scaling,
  startup,
)
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
from fcn_jax.benchmark.peer import TorchPeer, fastest_torch
from fcn_jax.data import pipeline
from fcn_jax.models import describe

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Setting:
  """What is measured with.

  Attributes:
    model: a registered name.
    size: (height, width) of the images.
    batch: images at once.
    precision: of the products.
    peers: of `PEERS`.
    repeats: of each piece of work.
    width: share of the published features.
    images: made-up images, for input, train and predict.
    sizes: JSON list of [height, width, how often], of which theirs are drawn.
  """

  model: str = "fcn_alexnet"
  size: tuple[int, int] = (375, 500)
  batch: int = 1
  precision: str = "float32"
  peers: Sequence[str] = ("plain",)
  repeats: int = 9
  width: float = 1.0
  images: int = 24
  sizes: str = ""

  def of_classifier(self) -> "Setting":
    """The quickstart's classifier at its own batch."""
    return dataclasses.replace(
      self,
      model="alexnet",
      size=(227, 227),
      batch=16,
      width=0.25,
      peers=[peer for peer in self.peers if peer != "torch"],
    )

  def network(self) -> models.Network:
    return compute.network(self.model, self.precision, self.width)

  def part(self) -> pipeline.Part:
    """A batch for it."""
    of_classifier = self.network().layers[0].size is not None
    return compute.batch(*self.size, self.batch, of_classifier=of_classifier)

  @property
  def sides(self) -> str:
    """The size as people write it: '375x500'."""
    return "x".join(map(str, self.size))

  def torch(self, work: str, form: str = "eager") -> TorchPeer:
    """PyTorch, which does a piece of work.

    Raises:
      ValueError: a width of which its networks are not made.
    """
    if self.width != 1:
      raise ValueError(
        f"--width={self.width}: PyTorch's networks are of width 1; give "
        "--peers=plain"
      )
    return TorchPeer(
      self.model, self.sides, self.batch, self.precision, work, form
    )


def run(
  whats: Sequence[str], setting: Setting, output: str | os.PathLike | None
) -> None:
  """Measures, and prints every row as soon as it is there.

  Args:
    whats: of `WHATS`.
    setting: what is measured with.
    output: JSON file for the rows; None: none.

  Raises:
    ValueError: an unknown work or peer.
    DataError: the file holds something else.
    OSError: a process that was started has failed.
  """
  for name, known, given in (
    ("what", WHATS, whats),
    ("peers", PEERS, [peer for peer in setting.peers if peer]),
  ):
    if strange := [one for one in given if one not in known]:
      raise ValueError(f"--{name}={','.join(strange)}: there is {known}")
  path = output and files.claim_json(
    output, {"environment", "rows"}, "file of measurements"
  )
  about = environment(setting)
  print("  ".join(f"{key} {value}" for key, value in about.items()))
  rows = []
  for row in measure(whats, setting):
    print(text(row), flush=True)
    rows.append(row)
  if path:
    files.write_json(path, {"environment": about, "rows": rows})


def measure(whats: Sequence[str], setting: Setting) -> Iterator[Row]:
  """The rows of each piece of work, in order."""
  with tempfile.TemporaryDirectory() as name:
    folder, data = pathlib.Path(name), None
    for what in whats:
      if what == "memory":
        yield from measure_memory(setting)
      elif what in ("forward", "step"):
        yield from measure_compute(what, setting)
      elif what == "classifier":
        yield from measure_compute("step", setting.of_classifier())
      elif what == "compile":
        yield from startup.measure_compiling(setting)
      elif what == "startup":
        yield from startup.measure_startup(setting)
      elif what == "scaling":
        yield from scaling.measure(setting)
      else:
        if data is None:
          counts = json.loads(pathlib.Path(setting.sizes).read_text())
          write(folder, counts, setting.images)
          data = prepare(folder)
        yield from measure_whole(what, setting, folder, data)


def measure_compute(what: str, setting: Setting) -> list[Row]:
  """Rows of 'forward' or 'step': ours, then the peers."""
  height, width = setting.size
  net = setting.network()
  layers = net.layers
  images = setting.batch
  given = setting.part()
  works = machine.works(setting.precision)
  peer = None
  if what == "forward":
    operations = images * sum(
      describe.forward_flops(layers, height, width).values()
    )
    works["fcn_jax"] = compute.forward(net, given)
  else:
    operations = images * describe.step_flops(layers, height, width)
    works["fcn_jax"] = compute.step(net, given)
  if "plain" in setting.peers:
    make = getattr(compute, f"plain_{what}")
    works["plain"] = make(net, given)
  if "torch" in setting.peers:
    name, peer = fastest_torch(
      lambda form: setting.torch(what, form), jax.default_backend() == "gpu"
    )
    works[name] = peer
  timings = take_turns(works, setting.repeats)
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


def as_fields(timing: Timing) -> Row:
  return {
    "seconds": timing.median,
    "least": timing.least,
    "most": timing.most,
  }


def measure_memory(setting: Setting) -> list[Row]:
  """Rows of peak memory: each work in a process of its own."""
  rows = []
  for work in ("forward", "step"):
    command = [sys.executable, "-m", "fcn_jax.benchmark.memory", setting.model]
    command += [
      work,
      "x".join(map(str, setting.size)),
      str(setting.batch),
      setting.precision,
      str(setting.width),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
      raise OSError(done.stderr.strip().splitlines()[-1])
    row = {"what": "memory", "name": f"fcn_jax, {work}"}
    rows.append(row | {"bytes": int(done.stdout)})
    if "torch" in setting.peers:
      peer = setting.torch(work)
      peer()
      row = {"what": "memory", "name": f"torch, {work}"}
      rows.append(row | {"bytes": int(peer.ask("memory"))})
      peer.close()
  return rows


def measure_whole(
  what: str, setting: Setting, folder: pathlib.Path, data
) -> list[Row]:
  """Rows of 'input', 'train' or 'predict'."""
  images = len(data.ids("train"))
  model, precision = setting.model, setting.precision
  notes = {}
  match what:
    case "input":
      timings = measure_input(folder, data, setting.repeats)
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
    root = pathlib.Path(__file__).parents[2]
    started = seconds_to_first_step(root, folder, model)
    rows += [
      {"what": what, "name": f"first step, {name}", "seconds": seconds}
      for name, seconds in started.items()
    ]
  return rows


def environment(setting: Setting) -> Row:
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
    "model": setting.model,
    "width": setting.width,
    "size": setting.sides,
    "batch": setting.batch,
    "precision": setting.precision,
    "repeats": setting.repeats,
  }


def text(row: Row) -> str:
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
  if "times_import_jax" in row:
    parts.append(f"{row['times_import_jax']:5.2f} times import jax")
  if "times_best" in row:
    parts.append(f"{row['times_best']:5.2f} times the best of its kind")
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
