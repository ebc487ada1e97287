"""What a training config must hold, and which workdir it may write to."""

import difflib
import json
import os
import pathlib
from typing import Any

from ml_collections import ConfigDict

# Fields that runs of version 0.1.0 do not have, and what they did.
_SINCE = {
  "init.allow_unknown": [],
  "init.keep_classes": False,
  "data.cache": "none",
  "accumulation_steps": 1,
  "lr_gamma_per": "step",
  "report": False,
}

# What may change between a run and its resumption: none of it enters a result.
FREE = (
  "data.data_dir",
  "data.num_threads",
  "data.cache",
  "keep_latest",
  "log_every",
  "report",
)


def claim_workdir(
  config: ConfigDict, workdir: pathlib.Path, begun: bool = True
) -> None:
  """Writes config.json into the workdir, or compares it with the one there.

  Args:
    config: of this run.
    workdir: made if absent.
    begun: whether it holds a checkpoint; where it does not, nothing is lost by
      another config.

  Raises:
    ValueError: the workdir belongs to a run with another config, or to no run.
  """
  path = workdir / "config.json"
  if begun and not path.exists() and _holds_files(workdir):
    raise ValueError(
      f"{workdir} holds something else than a training run; name another "
      "--workdir (a converted model goes into --config.init.path)"
    )
  ours = _text(config.to_dict())
  if begun and path.exists():
    theirs = _text(json.loads(path.read_text()), _SINCE)
    if _without_free(ours) != _without_free(theirs):
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
  temporary = path.with_suffix(".tmp")
  temporary.write_text(json.dumps(config.to_dict(), indent=2) + "\n")
  os.replace(temporary, path)


def read(path: pathlib.Path) -> dict[str, Any]:
  """The fields of a run's config.json, by dotted name.

  What a run from before a field did stands in the field's place.

  Raises:
    ValueError: not JSON, or not of a config.
  """
  tree = json.loads(path.read_text())
  if not isinstance(tree, dict):
    raise ValueError("it holds no fields")
  found = flat(tree)
  return found | {k: v for k, v in _SINCE.items() if k not in found}


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


def _text(tree: dict, defaults: dict | None = None) -> list[str]:
  found = (defaults or {}) | flat(json.loads(json.dumps(tree)))
  return [
    f"{key} = {json.dumps(value)}" for key, value in sorted(found.items())
  ]


def _without_free(lines: list[str]) -> list[str]:
  return [line for line in lines if line.split(" = ")[0] not in FREE]
