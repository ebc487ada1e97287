"""fcn_jax.sessions: each start of a run, and how it ended."""

import json
import sys

import jax
import pytest

from fcn_jax.runs import sessions

SCHEDULE = sessions.Schedule(
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
  monkeypatch.setattr(sessions.time, "time", lambda: next(times))


def test_starts_and_ends_come_back(tmp_path, monkeypatch, clock):
  command = ["scripts/train.py", "--workdir=my runs/a", "--config=x.py"]
  monkeypatch.setattr(sys, "argv", command)
  sessions.begin(tmp_path, 0, SCHEDULE)
  (first,) = sessions.read_sessions(tmp_path)
  assert (first.began, first.from_step) == (1000.0, 0)
  assert first.schedule == SCHEDULE
  assert (first.ended, first.last_step, first.outcome) == (None, None, None)
  # As a shell takes it.
  assert (
    first.command
    == "python scripts/train.py '--workdir=my runs/a' --config=x.py"
  )
  sessions.end(tmp_path, 7, sessions.FAILED, "the loss is NaN")
  sessions.begin(tmp_path, 4, SCHEDULE)
  first, second = sessions.read_sessions(tmp_path)
  assert (first.ended, first.last_step) == (1060.5, 7)
  assert (first.outcome, first.message) == ("failed", "the loss is NaN")
  assert (second.from_step, second.outcome) == (4, None)


def test_the_environment_names_versions_device_and_host():
  found = sessions.environment()
  assert found["jax"] == jax.__version__
  assert found["python"].startswith("3.")
  assert found["device"] == f"{jax.device_count()} x cpu (cpu)"
  assert " cores, " in found["host"]


def test_a_line_that_was_cut_short_is_left_out(tmp_path):
  sessions.begin(tmp_path, 0, SCHEDULE)
  path = tmp_path / sessions.FILE
  whole = path.read_text()
  json.loads(whole)
  path.write_text(whole + '{"ended": 12')
  (only,) = sessions.read_sessions(tmp_path)
  assert only.ended is None


def test_a_workdir_from_before_sessions_has_none(tmp_path):
  assert sessions.read_sessions(tmp_path) == []
