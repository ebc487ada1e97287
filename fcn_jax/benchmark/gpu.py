"""All that is to be known of a GPU, measured part by part.

  python -m fcn_jax.benchmark.gpu --output=gpu_check --minutes=9

writes gpu_check/gpu_check.json after every part and gpu_check/gpu_check.md.
Called again, it goes on with the parts that are missing; the exit code is 3
where some are left, else 1 where some failed; --again measures those anew.
--small takes networks and images so small that a CPU does all of it in minutes:
to try this, not to learn from it. --only='step, bfloat16' measures the parts
whose names it matches (a regular expression), and --batches=1,16 those batches.
"""

import argparse
import dataclasses
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fcn_jax import devices, files
from fcn_jax.benchmark import compute, rows
from fcn_jax.data.prepare import prepare_dataset
from fcn_jax.files import DataError, local_path, one_line
from fcn_jax.models.network import PRECISIONS
from fcn_jax.runs.record import read_metrics
from fcn_jax.training import memory
from fcn_jax.training.step import Stepper
from fcn_jax.weights import checkpoints

Row = dict[str, Any]

LEFT = 3  # the exit code where parts are left
_ROOT = pathlib.Path(__file__).parents[2]
RECIPE = _ROOT / "configs/voc_fcn_alexnet.py"
_KEYS = ("environment", "parts")


@dataclasses.dataclass(frozen=True)
class Scale:
  """How large everything is.

  Attributes:
    size: (height, width) of the images of the steps.
    width: share of the published features.
    batches: images at once.
    repeats: of each piece of work.
    images: made-up images of VOC's sizes.
    steps: of a training whose losses are compared.
  """

  size: tuple[int, int] = (375, 500)
  width: float = 1.0
  batches: tuple[int, ...] = (1, 4, 16, 32)
  repeats: int = 9
  images: int = 200
  steps: int = 200


SMALL = Scale((40, 60), 0.05, (1, 2), 3, 4, 4)


def parts(
  model: str, scale: Scale, folder: pathlib.Path
) -> dict[str, Callable[[], list[Row]]]:
  """The parts by name, in the order in which they are worth a GPU's time."""
  torch = bool(importlib.util.find_spec("torch")) and scale.width == 1
  peers = ("torch",) if torch else ()
  found = {"errors": lambda: errors(model, scale)}
  whole = rows.Setting(
    model=model,
    repeats=scale.repeats,
    width=scale.width,
    images=scale.images,
    sizes=str(_ROOT / "scripts/voc2012_sizes.json"),
  )
  for batch in scale.batches:
    for precision in PRECISIONS:
      setting = dataclasses.replace(
        whole,
        size=scale.size,
        batch=batch,
        precision=precision,
        peers=peers,
      )
      for what in ("step", "forward"):
        found[f"{what}, {precision}, batch {batch}"] = (
          lambda what=what, setting=setting: rows.measure_compute(what, setting)
        )
      found[f"memory, {precision}, batch {batch}"] = lambda setting=setting: (
        memory_rows(setting)
      )
  # Epochs are at the full width, which is too much for a CPU.
  whats = ("input", "train") if scale.width == 1 else ("input",)
  found["input and epochs"] = lambda: list(rows.measure(whats, whole))
  found["resumed run"] = lambda: resumed(scale, folder)
  found["losses by precision"] = lambda: losses(scale, folder)
  return found


def errors(model: str, scale: Scale) -> list[Row]:
  """Scores and gradients of each precision beside float32 on the CPU.

  The error is the norm of the difference, in shares of the norm; of gradients
  that of the worst parameter, and which one that is.
  """
  cpu = jax.devices("cpu")[0]
  given = compute.batch(*scale.size, 1)
  expected, _ = _scores_and_gradients(
    compute.network(model, "float32", scale.width), given, cpu
  )
  found = []
  for precision in PRECISIONS:
    net = compute.network(model, precision, scale.width)
    ours, again = _scores_and_gradients(net, given, jax.devices()[0])
    for name, of_cpu in expected.items():
      each = {k: _error(ours[name][k], array) for k, array in of_cpu.items()}
      worst = max(each, key=each.__getitem__)
      found.append(
        {
          "what": "errors",
          "name": f"{name}, {precision}",
          "error": each[worst],
          **({"of": worst} if worst else {}),
          "repeats_exactly": all(
            np.array_equal(ours[name][k], again[name][k]) for k in of_cpu
          ),
        }
      )
  return found


def _scores_and_gradients(
  net, given, device
) -> list[dict[str, dict[str, np.ndarray]]]:
  """Both, and their arrays by name, computed twice by the same programs."""
  forward, of_forward = compute.forward_program(net, given)
  functions, state = compute.training(net, len(given.image))
  gradients = jax.jit(functions.gradients)
  step = jnp.zeros((), jnp.int32)
  of_gradients = (state.params, state.frozen, step, given)
  found = []
  with jax.default_device(device):
    for _ in range(2):
      scores = forward(*jax.device_put(of_forward, device))
      grads, _ = gradients(*jax.device_put(of_gradients, device))
      found.append(
        {
          name: {
            jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(
              x, np.float32
            )
            for path, x in jax.tree_util.tree_leaves_with_path(tree)
          }
          for name, tree in (("scores", scores), ("gradients", grads))
        }
      )
  return found


def _error(ours: np.ndarray, theirs: np.ndarray) -> float:
  norm = np.linalg.norm(theirs.astype(np.float64))
  difference = np.linalg.norm(ours.astype(np.float64) - theirs)
  return float(difference / norm) if norm else float(difference)


def memory_rows(setting: rows.Setting) -> list[Row]:
  """Peaks, ours and PyTorch's, and what training foretells for a step."""
  found = rows.measure_memory(setting)
  mesh = devices.data_mesh()
  functions, state = compute.training(setting.network(), setting.batch)
  state = devices.replicate(state, mesh)
  stepper = Stepper(functions, mesh, one_part=True)
  need = memory.of_stepper(
    stepper, state, mesh, setting.size, devices.divisible(setting.batch, mesh)
  )
  if need is not None:
    row = {"what": "memory", "name": "fcn_jax, step, foretold"}
    found.append(row | {"bytes": need.total})
  return found


def resumed(scale: Scale, folder: pathlib.Path) -> list[Row]:
  """Whether a run that stops and goes on ends with the same bits."""
  one = _train(folder, "whole", scale, scale.steps)
  _train(folder, "halves", scale, scale.steps // 2)
  two = _train(folder, "halves", scale, scale.steps, "--extend")
  params = [checkpoints.load_model(run, "latest")[0] for run in (one, two)]
  leaves = [jax.tree.leaves(_arrays(net)) for net in params]
  pairs = list(zip(*leaves, strict=True))
  return [
    {
      "what": "resumed run",
      "name": "parameters",
      "error": max(_error(a, b) for a, b in pairs),
      "repeats_exactly": all(np.array_equal(a, b) for a, b in pairs),
    }
  ]


def _arrays(net) -> list[np.ndarray]:
  _, params, _ = compute.split(net)
  return [np.asarray(x) for x in jax.tree.leaves(params)]


def losses(scale: Scale, folder: pathlib.Path) -> list[Row]:
  """The losses of one training in each precision, and its images a second."""
  found = []
  for precision in PRECISIONS:
    run = _train(
      folder,
      f"losses_{precision}",
      scale,
      scale.steps,
      f"--config.precision={precision}",
    )
    records = read_metrics(run)
    train = [r for r in records if r["kind"] == "train"]
    last = [r for r in records if r["kind"] == "val"][-1]
    found.append(
      {
        "what": "losses",
        "name": precision,
        "losses": {r["step"]: r["loss"] for r in train},
        "mean_iu": last["mean_iu"],
        "images_per_second": float(
          np.median([r["images_per_second"] for r in train])
        ),
      }
    )
  return found


def fields(scale: Scale, data: pathlib.Path, steps: int) -> dict[str, Any]:
  """What a training has otherwise than RECIPE says.

  Its learning rate is fixed: a run of half the steps is half of the run.
  """
  return {
    "data.name": "shapes",
    "data.data_dir": str(data),
    "data.cache": "host",
    "data.part_size": 4,
    "batch_size": 4,
    "model.width": scale.width,
    "init.source": "random",
    "init.head": "gaussian",
    "base_lr": 1e-3,
    "duration": f"{steps} steps",
    "validate_every": "100 %",
    "checkpoint_every": "100 %",
    "log_every": f"{max(1, scale.steps // 20)} steps",
    "report": False,
  }


def _train(
  folder: pathlib.Path, name: str, scale: Scale, steps: int, *more: str
) -> pathlib.Path:
  """A run of FCN-AlexNet on the made-up world, with sums in a fixed order."""
  data, run = folder / "data", folder / name
  if not (data / "shapes").exists():
    prepare_dataset("shapes", data_dir=str(data), say=lambda line: None)
  flags = os.environ.get("XLA_FLAGS", "")
  if jax.default_backend() == "gpu":
    flags += " --xla_gpu_deterministic_ops=true"
  done = subprocess.run(
    [
      sys.executable,
      str(_ROOT / "scripts/train.py"),
      f"--config={RECIPE}",
      f"--workdir={run}",
      *(f"--config.{k}={v}" for k, v in fields(scale, data, steps).items()),
      *more,
    ],
    env=os.environ
    | {"XLA_FLAGS": flags, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
    capture_output=True,
    text=True,
  )
  if done.returncode:
    raise OSError(done.stderr.strip().splitlines()[-1])
  return run


def check(
  model: str,
  scale: Scale,
  output: pathlib.Path,
  minutes: float,
  again: bool = False,
  only: str = "",
) -> tuple[bool, list[str]]:
  """Measures what is missing, as far as the time goes.

  Args:
    again: parts that failed are missing, too.
    only: a regular expression; parts whose name it is not found in are left
      out.

  Returns:
    Whether all parts are there, and the names of those that failed.

  Raises:
    DataError: the folder holds another file of that name, or figures of
      another network, scale or device.
  """
  path = files.claim_json(output / "gpu_check.json", _KEYS, "file of figures")
  # Other batches are other parts, and may stand beside those that are there.
  of_all = {k: v for k, v in vars(scale).items() if k != "batches"}
  about = {
    "model": model,
    "scale": {k: str(v) for k, v in of_all.items()},
    "device": jax.devices()[0].device_kind,
    "jax": jax.__version__,
  }
  found = {"environment": about, "parts": {}}
  if path.exists():
    found = json.loads(path.read_bytes())
    if found["environment"] != about:
      raise DataError(
        f"{path} is of {found['environment']}, this is {about}; name another "
        "--output"
      )
  if again:
    for name in _failed(found):
      del found["parts"][name]
  began, longest = time.monotonic(), 0.0
  for name, part in parts(model, scale, output).items():
    if name in found["parts"] or not re.search(only, name):
      continue
    started = time.monotonic()
    if started - began + longest > 60 * minutes:
      return False, _failed(found)
    print(f"{name} ...", flush=True)
    try:
      found["parts"][name] = part()
    except Exception as error:  # the other parts are worth the time
      found["parts"][name] = [
        {"what": name, "name": "failed", "error_message": one_line(error)}
      ]
    longest = max(longest, time.monotonic() - started)
    files.write_json(path, found)
    with files.replacing(output / "gpu_check.md") as temporary:
      temporary.write_text("\n".join(markdown(found)) + "\n")
    for row in found["parts"][name]:
      print(f"  {_line(row)}", flush=True)
  return True, _failed(found)


def _failed(found: dict[str, Any]) -> list[str]:
  return [
    name
    for name, part in found["parts"].items()
    if any("error_message" in row for row in part)
  ]


def markdown(found: dict[str, Any]) -> Iterator[str]:
  """Lines of a table of each part's rows."""
  about = found["environment"]
  yield f"# {about['model']} on {about['device']}, jax {about['jax']}"
  for name, part in found["parts"].items():
    yield from ("", f"## {name}", "", "| what | figures |", "|---|---|")
    yield from (f"| {row['name']} | {_figures(row)} |" for row in part)


def _line(row: Row) -> str:
  return f"{row['name']}: {_figures(row)}"


def _figures(row: Row) -> str:
  """Figures by name, as people read them."""
  return ", ".join(
    f"{key.replace('_', ' ')} {_word(value)}"
    for key, value in row.items()
    if key not in ("what", "name")
  )


def _word(value: Any) -> str:
  match value:
    case bool():
      return "yes" if value else "no"
    case float():
      return f"{value:.4g}"
    case dict():
      return " ".join(f"{key}: {_word(each)}" for key, each in value.items())
  return str(value)


def main() -> int:
  parser = argparse.ArgumentParser(prog="scripts/gpu_check.sh")
  parser.add_argument("--model", default="fcn_alexnet")
  parser.add_argument("--output", default="gpu_check", help="a folder")
  parser.add_argument(
    "--minutes", type=float, default=9, help="no part begins that may end later"
  )
  parser.add_argument("--small", action="store_true", help="for a CPU")
  parser.add_argument("--batches", help="images at once: 1,4,16,32")
  parser.add_argument(
    "--only", default="", help="parts whose names match, a regular expression"
  )
  parser.add_argument(
    "--again", action="store_true", help="also what failed before"
  )
  given = parser.parse_args()
  scale = SMALL if given.small else Scale()
  if given.batches:
    batches = tuple(int(number) for number in given.batches.split(","))
    scale = dataclasses.replace(scale, batches=batches)
  output = local_path(given.output).absolute()
  done, failed = check(
    given.model, scale, output, given.minutes, given.again, given.only
  )
  left = "all is there" if done else "some is left: run the same command again"
  print(f"{output / 'gpu_check.md'}: {left}")
  if failed:
    print(f"failed, --again tries anew: {'; '.join(failed)}")
  return LEFT if not done else int(bool(failed))


if __name__ == "__main__":
  try:
    sys.exit(main())
  except DataError as error:
    sys.exit(f"error: {error}")
