"""Training: the loop around the jit-compiled step.

The loop, in order: validate, checkpoint and report where due (before the first
step too), draw a batch, add up the gradients of its parts, update once, log.
"""

import contextlib
import dataclasses
import functools
import logging
import math
import pathlib
import shutil
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from fcn_jax import devices, files, models, text
from fcn_jax.data import Dataset
from fcn_jax.data.augment import largest_sizes, smallest_sizes
from fcn_jax.evaluation.evaluator import Evaluation, Evaluator
from fcn_jax.evaluation.metrics import METRICS
from fcn_jax.evaluation.tta import as_trained
from fcn_jax.files import DataError
from fcn_jax.models import geometry, losses
from fcn_jax.reports import live
from fcn_jax.runs import config as config_lib
from fcn_jax.runs import run as run_lib
from fcn_jax.runs.record import Schedule, Writer
from fcn_jax.training import (
  input,
  memory,
  optimizers,
  pretrain,
  progress,
  recipe,
)
from fcn_jax.training.input import make_loader
from fcn_jax.training.start import about, check_resumed, network
from fcn_jax.training.step import (
  Stepper,
  Training,
  TrainState,
  make_loss,
  make_training,
)
from fcn_jax.weights import checkpoints

_log = logging.getLogger(__name__)

EMA = "ema"  # folder of a workdir: a model directory of the averaged weights

_LOOKED_AT = 100_000  # steps whose learning rates are compared


@dataclasses.dataclass(frozen=True)
class Outcome:
  """How a run ended.

  Attributes:
    state: after the last step.
    evaluation: the last one made, None if none was.
    stopped_by: number of the signal that ended the run early, or None.
    card: of the run's checkpoints.
    graphdef: of the network.
  """

  state: TrainState
  evaluation: Evaluation | None
  stopped_by: int | None
  card: checkpoints.ModelCard
  graphdef: nnx.GraphDef

  @property
  def network(self) -> models.Network:
    """The network with the parameters of the last step."""
    return nnx.merge(self.graphdef, self.state.params, self.state.frozen)


def train_and_evaluate(
  config: ConfigDict, workdir: str, extend: bool = False
) -> Outcome:
  """Trains as the config says; resumes where the workdir's last run stopped.

  Args:
    config: see the files in configs/.
    workdir: where checkpoints, metrics.jsonl, tensorboard/, config.json,
      receipt.txt, report.html and what it is drawn from go; made if absent.
      With config.ema_decay also ema/, a model directory of averaged weights.
      Of a classifier also classifier.caffemodel and classes.txt, at its end.
    extend: whether a run may be made longer where its learning rate depends on
      the duration; the schedule is laid over the new one then.

  Raises:
    ValueError: a field of the config is unknown or out of range, the network
      does not score pixels or does not take an image of this size, or the
      workdir belongs to a run with another config.
    DataError: the workdir is in use or holds somebody else's files, none of its
      checkpoints is whole, there is no room for the next, or a record of the
      data cannot be read.
    progress.NotFinite: the loss became NaN or infinite.
  """
  config = recipe.check(config)
  folder = files.path(workdir)
  pretrain.check_unclaimed(folder)
  stored = _stored_config(folder)
  with contextlib.ExitStack() as held:

    def claim() -> str:
      """By the first process alone: the others read what it has left."""
      held.enter_context(config_lib.in_use(folder, stored))
      return config_lib.claim_workdir(
        config, folder, stored is not None, recipe.complete, stored
      )

    before = devices.on_first(claim)
    dataset = input.load_data(config)
    run = _Run(config, folder, dataset)
    run.check_duration(before, extend)
    saved = checkpoints.Checkpoints(folder, config.keep_latest)
    if config.ema_decay:
      run.averages = checkpoints.Checkpoints(folder / EMA, config.keep_latest)
    devices.barrier("what killed runs have left is removed")
    with progress.stopping() as stop:
      outcome = run(saved, stop)
    writes = devices.is_first() and outcome.stopped_by is None
    if dataset.square and writes:
      pretrain.write_classifier(outcome.network, outcome.card, folder)
  return outcome


def _stored_config(folder: files.AnyPath) -> dict[str, Any] | None:
  """The config in the latest checkpoint; None: there is no checkpoint.

  Nothing is read, and it is empty, where config.json has it.
  """
  if not checkpoints.has_checkpoint(folder):
    return None
  if (folder / config_lib.FILE).exists():
    return {}
  return checkpoints.load_about(folder, "latest")[1].config


def dry_run(config: ConfigDict, say: Callable[[str], None] = print) -> None:
  """Does what training does up to its first step, and leaves nothing behind.

  Args:
    config: see `train_and_evaluate`.
    say: takes a line on each of data, weights, memory, the step and the run.

  Raises:
    What `train_and_evaluate` raises.
  """
  config = recipe.check(config)
  dataset = input.load_data(config)
  with tempfile.TemporaryDirectory() as folder:
    run = _Run(config, pathlib.Path(folder), dataset)
    run.dry(say if run.is_first else lambda line: None)


class _Run:
  """One call of `train_and_evaluate`: what it needs, made once."""

  def __init__(self, config: ConfigDict, folder: files.AnyPath, data: Dataset):
    self.config, self.folder, self.dataset = config, folder, data
    self.mesh, self.is_first = devices.data_mesh(), devices.is_first()
    self.cache = input.choose(
      config.data.cache,
      np.concatenate(
        [
          data.sizes(split)
          for split in (config.data.train_split, config.data.val_split)
        ]
      ),
      devices.host_memory(),
      devices.processes_here(),
    )
    self.loader = make_loader(config, data, self.mesh, self.cache)
    epoch = self.loader.sampler.steps_per_epoch
    self.total = optimizers.steps_in(config.duration, None, epoch)
    self.schedule = optimizers.make_schedule(config, self.total, epoch)

    def every(duration):
      return max(1, optimizers.steps_in(duration, self.total, epoch))

    self.validate_every = every(config.validate_every)
    self.checkpoint_every = every(config.checkpoint_every)
    self.log_every = every(config.log_every)
    self.about = about(config, data)
    self.layers = self.about.declaration()
    self.learned = optimizers.learned(self.layers, config.freeze)
    self.averages: checkpoints.Checkpoints | None = None
    memory.check_fits(self.layers, config, self.loader.canvases)
    if data.square:
      geometry.check_classifier(self.layers, len(data.class_names))
    else:
      geometry.check_segmentation(
        self.layers, len(data.class_names), _lengths(config, data)
      )
    # What the best checkpoint is chosen by.
    self.measure = run_lib.measure(config_lib.flat(config.to_dict()))
    losses.check_auxiliary(
      self.layers, config.loss.auxiliary.to_dict(), len(data.class_names)
    )
    self.loss = make_loss(config, data)
    self.evaluator = Evaluator(
      data,
      config.data.val_split,
      loss=self.loss,
      max_canvases=config.data.max_canvases,
      part_size=config.data.part_size,
      keep_decoded=self.cache != "none",
      views=as_trained(None, self.about.resize),
    )
    _log.info(
      "%s: %d training images, %d steps an epoch, %d steps; canvases %s, "
      "for validation %s; a head of zeros has a loss of ln(%d) = %.4f",
      data.name,
      self.loader.sampler.images,
      epoch,
      self.total,
      _sizes(self.loader.canvases),
      _sizes(self.evaluator.canvases),
      len(data.class_names),
      math.log(len(data.class_names)),
    )

  def __call__(
    self,
    saved: checkpoints.Checkpoints,
    stop: progress.Stopping | progress.Agreement,
  ) -> Outcome:
    config = self.config
    state, training, start = self._resume(saved)
    step = start or 0
    if step < self.total:
      devices.on_first(lambda: self._check_room(state))
    stepper = Stepper(training, self.mesh, self.loader.one_part)
    if step < self.total:
      memory.warn_before_training(
        stepper, state, self.mesh, self.loader, config, self.layers
      )
    evaluation = draw = None
    with (
      # Where there is no checkpoint, no record is of this run.
      Writer(
        self.folder, -1 if start is None else start, self.is_first
      ) as writer,
      self._live(start) as report,
      progress.Progress(self._plan(), step, writer) as shown,
    ):
      keep = devices.of_all_json(report.image_ids)[0]
      for drawn in _chain_end(self.loader.steps(step, self.total)):
        last = drawn is None
        stop.at(step)
        due = step % self.validate_every == 0 or last
        enough = False
        if due or step % self.checkpoint_every == 0 or stop():
          shown.flush()
          began = time.monotonic()
          unscored = due and step not in writer.validations and not stop()
          if unscored:
            evaluation = self._validate(
              state, training, writer, step, stop, keep
            )
          self._save(saved, training, state, step, writer)
          if unscored and evaluation:
            draw = functools.partial(report.validated, step, evaluation)
          enough = not last and self._enough(writer)
          shown.leave_out(time.monotonic() - began)
        ends = last or enough or stop()
        if not ends:
          state, each = stepper(state, drawn)
          step += 1
          shown.step(step, drawn, each)
        if draw:  # once training goes on: pages can wait
          shown.flush()
          began = time.monotonic()
          draw(last=ends)
          draw = None
          shown.leave_out(time.monotonic() - began)
        if ends:
          break
      finished = (last or enough) and step in writer.validations
      report.end(step, not finished)
    if finished:
      title = METRICS[self.measure].title
      score = writer.validations[step][self.measure]
      _log.info("finished: step %d, %s %.4f", step, title, score)
    signal = None if finished else stop.signal
    graphdef = training.graphdef
    return Outcome(state, evaluation, signal, self.about, graphdef)

  def dry(self, say: Callable[[str], None]) -> None:
    """The first step of a new run, and what it cost."""
    loader, total = self.loader, self.total
    epoch = loader.sampler.steps_per_epoch
    say(
      f"data: {self.dataset.name}, {loader.sampler.images} images for training "
      f"and {len(self.dataset.ids(self.config.data.val_split))} for "
      f"validation, {len(self.dataset.class_names)} classes"
    )
    state, training = self._start(None, None)
    count = sum(x.size for x in jax.tree.leaves(state.params))
    init = self.config.init
    say(f"weights: {count:,} to learn, from {init.path or init.source}")
    stepper = Stepper(training, self.mesh, loader.one_part)
    need = memory.of_loader(stepper, state, self.mesh, loader)
    room = devices.memory_limit()
    if need and room:
      problem = memory.problem(need, room, self.config, loader)
      say(f"memory: {problem or memory.verdict(need, room)}")
    drawn = loader.batch(0)
    began = time.monotonic()
    for part in {part.image.shape: part for part in drawn.parts}.values():
      stepper.compile(state, devices.shard(part, self.mesh))
    compiled = time.monotonic()
    state, each = stepper(state, drawn)
    loss = sum(float(x.sum()) for x in each) / len(drawn.indices)
    jax.block_until_ready(state)
    seconds = time.monotonic() - compiled
    if not math.isfinite(loss):
      raise progress.NotFinite(
        f"step 1: the loss is NaN or infinite. {progress.ADVICE}"
      )
    say(
      f"step: {len(drawn.indices)} images in {seconds:.3g} s, loss {loss:.4f}; "
      f"compiled before in {compiled - began:.3g} s"
    )
    say(
      f"run: {total} steps would take {text.duration(total * seconds)}, an "
      f"epoch of {epoch} {text.duration(epoch * seconds)}, without validation"
    )

  def check_duration(self, before: str, extend: bool) -> None:
    """Holds the duration against the one that the run was begun with.

    Raises:
      ValueError: it is shorter; or longer, the learning rate depends on it,
        and `extend` was not given.
    """
    epoch = self.loader.sampler.steps_per_epoch
    old = optimizers.steps_in(before, None, epoch)
    if old == self.total:
      return
    if self.total < old:
      raise ValueError(
        f"config.duration = {self.config.duration!r}: {self.folder} was begun "
        f"with {before!r}, and a run can only be made longer"
      )
    steps = np.unique(np.linspace(0, max(old - 1, 0), _LOOKED_AT).astype(int))
    begun = optimizers.make_schedule(self.config, old, epoch)
    rates = [jax.vmap(one)(steps) for one in (begun, self.schedule)]
    if not np.array_equal(*rates):
      if not extend:
        raise ValueError(
          f"config.duration = {self.config.duration!r}: {self.folder} was "
          f"begun with {before!r}, and its learning rate depends on that "
          f"(lr_policy = {self.config.lr_policy!r}); --extend lays the "
          "schedule over the new duration, so that the rate rises again"
        )
      _log.warning(
        "the schedule is laid over %d steps instead of %d: the learning rate "
        "of step %d is %.3g now, and was %.3g",
        self.total,
        old,
        old,
        rates[1][-1],
        rates[0][-1],
      )
    _log.info("made longer: %d steps instead of %d", self.total, old)
    devices.on_first(lambda: config_lib.write(self.config, self.folder))

  def _check_room(self, state: TrainState) -> None:
    """Raises DataError: the disk has no room for the next checkpoint."""
    if files.is_remote(self.folder):
      return
    need = checkpoints.room_needed(
      state.params, state.frozen, state.opt_state, state.ema, state.ema
    )
    free = shutil.disk_usage(self.folder).free
    if free < need:
      raise DataError(
        f"{self.folder}: a checkpoint takes {text.byte_size(need)}, and "
        f"{text.byte_size(free)} are free there; make room, or name another "
        "--workdir"
      )

  def _resume(
    self, saved: checkpoints.Checkpoints
  ) -> tuple[TrainState, Training, int | None]:
    """The state of the newest whole checkpoint and its step, or of step 0.

    Raises:
      DataError: there are checkpoints, and none is whole.
    """
    damaged = []
    for start in reversed(saved.steps):
      try:
        state, training = self._start(saved, start)
      except checkpoints.DamagedCheckpoint as error:
        damaged.append((start, error))
        continue
      for step, error in damaged:
        place = devices.on_first(lambda step=step: str(saved.set_aside(step)))
        _log.warning("%s; it is %s now, step %d is taken", error, place, start)
      return state, training, start
    if damaged:
      raise DataError(
        f"{damaged[0][1]}; no other is whole: name another --workdir, or "
        f"delete {self.folder / checkpoints.FOLDER} to begin anew"
      )
    return *self._start(None, None), None

  def _start(self, saved, start) -> tuple[TrainState, Training]:
    """The state of step 0, or of the checkpoint `start`."""
    if start is None:
      net, receipt = network(self.config, self.about)
      if self.is_first:
        (self.folder / "receipt.txt").write_text(f"{receipt}\n")
      _log.info("%s", receipt)
    else:
      _, stored = checkpoints.load_about(self.folder, start)
      check_resumed(self.about, stored, self.folder)
      _log.info("resuming from step %d of %s", start, self.folder)
      net = models.build(self.layers, self.config.precision)
    graphdef, params, frozen = nnx.split(net, self.learned, ...)
    solver = optimizers.make_solver(self.config, self.layers, params)
    params = devices.replicate(params, self.mesh)
    frozen = devices.replicate(frozen, self.mesh)
    step = devices.replicate(jnp.zeros((), jnp.int32), self.mesh)
    # One program, not one for each shape.
    begin = jax.jit(
      solver(self.schedule).init, out_shardings=devices.everywhere(self.mesh)
    )
    opt_state = begin(params)
    ema = jax.tree.map(jnp.copy, params) if self.config.ema_decay else None
    if start is not None:
      *whole, (step, opt_state, ema) = saved.restore(
        start,
        *_as_stored(graphdef, params, frozen),
        (step, opt_state, ema),
      )
      _, params, frozen = nnx.split(
        nnx.merge(graphdef, *whole), self.learned, ...
      )
    training = make_training(
      self.config, self.layers, graphdef, solver, self.schedule, self.loss
    )
    return TrainState(step, params, frozen, opt_state, ema), training

  def _enough(self, writer: Writer) -> bool:
    """Whether the last config.patience validations were no better ones."""
    patience, records = self.config.patience, writer.validations
    if not patience or not records:
      return False
    in_order = [records[step] for step in sorted(records)]
    best, later = run_lib.since_best(in_order, self.measure)
    if later < patience:
      return False
    _log.info(
      "%d validations since step %d were no better: the run ends", later, best
    )
    return True

  def _plan(self) -> progress.Plan:
    return progress.Plan(
      total=self.total,
      log_every=self.log_every,
      schedule=self.schedule,
      image_ids=self.dataset.ids(self.loader.split),
      workdir=self.folder,
    )

  def _live(self, start: int | None) -> live.Live:
    schedule = Schedule(
      total_steps=self.total,
      steps_per_epoch=self.loader.sampler.steps_per_epoch,
      images_per_step=self.loader.sampler.batch_size,
      validate_every=self.validate_every,
      training_images=self.loader.sampler.images,
      validation_images=len(self.dataset.ids(self.config.data.val_split)),
    )
    return live.Live(
      self.folder,
      self.dataset,
      self.config.data.val_split,
      schedule,
      start,
      self.config.report,
      self.is_first,
    )

  def _validate(self, state, training, writer, step, stop, keep):
    began = time.monotonic()
    evaluation = self.evaluator(
      training.graphdef,
      state.params,
      state.frozen,
      progress=progress.bar("validating"),
      stop=stop,
      keep=keep,
    )
    if evaluation is None:
      return None
    figures = evaluation.figures()
    if step > 0 and evaluation.collapsed_to:
      figures["collapsed_to"] = evaluation.collapsed_to
    if state.ema is not None:
      averaged = self.evaluator(
        training.graphdef, state.ema, state.frozen, stop=stop
      )
      if averaged is None:
        return None
      figures["ema"] = averaged.scores | {"loss": averaged.loss}
      _log.info("step %d: averaged weights: %s", step, averaged.summary())
    figures["seconds"] = time.monotonic() - began
    writer.write(step, "val", figures)
    said = evaluation.summary()
    if self.dataset.square:
      only = figures["majority_baseline"]
      said = (
        f"accuracy {figures['pixel_accuracy']:.4f} (only {only['class']}: "
        f"{only['pixel_accuracy']:.4f}), loss {figures['loss']:.4f}"
      )
    _log.info("step %d: %s", step, said)
    if step > 0 and evaluation.collapsed_to:
      _log.warning(
        "step %d: nearly every pixel is predicted as %r. Common causes: too "
        "few steps yet, weights that were not copied (see receipt.txt), a "
        "learning rate that is too high or too low.",
        step,
        evaluation.collapsed_to,
      )
    return evaluation

  def _save(self, saved, training, state, step: int, writer: Writer) -> None:
    if not _all_finite(state.params):
      raise progress.NotFinite(
        f"step {step}: a parameter is NaN or infinite. {progress.ADVICE} "
        f"The last good checkpoint is step {saved.latest}."
      )
    scores = writer.validations.get(step, {})
    graphdef = training.graphdef
    saved.save(
      step,
      *_as_stored(graphdef, state.params, state.frozen),
      self.about,
      (state.step, state.opt_state, state.ema),
      scores.get(self.measure),
    )
    if self.averages:
      self.averages.save(
        step,
        *_as_stored(graphdef, state.ema, state.frozen),
        self.about,
        mean_iu=scores.get("ema", {}).get(self.measure),
      )


def _as_stored(graphdef, params, frozen) -> tuple[Any, Any]:
  """Parameters and fixed arrays as a checkpoint has them, whatever learns."""
  net = nnx.merge(graphdef, params, frozen)
  return nnx.split(net, nnx.Param, ...)[1:]


@jax.jit
def _all_finite(params):
  return jnp.all(
    jnp.array([jnp.isfinite(x).all() for x in jax.tree.leaves(params)])
  )


def _lengths(config, data: Dataset) -> np.ndarray:
  """Every height and width that the network may see, augmented or not."""
  stored = data.sizes(config.data.train_split)
  changes = input.augmentations(config, data)
  shortest = smallest_sizes(changes, stored)
  longest = largest_sizes(changes, stored)
  both = np.stack([shortest, longest], axis=-1).reshape(-1, 2)
  cut = [np.arange(a, b + 1) for a, b in np.unique(both, axis=0)]
  scored = data.sizes(config.data.val_split)
  if resize := input.resize_of(config):
    scored = resize.all_scaled(scored)
  return np.concatenate([*cut, np.unique(scored)])


def _chain_end(batches):
  """The batches, then None: the place after the last step."""
  yield from batches
  yield None


def _sizes(canvases) -> str:
  return ", ".join(f"{height}x{width}" for height, width in canvases)
