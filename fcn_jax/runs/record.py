"""Where the figures of a run go: JSON lines and TensorBoard event files."""

import json
import math
import os
import pathlib
from typing import Any

from tensorboardX import SummaryWriter

FILE = "metrics.jsonl"


def read_metrics(workdir: str | pathlib.Path) -> list[dict[str, Any]]:
  """The records of a workdir, in order; NaN is null in the file, nan here."""
  path = pathlib.Path(workdir) / FILE
  if not path.exists():
    return []
  records = []
  for line in path.read_text().splitlines():
    try:
      records.append(json.loads(line))
    except json.JSONDecodeError:
      continue  # the last line of a run that was killed while writing
  return [
    {k: math.nan if v is None else v for k, v in r.items()} for r in records
  ]


class Writer:
  """Appends records to workdir/metrics.jsonl and to TensorBoard.

  Args:
    workdir: an existing folder.
    resume_step: records after this step are dropped: they came from a run that
      got further than its last checkpoint.
  """

  def __init__(self, workdir: str | pathlib.Path, resume_step: int):
    self._path = pathlib.Path(workdir) / FILE
    kept = [r for r in read_metrics(workdir) if r["step"] <= resume_step]
    temporary = self._path.with_suffix(".tmp")
    temporary.write_text("".join(_line(record) for record in kept))
    os.replace(temporary, self._path)
    self._file = self._path.open("a")
    self._board = SummaryWriter(
      str(pathlib.Path(workdir) / "tensorboard"), purge_step=resume_step + 1
    )

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self._file.close()
    self._board.close()

  def write(self, step: int, kind: str, figures: dict[str, Any]) -> None:
    """Adds one record.

    Args:
      step: updates made.
      kind: 'train' or 'val'; the prefix of the TensorBoard tags.
      figures: numbers by name; a dict of numbers makes one tag each.
    """
    self._file.write(_line({"step": step, "kind": kind, **figures}))
    self._file.flush()
    for name, value in figures.items():
      many = value if isinstance(value, dict) else {"": value}
      for key, number in many.items():
        if isinstance(number, int | float) and math.isfinite(number):
          tag = f"{kind}/{name}/{key}" if key else f"{kind}/{name}"
          self._board.add_scalar(tag, number, step)


def _line(record: dict[str, Any]) -> str:
  return json.dumps(without_nan(record)) + "\n"


def without_nan(value: Any) -> Any:
  """The value, or tree of dicts and lists, with None for NaN and inf."""
  if isinstance(value, dict):
    return {key: without_nan(item) for key, item in value.items()}
  if isinstance(value, list):
    return [without_nan(item) for item in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value
