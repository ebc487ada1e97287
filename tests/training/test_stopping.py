"""fcn_jax.stopping: the first signal asks, the second one interrupts."""

import logging
import os
import signal
import threading

import pytest

from fcn_jax.training.stopping import Stopping


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
