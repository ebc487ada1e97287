"""The train step: masked cross entropy, gradients, one update by the solver."""

import dataclasses
import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int

from fcn_jax import devices
from fcn_jax.data import pipeline
from fcn_jax.models.losses import banded_cross_entropy, image_losses


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
    normalize: see `losses.image_losses`.
    dropout_key: each image's dropout is drawn from it, the step and the
      image's place in the batch.
  """

  graphdef: Any
  solver: optax.GradientTransformation
  normalize: bool
  dropout_key: Any

  def gradients(
    self, params, frozen, step: Int[Array, ""], batch: pipeline.Part
  ) -> tuple[Any, Float[Array, " b"]]:
    """Sum over a part's images of the gradients of their losses; the losses."""
    key = jax.random.fold_in(self.dropout_key, step)
    keys = jax.vmap(functools.partial(jax.random.fold_in, key))(batch.position)

    def loss_fn(params):
      net = nnx.merge(self.graphdef, params, frozen)
      total, valid = banded_cross_entropy(
        net, batch.image, batch.label, batch.extent, keys
      )
      each = image_losses(total, valid, self.normalize)
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
