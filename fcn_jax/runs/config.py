"""The config.json of a workdir: reading it, and whose workdir it is."""

import contextlib
import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from fcn_jax.files import AnyPath, DataError, held, write_json

FILE = "config.json"
# Fields by which the config of a training run is known.
OF_A_RUN = ("duration", "data.name")
_LOCK = ".lock"
# What a run writes beside config.json, and must not find written by others.
_OURS = (
  FILE,
  "checkpoints",
  "classes.txt",
  "ema",
  "metrics.jsonl",
  "per_image",
  "receipt.txt",
  "report.html",
  "sessions.jsonl",
  "tensorboard",
  "validation_pictures",
)

# What may change between a run and its resumption: none of it enters a result.
FREE = (
  "data.data_dir",
  "data.num_threads",
  "data.cache",
  "keep_latest",
  "log_every",
  "report",
)


# Fields of a config (nested) to all fields of a config.
Complete = Callable[[dict[str, Any]], dict[str, Any]]


@contextlib.contextmanager
def in_use(
  workdir: AnyPath, stored: Mapping[str, Any] | None = None
) -> Iterator[None]:
  """Keeps a workdir for this process; makes it if absent.

  Args:
    workdir: of a run that begins or goes on.
    stored: the config in its latest checkpoint, if it has one.

  Raises:
    DataError: another process trains there, or it holds files of the names
      that a run writes, but neither a run's config.json nor its checkpoint.
      Then nothing is written.
  """
  there = [name for name in _OURS if (workdir / name).exists()]
  if there and stored is not None and FILE not in there:
    if not _names_a_run(stored):
      raise DataError(
        f"{workdir} holds something else than a training run; name another "
        "--workdir (a converted model goes into --config.init.path)"
      )
  elif there and stored is None and not _is_of_a_run(workdir / FILE):
    raise DataError(
      f"{workdir} holds {', '.join(there)} and no {FILE} of a training run; "
      "name another --workdir, so that nothing of yours is overwritten"
    )
  workdir.mkdir(parents=True, exist_ok=True)
  refusal = f"trains in {workdir}; wait for it, or name another --workdir"
  with held(workdir / _LOCK, refusal):
    yield


def claim_workdir(
  config: ConfigDict,
  workdir: AnyPath,
  begun: bool = True,
  complete: Complete = dict,
  stored: Mapping[str, Any] | None = None,
) -> str:
  """Writes config.json into the workdir, or compares it with the one there.

  Args:
    config: of this run, whole.
    workdir: made if absent.
    begun: whether it holds a checkpoint; where it does not, nothing is lost by
      another config.
    complete: gives a config.json of an older version the fields it lacks.
    stored: see `in_use`; compared where config.json is gone.

  Returns:
    The duration that the run was begun with, which may be another.

  Raises:
    ValueError: the workdir belongs to a run with another config.
    DataError: config.json is damaged.
  """
  path = workdir / FILE
  if begun and stored and not path.exists():
    write_json(path, stored)
  if begun and path.exists():
    there = complete(_tree(path))
    ours, theirs = _text(config.to_dict()), _text(there)
    if ours != theirs:
      difference = difflib.unified_diff(
        theirs, ours, "there", "this run", lineterm="", n=0
      )
      raise ValueError(
        f"{workdir} belongs to a run with another config; name another "
        "--workdir, or repeat that config to resume it:\n"
        + "\n".join(difference)
      )
    return str(there.get("duration", config.duration))
  workdir.mkdir(parents=True, exist_ok=True)
  write(config, workdir)
  return str(config.duration)


def write(config: ConfigDict, workdir: AnyPath) -> None:
  """Writes config.json."""
  write_json(workdir / FILE, config.to_dict())


def read(path: AnyPath, complete: Complete = dict) -> dict[str, Any]:
  """The fields of a run's config.json, by dotted name.

  Args:
    path: of the file.
    complete: gives a config.json of an older version the fields it lacks.

  Raises:
    ValueError: not JSON, or not of a config.
  """
  return flat(complete(_fields(path)))


def _fields(path: AnyPath) -> dict[str, Any]:
  tree = json.loads(path.read_text())
  if not isinstance(tree, dict):
    raise ValueError("it holds no fields")
  return tree


def _tree(path: AnyPath) -> dict[str, Any]:
  """What config.json says, nested.

  Raises:
    DataError: it is no JSON object.
  """
  try:
    return _fields(path)
  except ValueError as error:
    raise DataError(
      f"{path} is damaged [{error}]; delete it, and the config in the last "
      "checkpoint takes its place"
    ) from None


def _is_of_a_run(path: AnyPath) -> bool:
  try:
    return _names_a_run(_tree(path))
  except (OSError, ValueError):
    return False


def _names_a_run(tree: Mapping[str, Any]) -> bool:
  return flat(dict(tree)).keys() >= set(OF_A_RUN)


def flat(tree: dict, prefix: str = "") -> dict:
  """The fields of nested dicts, by dotted name."""
  found = {}
  for key, value in tree.items():
    if isinstance(value, dict):
      found |= flat(value, f"{prefix}{key}.")
    else:
      found[f"{prefix}{key}"] = value
  return found


def _text(tree: dict) -> list[str]:
  """A line a field that enters a result, as JSON has it."""
  fields = flat(json.loads(json.dumps(tree)))
  return [
    f"{name} = {json.dumps(value)}"
    for name, value in sorted(fields.items())
    if name not in (*FREE, "duration")
  ]
