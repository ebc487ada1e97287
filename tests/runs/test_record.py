"""runs.record: figures are written once, whatever happens to the run."""

import json
import math
import sys

import jax
import pytest
from tensorboardX.proto import event_pb2
from tensorboardX.record_writer import masked_crc32c

from fcn_jax import files
from fcn_jax.runs import record
from fcn_jax.runs.record import METRICS, Writer, read_metrics


def lines(folder) -> list[dict]:
  text = (folder / METRICS).read_text()
  return [json.loads(line) for line in text.splitlines()]


def scalars(folder) -> dict[tuple[str, int], float]:
  """(tag, step) to value, of all event files."""
  found = {}
  for path in sorted((folder / "tensorboard").iterdir()):
    data = path.read_bytes()
    while data:
      length = int.from_bytes(data[:8], "little")
      assert masked_crc32c(data[:8]) == int.from_bytes(data[8:12], "little")
      event = event_pb2.Event.FromString(data[12 : 12 + length])
      for value in event.summary.value:
        found[value.tag, event.step] = value.simple_value
      data = data[16 + length :]
  return found


def test_records_go_to_the_lines_and_to_tensorboard(tmp_path):
  with Writer(tmp_path, 0) as writer:
    writer.write(2, "train", {"loss": 0.5, "lr": 0.25})
    figures = {"mean_iu": 0.125, "per_class_iu": {"cat": 0.75, "dog": math.nan}}
    writer.write(2, "val", figures | {"class": "cat"})
  assert lines(tmp_path) == [
    {"step": 2, "kind": "train", "loss": 0.5, "lr": 0.25},
    {
      "step": 2,
      "kind": "val",
      "mean_iu": 0.125,
      "per_class_iu": {"cat": 0.75, "dog": None},
      "class": "cat",
    },
  ]
  assert scalars(tmp_path) == {
    ("train/loss", 2): 0.5,
    ("train/lr", 2): 0.25,
    ("val/mean_iu", 2): 0.125,
    ("val/per_class_iu/cat", 2): 0.75,
  }


def test_tensorboard_has_each_record_at_once(tmp_path):
  """Before anything is closed: a kill comes without notice."""
  with Writer(tmp_path, resume_step=-1) as writer:
    for step in (1, 2, 3):
      writer.write(step, "train", {"loss": 0.5, "lr": 2.0})
      assert len(scalars(tmp_path)) == 2 * step
      assert scalars(tmp_path)["train/loss", step] == 0.5


def test_a_process_that_is_not_the_first_writes_nothing(tmp_path):
  with Writer(tmp_path, 0) as writer:
    writer.write(0, "val", {"mean_iu": 0.5})
  before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
  with Writer(tmp_path, 0, is_first=False) as writer:
    writer.write(1, "val", {"mean_iu": 0.25})
    assert {s: r["mean_iu"] for s, r in writer.validations.items()} == {
      0: 0.5,
      1: 0.25,
    }
  assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


def test_a_kill_leaves_no_line_that_tensorboard_lacks(tmp_path):
  with Writer(tmp_path, resume_step=-1) as writer:
    writer._file.close()
    with pytest.raises(ValueError, match="closed file"):
      writer.write(3, "train", {"loss": 0.5})
  assert lines(tmp_path) == []
  assert scalars(tmp_path) == {("train/loss", 3): 0.5}


def test_somebody_elses_lines_are_refused(tmp_path):
  path = tmp_path / METRICS
  path.write_text('{"step": 1, "kind": "val"}\n{"loss": 1}\n')
  with pytest.raises(files.DataError, match="line 2: no record of a training"):
    read_metrics(tmp_path)


def test_lines_are_there_at_once(tmp_path):
  """So that a run can be watched, and killed."""
  with Writer(tmp_path, 0) as writer:
    writer.write(1, "train", {"loss": 1.0})
    assert lines(tmp_path) == [{"step": 1, "kind": "train", "loss": 1.0}]


def test_what_came_after_the_last_checkpoint_is_dropped(tmp_path):
  with Writer(tmp_path, 0) as writer:
    for step in (1, 2, 3):
      writer.write(step, "train", {"loss": float(step)})
  with Writer(tmp_path, 2) as writer:
    writer.write(3, "train", {"loss": 30.0})
  found = [(r["step"], r["loss"]) for r in read_metrics(tmp_path)]
  assert found == [(1, 1.0), (2, 2.0), (3, 30.0)]


def test_numbers_that_are_none_come_back_as_nan(tmp_path):
  with Writer(tmp_path, 0) as writer:
    writer.write(0, "val", {"mean_iu": math.nan, "loss": math.inf})
  (record,) = read_metrics(tmp_path)
  assert math.isnan(record["mean_iu"])
  assert math.isnan(record["loss"])


def test_a_line_that_was_cut_short_is_left_out(tmp_path):
  (tmp_path / METRICS).write_text(
    '{"step": 1, "kind": "train"}\n{"step": 2, "ki'
  )
  assert [r["step"] for r in read_metrics(tmp_path)] == [1]
  with Writer(tmp_path, 5) as writer:
    writer.write(6, "train", {})
  assert [r["step"] for r in lines(tmp_path)] == [1, 6]


def test_a_workdir_without_records_has_none(tmp_path):
  assert read_metrics(tmp_path) == []


def test_what_json_has_no_word_for_becomes_none():
  given = {"a": [0.5, math.nan], "b": {"c": math.inf}, "d": "text", "e": 3}
  assert files.without_nan(given) == {
    "a": [0.5, None],
    "b": {"c": None},
    "d": "text",
    "e": 3,
  }


SCHEDULE = record.Schedule(
  total_steps=40,
  steps_per_epoch=10,
  images_per_step=2,
  validate_every=20,
  training_images=20,
  validation_images=6,
)


@pytest.fixture
def clock(monkeypatch):
  times = iter([1000.0, 1060.5, 2000.0])
  monkeypatch.setattr(record.time, "time", lambda: next(times))


def test_starts_and_ends_come_back(tmp_path, monkeypatch, clock):
  command = ["scripts/train.py", "--workdir=my runs/a", "--config=x.py"]
  monkeypatch.setattr(sys, "argv", command)
  record.begin_session(tmp_path, 0, SCHEDULE)
  (first,) = record.read_sessions(tmp_path)
  assert (first.began, first.from_step) == (1000.0, 0)
  assert first.schedule == SCHEDULE
  assert (first.ended, first.last_step, first.outcome) == (None, None, None)
  # As a shell takes it.
  assert (
    first.command
    == "python scripts/train.py '--workdir=my runs/a' --config=x.py"
  )
  record.end_session(tmp_path, 7, record.FAILED, "the loss is NaN")
  record.begin_session(tmp_path, 4, SCHEDULE)
  first, second = record.read_sessions(tmp_path)
  assert (first.ended, first.last_step) == (1060.5, 7)
  assert (first.outcome, first.message) == ("failed", "the loss is NaN")
  assert (second.from_step, second.outcome) == (4, None)


def test_the_environment_names_versions_device_and_host():
  found = record.environment()
  assert found["jax"] == jax.__version__
  assert found["python"].startswith("3.")
  assert found["device"] == f"{jax.device_count()} x cpu (cpu)"
  assert " cores, " in found["host"]


def test_a_session_cut_short_is_left_out(tmp_path):
  record.begin_session(tmp_path, 0, SCHEDULE)
  path = tmp_path / record.SESSIONS
  whole = path.read_text()
  json.loads(whole)
  path.write_text(whole + '{"ended": 12')
  (only,) = record.read_sessions(tmp_path)
  assert only.ended is None


def test_a_workdir_from_before_sessions_has_none(tmp_path):
  assert record.read_sessions(tmp_path) == []
