"""Several runs of one recipe, whose fields take every combination of values."""

import ast
import itertools
import logging
import os
import pathlib
import pprint
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from fcn_jax.files import local_path, replacing
from fcn_jax.runs.config import flat
from fcn_jax.training import loop, progress, recipe

_log = logging.getLogger(__name__)


class Swept(NamedTuple):
  """What became of a sweep.

  Attributes:
    finished: workdirs of the runs that got to their end, in order.
    failed: names of those that ended with an error, such as a loss that is
      not finite.
    stopped_by: number of the signal that ended the sweep early, or None.
  """

  finished: tuple[pathlib.Path, ...]
  failed: tuple[str, ...] = ()
  stopped_by: int | None = None


def recipes(config: ConfigDict, grid: str) -> dict[str, ConfigDict]:
  """The recipe of every combination, by a name that tells it from the others.

  >>> config = recipe.default_recipe()
  >>> list(recipes(config, "base_lr=1e-3,1e-4 data.mirror=true"))
  ['base_lr=0.001,data.mirror=True', 'base_lr=0.0001,data.mirror=True']

  Args:
    config: the recipe.
    grid: 'FIELD=VALUE,VALUE FIELD=VALUE,VALUE'; sequences in brackets.

  Raises:
    ValueError: no field, one twice, or a recipe that cannot be used.
  """
  fields = flat(config.to_dict())
  axes = {}
  before, *parts = re.split(r"(?:^|(?<=\s))([^\s=,]+)=", grid)
  for name, values in zip(parts[::2], map(str.strip, parts[1::2]), strict=True):
    if name in axes or not values:
      raise ValueError(
        f"--grid: {name}={values}: write FIELD=VALUE,VALUE, each field once"
      )
    axes[name] = _values(values, fields.get(name))
  if before.strip() or not axes:
    raise ValueError(
      f"--grid={grid}: write FIELD=VALUE,VALUE FIELD=VALUE,VALUE"
    )
  found = {}
  for chosen in itertools.product(*axes.values()):
    given = dict(zip(axes, chosen, strict=True))
    tree = config.to_dict()
    for name, value in given.items():
      *above, last = name.split(".")
      inner = tree
      for key in above:
        inner = inner.setdefault(key, {})
      inner[last] = value
    name = ",".join(f"{key}={value}" for key, value in given.items())
    try:
      found[_folder_name(name)] = recipe.check(tree)
    except ValueError as error:
      raise ValueError(f"--grid, {name}: {error}") from None
  return found


def _folder_name(name: str) -> str:
  """Without what paths, or --config=FILE:ARGUMENT, take for something else."""
  return re.sub("[/:*?]", "_", name.replace(" ", ""))


def _values(text: str, now: Any) -> list[Any]:
  """The values of a field, of the type that it has now."""
  try:
    values = list(ast.literal_eval(f"[{text}]"))
  except (ValueError, SyntaxError):
    values = [value.strip() for value in text.split(",")]
  if isinstance(now, bool):
    words = {"true": True, "false": False, "1": True, "0": False}
    return [words.get(str(value).lower(), value) for value in values]
  return [str(value) if isinstance(now, str) else value for value in values]


def sweep(
  config: ConfigDict,
  grid: str,
  folder: str,
  say: Callable[[str], None] = print,
) -> Swept:
  """Trains every combination, one after the other, each in folder/NAME.

  The same call resumes: runs that are finished are left as they are.  One that
  fails for a loss that is not finite does not end the others.

  Args:
    config, grid: see `recipes`.
    folder: of the workdirs; made if absent.
    say: takes a line on each run.

  Raises:
    ValueError: a recipe cannot be used; nothing has been trained then.
    What `loop.train_and_evaluate` raises, but for NotFinite.
  """
  chosen = recipes(config, grid)
  finished, failed = [], []
  for number, (name, one) in enumerate(chosen.items(), 1):
    say(f"run {number} of {len(chosen)}: {name}")
    workdir = local_path(folder) / name
    try:
      outcome = loop.train_and_evaluate(one, str(workdir))
    except progress.NotFinite as error:
      _log.warning("%s: %s", name, error)
      failed.append(name)
      continue
    if outcome.stopped_by is not None:
      return Swept(tuple(finished), tuple(failed), outcome.stopped_by)
    finished.append(workdir)
  return Swept(tuple(finished), tuple(failed))


RECIPE, LOG = "recipe.py", "log.txt"  # in a run's workdir
_EVERY = 0.2  # seconds between two looks at the runs


class _Running(NamedTuple):
  """A run that another process trains."""

  number: int
  name: str
  workdir: pathlib.Path
  process: subprocess.Popen


def sweep_parallel(
  config: ConfigDict,
  grid: str,
  folder: str,
  parallel: int,
  train: pathlib.Path,
  say: Callable[[str], None] = print,
) -> Swept:
  """Trains every combination, several at a time, each by a process of its own.

  With GPUs every process has one to itself (CUDA_VISIBLE_DEVICES); without,
  they share the cores.  In the workdir of a run lie recipe.py, its whole
  recipe, and log.txt, what its process says.  One that fails does not end the
  others; Ctrl-C or SIGTERM is passed on, and the same call resumes.

  Args:
    config, grid, folder, say: see `sweep`.
    parallel: how many runs at a time.
    train: scripts/train.py.

  Raises:
    ValueError: a recipe cannot be used, there are fewer GPUs than runs at a
      time, or the folder has a colon in its name.
  """
  chosen = recipes(config, grid)
  root = local_path(folder)
  if ":" in str(root):
    raise ValueError(f"--workdir={folder}: --parallel takes no colon in it")
  gpus = visible_gpus()
  if gpus and parallel > len(gpus):
    raise ValueError(
      f"--parallel={parallel}: every run has a GPU to itself, and there are "
      f"{len(gpus)}; JAX_PLATFORMS=cpu trains on the cores"
    )
  waiting = list(enumerate(chosen, 1))
  free = list(gpus[:parallel] or [""] * parallel)
  running: dict[_Running, str] = {}
  finished, failed = set(), set()

  def start(number: int, name: str, gpu: str) -> _Running:
    workdir = root / name
    workdir.mkdir(parents=True, exist_ok=True)
    _write_recipe(chosen[name], workdir / RECIPE)
    command = [
      sys.executable,
      os.fspath(train),
      f"--config={workdir / RECIPE}",
      f"--workdir={workdir}",
    ]
    where = {"CUDA_VISIBLE_DEVICES": gpu} if gpu else {}
    with (workdir / LOG).open("a") as log:
      process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=os.environ | where,
        start_new_session=True,  # Ctrl-C reaches it through this process alone
      )
    on = f" on GPU {gpu}" if gpu else ""
    say(f"run {number} of {len(chosen)}{on}: {name}")
    return _Running(number, name, workdir, process)

  def note(run: _Running, stopping: bool) -> None:
    code = run.process.returncode
    if code == 0:
      finished.add(run.name)
      say(f"run {run.number} of {len(chosen)} finished: {run.name}")
    elif not (stopping and code == 128 + signal.SIGTERM):
      failed.add(run.name)
      log = run.workdir / LOG
      lines = log.read_text(errors="replace").split("\n")
      last = next((line for line in reversed(lines) if line.strip()), "")
      say(
        f"run {run.number} of {len(chosen)} failed (exit code {code}): "
        f"{run.name}: {last}; see {log}"
      )

  with progress.Stopping() as stop:
    told = False
    try:
      while running or (waiting and not stop()):
        while free and waiting and not stop():
          gpu = free.pop(0)
          running[start(*waiting.pop(0), gpu)] = gpu
        if stop() and not told:
          told = True
          for run in running:
            run.process.terminate()
        for run in [run for run in running if run.process.poll() is not None]:
          free.append(running.pop(run))
          note(run, stop())
        time.sleep(_EVERY)
    finally:
      for run in running:
        run.process.terminate()
      for run in running:
        run.process.wait()
  return Swept(
    tuple(root / name for name in chosen if name in finished),
    tuple(name for name in chosen if name in failed),
    stop.signal,
  )


def visible_gpus() -> tuple[str, ...]:
  """The GPUs by the names that CUDA_VISIBLE_DEVICES takes; none: CPU alone.

  JAX is not asked: this process would hold the memory of all of them.
  """
  if os.environ.get("JAX_PLATFORMS") == "cpu":
    return ()
  given = os.environ.get("CUDA_VISIBLE_DEVICES")
  if given is not None:
    names = [name.strip() for name in given.split(",")]
    return tuple(name for name in names if name not in ("", "-1"))
  try:
    listed = subprocess.run(
      ["nvidia-smi", "--list-gpus"], capture_output=True, text=True
    )
  except OSError:
    return ()
  lines = [x for x in listed.stdout.splitlines() if x.startswith("GPU ")]
  return tuple(str(number) for number, _ in enumerate(lines))


def _write_recipe(config: ConfigDict, path: pathlib.Path) -> None:
  """A recipe with every field, as a file that train.py takes."""
  fields = pprint.pformat(config.to_dict(), sort_dicts=False)
  with replacing(path) as temporary:
    temporary.write_text(
      '"""Written by sweep.py, for train.py --config=."""\n\n'
      "from ml_collections import ConfigDict\n\n"
      f"FIELDS = {fields}\n\n\n"
      "def get_config() -> ConfigDict:\n"
      '  """The whole recipe."""\n'
      "  return ConfigDict(FIELDS)\n"
    )
