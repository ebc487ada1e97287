"""What a run shows while it trains, and the watch over its losses."""

import dataclasses
import logging
import signal
import time
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from tqdm.auto import tqdm

from fcn_jax import devices
from fcn_jax.data import pipeline
from fcn_jax.files import AnyPath
from fcn_jax.runs import record

_log = logging.getLogger(__name__)


ADVICE = (
  "Lower base_lr, or set clip_gradients (10 is a start); with loss.normalize "
  "= False base_lr must be some 1e5 times smaller."
)


class NotFinite(FloatingPointError):
  """The loss became NaN or infinite."""


@dataclasses.dataclass(frozen=True)
class Plan:
  """What the figures are of.

  Attributes:
    total: steps of the whole run.
    log_every: steps between two records.
    schedule: step to learning rate.
    image_ids: name of each training image, by record number.
    workdir: of the run.
  """

  total: int
  log_every: int
  schedule: Callable
  image_ids: tuple[str, ...]
  workdir: AnyPath


def bar(title: str):
  """A progress function for a terminal; silent elsewhere.

  Of several processes the first one shows it, and all of the others nothing.
  """
  shown = None

  def progress(done: int, total: int) -> None:
    nonlocal shown
    if shown is None:
      shown = tqdm(total=total, desc=title, leave=False, disable=_disable())
    shown.update(done - shown.n)
    if done == total:
      shown.close()

  return progress


def _disable() -> bool | None:
  """What tqdm is to be told: None shows a bar on a terminal."""
  return None if devices.is_first() else True


class Progress:
  """Reads losses one step late, stops on NaN, shows and writes the figures.

  Args:
    plan: of the run.
    step: updates made before.
    writer: of the records.
  """

  def __init__(self, plan: Plan, step: int, writer: record.Writer):
    self._plan, self._writer = plan, writer
    self._pending: tuple[int, pipeline.Batch, list] | None = None
    self._losses: list[float] = []
    self._images = 0
    self._bar = tqdm(
      total=plan.total,
      initial=step,
      unit="step",
      desc="training",
      disable=_disable(),
    )
    self._clock = time.monotonic()

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self._bar.close()

  def step(self, step: int, drawn: pipeline.Batch, each: list) -> None:
    """Notes a step whose losses may still be being computed."""
    self.flush()
    self._pending = step, drawn, each

  def leave_out(self, seconds: float) -> None:
    """Does not count time that went into something else, as validation."""
    self._clock += seconds

  def flush(self) -> None:
    """Waits for the noted step.

    Raises:
      NotFinite: its loss is.
    """
    if self._pending is None:
      return
    step, drawn, each = self._pending
    self._pending = None
    each = [np.asarray(x, np.float64) for x in each]
    loss = sum(x.sum() for x in each) / len(drawn.indices)
    if not np.isfinite(loss):
      self._stop(step, drawn, each)
    self._losses.append(loss)
    self._images += len(drawn.indices)
    self._bar.update(step - self._bar.n)
    if step % self._plan.log_every == 0 or step == self._plan.total:
      self._log(step)

  def _log(self, step: int) -> None:
    seconds = time.monotonic() - self._clock
    left = (self._plan.total - step) * seconds / max(1, len(self._losses))
    rate = self._images / seconds
    loss = float(np.mean(self._losses))
    lr = float(self._plan.schedule(jnp.asarray(step - 1)))
    figures = {"loss": loss, "lr": lr, "images_per_second": rate}
    self._writer.write(step, "train", figures)
    self._bar.set_postfix_str(f"loss {loss:.4f}, {rate:.1f} images/s")
    if self._bar.disable:
      _log.info(
        "step %d of %d: loss %.4f, lr %.3g, %.1f images/s, %s left",
        step,
        self._plan.total,
        loss,
        lr,
        rate,
        tqdm.format_interval(left),
      )
    self._losses, self._images = [], 0
    self._clock = time.monotonic()

  def _stop(self, step: int, drawn: pipeline.Batch, each: list) -> None:
    ids = self._plan.image_ids
    bad = [
      ids[drawn.indices[position]]
      for part, values in zip(drawn.parts, each, strict=True)
      for position, value in zip(
        np.concatenate(devices.of_all(part.position)), values, strict=True
      )
      if not np.isfinite(value)
    ]
    raise NotFinite(
      f"step {step}: the loss is NaN or infinite on {', '.join(bad)}. "
      f"{ADVICE} The last checkpoint in {self._plan.workdir} is good."
    )


def stopping() -> "Stopping | Agreement":
  """What tells the loop to stop, in one process or in several."""
  return Agreement() if devices.process_count() > 1 else Stopping()


class Agreement:
  """Several processes stop at the same step when one of them gets a SIGTERM.

  No handler is set: it would take the signal from JAX.
  """

  def __init__(self):
    self.signal: int | None = None

  def __enter__(self):
    return self

  def __exit__(self, *_):
    pass

  def at(self, step: int) -> None:
    """Asks all processes; every step is told, one after the other."""
    if devices.preempted(step):
      self.signal = signal.SIGTERM
      _log.warning("SIGTERM: saving and stopping after step %d", step)

  def __call__(self) -> bool:
    return self.signal is not None


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

  def at(self, step: int) -> None:
    """Nobody else has to be asked."""

  def __call__(self) -> bool:
    return self.signal is not None
