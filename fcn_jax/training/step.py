"""The train step: losses, their gradients, one update by the optimizer."""

import dataclasses
import functools
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int
from ml_collections import ConfigDict

from fcn_jax import devices
from fcn_jax.data import Dataset, pipeline, statistics
from fcn_jax.models import layers as d
from fcn_jax.models.losses import (
  LOSSES,
  Loss,
  losses_of_images,
  weighted_sum,
)
from fcn_jax.models.options import choose, options_of, plain
from fcn_jax.training import optimizers

_log = logging.getLogger(__name__)


@flax.struct.dataclass
class TrainState:
  """All that training changes, and the fixed arrays beside it.

  Where a step is compiled without arrays, there are shapes in their place.

  Attributes:
    step: updates made; int32 [].
    params: learned; nnx State.
    frozen: the bilinear kernels, and what the recipe freezes; nnx State.
    opt_state: of the solver.
    ema: the moving average of `params`; None: there is none.
  """

  step: Any
  params: Any
  frozen: Any
  opt_state: Any
  ema: Any = None


@dataclasses.dataclass(frozen=True)
class Training:
  """The functions of one recipe, to be compiled.

  Attributes:
    graphdef: of the network.
    solver: of a learning rate; what it makes updates the parameters from a sum
      of gradients.
    schedule: the learning rate.
    loss: what is minimised, see `models.losses`.
    dropout_key: each image's dropout is drawn from it, the step and the
      image's place in the batch.
    auxiliary: weights of the loss of other layers' scores, by their names.
    kept: names of the layers whose values are kept for the gradient, see
      `kept_layers`; None: XLA and JAX keep what the gradient needs.
    ema_decay: of the moving average, if the state has one.
  """

  graphdef: Any
  solver: optimizers.Solver
  schedule: optimizers.Schedule
  loss: Loss
  dropout_key: Any
  auxiliary: Mapping[str, float] = dataclasses.field(default_factory=dict)
  kept: tuple[str, ...] | None = None
  ema_decay: float = 0.0

  def gradients(
    self, params, frozen, step: Int[Array, ""], batch: pipeline.Part
  ) -> tuple[Any, Float[Array, " b"]]:
    """Gradients of a part, added over its images.

    Returns:
      The sum, and the loss of each image as it is shown; where what is
      minimised is not finite, that stands in its place.
    """
    key = jax.random.fold_in(self.dropout_key, step)
    keys = jax.vmap(functools.partial(jax.random.fold_in, key))(batch.position)

    def loss_fn(params):
      net = nnx.merge(self.graphdef, params, frozen)
      each, shown = losses_of_images(
        self.loss,
        net,
        batch.image,
        batch.label,
        batch.extent,
        keys,
        self.auxiliary,
      )
      return each.sum(), jnp.where(jnp.isfinite(each), shown, each)

    if self.kept is not None:
      policy = jax.checkpoint_policies.save_only_these_names(*self.kept)
      loss_fn = jax.checkpoint(loss_fn, policy=policy)
    return jax.grad(loss_fn, has_aux=True)(params)

  def accumulate(self, total, params, frozen, step, batch):
    """`gradients`, added to the sum so far."""
    grads, each = self.gradients(params, frozen, step, batch)
    return jax.tree.map(jnp.add, total, grads), each

  def update(self, state: TrainState, grads) -> TrainState:
    """One step of the solver, and of the moving average.

    The average is ema_decay of itself and the rest of the new parameters; of
    step n (from 1) at most n / (9 + n) of itself, so that it soon forgets where
    the run began.
    """
    updates, opt_state = self.solver(self.schedule).update(
      grads, state.opt_state, state.params
    )
    params, ema = optax.apply_updates(state.params, updates), state.ema
    if ema is not None:
      made = state.step.astype(jnp.float32) + 1
      decay = jnp.minimum(self.ema_decay, made / (9 + made))
      ema = jax.tree.map(lambda a, w: decay * a + (1 - decay) * w, ema, params)
    return state.replace(
      step=state.step + 1, params=params, opt_state=opt_state, ema=ema
    )

  def train_step(
    self, state: TrainState, batch: pipeline.Part
  ) -> tuple[TrainState, Float[Array, " b"]]:
    """Forward, backward and update, for a batch that is one part."""
    grads, each = self.gradients(state.params, state.frozen, state.step, batch)
    return self.update(state, grads), each


class Stepper:
  """Takes steps, with as few compiled programs as there are canvases.

  A batch that is always one part is one program a canvas.  Else there is one
  a canvas that adds up gradients, and one that updates.  The learning rate and
  the key of dropout are arguments of these programs, so that a run that differs
  in its schedule, duration or seed finds them compiled.

  Args:
    training: the functions.
    mesh: the devices; parts are divided over them by image.
    one_part: every batch is one part.
  """

  def __init__(self, training: Training, mesh, one_part: bool):
    self._mesh = mesh
    self._one_part = one_part
    everywhere = {"out_shardings": devices.everywhere(mesh)}
    # Of several processes each needs all that comes out, to look at it.
    out = everywhere if mesh.is_multi_process else {}

    def program(name: str):
      def run(rate, key, *arguments):
        given = dataclasses.replace(
          training, schedule=lambda count: rate, dropout_key=key
        )
        return getattr(given, name)(*arguments)

      run.__name__ = name
      return jax.jit(run, donate_argnums=2, **out)

    self._train_step = program("train_step")
    self._accumulate = program("accumulate")
    self._update = program("update")

    def rate_and_key(step):
      rate = jnp.asarray(training.schedule(step), jnp.float32)
      return rate, training.dropout_key

    self._rate_and_key = jax.jit(rate_and_key, **everywhere)

  def __call__(
    self, state: TrainState, drawn: pipeline.Batch
  ) -> tuple[TrainState, list[Float[Array, " b"]]]:
    """One update; the losses of every part, on the device."""
    parts = [devices.shard(part, self._mesh) for part in drawn.parts]
    given = self._rate_and_key(state.step)
    if self._one_part:
      state, each = self._train_step(*given, state, parts[0])
      return state, [each]
    total = jax.tree.map(jnp.zeros_like, state.params)
    found = []
    for part in parts:
      total, each = self._accumulate(
        *given, total, state.params, state.frozen, state.step, part
      )
      found.append(each)
    return self._update(*given, state, total), found

  def compile(
    self, state: TrainState, part: pipeline.Part
  ) -> list[jax.stages.Compiled]:
    """The programs of a step for parts like this one, without a step.

    Steps that follow do not compile them again.

    Args:
      state, part: the arrays, or their shapes (jax.ShapeDtypeStruct, with the
        sharding).
    """
    given = self._rate_and_key.eval_shape(state.step)
    if self._one_part:
      return [self._train_step.lower(*given, state, part).compile()]
    total = state.params
    accumulate = self._accumulate.lower(
      *given, total, state.params, state.frozen, state.step, part
    )
    update = self._update.lower(*given, state, total)
    return [accumulate.compile(), update.compile()]


def make_loss(config: ConfigDict, data: Dataset) -> Loss:
  """The loss of a recipe.

  Args:
    config: the recipe.
    data: its training split gives the weights of classes where they are asked
      for by name.

  Raises:
    ValueError: class weights that are not one number a class.
  """
  chosen = config.loss.name
  function = choose(LOSSES, chosen, "loss.name")
  options = {name: plain(config.loss[name]) for name in options_of(function)}
  if "class_weights" in options:
    options["class_weights"] = _class_weights(
      options["class_weights"], data, config.data.train_split
    )
  loss, terms = function(**options), config.loss.get("terms", {})
  if not terms:
    return loss
  return weighted_sum(
    {
      name: (weight, loss if name == chosen else LOSSES[name]())
      for name, weight in terms.items()
    },
    shown=chosen,
  )


def make_training(
  config: ConfigDict,
  layers: d.Layers,
  graphdef: Any,
  solver: optimizers.Solver,
  schedule: optimizers.Schedule,
  loss: Loss,
) -> Training:
  """The functions of a recipe.

  Args:
    config: the recipe.
    layers: the declaration of the network.
    graphdef: of the network.
    solver, schedule, loss: of the recipe.

  Raises:
    ValueError: config.remat names no layer.
  """
  return Training(
    graphdef,
    solver,
    schedule,
    loss,
    jax.random.key(config.seed),
    config.loss.auxiliary.to_dict(),
    kept_layers(layers, config.remat),
    config.ema_decay,
  )


def kept_layers(
  layers: d.Layers, patterns: Sequence[str]
) -> tuple[str, ...] | None:
  """Names of the layers whose values are kept between forward and backward.

  Of the others they are computed once more for the gradient, from those kept
  below: less memory, more time, the same numbers.

  Args:
    layers: the declaration.
    patterns: of the layers whose values are not kept; none: nothing is computed
      twice, and None is returned.

  Raises:
    ValueError: a pattern that no layer has.
  """
  if not patterns:
    return None
  names = [layer.name for layer in layers]
  forgotten = optimizers.matching(patterns, names, "remat")
  return tuple(name for name in names if name not in forgotten)


def shown_loss(config: Mapping[str, Any]) -> Loss:
  """The loss that a checkpoint was trained with, to be shown.

  Without class weights: they enter what is minimised alone.

  Args:
    config: the recipe (nested), as a checkpoint tells it; one without a loss,
      as that of a converted model, stands for the cross entropy.
  """
  given = dict(config.get("loss", {}))
  function = choose(LOSSES, given.get("name", "cross_entropy"), "loss.name")
  options = options_of(function).keys() & given.keys() - {"class_weights"}
  return function(**{name: plain(given[name]) for name in options})


def _class_weights(given: str | tuple, data: Dataset, split: str):
  """'none', or a weight of each class."""
  names = data.class_names
  if given == "median_frequency":
    weights = statistics.split_weights(data, split)
    # A class without a pixel needs no weight.
    given = tuple(np.nan_to_num(weights, nan=1.0).tolist())
    _log.info(
      "class weights by median frequency: %s",
      ", ".join(f"{n} {w:.3g}" for n, w in zip(names, given, strict=True)),
    )
  if isinstance(given, str) and given != "none":
    try:
      given = tuple(float(part) for part in given.strip("()[]").split(","))
    except ValueError:
      raise ValueError(
        f"config.loss.class_weights = {given!r}: there is none, "
        "median_frequency, or one number a class"
      ) from None
  if given != "none" and (
    len(given) != len(names) or not all(w >= 0 for w in given)
  ):
    raise ValueError(
      f"config.loss.class_weights: {len(given)} numbers for {len(names)} "
      "classes; give one a class, at least 0"
    )
  return given
