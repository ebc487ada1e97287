"""Caffe's SGD solver and its learning-rate policies, as optax transformations.

The differences from `optax.sgd`: the learning rate is inside the momentum
buffer, weight decay comes after clipping, and every parameter has multipliers
for both.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

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
