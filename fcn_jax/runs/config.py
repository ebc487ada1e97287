"""The config.json of a workdir: reading it, and whose workdir it is."""

import difflib
import json
import pathlib
from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from fcn_jax.files import write_json

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


def claim_workdir(
  config: ConfigDict,
  workdir: pathlib.Path,
  begun: bool = True,
  complete: Complete = dict,
) -> None:
  """Writes config.json into the workdir, or compares it with the one there.

  Args:
    config: of this run, whole.
    workdir: made if absent.
    begun: whether it holds a checkpoint; where it does not, nothing is lost by
      another config.
    complete: gives a config.json of an older version the fields it lacks.

  Raises:
    ValueError: the workdir belongs to a run with another config, or to no run.
  """
  path = workdir / "config.json"
  if begun and not path.exists() and _holds_files(workdir):
    raise ValueError(
      f"{workdir} holds something else than a training run; name another "
      "--workdir (a converted model goes into --config.init.path)"
    )
  if begun and path.exists():
    ours = _text(config.to_dict())
    theirs = _text(complete(json.loads(path.read_text())))
    if ours != theirs:
      difference = difflib.unified_diff(
        theirs, ours, "there", "this run", lineterm="", n=0
      )
      raise ValueError(
        f"{workdir} belongs to a run with another config; name another "
        "--workdir, or repeat that config to resume it:\n"
        + "\n".join(difference)
      )
    return
  workdir.mkdir(parents=True, exist_ok=True)
  write_json(path, config.to_dict())


def read(path: pathlib.Path, complete: Complete = dict) -> dict[str, Any]:
  """The fields of a run's config.json, by dotted name.

  Args:
    path: of the file.
    complete: gives a config.json of an older version the fields it lacks.

  Raises:
    ValueError: not JSON, or not of a config.
  """
  tree = json.loads(path.read_text())
  if not isinstance(tree, dict):
    raise ValueError("it holds no fields")
  return flat(complete(tree))


def _holds_files(folder: pathlib.Path) -> bool:
  return folder.is_dir() and any(folder.iterdir())


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
    if name not in FREE
  ]
