"""The train step: losses, their gradients, one update by the optimizer."""

import dataclasses
import functools
import logging
from collections.abc import Mapping
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
from fcn_jax.models.losses import LOSSES, Loss, image_sums
from fcn_jax.models.options import choose, options_of, plain

_log = logging.getLogger(__name__)


@flax.struct.dataclass
class TrainState:
  """All that training changes, and the fixed arrays beside it.

  Where a step is compiled without arrays, there are shapes in their place.

  Attributes:
    step: updates made; int32 [].
    params: learned; nnx State.
    frozen: the bilinear kernels; nnx State.
    opt_state: of the solver.
  """

  step: Any
  params: Any
  frozen: Any
  opt_state: Any


@dataclasses.dataclass(frozen=True)
class Training:
  """The functions of one recipe, to be compiled.

  Attributes:
    graphdef: of the network.
    solver: updates the parameters from a sum of gradients.
    loss: what is minimised, see `models.losses`.
    dropout_key: each image's dropout is drawn from it, the step and the
      image's place in the batch.
  """

  graphdef: Any
  solver: optax.GradientTransformation
  loss: Loss
  dropout_key: Any

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
      sums = image_sums(
        self.loss, net, batch.image, batch.label, batch.extent, keys
      )
      each = self.loss.image(sums)
      shown = jnp.where(jnp.isfinite(each), self.loss.shown(sums), each)
      return each.sum(), shown

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
    self, state: TrainState, batch: pipeline.Part
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
    self, state: TrainState, drawn: pipeline.Batch
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

  def compile(
    self, state: TrainState, part: pipeline.Part
  ) -> list[jax.stages.Compiled]:
    """The programs of a step for parts like this one, without a step.

    Steps that follow do not compile them again.

    Args:
      state, part: the arrays, or their shapes (jax.ShapeDtypeStruct, with the
        sharding).
    """
    if self._one_part:
      return [self._train_step.lower(state, part).compile()]
    total = state.params
    accumulate = self._accumulate.lower(
      total, state.params, state.frozen, state.step, part
    )
    return [accumulate.compile(), self._update.lower(state, total).compile()]


def make_loss(config: ConfigDict, data: Dataset) -> Loss:
  """The loss of a recipe.

  Args:
    config: the recipe.
    data: its training split gives the weights of classes where they are asked
      for by name.

  Raises:
    ValueError: class weights that are not one number a class.
  """
  function = choose(LOSSES, config.loss.name, "loss.name")
  options = {name: plain(config.loss[name]) for name in options_of(function)}
  if "class_weights" in options:
    options["class_weights"] = _class_weights(
      options["class_weights"], data, config.data.train_split
    )
  return function(**options)


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
