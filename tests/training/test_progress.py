"""fcn_jax.training.progress: what a run says, and how it stops on NaN."""

import logging
import os
import pathlib
import signal
import threading
import types

import jax.numpy as jnp
import numpy as np
import pytest
from tqdm import tqdm

from fcn_jax.data.pipeline import Batch, Part
from fcn_jax.runs.record import Writer, read_metrics
from fcn_jax.training import progress
from fcn_jax.training.progress import Stopping

IDS = ("ant", "bee", "cow", "dog")


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch):
  """No bar, so that lines are logged, wherever the tests run."""

  class Silent(tqdm):
    def __init__(self, **options):
      super().__init__(**{**options, "disable": True})

  monkeypatch.setattr(progress, "tqdm", Silent)


@pytest.fixture
def clock(monkeypatch):
  """Seconds that pass only when told to."""
  found = types.SimpleNamespace(now=100.0)
  found.monotonic = lambda: found.now
  monkeypatch.setattr(progress, "time", found)
  return found


def plan(workdir: pathlib.Path, total=4, log_every=2) -> progress.Plan:
  return progress.Plan(
    total, log_every, lambda step: 0.5 / (step + 1), IDS, workdir
  )


def drawn(indices, *parts) -> Batch:
  """A batch of these images; each part lists its places in the batch."""
  return Batch(
    indices,
    tuple(
      Part(
        np.zeros((len(places), 2, 2, 3), np.uint8),
        np.zeros((len(places), 2, 2), np.uint8),
        np.full((len(places), 2), 2, np.int32),
        np.array(places, np.int32),
      )
      for places in parts
    ),
  )


def test_the_figures_by_hand(tmp_path, clock, caplog):
  """Records at steps 2 and 3: of two steps, and of the one since.

  Step 1: images of loss 1 and 3, and an empty place: 2 a batch. Step 2: 4 and
  8: 6; with step 1: 4. Four images in 2 s; half as much again to go.
  """
  pair = drawn((2, 0), [0, 1, 0])
  with (
    caplog.at_level(logging.INFO, "fcn_jax"),
    Writer(tmp_path, 0) as writer,
    progress.Progress(plan(tmp_path, total=3), 0, writer) as shown,
  ):
    shown.step(1, pair, [jnp.array([1.0, 3.0, 0.0])])
    shown.step(2, drawn((1, 3), [0], [1]), [jnp.array([4.0]), jnp.array([8.0])])
    assert read_metrics(tmp_path) == [], "read one step late"
    clock.now += 2
    shown.step(3, pair, [jnp.array([0.5, 0.0, 0.0])])
    clock.now += 4
    shown.flush()
    shown.flush()
  assert read_metrics(tmp_path) == [
    {
      "step": 2,
      "kind": "train",
      "loss": 4.0,
      "lr": 0.25,  # of the update from step 1 to step 2
      "images_per_second": 2.0,
    },
    {
      "step": 3,
      "kind": "train",
      "loss": 0.25,
      "lr": pytest.approx(0.5 / 3),
      "images_per_second": 0.5,
    },
  ]
  assert caplog.messages == [
    "step 2 of 3: loss 4.0000, lr 0.25, 2.0 images/s, 00:01 left",
    "step 3 of 3: loss 0.2500, lr 0.167, 0.5 images/s, 00:00 left",
  ]


def test_a_resumed_run_counts_on(tmp_path, clock, caplog):
  """90 steps to go after two that took 3 s: 135 s."""
  with (
    caplog.at_level(logging.INFO, "fcn_jax"),
    Writer(tmp_path, 8) as writer,
    progress.Progress(plan(tmp_path, 100, 10), 8, writer) as shown,
  ):
    for step in (9, 10):
      shown.step(step, drawn((0,), [0]), [jnp.ones(1)])
    clock.now += 3
    shown.flush()
  (message,) = caplog.messages
  assert message.startswith("step 10 of 100: loss 1.0000, lr 0.05, ")
  assert message.endswith(" 02:15 left")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_images_of_a_loss_that_is_not_finite_are_named(tmp_path, bad):
  """Places 0 and 2 of the batch hold cow and bee; dog's loss is finite."""
  batch = drawn((2, 3, 1), [1], [0, 2, 0])
  each = [jnp.array([1.0]), jnp.array([bad, bad, 0.0])]
  with (
    Writer(tmp_path, 0) as writer,
    progress.Progress(plan(tmp_path, log_every=1), 0, writer) as shown,
  ):
    shown.step(1, drawn((0,), [0]), [jnp.ones(1)])
    shown.step(2, batch, each)
    with pytest.raises(progress.NotFinite) as error:
      shown.step(3, batch, each)
  text = str(error.value)
  assert text.startswith("step 2: the loss is NaN or infinite on cow, bee. ")
  assert progress.ADVICE in text
  assert text.endswith(f"The last checkpoint in {tmp_path} is good.")
  assert isinstance(error.value, FloatingPointError)
  (record,) = read_metrics(tmp_path)
  assert record["step"] == 1


def test_a_bar_is_told_what_is_done_and_closed_at_the_end(monkeypatch):
  made = []

  class Bar:
    def __init__(self, **options):
      self.options, self.n, self.closed = options, 0, False
      made.append(self)

    def update(self, more):
      assert not self.closed
      self.n += more

    def close(self):
      self.closed = True

  monkeypatch.setattr(progress, "tqdm", Bar)
  tell = progress.bar("validating")
  tell(2, 5)
  (shown,) = made
  assert shown.options["total"] == 5
  assert shown.options["desc"] == "validating"
  assert (shown.n, shown.closed) == (2, False)
  tell(5, 5)
  assert (shown.n, shown.closed) == (5, True)
  assert len(made) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_noted_and_said(number, caplog):
  with caplog.at_level(logging.WARNING, "fcn_jax"), Stopping() as stop:
    assert not stop()
    assert stop.signal is None
    os.kill(os.getpid(), number)
    assert stop()
    assert stop.signal == number
  assert stop(), "what came stays known after the loop"
  assert caplog.messages == [
    f"{number.name}: saving and stopping after this step"
  ]


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_interrupts_at_once(second):
  with Stopping() as stop:
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
      os.kill(os.getpid(), second)
  assert stop.signal == signal.SIGTERM


def test_the_handlers_before_are_put_back_even_after_an_error():
  numbers = (signal.SIGINT, signal.SIGTERM)
  before = [signal.getsignal(number) for number in numbers]

  def fail():
    with Stopping():
      during = [signal.getsignal(number) for number in numbers]
      assert all(a != b for a, b in zip(during, before, strict=True))
      raise ValueError("the run's own")

  with pytest.raises(ValueError, match="the run's own"):
    fail()
  assert [signal.getsignal(number) for number in numbers] == before


def test_in_another_thread_signals_are_left_alone():
  """Only the main thread may set handlers; a notebook's may not."""
  before = signal.getsignal(signal.SIGINT)
  found = []

  def work():
    with Stopping() as stop:
      found.append((stop(), signal.getsignal(signal.SIGINT)))

  thread = threading.Thread(target=work)
  thread.start()
  thread.join()
  assert found == [(False, before)]
