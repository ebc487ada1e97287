"""What a workdir records of its run: figures, and each start of it."""

import dataclasses
import importlib.metadata
import json
import math
import os
import pathlib
import platform
import shlex
import sys
import time
from typing import Any

import jax
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.summary import scalar

from fcn_jax import files
from fcn_jax.files import DataError, replacing, without_nan

METRICS = "metrics.jsonl"


def read_metrics(workdir: str | files.AnyPath) -> list[dict[str, Any]]:
  """The records of a workdir, in order; NaN is null in the file, nan here.

  Raises:
    DataError: the file holds something else.
  """
  path = files.path(workdir) / METRICS
  if not path.exists():
    return []
  records = []
  for number, line in enumerate(path.read_text().splitlines(), 1):
    try:
      record = json.loads(line)
    except json.JSONDecodeError:
      continue  # the last line of a run that was killed while writing
    if not isinstance(record, dict) or not {"step", "kind"} <= record.keys():
      raise DataError(
        f"{path}, line {number}: no record of a training run; move the file "
        "away"
      )
    records.append(record)
  return [
    {k: math.nan if v is None else v for k, v in r.items()} for r in records
  ]


class Writer:
  """Appends records to workdir/metrics.jsonl and to TensorBoard.

  In an object store there are no files of TensorBoard.

  Args:
    workdir: an existing folder.
    resume_step: records after this step are dropped: they came from a run that
      got further than its last checkpoint.
    is_first: False in a process that leaves the writing to another: it keeps
      `validations` alone.

  Attributes:
    validations: the records of kind 'val' by their step.
  """

  def __init__(
    self,
    workdir: str | files.AnyPath,
    resume_step: int,
    is_first: bool = True,
  ):
    folder = files.path(workdir)
    self._path = folder / METRICS
    kept = [r for r in read_metrics(workdir) if r["step"] <= resume_step]
    self.validations = {r["step"]: r for r in kept if r["kind"] == "val"}
    self._writes = is_first
    if not is_first:
      return
    with replacing(self._path) as temporary:
      temporary.write_text("".join(_line(record) for record in kept))
    self._file = files.appending(self._path)
    self._board = None
    if not files.is_remote(folder):
      self._board = _Board(folder / "tensorboard", resume_step + 1)

  def __enter__(self):
    return self

  def __exit__(self, *_):
    if self._writes:
      self._file.close()
      if self._board:
        self._board.close()

  def write(self, step: int, kind: str, figures: dict[str, Any]) -> None:
    """Adds one record.

    Args:
      step: updates made.
      kind: 'train' or 'val'; the prefix of the TensorBoard tags.
      figures: numbers by name; a dict of numbers makes one tag each.
    """
    record = {"step": step, "kind": kind, **figures}
    if kind == "val":
      self.validations[step] = record
    if not self._writes:
      return
    tagged = {}
    for name, value in figures.items():
      many = value if isinstance(value, dict) else {"": value}
      for key, number in many.items():
        if isinstance(number, int | float) and math.isfinite(number):
          tagged[f"{kind}/{name}/{key}" if key else f"{kind}/{name}"] = number
    # First, so that a kill leaves no record that TensorBoard lacks. One that
    # only TensorBoard has is purged on resume: no checkpoint is as far.
    if self._board:
      self._board.write(step, tagged)
    self._file.write(_line(record))
    self._file.flush()


class _Board:
  """A new event file of TensorBoard that has each record as soon as written.

  tensorboardX's SummaryWriter keeps records in a queue, which a kill empties,
  and names files by the second.

  Args:
    folder: of the event files; made if absent.
    purge_step: records from this step on, in earlier files, do not count.
  """

  def __init__(self, folder: pathlib.Path, purge_step: int):
    folder.mkdir(exist_ok=True)
    self._events = EventsWriter(str(folder / "events"), f".{time.time_ns()}")
    start = SessionLog(status=SessionLog.START)
    self._add(purge_step, session_log=start)

  def write(self, step: int, scalars: dict[str, float]) -> None:
    summary = Summary()
    for tag, number in scalars.items():
      summary.MergeFrom(scalar(tag, number))
    self._add(step, summary=summary)

  def close(self) -> None:
    self._events.close()

  def _add(self, step: int, **what: Any) -> None:
    self._events.write_event(Event(step=step, wall_time=time.time(), **what))
    self._events.flush()


def _line(record: dict[str, Any]) -> str:
  return json.dumps(without_nan(record)) + "\n"


SESSIONS = "sessions.jsonl"
_PACKAGES = ("fcn_jax", "jax", "jaxlib", "flax", "optax", "numpy")

FINISHED, STOPPED, FAILED = "finished", "stopped", "failed"


@dataclasses.dataclass(frozen=True)
class Schedule:
  """How long a run is.

  Attributes:
    total_steps: updates of the whole run.
    steps_per_epoch: updates in which every training image is seen once.
    images_per_step: images whose gradients are added up in an update.
    validate_every: updates between two validations.
    training_images: number of them.
    validation_images: number of them.
  """

  total_steps: int
  steps_per_epoch: int
  images_per_step: int
  validate_every: int
  training_images: int
  validation_images: int


@dataclasses.dataclass(frozen=True)
class Session:
  """One start of a run.

  Attributes:
    began: seconds since 1970.
    from_step: updates made before.
    command: the command line, to be pasted into a shell.
    environment: versions, device and host, by name.
    schedule: of the run.
    ended: seconds since 1970; None: it runs, or was killed.
    last_step: updates made when it ended.
    outcome: 'finished', 'stopped' (by a signal), 'failed' or None.
    message: why it failed.
  """

  began: float
  from_step: int
  command: str
  environment: dict[str, str]
  schedule: Schedule
  ended: float | None = None
  last_step: int | None = None
  outcome: str | None = None
  message: str = ""


def begin_session(
  workdir: files.AnyPath, from_step: int, schedule: Schedule
) -> None:
  """Notes that a run starts, or goes on, in this process."""
  _append(
    workdir,
    {
      "began": time.time(),
      "from_step": from_step,
      "command": shlex.join(["python", *sys.argv]),
      "environment": environment(),
      "schedule": dataclasses.asdict(schedule),
    },
  )


def end_session(
  workdir: files.AnyPath, last_step: int | None, outcome: str, message: str = ""
) -> None:
  """Notes how the session that began last has ended."""
  _append(
    workdir,
    {
      "ended": time.time(),
      "last_step": last_step,
      "outcome": outcome,
      "message": message,
    },
  )


def read_sessions(workdir: str | files.AnyPath) -> list[Session]:
  """The sessions of a workdir, in order; none where nothing was noted."""
  path = files.path(workdir) / SESSIONS
  if not path.exists():
    return []
  sessions: list[Session] = []
  for line in path.read_text().splitlines():
    try:
      noted = json.loads(line)
    except json.JSONDecodeError:
      continue  # of a run that was killed while writing
    if "began" in noted:
      schedule = Schedule(**noted.pop("schedule"))
      sessions.append(Session(**noted, schedule=schedule))
    elif sessions:
      sessions[-1] = dataclasses.replace(sessions[-1], **noted)
  return sessions


def environment() -> dict[str, str]:
  """Versions, device and host, for people to read."""
  there = jax.devices()
  usable = getattr(os, "sched_getaffinity", None)
  cores = len(usable(0)) if usable else os.cpu_count()
  return {
    "device": f"{len(there)} x {there[0].device_kind} ({there[0].platform})"
    + (f", {jax.process_count()} processes" * (jax.process_count() > 1)),
    "host": f"{cores} cores, {_processor()}",
    "system": platform.platform(),
    "python": platform.python_version(),
    **{name: _version(name) for name in _PACKAGES},
  }


def _version(package: str) -> str:
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return "not installed"


def _processor() -> str:
  """The name of the CPU; Linux tells it in a file only."""
  try:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
  except OSError:
    lines = []
  names = [line.split(":", 1)[1] for line in lines if "model name" in line]
  return names[0].strip() if names else platform.machine()


def _append(workdir: files.AnyPath, noted: dict[str, Any]) -> None:
  with files.appending(workdir / SESSIONS) as stream:
    stream.write(json.dumps(noted) + "\n")
