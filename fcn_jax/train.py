"""Training: a jit-compiled, masked cross-entropy step and the loop around it.

The loop, in order: validate and checkpoint where due (before the first step
too), draw a batch, add up the gradients of its parts, update once, log.
"""

import dataclasses
import functools
import logging
import pathlib
import signal
import time
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int
from ml_collections import ConfigDict
from tqdm.auto import tqdm

from fcn_jax import (
  checkpoints,
  devices,
  initial,
  losses,
  models,
  optimizers,
  writers,
)
from fcn_jax import config as config_lib
from fcn_jax.data import Dataset, load_dataset, pipeline
from fcn_jax.data.canvases import assign, choose_canvases
from fcn_jax.evaluate import Evaluation, Evaluator

_log = logging.getLogger(__name__)


@flax.struct.dataclass
class TrainState:
  """All that training changes, and the fixed arrays beside it.

  Attributes:
    step: updates made.
    params: learned; nnx State.
    frozen: the bilinear kernels; nnx State.
    opt_state: of the solver.
  """

  step: Int[Array, ""]
  params: Any
  frozen: Any
  opt_state: Any


@dataclasses.dataclass(frozen=True)
class Training:
  """The functions of one recipe, to be compiled.

  Attributes:
    graphdef: of the network.
    solver: updates the parameters from a sum of gradients.
    normalize: see `losses.image_losses`.
    dropout_key: each image's dropout is drawn from it, the step and the
      image's place in the batch.
  """

  graphdef: Any
  solver: optax.GradientTransformation
  normalize: bool
  dropout_key: Any

  def gradients(
    self, params, frozen, step: Int[Array, ""], batch: pipeline.Batch
  ) -> tuple[Any, Float[Array, " b"]]:
    """Sum over a part's images of the gradients of their losses; the losses."""
    key = jax.random.fold_in(self.dropout_key, step)
    keys = jax.vmap(functools.partial(jax.random.fold_in, key))(batch.position)

    def loss_fn(params):
      net = nnx.merge(self.graphdef, params, frozen)
      scores = net(batch.image, batch.extent, keys)
      total, valid = losses.cross_entropy(scores, batch.label)
      each = losses.image_losses(total, valid, self.normalize)
      return each.sum(), each

    return jax.grad(loss_fn, has_aux=True)(params)

  def accumulate(self, total, params, frozen, step, batch):
    """`gradients`, added to the sum so far."""
    grads, each = self.gradients(params, frozen, step, batch)
    return jax.tree.map(jnp.add, total, grads), each

  def update(self, state: TrainState, grads) -> TrainState:
    """One step of the solver."""
    updates, opt_state = self.solver.update(
      grads, state.opt_state, state.params
    )
    return state.replace(
      step=state.step + 1,
      params=optax.apply_updates(state.params, updates),
      opt_state=opt_state,
    )

  def train_step(
    self, state: TrainState, batch: pipeline.Batch
  ) -> tuple[TrainState, Float[Array, " b"]]:
    """Forward, backward and update, for a batch that is one part."""
    grads, each = self.gradients(state.params, state.frozen, state.step, batch)
    return self.update(state, grads), each


class Stepper:
  """Takes steps, with as few compiled programs as there are canvases.

  A batch that is always one part is one program a canvas.  Else there is one
  a canvas that adds up gradients, and one that updates.

  Args:
    training: the functions.
    mesh: the devices; parts are divided over them by image.
    one_part: every batch is one part.
  """

  def __init__(self, training: Training, mesh, one_part: bool):
    self._mesh = mesh
    self._one_part = one_part
    self._train_step = jax.jit(training.train_step, donate_argnums=0)
    self._accumulate = jax.jit(training.accumulate, donate_argnums=0)
    self._update = jax.jit(training.update, donate_argnums=0)

  def __call__(
    self, state: TrainState, drawn: pipeline.Drawn
  ) -> tuple[TrainState, list[Float[Array, " b"]]]:
    """One update; the losses of every part, on the device."""
    parts = [devices.shard(part, self._mesh) for part in drawn.parts]
    if self._one_part:
      state, each = self._train_step(state, parts[0])
      return state, [each]
    total = jax.tree.map(jnp.zeros_like, state.params)
    found = []
    for part in parts:
      total, each = self._accumulate(
        total, state.params, state.frozen, state.step, part
      )
      found.append(each)
    return self._update(state, total), found


def make_solver(config: ConfigDict, layers, params, total_steps: int, epoch):
  """The optax transformation of a config, and its learning-rate schedule."""

  def steps(duration):
    return optimizers.steps_in(duration, total_steps, epoch)

  schedule = optimizers.learning_rate(
    config.lr_policy,
    config.base_lr,
    gamma=config.lr_gamma,
    stepsize=max(1, steps(config.lr_stepsize)),
    stepvalues=tuple(steps(value) for value in config.lr_stepvalues),
    power=config.lr_power,
    max_iter=total_steps,
  )
  solver = optimizers.caffe_sgd(
    schedule,
    optimizers.multipliers(layers, params),
    momentum=config.momentum,
    weight_decay=config.weight_decay,
    clip_gradients=config.clip_gradients,
    iter_size=config.batch_size,
  )
  return solver, schedule


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


class NotFinite(FloatingPointError):
  """The loss became NaN or infinite."""


@dataclasses.dataclass(frozen=True)
class Result:
  """How a run ended.

  Attributes:
    state: after the last step.
    evaluation: the last one made, None if none was.
    stopped_by: number of the signal that ended the run early, or None.
  """

  state: TrainState
  evaluation: Evaluation | None
  stopped_by: int | None


def train_and_evaluate(config: ConfigDict, workdir: str) -> Result:
  """Trains as the config says; resumes where the workdir's last run stopped.

  Args:
    config: see the files in configs/.
    workdir: where checkpoints, metrics.jsonl, tensorboard/, config.json and
      receipt.txt go; made if absent.

  Raises:
    ValueError: a config field is unknown, missing or makes no sense, or the
      workdir belongs to a run with another config.
    NotFinite: the loss became NaN or infinite.
  """
  config_lib.check(config)
  folder = pathlib.Path(workdir)
  config_lib.claim_workdir(config, folder)
  dataset = load_dataset(config.data.name, config.data.data_dir or None)
  run = _Run(config, folder, dataset)
  with (
    checkpoints.Checkpoints(folder, config.keep_latest) as saved,
    Stopping() as stop,
  ):
    return run(saved, stop)


class _Run:
  """One call of `train_and_evaluate`: what it needs, made once."""

  def __init__(self, config: ConfigDict, folder: pathlib.Path, data: Dataset):
    self.config, self.folder, self.dataset = config, folder, data
    self.mesh = devices.data_mesh()
    self.loader = _loader(config, data, self.mesh)
    epoch = self.loader.drawing.steps_per_epoch
    self.total = optimizers.steps_in(config.duration, None, epoch)

    def every(duration):
      return max(1, optimizers.steps_in(duration, self.total, epoch))

    self.validate_every = every(config.validate_every)
    self.checkpoint_every = every(config.checkpoint_every)
    self.log_every = every(config.log_every)
    self.about = initial.about(config, data)
    self.layers = self.about.declaration()
    self.evaluator = Evaluator(
      data,
      config.data.val_split,
      max_canvases=config.data.max_canvases,
      part_size=config.data.part_size,
      mesh=self.mesh,
    )
    _log.info(
      "%s: %d training images, %d steps an epoch, %d steps; canvases %s, "
      "for validation %s",
      data.name,
      self.loader.drawing.images,
      epoch,
      self.total,
      _sizes(self.loader.canvases),
      _sizes(self.evaluator.canvases),
    )

  def __call__(self, saved: checkpoints.Checkpoints, stop: Stopping) -> Result:
    config = self.config
    start = saved.latest
    state, training = self._start(saved, start)
    step = start or 0
    one_part = config.batch_size == 1 or (
      config.data.batching == "by_canvas"
      and config.batch_size <= self.loader.part_size
    )
    stepper = Stepper(training, self.mesh, one_part)
    evaluation = None
    with (
      writers.Writer(self.folder, step) as writer,
      _Progress(self, step, writer) as progress,
    ):
      for drawn in _chain_end(self.loader.steps(step, self.total)):
        last = drawn is None
        due = step % self.validate_every == 0 or last
        if due or step % self.checkpoint_every == 0 or stop():
          progress.flush()
          if due and self._mean_iu(step) is None and not stop():
            evaluation = self._validate(state, training, writer, step, stop)
          self._save(saved, state, step)
        if last or stop():
          break
        state, each = stepper(state, drawn)
        step += 1
        progress.step(step, drawn, each)
    return Result(state, evaluation, stop.signal)

  def _start(self, saved, start) -> tuple[TrainState, Training]:
    """The state of step 0, or of the checkpoint `start`."""
    if start is None:
      net, receipt = initial.network(self.config, self.about)
      (self.folder / "receipt.txt").write_text(f"{receipt}\n")
      _log.info("%s", receipt)
    else:
      _log.info("resuming from step %d of %s", start, self.folder)
      net = models.build(self.layers, self.config.precision)
    graphdef, params, frozen = nnx.split(net, nnx.Param, ...)
    solver, self.schedule = make_solver(
      self.config,
      self.layers,
      params,
      self.total,
      self.loader.drawing.steps_per_epoch,
    )
    params = devices.replicate(params, self.mesh)
    frozen = devices.replicate(frozen, self.mesh)
    step = devices.replicate(jnp.zeros((), jnp.int32), self.mesh)
    opt_state = devices.replicate(solver.init(params), self.mesh)
    if start is not None:
      params, frozen, (step, opt_state) = saved.restore(
        start, params, frozen, (step, opt_state)
      )
    key = jax.random.key(self.config.seed)
    training = Training(graphdef, solver, self.config.loss.normalize, key)
    return TrainState(step, params, frozen, opt_state), training

  def _mean_iu(self, step: int) -> float | None:
    """The score of this step, if the workdir holds it."""
    for record in writers.read_metrics(self.folder):
      if record["step"] == step and record["kind"] == "val":
        return record["mean_iu"]
    return None

  def _validate(self, state, training, writer, step, stop):
    began = time.monotonic()
    evaluation = self.evaluator(
      training.graphdef,
      state.params,
      state.frozen,
      progress=_bar("validating"),
      stop=stop,
    )
    if evaluation is None:
      return None
    seconds = time.monotonic() - began
    writer.write(step, "val", {**evaluation.figures(), "seconds": seconds})
    _log.info("step %d: %s", step, evaluation.summary())
    if step > 0 and evaluation.collapsed_to:
      _log.warning(
        "step %d: nearly every pixel is predicted as %r. Common causes: too "
        "few steps yet, weights that were not copied (see receipt.txt), a "
        "learning rate that is too high or too low.",
        step,
        evaluation.collapsed_to,
      )
    return evaluation

  def _save(self, saved, state: TrainState, step: int) -> None:
    if not _all_finite(state.params):
      raise NotFinite(
        f"step {step}: a parameter is NaN or infinite. {_ADVICE} "
        f"The last good checkpoint is step {saved.latest}."
      )
    saved.save(
      step,
      state.params,
      state.frozen,
      self.about,
      (state.step, state.opt_state),
      self._mean_iu(step),
    )


_ADVICE = (
  "Lower base_lr, or set clip_gradients (10 is a start); with loss.normalize "
  "= False base_lr must be some 1e5 times smaller."
)


@jax.jit
def _all_finite(params):
  return jnp.all(
    jnp.array([jnp.isfinite(x).all() for x in jax.tree.leaves(params)])
  )


def _loader(config, data: Dataset, mesh) -> pipeline.Loader:
  split = config.data.train_split
  sizes = data.sizes(split)
  canvases = choose_canvases(sizes, config.data.max_canvases)
  by_canvas = config.data.batching == "by_canvas"
  canvas_of = tuple(assign(sizes, canvases).tolist()) if by_canvas else None
  return pipeline.Loader(
    dataset=data,
    split=split,
    drawing=pipeline.Drawing(
      images=len(sizes),
      batch_size=config.batch_size,
      order=config.data.order,
      seed=config.seed,
      canvas_of=canvas_of,
    ),
    canvases=canvases,
    part_size=devices.divisible(config.data.part_size, mesh),
    mirror=config.data.mirror,
    num_threads=config.data.num_threads,
  )


def _chain_end(batches):
  """The batches, then None: the place after the last step."""
  yield from batches
  yield None


def _sizes(canvases) -> str:
  return ", ".join(f"{height}x{width}" for height, width in canvases)


def _bar(title: str):
  """A progress function for a terminal; silent elsewhere."""
  bar = None

  def progress(done: int, total: int) -> None:
    nonlocal bar
    if bar is None:
      bar = tqdm(total=total, desc=title, leave=False, disable=None)
    bar.update(done - bar.n)
    if done == total:
      bar.close()

  return progress


class _Progress:
  """Reads losses one step late, stops on NaN, shows and writes the figures."""

  def __init__(self, run: _Run, step: int, writer: writers.Writer):
    self._run, self._writer = run, writer
    self._pending: tuple[int, pipeline.Drawn, list] | None = None
    self._losses: list[float] = []
    self._images = 0
    self._bar = tqdm(
      total=run.total, initial=step, unit="step", desc="training", disable=None
    )
    self._clock = time.monotonic()

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self._bar.close()

  def step(self, step: int, drawn: pipeline.Drawn, each: list) -> None:
    """Notes a step whose losses may still be being computed."""
    self.flush()
    self._pending = step, drawn, each

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
    if step % self._run.log_every == 0 or step == self._run.total:
      self._log(step)

  def _log(self, step: int) -> None:
    seconds = time.monotonic() - self._clock
    left = (self._run.total - step) * seconds / max(1, len(self._losses))
    rate = self._images / seconds
    loss = float(np.mean(self._losses))
    lr = float(self._run.schedule(jnp.asarray(step - 1)))
    figures = {"loss": loss, "lr": lr, "images_per_second": rate}
    self._writer.write(step, "train", figures)
    self._bar.set_postfix_str(f"loss {loss:.4f}, {rate:.1f} images/s")
    if self._bar.disable:
      _log.info(
        "step %d of %d: loss %.4f, lr %.3g, %.1f images/s, %s left",
        step,
        self._run.total,
        loss,
        lr,
        rate,
        tqdm.format_interval(left),
      )
    self._losses, self._images = [], 0
    self._clock = time.monotonic()

  def _stop(self, step: int, drawn: pipeline.Drawn, each: list) -> None:
    ids = self._run.dataset.ids(self._run.loader.split)
    bad = [
      ids[drawn.indices[position]]
      for part, values in zip(drawn.parts, each, strict=True)
      for position, value in zip(part.position, values, strict=True)
      if not np.isfinite(value)
    ]
    raise NotFinite(
      f"step {step}: the loss is NaN or infinite on {', '.join(bad)}. "
      f"{_ADVICE} The last checkpoint in {self._run.folder} is good."
    )
