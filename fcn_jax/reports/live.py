"""The report of a run that goes on: nothing in it may disturb the training."""

import functools
import logging
import time
from collections.abc import Callable

from fcn_jax.data import Dataset
from fcn_jax.evaluation.scores import Evaluation
from fcn_jax.files import AnyPath, is_remote
from fcn_jax.reports import training
from fcn_jax.runs import album
from fcn_jax.runs.record import (
  FAILED,
  FINISHED,
  STOPPED,
  Schedule,
  begin_session,
  end_session,
)
from fcn_jax.runs.run import read_run

_SHARE = 0.1  # of the time that drawing may take

_log = logging.getLogger(__name__)


def _harmless(method: Callable) -> Callable:
  """A method whose errors become a warning in the log."""

  @functools.wraps(method)
  def tried(self, *arguments, **named):
    try:
      method(self, *arguments, **named)
    except Exception as error:
      _log.warning(
        "%s is not up to date, but the training goes on: %s: %s",
        self.path,
        type(error).__name__,
        error,
      )
      _log.debug("where", exc_info=True)

  return tried


class Live:
  """Keeps workdir/report.html as new as the last validation.

  Drawing takes a tenth of the time at most: where validations follow one
  another faster, some appear with the next. At the start and at the end the
  report is always drawn.

  Args:
    workdir: of the run, with its config.json and metrics.jsonl.
    dataset, split: what is validated on.
    schedule: how long the run is.
    from_step: updates made before.
    is_on: whether there is a report; if not, or if the workdir is in an object
      store, only the session is noted.
    is_first: False in a process that leaves both to another.

  Attributes:
    path: of the report.
    image_ids: of the images whose predictions `validated` is to be given.
  """

  def __init__(
    self,
    workdir: AnyPath,
    dataset: Dataset,
    split: str,
    schedule: Schedule,
    from_step: int | None,
    is_on: bool = True,
    is_first: bool = True,
  ):
    self.path = workdir / training.FILE
    self.is_on = is_on and is_first and not is_remote(workdir)
    self._is_first = is_first
    self.image_ids: list[str] = []
    self._workdir, self._dataset, self._split = workdir, dataset, split
    self._schedule, self._from_step = schedule, from_step
    self._not_before = -float("inf")
    self._ended = False

  def __enter__(self) -> "Live":
    if self._is_first:
      begin_session(self._workdir, self._from_step or 0, self._schedule)
    self._prepare()
    return self

  def __exit__(self, kind, error, traceback) -> None:
    if error is not None and not self._ended:
      outcome = FAILED if isinstance(error, Exception) else STOPPED
      self._end(None, outcome, str(error))

  def end(self, step: int, stopped: bool) -> None:
    """Notes the end of the session, and draws the report.

    Args:
      step: updates made.
      stopped: whether a signal has ended it, and not its last step.
    """
    self._end(step, STOPPED if stopped else FINISHED)

  @_harmless
  def validated(
    self, step: int, evaluation: Evaluation, last: bool = False
  ) -> None:
    """Keeps the chosen predictions, and draws the report if it is time.

    Args:
      step: updates made; its record has been written.
      evaluation: with the predictions of `image_ids`.
      last: `end` comes next, which draws the report.
    """
    if not self._is_first:
      return
    if self.image_ids:
      run = read_run(self._workdir)
      album.add(
        self._workdir,
        step,
        evaluation.predictions,
        [record["step"] for record in run.val],
        run.best["step"],
      )
    if not last and time.monotonic() >= self._not_before:
      self._draw()

  @_harmless
  def _prepare(self) -> None:
    if not self.is_on:
      return
    before = -1 if self._from_step is None else self._from_step
    self.image_ids = album.begin(
      self._workdir, self._dataset, self._split, before
    )
    if self._from_step is not None:
      self._draw()

  @_harmless
  def _end(self, step: int | None, outcome: str, message: str = "") -> None:
    self._ended = True
    if not self._is_first:
      return
    end_session(self._workdir, step, outcome, message)
    self._draw()

  def _draw(self) -> None:
    if not self.is_on:
      return
    began = time.monotonic()
    is_first = self._not_before < 0
    training.write_training(self._workdir)
    now = time.monotonic()
    self._not_before = now + (now - began) / _SHARE
    if is_first:
      _log.info("%s: the curves and pictures so far", self.path)
