"""Caffe's SGD solver and its learning-rate policies, as optax transformations.

The differences from `optax.sgd`: the learning rate is inside the momentum
buffer, weight decay comes after clipping, and every parameter has multipliers
for both.
"""

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int
from ml_collections import ConfigDict

from fcn_jax.models import layers as d

POLICIES = ("fixed", "step", "multistep", "exp", "inv", "poly", "sigmoid")
GAMMA_UNITS = ("step", "percent")


def learning_rate(
  policy: str,
  base_lr: float,
  *,
  gamma: float = 0.1,
  stepsize: int = 1,
  stepvalues: tuple[int, ...] = (),
  power: float = 1.0,
  max_iter: int = 1,
) -> Callable[[Int[Array, ""]], Float[Array, ""]]:
  """Caffe's policies: iteration i (from 0) to learning rate.

  fixed      b
  step       b * gamma ** floor(i / stepsize)
  multistep  b * gamma ** (how many of stepvalues are <= i)
  exp        b * gamma ** i
  inv        b * (1 + gamma * i) ** -power
  poly       b * (1 - i / max_iter) ** power
  sigmoid    b / (1 + exp(-gamma * (i - stepsize)))

  Raises:
    ValueError: an unknown policy.
  """

  def rate(step):
    i = jnp.asarray(step, jnp.float32)
    match policy:
      case "fixed":
        factor = jnp.ones_like(i)
      case "step":
        factor = gamma ** (jnp.asarray(step) // stepsize).astype(jnp.float32)
      case "multistep":
        passed = sum(jnp.asarray(step) >= value for value in stepvalues)
        factor = gamma ** jnp.asarray(passed, jnp.float32)
      case "exp":
        factor = gamma**i
      case "inv":
        factor = (1 + gamma * i) ** -power
      case "poly":
        factor = (1 - i / max_iter) ** power
      case "sigmoid":
        factor = 1 / (1 + jnp.exp(-gamma * (i - stepsize)))
    return base_lr * factor

  if policy not in POLICIES:
    raise ValueError(
      f"lr_policy {policy!r} is unknown; there is {', '.join(POLICIES)}"
    )
  return rate


def gamma_per_step(
  policy: str, gamma: float, total_steps: int, unit: str
) -> float:
  """Caffe's gamma, which is per step, from one that may be per percent.

  DIGITS draws its policies over percents of a run, s steps each: exp has
  gamma ** (1 / s), inv gamma / s, sigmoid -gamma / s (it falls, where Caffe's
  rises).  The others' gamma has no unit.

  Args:
    policy: see `learning_rate`.
    gamma: in that unit.
    total_steps: of the run.
    unit: 'step' or 'percent'.
  """
  s = max(1, total_steps) / 100
  match unit, policy:
    case "percent", "exp":
      return gamma ** (1 / s)
    case "percent", "inv":
      return gamma / s
    case "percent", "sigmoid":
      return -gamma / s
  return gamma


class Multipliers(NamedTuple):
  """Trees like the parameters, of one float a parameter."""

  lr: Any
  decay: Any


def multipliers(layers: d.Layers, params: Any) -> Multipliers:
  """lr_mult and decay_mult of every parameter, from the declaration.

  Args:
    layers: the declaration.
    params: a tree whose paths begin (layer name, 'kernel' or 'bias').
  """
  by_name = {layer.name: layer for layer in layers}

  def of(path, field):
    keys = [str(getattr(key, "key", getattr(key, "name", key))) for key in path]
    return float(getattr(by_name[keys[0]], field)[keys[1] == "bias"])

  def tree(field):
    return jax.tree_util.tree_map_with_path(
      lambda path, _: of(path, field), params
    )

  return Multipliers(tree("lr_mult"), tree("decay_mult"))


class SolverState(NamedTuple):
  """Updates made so far, and Caffe's history: the amount last subtracted."""

  count: Int[Array, ""]
  history: Any


def caffe_sgd(
  schedule: Callable[[Int[Array, ""]], Float[Array, ""]],
  mult: Multipliers,
  *,
  momentum: float = 0.9,
  weight_decay: float = 0.0,
  clip_gradients: float = 0.0,
  iter_size: int = 1,
) -> optax.GradientTransformation:
  """Caffe's SGD: v = m v + lr lr_mult (g + wd decay_mult w);  w -= v.

  The gradients given to `update` are the sum over `iter_size` images (each
  normalised by itself).  The sum is clipped on its L2 norm over all
  parameters, then divided by iter_size, then decayed: in this order.

  Args:
    schedule: count of updates made to learning rate.
    mult: multipliers per parameter.
    momentum: m, in 0..1.
    weight_decay: wd.
    clip_gradients: largest L2 norm of the sum; 0: no clipping.
    iter_size: images per update.
  """

  def init(params):
    zeros = jax.tree.map(jnp.zeros_like, params)
    return SolverState(jnp.zeros((), jnp.int32), zeros)

  def update(grads, state, params):
    rate = schedule(state.count)
    scale = 1.0 / iter_size
    if clip_gradients:
      norm = optax.tree.norm(grads)
      scale *= clip_gradients / jnp.maximum(norm, clip_gradients)

    def step(g, v, w, lr_mult, decay_mult):
      slope = g * scale + (weight_decay * decay_mult) * w
      return momentum * v + (rate * lr_mult) * slope

    history = jax.tree.map(
      step, grads, state.history, params, mult.lr, mult.decay
    )
    updates = jax.tree.map(jnp.negative, history)
    return updates, SolverState(state.count + 1, history)

  return optax.GradientTransformation(init, update)


def steps_in(
  duration: str | int, total: int | None, steps_per_epoch: int
) -> int:
  """A duration such as '30 epochs', '100_000 steps' or '33 %', in steps.

  Percents are of `total` and round up, as DIGITS does.

  Raises:
    ValueError: anything else.
  """
  text = str(duration).strip()
  number, _, unit = text.replace("%", " %").partition(" ")
  try:
    amount = float(number.replace("_", ""))
  except ValueError:
    amount = -1.0
  match unit.strip().rstrip("s"):
    case "epoch" if amount >= 0:
      return math.ceil(amount * steps_per_epoch)
    case "step" | "" if amount >= 0 and amount == int(amount):
      return int(amount)
    case "%" if amount >= 0 and total is not None:
      return math.ceil(amount * total / 100)
  raise ValueError(
    f"duration {duration!r} is not understood; write '30 epochs', "
    "'1000 steps'" + (" or '33 %'" if total is not None else "")
  )


def make_schedule(config: ConfigDict, total_steps: int, epoch: int):
  """A config's learning rate: updates made to the rate of the next one.

  Args:
    config: the recipe.
    total_steps: of the run.
    epoch: steps in an epoch.
  """

  def steps(duration):
    return steps_in(duration, total_steps, epoch)

  return learning_rate(
    config.lr_policy,
    config.base_lr,
    gamma=gamma_per_step(
      config.lr_policy, config.lr_gamma, total_steps, config.lr_gamma_per
    ),
    stepsize=max(1, steps(config.lr_stepsize)),
    stepvalues=tuple(steps(value) for value in config.lr_stepvalues),
    power=config.lr_power,
    max_iter=total_steps,
  )


def make_solver(config: ConfigDict, layers, params, total_steps: int, epoch):
  """The optax transformation of a config, and its learning-rate schedule."""
  schedule = make_schedule(config, total_steps, epoch)
  solver = caffe_sgd(
    schedule,
    multipliers(layers, params),
    momentum=config.momentum,
    weight_decay=config.weight_decay,
    clip_gradients=config.clip_gradients,
    iter_size=images_per_update(config),
  )
  return solver, schedule


def needs_epochs(config: ConfigDict) -> list[str]:
  """Fields of the learning rate that are given in epochs."""
  fields = {
    "duration": (config.duration,),
    "lr_stepsize": (config.lr_stepsize,),
    "lr_stepvalues": config.lr_stepvalues,
  }
  used = {
    "step": "lr_stepsize",
    "sigmoid": "lr_stepsize",
    "multistep": "lr_stepvalues",
  }
  known = ("duration", used.get(config.lr_policy))
  return [
    name
    for name, values in fields.items()
    if name in known and any(re.search("epoch", str(v)) for v in values)
  ]


def preview_rates(
  config: ConfigDict, epoch: int | None
) -> Float[np.ndarray, " steps"]:
  """The learning rate of every step.

  Args:
    config: the recipe.
    epoch: steps in an epoch; None only where no duration is in epochs.

  Raises:
    ValueError: a duration is not understood, or is of no step; a rate is NaN
      or infinite.
  """
  steps = epoch or 1
  total = steps_in(config.duration, None, steps)
  if total < 1:
    raise ValueError(f"config.duration = {config.duration!r}: no step at all")
  schedule = make_schedule(config, total, steps)
  rates = np.asarray(jax.vmap(schedule)(jnp.arange(total)), np.float32)
  wrong = np.flatnonzero(~np.isfinite(rates))
  if wrong.size:
    raise ValueError(
      f"the learning rate of step {wrong[0]} is {rates[wrong[0]]}: "
      f"config.lr_gamma = {config.lr_gamma} and config.lr_power = "
      f"{config.lr_power} make no sense for lr_policy = {config.lr_policy!r}"
    )
  return rates


def images_per_update(config: ConfigDict) -> int:
  """Images whose gradients are added up: Caffe's batch size times iter_size."""
  return config.batch_size * config.accumulation_steps
