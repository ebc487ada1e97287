"""fcn_jax.optimizers: Caffe's solver, six updates at a time, and by hand."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from small_nets import assert_near, fill, golden, split

from fcn_jax import declaration as d
from fcn_jax import devices, models, optimizers, train_step
from fcn_jax.data import pipeline

CAFFE, ARRAYS = golden("sgd")
RUNS = {run["name"]: run for run in CAFFE["runs"]}
WIDTHS = (4, 8, 8, 8, 8, 16, 16)
CANVAS = (61, 72)  # holds all three images
LAYERS = tuple(
  layer
  for layer in models.declare("fcn_alexnet", classes=21, width=WIDTHS)
  if not isinstance(layer, d.Dropout)
)


def samples() -> list[pipeline.Sample]:
  return [
    pipeline.Sample(ARRAYS[f"image/{i}"], ARRAYS[f"label/{i}"])
    for i in range(3)
  ]


def rate_of(solver, iterations: int = 6):
  return optimizers.learning_rate(
    solver["lr_policy"],
    solver["base_lr"],
    gamma=solver.get("gamma", 1.0),
    stepsize=solver.get("stepsize", 1),
    stepvalues=tuple(solver.get("stepvalue", ())),
    power=solver.get("power", 1.0),
    max_iter=solver.get("max_iter", iterations),
  )


def solver_of(run, params) -> optax.GradientTransformation:
  solver = run["solver"]
  return optimizers.caffe_sgd(
    rate_of(solver),
    optimizers.multipliers(LAYERS, params),
    momentum=solver["momentum"],
    weight_decay=solver["weight_decay"],
    clip_gradients=solver.get("clip_gradients", 0.0),
    iter_size=solver.get("iter_size", 1),
  )


def start(run) -> tuple[train_step.TrainState, train_step.Training]:
  """The state that every run of Caffe's starts from."""
  net = fill(models.build(LAYERS), ARRAYS, "init/")
  graphdef, params, frozen = split(net)
  solver = solver_of(run, params)
  key = jax.random.key(0)
  training = train_step.Training(graphdef, solver, run["normalize"], key)
  step = jnp.zeros((), jnp.int32)
  return train_step.TrainState(
    step, params, frozen, solver.init(params)
  ), training


def blob(tree, name: str):
  """A parameter by Caffe's name and in Caffe's shape."""
  layer, number = name.rsplit("_", 1)
  if number == "1":
    return np.asarray(tree[layer]["bias"][...])
  return np.asarray(tree[layer]["kernel"][...]).transpose(3, 2, 0, 1)


@functools.cache
def gradients(normalize: bool):
  """params, frozen, image -> (gradients, losses): compiled once for all."""
  run = RUNS["normalized"] | {"normalize": normalize}
  function = jax.jit(start(run)[1].gradients)
  batches = [pipeline.place([s], [0], CANVAS, 1) for s in samples()]
  step = jnp.zeros((), jnp.int32)

  def of(state, image):
    return function(state.params, state.frozen, step, batches[image])

  return of


def iterations(run):
  """(state, the losses of every forward) after each update."""
  state, training = start(run)
  update = jax.jit(training.update)
  of = gradients(run["normalize"])
  images = run["image_order"]
  each = run["solver"].get("iter_size", 1)
  for first in range(0, len(images), each):
    found = [of(state, image) for image in images[first : first + each]]
    total = jax.tree.map(lambda *g: sum(g), *[grads for grads, _ in found])
    state = update(state, total)
    yield state, [float(loss[0]) for _, loss in found]


def check(run, iteration: int, state, losses) -> None:
  """Losses of one iteration, and the sums and norms of all parameters."""
  name = run["name"]
  count = len(losses)
  expected = ARRAYS[f"{name}/loss_every_forward"]
  expected = expected[iteration * count : (iteration + 1) * count]
  np.testing.assert_allclose(losses, expected, rtol=1e-5)
  for i, parameter in enumerate(CAFFE["params"]):
    ours = blob(state.params, parameter).astype(np.float64)
    norm = ARRAYS[f"{name}/param_l2"][iteration, i]
    total = ARRAYS[f"{name}/param_sum"][iteration, i]
    assert np.linalg.norm(ours) == pytest.approx(norm, rel=1e-6)
    assert abs(ours.sum() - total) <= 1e-6 * norm * np.sqrt(ours.size)


def check_end(run, state) -> None:
  """Weights and history after the last update."""
  name = run["name"]
  full = run["stored"] == "full"
  kept = CAFFE["params" if full else "params_kept_in_light_runs"]
  for parameter in kept:
    theirs = ARRAYS[f"{name}/w/{parameter}"]
    assert_near(blob(state.params, parameter), theirs, 5e-6)
    if full:
      theirs = ARRAYS[f"{name}/history/{parameter}"]
      assert_near(blob(state.opt_state.history, parameter), theirs, 5e-5)


@pytest.mark.parametrize("name", RUNS)
def test_six_updates_are_caffes(name):
  run = RUNS[name]
  for i, (state, losses) in enumerate(iterations(run)):
    check(run, i, state, losses)
  assert int(state.step) == int(state.opt_state.count) == run["iterations"]
  check_end(run, state)


def test_a_drawn_batch_of_three_sizes_is_caffes_iter_size():
  """Three parts and one update: as the training loop does it."""
  run = RUNS["iter_size3"]
  state, training = start(run)
  parts = pipeline.divide(samples(), (CANVAS,), part_size=1)
  assert len(parts) == 3
  mesh = devices.data_mesh()
  stepper = train_step.Stepper(training, mesh, one_part=False)
  state = devices.replicate(state, mesh)
  for i in range(run["iterations"]):
    state, losses = stepper(state, pipeline.Drawn((0, 1, 2), parts))
    each = [float(loss) for part in losses for loss in part]
    check(run, i, state, each)
  check_end(run, state)


def test_the_first_gradient_is_caffes():
  state, _ = start(RUNS["normalized"])
  found, _ = gradients(True)(state, 0)
  for parameter in CAFFE["params"]:
    assert_near(blob(found, parameter), ARRAYS[f"grad/{parameter}"], 2e-5)


@pytest.mark.parametrize("name", RUNS)
def test_learning_rates_are_caffes(name):
  rate = rate_of(RUNS[name]["solver"])
  ours = [float(rate(jnp.asarray(i))) for i in range(RUNS[name]["iterations"])]
  np.testing.assert_allclose(ours, ARRAYS[f"{name}/lr"], rtol=1e-6)


@pytest.mark.parametrize(
  ("policy", "options", "step", "factor"),
  [
    ("fixed", {}, 999, 1),
    ("step", {"gamma": 0.1, "stepsize": 10}, 9, 1),
    ("step", {"gamma": 0.1, "stepsize": 10}, 10, 0.1),
    ("step", {"gamma": 0.1, "stepsize": 10}, 29, 0.01),
    ("multistep", {"gamma": 0.5, "stepvalues": (3, 5)}, 2, 1),
    ("multistep", {"gamma": 0.5, "stepvalues": (3, 5)}, 3, 0.5),
    ("multistep", {"gamma": 0.5, "stepvalues": (3, 5)}, 5, 0.25),
    ("multistep", {"gamma": 0.5, "stepvalues": ()}, 5, 1),
    ("exp", {"gamma": 0.5}, 3, 0.125),
    ("inv", {"gamma": 0.5, "power": 2.0}, 2, 0.25),
    ("poly", {"power": 3.0, "max_iter": 10}, 5, 0.125),
    ("poly", {"power": 3.0, "max_iter": 10}, 10, 0),
    ("sigmoid", {"gamma": 0.1, "stepsize": 50}, 50, 0.5),
  ],
)
def test_policies_by_hand(policy, options, step, factor):
  rate = optimizers.learning_rate(policy, 8.0, **options)
  assert float(rate(jnp.asarray(step))) == pytest.approx(8 * factor, rel=1e-6)


def test_an_unknown_policy_is_refused():
  with pytest.raises(ValueError, match=r"'cosine' is unknown; there is fixed"):
    optimizers.learning_rate("cosine", 1.0)


def sgd_by_hand(gradient, weight, **options):
  """One parameter of the value `weight`, its gradient two times over."""
  params = {"a": jnp.float32(weight)}
  mult = optimizers.Multipliers({"a": 2.0}, {"a": 0.5})
  rates = jnp.array([0.1, 0.01])
  solver = optimizers.caffe_sgd(lambda count: rates[count], mult, **options)
  state = solver.init(params)
  for _ in range(2):
    updates, state = solver.update({"a": jnp.float32(gradient)}, state, params)
    params = optax.apply_updates(params, updates)
  return float(params["a"]), float(state.history["a"])


def test_the_rate_is_inside_the_momentum():
  """v = 0.1 * 2 * 3 = 0.6, then 0.5 * 0.6 + 0.01 * 2 * 3 = 0.36: w = 0.04.

  (With the rate outside, as in optax.sgd, w would be 0.31.)
  """
  weight, history = sgd_by_hand(3.0, 1.0, momentum=0.5)
  assert history == pytest.approx(0.36)
  assert weight == pytest.approx(1 - 0.6 - 0.36)


def test_clip_then_divide_then_decay():
  """A sum of 30, clipped to 12, over 4 images is 3; decay 1 * 0.5 * w.

  w = 1: v = 0.1 * 2 * (3 + 0.5) = 0.7; w = 0.3: v = 0.01 * 2 * (3 + 0.15).
  """
  options = {"clip_gradients": 12.0, "iter_size": 4, "weight_decay": 1.0}
  weight, history = sgd_by_hand(30.0, 1.0, momentum=0.0, **options)
  assert history == pytest.approx(0.063)
  assert weight == pytest.approx(0.3 - 0.063)
  same = sgd_by_hand(12.0, 1.0, momentum=0.0, **options)
  assert same == pytest.approx((weight, history))
  less, _ = sgd_by_hand(8.0, 1.0, momentum=0.0, **options)
  assert less == pytest.approx(1 - 0.2 * 2.5 - 0.02 * (2 + 0.25))


def test_the_norm_that_is_clipped_is_that_of_all_parameters():
  """3 and 4 have the norm 5; clipped to 1 they are 0.6 and 0.8."""
  params = {"a": jnp.zeros(()), "b": jnp.zeros(())}
  ones = {"a": 1.0, "b": 1.0}
  solver = optimizers.caffe_sgd(
    lambda _: jnp.float32(1.0),
    optimizers.Multipliers(ones, ones),
    clip_gradients=1.0,
  )
  grads = {"a": jnp.float32(3), "b": jnp.float32(4)}
  updates, _ = solver.update(grads, solver.init(params), params)
  assert updates == {"a": pytest.approx(-0.6), "b": pytest.approx(-0.8)}


def test_multipliers_come_from_the_declaration():
  """Of FCN-AlexNet: 1 / 1 everywhere but for the head's bias, 2 / 0."""
  _, params, _ = split(models.build(LAYERS))
  mult = optimizers.multipliers(LAYERS, params)
  assert jax.tree.structure(mult.lr) == jax.tree.structure(params)
  lr, decay = nnx.to_pure_dict(mult.lr), nnx.to_pure_dict(mult.decay)
  assert lr.pop("score_fr") == {"kernel": 1, "bias": 2}
  assert decay.pop("score_fr") == {"kernel": 1, "bias": 0}
  assert len(lr) == len(decay) == 7
  for each in (*lr.values(), *decay.values()):
    assert each == {"kernel": 1, "bias": 1}
  changed = tuple(
    dataclasses.replace(layer, lr_mult=(3.0, 7.0), decay_mult=(5.0, 9.0))
    if layer.name == "conv2"
    else layer
    for layer in LAYERS
  )
  mult = optimizers.multipliers(changed, params)
  assert nnx.to_pure_dict(mult.lr)["conv2"] == {"kernel": 3, "bias": 7}
  assert nnx.to_pure_dict(mult.decay)["conv2"] == {"kernel": 5, "bias": 9}


@pytest.mark.parametrize(
  ("duration", "steps"),
  [
    ("3 epochs", 30),
    ("1 epoch", 10),
    ("0.25 epochs", 3),
    ("100_000 steps", 100000),
    ("1 step", 1),
    ("7", 7),
    (7, 7),
    ("33 %", 66),
    ("33%", 66),
    ("33.1 %", 67),
    ("0 steps", 0),
  ],
)
def test_durations_by_hand(duration, steps):
  """10 steps an epoch, 200 in all."""
  assert optimizers.steps_in(duration, 200, 10) == steps


@pytest.mark.parametrize(
  "duration", ["", "soon", "1.5 steps", "-1 epochs", "3 weeks", "nan steps"]
)
def test_other_durations_are_refused(duration):
  with pytest.raises(ValueError, match=r"not understood; write '30 epochs'"):
    optimizers.steps_in(duration, 200, 10)


def test_a_share_of_nothing_is_refused():
  with pytest.raises(ValueError, match="'33 %' is not understood"):
    optimizers.steps_in("33 %", None, 10)
