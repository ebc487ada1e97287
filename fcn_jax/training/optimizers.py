"""Learning-rate schedules and optimizers, as optax transformations.

`SCHEDULES` and `OPTIMIZERS` hold a function for every name that a recipe can
give; the arguments that have a default are its options.  An option `gamma` of a
schedule is the recipe's field `lr_gamma`, an option `momentum` of an optimizer
is its field `momentum`.
"""

import fnmatch
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int
from ml_collections import ConfigDict

from fcn_jax.models import layers as d
from fcn_jax.models.options import choose, options_of, plain

GAMMA_UNITS = ("step", "percent")
_MOST_STEPS = 2**31 - 1

# Updates made so far, to the learning rate of the next one.
Schedule = Callable[[Int[Array, ""]], Float[Array, ""]]
# Of a schedule: what updates the parameters at its rates.
Solver = Callable[[Schedule], optax.GradientTransformation]
# A duration such as '33 %' or '20 steps', in steps.
Steps = Callable[[str | int], int]


def steps_in(
  duration: str | int, total: int | None, steps_per_epoch: int
) -> int:
  """A duration such as '30 epochs', '100_000 steps' or '33 %', in steps.

  Percents are of `total` and round up, as DIGITS does.

  Raises:
    ValueError: anything else, or more steps than an int32 counts.
  """
  text = str(duration).strip()
  number, _, unit = text.replace("%", " %").partition(" ")
  try:
    amount = float(number.replace("_", ""))
  except ValueError:
    amount = -1.0
  kind = unit.strip().rstrip("s")
  steps_each = {"epoch": steps_per_epoch, "step": 1, "": 1}.get(kind, 0)
  if amount * steps_each > _MOST_STEPS:
    raise ValueError(
      f"duration {duration!r} is of more than {_MOST_STEPS:,} steps"
    )
  match kind:
    case "epoch" if amount >= 0:
      return math.ceil(amount * steps_per_epoch)
    case "step" | "" if amount >= 0 and amount == int(amount):
      return int(amount)
    case "%" if 0 <= amount < math.inf and total is not None:
      return math.ceil(amount * total / 100)
  raise ValueError(
    f"duration {duration!r} is not understood; write '30 epochs', "
    "'1000 steps'" + (" or '33 %'" if total is not None else "")
  )


def fixed(base_lr: float, *, total: int, steps: Steps) -> Schedule:
  """base_lr throughout."""
  return lambda i: base_lr * jnp.ones_like(_float(i))


def step(
  base_lr: float,
  *,
  total: int,
  steps: Steps,
  gamma: float = 0.1,
  stepsize: str | int = "33 %",
) -> Schedule:
  """base_lr * gamma ** floor(i / stepsize), Caffe's."""
  size = max(1, steps(stepsize))
  return lambda i: base_lr * gamma ** (jnp.asarray(i) // size).astype("float32")


def multistep(
  base_lr: float,
  *,
  total: int,
  steps: Steps,
  gamma: float = 0.1,
  stepvalues: tuple[str | int, ...] = (),
) -> Schedule:
  """base_lr * gamma ** (number of stepvalues that are <= i), Caffe's."""
  values = [steps(value) for value in stepvalues]

  def rate(i):
    passed = sum(jnp.asarray(i) >= value for value in values)
    return base_lr * gamma ** jnp.asarray(passed, jnp.float32)

  return rate


def exp(
  base_lr: float,
  *,
  total: int,
  steps: Steps,
  gamma: float = 0.1,
  gamma_per: str = "step",
) -> Schedule:
  """base_lr * gamma ** i, Caffe's; DIGITS' gamma is per percent of the run."""
  if gamma_per == "percent":
    gamma = gamma ** (1 / _percent(total))
  return lambda i: base_lr * gamma ** _float(i)


def inv(
  base_lr: float,
  *,
  total: int,
  steps: Steps,
  gamma: float = 0.1,
  gamma_per: str = "step",
  power: float = 1.0,
) -> Schedule:
  """base_lr * (1 + gamma * i) ** -power, Caffe's."""
  if gamma_per == "percent":
    gamma = gamma / _percent(total)
  return lambda i: base_lr * (1 + gamma * _float(i)) ** -power


def poly(
  base_lr: float, *, total: int, steps: Steps, power: float = 1.0
) -> Schedule:
  """base_lr * (1 - i / total) ** power, Caffe's."""
  return lambda i: base_lr * (1 - _float(i) / total) ** power


def sigmoid(
  base_lr: float,
  *,
  total: int,
  steps: Steps,
  gamma: float = 0.1,
  gamma_per: str = "step",
  stepsize: str | int = "33 %",
) -> Schedule:
  """base_lr / (1 + exp(-gamma * (i - stepsize))), Caffe's, which rises.

  DIGITS' falls: its gamma per percent has the other sign.
  """
  size = max(1, steps(stepsize))
  if gamma_per == "percent":
    gamma = -gamma / _percent(total)
  return lambda i: base_lr * (1 / (1 + jnp.exp(-gamma * (_float(i) - size))))


def cosine(
  base_lr: float,
  *,
  total: int,
  steps: Steps,
  warmup: str | int = "0 steps",
  final: float = 0.0,
) -> Schedule:
  """From 0 to base_lr in a straight line, then half a cosine down to final.

  Loshchilov and Hutter, "SGDR", ICLR 2017, without restarts.

  Args:
    base_lr: the highest rate.
    total: steps of the run.
    steps: durations in steps.
    warmup: duration of the rise; 0: none.
    final: rate at the end.
  """
  rise = min(steps(warmup), max(0, total - 1))
  return optax.warmup_cosine_decay_schedule(
    0.0 if rise else base_lr, base_lr, rise, max(1, total), final
  )


def _float(i) -> Float[Array, "..."]:
  return jnp.asarray(i, jnp.float32)


def _percent(total: int) -> float:
  """Steps in a percent of a run."""
  return max(1, total) / 100


SCHEDULES: dict[str, Callable[..., Schedule]] = {
  "fixed": fixed,
  "step": step,
  "multistep": multistep,
  "exp": exp,
  "inv": inv,
  "poly": poly,
  "sigmoid": sigmoid,
  "cosine": cosine,
}


class Multipliers(NamedTuple):
  """Trees like the parameters, of one float a parameter."""

  lr: Any
  decay: Any


def multipliers(
  layers: d.Layers,
  params: Any,
  lr: Mapping[str, float] | None = None,
  decay: Mapping[str, float] | None = None,
) -> Multipliers:
  """lr_mult and decay_mult of every parameter, from the declaration.

  Args:
    layers: the declaration.
    params: a tree whose paths begin (name of the layer, name of its array).
    lr, decay: factors by patterns of layers, as 'conv*'. Those of all patterns
      that a layer has are multiplied with the declaration's.

  Raises:
    ValueError: a pattern that no layer with parameters has.
  """
  weights = d.weights(layers)
  for field, patterns in (("lr_mult", lr), ("decay_mult", decay)):
    matching(patterns or {}, weights, field)

  def of(path, field, factors):
    layer, array = path_of(path)
    return math.prod(
      (
        float(getattr(weights[layer][array], field)),
        *(x for p, x in factors.items() if fnmatch.fnmatchcase(layer, p)),
      )
    )

  def tree(field, factors):
    return jax.tree_util.tree_map_with_path(
      lambda path, _: of(path, field, factors or {}), params
    )

  return Multipliers(tree("lr_mult", lr), tree("decay_mult", decay))


def path_of(path: Iterable[Any]) -> tuple[str, str]:
  """The layer and the array of a parameter, by its path in a tree."""
  layer, array, *_ = (
    str(getattr(key, "key", getattr(key, "name", key))) for key in path
  )
  return layer, array


def matching(
  patterns: Iterable[str], names: Iterable[str], field: str
) -> set[str]:
  """Those of the names that one of the patterns has, as 'conv*'.

  Raises:
    ValueError: a pattern without a name; `field` of the recipe has it.
  """
  found, names = set(), list(names)
  for pattern in patterns:
    there = fnmatch.filter(names, pattern)
    if not there:
      raise ValueError(
        f"config.{field}: no layer is called {pattern!r}; there is "
        f"{', '.join(names)}"
      )
    found.update(there)
  return found


def learned(
  layers: d.Layers, freeze: Iterable[str] = ()
) -> Callable[[Any, Any], bool]:
  """A filter of nnx.split: what is learned of a network.

  Args:
    layers: the declaration.
    freeze: patterns of layers that stay as they are, as 'conv1*'.

  Raises:
    ValueError: a pattern without a layer, or nothing is left to be learned.
  """
  weights = d.weights(layers)
  frozen = matching(freeze, weights, "freeze")
  there = {
    name
    for name, arrays in weights.items()
    if any(weight.fixed is None for weight in arrays.values())
  }
  if there <= frozen:
    raise ValueError("config.freeze: nothing is left to be learned")
  return lambda path, value: (
    isinstance(value, nnx.Param) and path_of(path)[0] not in frozen
  )


class SolverState(NamedTuple):
  """Updates made so far, and Caffe's history: the amount last subtracted."""

  count: Int[Array, ""]
  history: Any


def caffe_sgd(
  schedule: Schedule,
  multipliers: Multipliers,
  images: int,
  *,
  momentum: float = 0.9,
  weight_decay: float = 0.0,
  clip_gradients: float = 0.0,
) -> optax.GradientTransformation:
  """Caffe's SGD: v = m v + lr lr_mult (g + wd decay_mult w);  w -= v.

  The gradients given to `update` are the sum over images, each of which is
  normalised by itself (Caffe's iter_size).  The sum is clipped on its L2 norm
  over all parameters, then divided by the number of images, then decayed, in
  this order.  It differs from `optax.sgd`: the learning rate is inside the
  momentum buffer, weight decay comes after clipping, and every parameter has
  multipliers for both.

  Args:
    schedule: updates made to learning rate.
    multipliers: of each parameter.
    images: whose gradients are added up in an update.
    momentum: m, at least 0 and below 1.
    weight_decay: wd.
    clip_gradients: largest L2 norm of the sum; 0: no clipping.
  """

  def init(params):
    zeros = jax.tree.map(jnp.zeros_like, params)
    return SolverState(jnp.zeros((), jnp.int32), zeros)

  def update(grads, state, params):
    rate = schedule(state.count)
    scale = 1.0 / images
    if clip_gradients:
      norm = optax.tree.norm(grads)
      scale *= clip_gradients / jnp.maximum(norm, clip_gradients)

    def step(g, v, w, lr_mult, decay_mult):
      slope = g * scale + (weight_decay * decay_mult) * w
      return momentum * v + (rate * lr_mult) * slope

    history = jax.tree.map(
      step, grads, state.history, params, multipliers.lr, multipliers.decay
    )
    updates = jax.tree.map(jnp.negative, history)
    return updates, SolverState(state.count + 1, history)

  return optax.GradientTransformation(init, update)


def adamw(
  schedule: Schedule,
  multipliers: Multipliers,
  images: int,
  *,
  b1: float = 0.9,
  b2: float = 0.999,
  eps: float = 1e-8,
  weight_decay: float = 1e-4,
  clip_gradients: float = 0.0,
) -> optax.GradientTransformation:
  """AdamW: w -= lr lr_mult (adam(g) + wd decay_mult w).

  Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019.
  The sum of gradients is clipped and divided as in `caffe_sgd`.

  Args:
    schedule: updates made to learning rate.
    multipliers: of each parameter.
    images: whose gradients are added up in an update.
    b1, b2: decay of the means of the gradient and of its square.
    eps: added to the root of the mean square.
    weight_decay: wd.
    clip_gradients: largest L2 norm of the sum; 0: no clipping.
  """
  return optax.chain(
    *_mean(images, clip_gradients),
    optax.scale_by_adam(b1, b2, eps),
    _decayed(weight_decay, multipliers),
    _multiplied(multipliers),
    optax.scale_by_learning_rate(schedule),
  )


def adam(
  schedule: Schedule,
  multipliers: Multipliers,
  images: int,
  *,
  b1: float = 0.9,
  b2: float = 0.999,
  eps: float = 1e-8,
  weight_decay: float = 0.0,
  clip_gradients: float = 0.0,
) -> optax.GradientTransformation:
  """Adam: w -= lr lr_mult adam(g + wd decay_mult w), Kingma and Ba, ICLR 2015.

  Args: as those of `adamw`; the decay is part of the gradient.
  """
  return optax.chain(
    *_mean(images, clip_gradients),
    _decayed(weight_decay, multipliers),
    optax.scale_by_adam(b1, b2, eps),
    _multiplied(multipliers),
    optax.scale_by_learning_rate(schedule),
  )


def sgd(
  schedule: Schedule,
  multipliers: Multipliers,
  images: int,
  *,
  momentum: float = 0.9,
  nesterov: bool = False,
  weight_decay: float = 0.0,
  clip_gradients: float = 0.0,
) -> optax.GradientTransformation:
  """optax's SGD: v = m v + g + wd decay_mult w;  w -= lr lr_mult v.

  `caffe_sgd` has the rate inside v, so that the two differ where it changes.

  Args:
    schedule: updates made to learning rate.
    multipliers: of each parameter.
    images: whose gradients are added up in an update.
    momentum: m, at least 0 and below 1.
    nesterov: look ahead, as Nesterov does.
    weight_decay: wd.
    clip_gradients: largest L2 norm of the sum; 0: no clipping.
  """
  return optax.chain(
    *_mean(images, clip_gradients),
    _decayed(weight_decay, multipliers),
    optax.trace(momentum, nesterov),
    _multiplied(multipliers),
    optax.scale_by_learning_rate(schedule),
  )


def _mean(
  images: int, clip_gradients: float
) -> tuple[optax.GradientTransformation, ...]:
  """The sum over images, clipped and divided by their number."""
  clip = optax.clip_by_global_norm(clip_gradients)
  return clip if clip_gradients else optax.identity(), optax.scale(1 / images)


def _decayed(
  weight_decay: float, multipliers: Multipliers
) -> optax.GradientTransformation:
  return optax.stateless(
    lambda updates, params: jax.tree.map(
      lambda u, w, mult: u + (weight_decay * mult) * w,
      updates,
      params,
      multipliers.decay,
    )
  )


def _multiplied(multipliers: Multipliers) -> optax.GradientTransformation:
  return optax.stateless(
    lambda updates, params: jax.tree.map(jnp.multiply, updates, multipliers.lr)
  )


OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
  "caffe_sgd": caffe_sgd,
  "adamw": adamw,
  "adam": adam,
  "sgd": sgd,
}


def make_schedule(config: ConfigDict, total_steps: int, epoch: int) -> Schedule:
  """A recipe's learning rate: updates made to the rate of the next one.

  Args:
    config: the recipe.
    total_steps: of the run.
    epoch: steps in an epoch.
  """
  function = choose(SCHEDULES, config.lr_policy, "lr_policy")
  return function(
    config.base_lr,
    total=total_steps,
    steps=lambda duration: steps_in(duration, total_steps, epoch),
    **{name: plain(config[f"lr_{name}"]) for name in options_of(function)},
  )


def make_solver(config: ConfigDict, layers: d.Layers, params: Any) -> Solver:
  """A recipe's optimizer, to be given a schedule.

  Args:
    config: the recipe.
    layers: the declaration of the network; it has the multipliers.
    params: of the network.
  """
  function = choose(OPTIMIZERS, config.optimizer, "optimizer")
  options = {name: plain(config[name]) for name in options_of(function)}
  factors = multipliers(
    layers, params, config.lr_mult.to_dict(), config.decay_mult.to_dict()
  )
  images = images_per_update(config)
  return lambda schedule: function(schedule, factors, images, **options)


def needs_epochs(config: ConfigDict) -> list[str]:
  """Fields of the learning rate that are given in epochs."""
  used = options_of(choose(SCHEDULES, config.lr_policy, "lr_policy"))
  fields = {"duration": config.duration}
  fields |= {f"lr_{name}": config[f"lr_{name}"] for name in used}
  return [
    name for name, value in fields.items() if re.search("epoch", str(value))
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
    used = options_of(SCHEDULES[config.lr_policy])
    values = [f"config.lr_{name} = {config[f'lr_{name}']!r}" for name in used]
    raise ValueError(
      f"the learning rate of step {wrong[0]} is {rates[wrong[0]]}: "
      f"{', '.join(values)} cannot be used with lr_policy = "
      f"{config.lr_policy!r}"
    )
  return rates


def images_per_update(config: ConfigDict) -> int:
  """Images whose gradients are added up: Caffe's batch size times iter_size."""
  return config.batch_size * config.accumulation_steps
