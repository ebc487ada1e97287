"""A training run as the files in its workdir tell it."""

import dataclasses
import functools
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fcn_jax import files
from fcn_jax.runs import config as config_lib
from fcn_jax.runs.record import (
  FINISHED,
  METRICS,
  Session,
  read_metrics,
  read_sessions,
)

_RECENT = 5  # records that tell how fast a run is now


@dataclasses.dataclass(frozen=True)
class Run:
  """What is known of a run.

  Attributes:
    workdir: of the run.
    config: its fields by dotted name, as JSON has them.
    records: the lines of metrics.jsonl.
    sessions: each start of it; none for a run from before they were noted.
    recorded: when the last record was written, in seconds since 1970; None
      where there is none.
  """

  workdir: files.AnyPath
  config: dict[str, Any]
  records: tuple[dict[str, Any], ...]
  sessions: tuple[Session, ...]
  recorded: float | None = None

  @functools.cached_property
  def train(self) -> list[dict[str, Any]]:
    """Records of losses, rates and speed."""
    return [r for r in self.records if r["kind"] == "train"]

  @functools.cached_property
  def val(self) -> list[dict[str, Any]]:
    """Records of validations."""
    return [r for r in self.records if r["kind"] == "val"]

  @property
  def latest(self) -> dict[str, Any] | None:
    """The last validation, None before the first."""
    return self.val[-1] if self.val else None

  @property
  def best(self) -> dict[str, Any] | None:
    """The validation of the highest `measure`, of equals the last.

    That of the checkpoint that is kept as the best.
    """
    return max(
      self.val,
      key=lambda record: (score(record, self.measure), record["step"]),
      default=None,
    )

  @property
  def measure(self) -> str:
    """What the best validation is told by, see `measure`."""
    return measure(self.config)

  @property
  def step(self) -> int:
    """Updates made, as far as records and the end of the last session tell."""
    ended = self.sessions[-1].last_step if self.sessions else None
    return max([ended or 0, *(r["step"] for r in self.records)])

  @property
  def total_steps(self) -> int | None:
    """Updates of the whole run, None if that was not noted."""
    return self.sessions[-1].schedule.total_steps if self.sessions else None

  @property
  def outcome(self) -> str | None:
    """How the last session ended, None while it runs (or if it was killed)."""
    return self.sessions[-1].outcome if self.sessions else None

  @property
  def images_per_step(self) -> int:
    """Images whose gradients are added up in an update."""
    return self.config["batch_size"] * self.config.get("accumulation_steps", 1)

  @property
  def seconds_spent(self) -> float:
    """In updates and validations whose records are kept."""
    steps = np.diff([0, *(r["step"] for r in self.train)])
    rates = [r["images_per_second"] for r in self.train]
    training = sum(
      n * self.images_per_step / rate
      for n, rate in zip(steps, rates, strict=True)
      if rate > 0
    )
    return float(training + sum(r.get("seconds", 0.0) for r in self.val))

  @property
  def seconds_left(self) -> float | None:
    """At the speed of the last records; None if that cannot be told."""
    if self.outcome == FINISHED:
      return 0.0
    if self.total_steps is None or not self.train:
      return None
    recent = [1 / r["images_per_second"] for r in self.train[-_RECENT:]]
    steps = self.total_steps - self.step
    seconds = steps * self.images_per_step * float(np.median(recent))
    if self.val:
      every = self.sessions[-1].schedule.validate_every
      validations = -(-self.total_steps // every) - self.step // every
      each = float(np.mean([r.get("seconds", 0.0) for r in self.val]))
      seconds += validations * each
    return seconds


def measure(config: Mapping[str, Any]) -> str:
  """What the best checkpoint of a run is chosen by, a name of METRICS.

  Args:
    config: its fields by dotted name. Where data.directory is given, a
      classifier is trained.
  """
  return "pixel_accuracy" if config.get("data.directory") else "mean_iu"


def score(record: Mapping[str, Any], name: str) -> float:
  """A score of a validation, to be ordered by: -1 where there is none."""
  value = record.get(name, math.nan)
  return -1.0 if math.isnan(value) else value


def since_best(
  validations: Sequence[Mapping[str, Any]], measure: str
) -> tuple[int, int]:
  """Step of the first of the best validations, and how many came after it.

  Args:
    validations: at least one record of kind 'val', by step.
    measure: see `measure`.
  """
  scores = [score(record, measure) for record in validations]
  best = scores.index(max(scores))
  return validations[best]["step"], len(scores) - 1 - best


def read_run(
  workdir: str | files.AnyPath, complete: config_lib.Complete = dict
) -> Run:
  """Reads the workdir of a training run, which may be going on.

  Args:
    workdir: of the run.
    complete: gives the config of an older version the fields it lacks, as
      training.recipe.complete.

  Raises:
    ValueError: it is none; the message says what it is instead.
  """
  folder = files.path(workdir)
  if not folder.is_dir():
    raise ValueError(f"{workdir}: no such folder")
  path = folder / "config.json"
  if not path.is_file():
    inside = sorted(p.parent.name for p in folder.glob("*/config.json"))
    hint = f"; in it there are {', '.join(inside)}" if inside else ""
    raise ValueError(
      f"{workdir} is not the workdir of a training run: it holds no "
      f"config.json{hint}"
    )
  try:
    config = config_lib.read(path, complete)
  except ValueError as error:
    raise ValueError(f"{path}: not the config of a run ({error})") from None
  missing = [name for name in config_lib.OF_A_RUN if name not in config]
  if missing:
    raise ValueError(
      f"{workdir} is not the workdir of scripts/train.py: its config.json has "
      f"no {missing[0]}"
    )
  records = folder / METRICS
  return Run(
    workdir=folder,
    config=config,
    records=tuple(read_metrics(folder)),
    sessions=tuple(read_sessions(folder)),
    recorded=files.modified(records) if records.exists() else None,
  )


def names(workdirs: Sequence[pathlib.Path]) -> list[str]:
  """A short name of each folder: as much of its path's end as tells it apart.

  Raises:
    ValueError: a folder is given twice.
  """
  paths = [path.expanduser().resolve() for path in workdirs]
  for path, given in zip(paths, workdirs, strict=True):
    if paths.count(path) > 1:
      raise ValueError(f"{given} is given twice")
  depths = [1] * len(paths)
  while True:
    found = [
      str(pathlib.Path(*path.parts[-depth:]))
      for path, depth in zip(paths, depths, strict=True)
    ]
    again = [found.count(name) > 1 for name in found]
    if not any(again):
      return found
    depths = [d + more for d, more in zip(depths, again, strict=True)]


def differing_fields(runs: Sequence[Run]) -> dict[str, list[Any]]:
  """Fields of the configs that are not the same in all runs.

  Returns:
    By field, in the configs' order, its value in each run; None where a
    run's config has no such field, as another network's option.
  """
  fields = dict.fromkeys(name for run in runs for name in run.config)
  values = {name: [run.config.get(name) for run in runs] for name in fields}
  return {
    name: found
    for name, found in values.items()
    if any(value != found[0] for value in found)
  }
