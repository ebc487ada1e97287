"""Ctrl-C and SIGTERM, as a question that a loop asks between its steps."""

import logging
import signal

_log = logging.getLogger(__name__)


class Stopping:
  """Turns Ctrl-C and SIGTERM into a question that the loop asks.

  A second signal interrupts at once.
  """

  def __init__(self):
    self.signal: int | None = None

  def __enter__(self):
    handled = (signal.SIGINT, signal.SIGTERM)
    try:
      self._before = {s: signal.signal(s, self._note) for s in handled}
    except ValueError:  # not in the main thread: a notebook's, say
      self._before = {}
    return self

  def __exit__(self, *_):
    for number, handler in self._before.items():
      signal.signal(number, handler)

  def _note(self, number, _):
    if self.signal is not None:
      raise KeyboardInterrupt
    self.signal = number
    _log.warning(
      "%s: saving and stopping after this step", signal.Signals(number).name
    )

  def __call__(self) -> bool:
    return self.signal is not None
