"""reports.live: the report keeps up with a run, and never stands in its way."""

import dataclasses
import logging

import numpy as np
import pytest
from made_up_runs import LABEL, SCHEDULE, VAL, dataset, make_run, val

from fcn_jax.evaluation.per_image import PerImage
from fcn_jax.evaluation.scores import Evaluation
from fcn_jax.reports import live, training
from fcn_jax.runs import album as album_lib
from fcn_jax.runs.record import Writer, read_metrics, read_sessions


@dataclasses.dataclass
class Clock:
  """Seconds that pass while a report is drawn, and when told to."""

  now: float = 100.0

  def monotonic(self) -> float:
    return self.now


@pytest.fixture
def clock(monkeypatch):
  clock = Clock()
  monkeypatch.setattr(live, "time", clock)
  return clock


@pytest.fixture
def drawn(monkeypatch, clock):
  """Steps of the records that each report was drawn from; each takes 2 s."""
  found = []

  def write(workdir):
    clock.now += 2
    found.append([r["step"] for r in read_metrics(workdir)])

  monkeypatch.setattr(training, "write_training", write)
  return found


def report(workdir, from_step=None, is_on=True) -> live.Live:
  return live.Live(workdir, dataset(), "train", SCHEDULE, from_step, is_on)


def evaluation(**predictions) -> Evaluation:
  """One that has only the predictions."""
  none = np.zeros(0, int)
  return Evaluation(
    class_names=(),
    image_ids=(),
    confusions=PerImage.of(np.zeros((0, 0, 0), int)),
    losses=none.astype(float),
    valid=none,
    right=none,
    pixels=none,
    predictions=predictions,
  )


def add_record(workdir, record) -> None:
  with Writer(workdir, 10**6) as writer:
    writer.write(record.pop("step"), record.pop("kind"), record)


def test_it_is_drawn_at_validations_and_at_the_end(tmp_path, drawn, clock):
  """Drawing takes 2 s: the next one is due 20 s later, and once at the end."""
  make_run(tmp_path, records=[], schedule=None)
  with report(tmp_path) as one:
    assert one.image_ids == ["id0", "id1"]
    assert drawn == []
    for step, pause in ((0, 0), (10, 19), (20, 2), (30, 40)):
      clock.now += pause
      add_record(tmp_path, val(step, 0.5))
      one.validated(step, evaluation(**LABEL), last=step == 30)
    assert drawn == [[0], [0, 10, 20]]
    one.end(30, False)
  assert drawn[2:] == [[0, 10, 20, 30]]
  (session,) = read_sessions(tmp_path)
  assert (session.outcome, session.last_step) == ("finished", 30)
  # Each was kept, drawn or not.
  album = album_lib.read(tmp_path)
  assert list(album.pictures[0].predictions) == [0, 10, 20, 30]


def test_a_resumed_run_is_drawn_at_once(tmp_path, drawn):
  make_run(tmp_path, schedule=None)
  with report(tmp_path, from_step=30) as one:
    assert drawn == [[0, 10, 20, 20, 30]]
    one.end(31, True)
  (session,) = read_sessions(tmp_path)
  assert (session.outcome, session.from_step) == ("stopped", 30)


def test_how_a_run_failed_is_noted(tmp_path, drawn):
  make_run(tmp_path, schedule=None)
  with (
    pytest.raises(FloatingPointError, match="NaN at step 3"),
    report(tmp_path),
  ):
    raise FloatingPointError("NaN at step 3")
  (session,) = read_sessions(tmp_path)
  assert (session.outcome, session.message) == ("failed", "NaN at step 3")
  assert len(drawn) == 1
  with pytest.raises(KeyboardInterrupt), report(tmp_path):
    raise KeyboardInterrupt
  assert read_sessions(tmp_path)[-1].outcome == "stopped"


def test_an_error_in_drawing_is_a_line_in_the_log(
  tmp_path, monkeypatch, caplog
):
  make_run(tmp_path, schedule=None)

  def broken(workdir):
    raise RuntimeError("no ink")

  monkeypatch.setattr(training, "write_training", broken)
  with caplog.at_level(logging.WARNING, "fcn_jax"), report(tmp_path) as one:
    one.validated(20, evaluation(**LABEL))
    one.end(30, False)
  assert caplog.messages == 2 * [
    f"{tmp_path}/report.html is not up to date, but the training goes on: "
    "RuntimeError: no ink"
  ]
  assert read_sessions(tmp_path)[-1].outcome == "finished"


def test_without_images_there_are_still_curves(
  tmp_path, monkeypatch, drawn, caplog
):
  make_run(tmp_path, schedule=None)

  def unreadable(*_):
    raise OSError("a label cannot be read")

  monkeypatch.setattr(album_lib, "choose", unreadable)
  with caplog.at_level(logging.WARNING, "fcn_jax"), report(tmp_path) as one:
    assert one.image_ids == []
    one.validated(20, evaluation())
  assert len(drawn) == 1
  assert len(caplog.messages) == 1


def test_switched_off_it_notes_the_session_alone(tmp_path, drawn):
  make_run(tmp_path, records=VAL, schedule=None)
  before = {path.name for path in tmp_path.iterdir()}
  with report(tmp_path, is_on=False) as one:
    assert one.image_ids == []
    one.validated(20, evaluation())
    one.end(40, False)
  assert drawn == []
  assert {p.name for p in tmp_path.iterdir()} - before == {"sessions.jsonl"}
