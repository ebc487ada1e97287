"""fcn_jax.optimizers, by hand; Caffe's runs: see test_parity."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from configs_there import load_config
from flax import nnx
from small_nets import split

from fcn_jax import models
from fcn_jax.reports import learning_rate
from fcn_jax.training import optimizers
from fcn_jax.training.optimizers import (
  SCHEDULES,
  needs_epochs,
  preview_rates,
)
from fcn_jax.training.recipe import check

LAYERS = models.declare("fcn_alexnet", classes=3, width=0.02)


def rates(policy, total=1, **options):
  """The schedule of a policy from a base_lr of 8; durations are steps."""
  function = optimizers.SCHEDULES[policy]
  return function(8.0, total=total, steps=int, **options)


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
    ("poly", {"power": 3.0, "total": 10}, 5, 0.125),
    ("poly", {"power": 3.0, "total": 10}, 10, 0),
    ("sigmoid", {"gamma": 0.1, "stepsize": 50}, 50, 0.5),
    # Warm-up: half way up at 2 of 4; then half a cosine over 8 steps.
    ("cosine", {"warmup": 4, "total": 12}, 0, 0),
    ("cosine", {"warmup": 4, "total": 12}, 2, 0.5),
    ("cosine", {"warmup": 4, "total": 12}, 4, 1),
    ("cosine", {"warmup": 4, "total": 12}, 6, (1 + math.sqrt(0.5)) / 2),
    ("cosine", {"warmup": 4, "total": 12}, 8, 0.5),
    ("cosine", {"warmup": 4, "total": 12, "final": 2.0}, 8, 0.625),
    ("cosine", {"warmup": 4, "total": 12, "final": 2.0}, 12, 0.25),
    ("cosine", {"warmup": 0, "total": 12}, 0, 1),
    ("cosine", {"warmup": 99, "total": 3}, 1, 0.5),
  ],
)
def test_policies_by_hand(policy, options, step, factor):
  rate = rates(policy, **options)
  expected = pytest.approx(8 * factor, rel=1e-6, abs=1e-6)
  assert float(rate(jnp.asarray(step))) == expected


@pytest.mark.parametrize(
  ("policy", "gamma", "per_step"),
  [
    ("exp", 0.95, 0.95 ** (1 / 7)),
    ("inv", 0.1, 0.1 / 7),
    ("sigmoid", 0.1, -0.1 / 7),
  ],
)
def test_gamma_per_percent_as_digits_has_it(policy, gamma, per_step):
  """Of 700 steps 7 are one percent."""
  given = {"gamma": gamma, "gamma_per": "percent", "total": 700}
  other = {"stepsize": 50} if policy == "sigmoid" else {}
  found = rates(policy, **given, **other)(jnp.asarray(60))
  same = rates(policy, gamma=per_step, **other)(jnp.asarray(60))
  assert float(found) == pytest.approx(float(same), rel=1e-6)
  none = rates(policy, **given | {"total": 0}, **other)(jnp.asarray(0))
  assert math.isfinite(float(none)), "a run of no steps"


def test_an_unknown_policy_is_refused():
  config = load_config("voc_fcn_alexnet_digits")
  config.lr_policy = "falling"
  with pytest.raises(ValueError, match=r"'falling': there is fixed, step"):
    optimizers.make_schedule(config, 10, 10)


def sgd_by_hand(gradient, weight, **options):
  """One parameter of the value `weight`, its gradient two times over."""
  params = {"a": jnp.float32(weight)}
  mult = optimizers.Multipliers({"a": 2.0}, {"a": 0.5})
  rates = jnp.array([0.1, 0.01])
  images = options.pop("images", 1)
  solver = optimizers.caffe_sgd(
    lambda count: rates[count], mult, images, **options
  )
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
  options = {"clip_gradients": 12.0, "images": 4, "weight_decay": 1.0}
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
    1,
    clip_gradients=1.0,
  )
  grads = {"a": jnp.float32(3), "b": jnp.float32(4)}
  updates, _ = solver.update(grads, solver.init(params), params)
  assert updates == {"a": pytest.approx(-0.6), "b": pytest.approx(-0.8)}


def test_adamw_by_hand():
  """The first update of Adam is the gradient's sign; decay is beside it.

  A sum of 30 over 4 images, clipped to 12, is 3: its sign is 1. w = 1 loses
  0.1 * 2 * (1 + 0.5 * 0.5 * 1) = 0.25; without decay it would be 0.2.
  """
  mult = optimizers.Multipliers({"a": 2.0}, {"a": 0.5})
  solver = optimizers.adamw(
    lambda count: jnp.float32(0.1),
    mult,
    4,
    weight_decay=0.5,
    clip_gradients=12.0,
  )
  params = {"a": jnp.float32(1)}
  updates, state = solver.update(
    {"a": jnp.float32(30)}, solver.init(params), params
  )
  assert float(updates["a"]) == pytest.approx(-0.25, rel=1e-5)
  mean = optax.tree.get(state, "mu")["a"]
  assert float(mean) == pytest.approx(0.1 * 3)


def test_adamw_without_multipliers_is_optax_s():
  draw = np.random.default_rng(0)
  params = {"a": jnp.asarray(draw.normal(size=5), jnp.float32)}
  ones = {"a": 1.0}
  ours = optimizers.adamw(
    lambda count: jnp.float32(0.01), optimizers.Multipliers(ones, ones), 3
  )
  theirs = optax.adamw(0.01, weight_decay=1e-4)
  states = [ours.init(params), theirs.init(params)]
  both = [params, params]
  for _ in range(4):
    grads = {"a": jnp.asarray(draw.normal(size=5), jnp.float32)}
    thirds = jax.tree.map(lambda g: g / 3, grads)
    for i, (solver, g) in enumerate([(ours, grads), (theirs, thirds)]):
      updates, states[i] = solver.update(g, states[i], both[i])
      both[i] = optax.apply_updates(both[i], updates)
  np.testing.assert_allclose(both[0]["a"], both[1]["a"], rtol=1e-6)


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


def test_factors_of_layers_are_multiplied_with_the_declaration_s():
  """score_fr: 10 by its own pattern, 0.5 by that of all; its bias twice."""
  _, params, _ = split(models.build(LAYERS))
  mult = optimizers.multipliers(
    LAYERS, params, {"score*": 10.0, "*": 0.5, "conv1": 0.0}, {"fc?": 3.0}
  )
  lr, decay = nnx.to_pure_dict(mult.lr), nnx.to_pure_dict(mult.decay)
  assert lr["score_fr"] == {"kernel": 5, "bias": 10}
  assert lr["conv1"] == {"kernel": 0, "bias": 0}
  assert lr["conv2"] == {"kernel": 0.5, "bias": 0.5}
  assert decay["fc6"] == decay["fc7"] == {"kernel": 3, "bias": 3}
  assert decay["score_fr"] == {"kernel": 1, "bias": 0}
  with pytest.raises(ValueError, match=r"lr_mult: no layer is called 'head"):
    optimizers.multipliers(LAYERS, params, {"head*": 10.0})


def test_what_is_frozen_is_not_learned():
  net = models.build(LAYERS)
  chosen = optimizers.learned(LAYERS, ("conv?", "fc6"))
  _, params, frozen = nnx.split(net, chosen, ...)
  assert set(nnx.to_pure_dict(params)) == {"fc7", "score_fr"}
  assert {"conv1", "fc6", "upscore"} <= set(nnx.to_pure_dict(frozen))
  with pytest.raises(ValueError, match="freeze: no layer is called 'conv9'"):
    optimizers.learned(LAYERS, ("conv9",))
  with pytest.raises(ValueError, match="nothing is left to be learned"):
    optimizers.learned(LAYERS, ("*",))


ONE = optimizers.Multipliers({"a": 2.0}, {"a": 0.5})


def two_updates(solver) -> list[float]:
  """What is added to a = 1, then to what it became, by gradients 30 and 15."""
  params = {"a": jnp.float32(1)}
  state, found = solver.init(params), []
  for gradient in (30.0, 15.0):
    grads = {"a": jnp.float32(gradient)}
    updates, state = solver.update(grads, state, params)
    params = optax.apply_updates(params, updates)
    found.append(float(updates["a"]))
  return found


def test_sgd_by_hand():
  """Of 10 images: 3 + 0.4 * 0.5 * 1 = 3.2, times the rate 0.1 and 2: -0.64.

  Then 0.5 * 3.2 + 1.5 + 0.2 * 0.36 = 3.172. Nesterov adds the slope once more:
  0.5 * 3.2 + 3.2 = 4.8 at first.
  """

  def rate(count):
    return jnp.float32(0.1)

  options = {"momentum": 0.5, "weight_decay": 0.4}
  plain = two_updates(optimizers.sgd(rate, ONE, 10, **options))
  assert plain == pytest.approx([-0.64, -0.6344], rel=1e-5)
  ahead = two_updates(optimizers.sgd(rate, ONE, 10, nesterov=True, **options))
  assert ahead[0] == pytest.approx(-0.96, rel=1e-5)
  clipped = optimizers.sgd(rate, ONE, 10, momentum=0.0, clip_gradients=15.0)
  assert two_updates(clipped) == pytest.approx([-0.3, -0.3], rel=1e-5)


def test_adam_is_optax_s_with_the_decay_in_the_gradient():
  """The first step is the rate, times the multiplier 2, whatever the slope."""
  ours = optimizers.adam(
    lambda count: jnp.float32(0.1), ONE, 10, weight_decay=0.4
  )
  found = two_updates(ours)
  assert found[0] == pytest.approx(-0.2, rel=1e-5)
  params, theirs = {"a": jnp.float32(1)}, optax.adam(0.2)
  state = theirs.init(params)
  for slope in (3 + 0.2, 1.5 + 0.2 * 0.8):
    updates, state = theirs.update({"a": jnp.float32(slope)}, state, params)
  assert found[1] == pytest.approx(float(updates["a"]), rel=1e-5)


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


@pytest.mark.parametrize(
  "duration",
  ["1e99 steps", "1e99", "inf steps", "inf epochs", "214748365 epochs"],
)
def test_more_steps_than_an_int32_counts_are_refused(duration):
  """10 steps an epoch; 2**31 - 1 is 2147483647."""
  with pytest.raises(ValueError, match="is of more than 2,147,483,647 steps"):
    optimizers.steps_in(duration, 200, 10)
  assert optimizers.steps_in("2147483647 steps", 200, 10) == 2**31 - 1


def test_a_share_of_nothing_is_refused():
  with pytest.raises(ValueError, match="'33 %' is not understood"):
    optimizers.steps_in("33 %", None, 10)


def recipe(policy: str, **fields):
  given = load_config("voc_fcn_alexnet_digits").to_dict()
  given |= {"lr_policy": policy, "lr_gamma_per": "percent", **fields}
  return check(given)


def preview(config, epoch):
  rates = preview_rates(config, epoch)
  return learning_rate.Preview(config.lr_policy, rates, epoch)


def test_steps_by_hand():
  """10 epochs of 7 steps; a third of 70 is 23.1, which rounds up."""
  config = recipe("step", duration="10 epochs", lr_stepsize="33 %")
  found = preview(config, 7)
  assert len(found.rates) == 70
  told = found.told()
  assert [step for step, _ in told] == [0, 24, 48]
  assert [rate for _, rate in told] == pytest.approx([1e-4, 1e-5, 1e-6])
  assert found.logarithmic
  rows = [line.split() for line in found.text().splitlines()[2:6]]
  assert rows == [
    ["step", "epoch", "learning", "rate"],
    ["0", "0", "0.0001"],
    ["24", "3.429", "1e-05"],
    ["48", "6.857", "1e-06"],
  ]


def test_a_curve_is_told_at_tenths():
  """poly of power 1: 1 - i / 50 of the rate."""
  config = recipe("poly", duration="50 steps", lr_power=1.0)
  found = preview(config, None)
  assert [step for step, _ in found.told()] == [*range(0, 50, 5), 49]
  rates = [rate for _, rate in found.told()]
  assert rates[2] == pytest.approx(0.8e-4)
  assert rates[-1] == pytest.approx(0.02e-4, rel=1e-4)
  assert not found.logarithmic
  assert "epoch" not in found.text()


def test_the_plot_by_hand():
  """Half of the run at 4, half at 1: 4 and 1 of 4 rows."""
  rates = np.array([4, 4, 1, 1], np.float32)
  found = learning_rate.Preview("step", rates, None)
  plot = found.text(width=4, height=4).splitlines()[-6:]
  assert plot == [
    "4 ┤██",
    "  ┤██",
    "2 ┤██",
    "  ┤████",
    "0 ┼────",
    "   0  3  step (linear axis)",
  ]


def test_the_logarithmic_plot_by_hand():
  """From half of 1 up to 128 are 8 powers of two: 1 is the first of them."""
  rates = np.array([128, 1], np.float32)
  found = learning_rate.Preview("step", rates, None)
  plot = found.text(width=2, height=8).splitlines()[-10:]
  assert [line.split("┤")[1] for line in plot[:8]] == ["█"] * 7 + ["██"]
  assert plot[0].startswith("128 ┤")
  assert plot[4].startswith("  8 ┤")
  assert plot[8].startswith("0.5 ┼")
  assert "logarithmic" in plot[9]


FORMS = {
  "fixed": {},
  "step": {"lr_stepsize": "33 %"},
  "multistep": {"lr_stepvalues": ("50 %", "85 %"), "lr_gamma": 0.5},
  "exp": {"lr_gamma": 0.95},
  "inv": {"lr_gamma": 0.1, "lr_power": 0.5},
  "poly": {"lr_power": 3.0},
  "sigmoid": {"lr_stepsize": "50 %", "lr_gamma": 0.1},
  "cosine": {"lr_warmup": "10 %"},
}


@pytest.mark.parametrize("policy", SCHEDULES)
def test_every_policy_is_the_one_that_trains(policy):
  """Step by step, the solver's own schedule."""
  config = recipe(policy, duration="2 epochs", **FORMS[policy])
  found = preview(config, 60)
  schedule = optimizers.make_schedule(config, 120, 60)
  steps = [0, 1, 39, 40, 59, 60, 80, 102, 118, 119]
  expected = [float(schedule(jnp.asarray(step))) for step in steps]
  np.testing.assert_allclose(found.rates[steps], expected, 2e-6, 1e-10)
  drawn = found.points()
  assert drawn[0] == 0
  assert drawn[-1] == 119
  text = found.text()
  assert text.startswith(f"{policy}, 120 steps")
  assert len(text.splitlines()) == 16 + len(found.told())


def test_steps_are_drawn_upright():
  config = recipe("step", duration="100 steps", lr_stepsize="40 steps")
  found = preview(config, None)
  assert found.points().tolist() == [0, 39, 40, 79, 80, 99]


def test_which_fields_need_epochs():
  config = recipe("fixed", duration="30 epochs", lr_stepsize="2 epochs")
  assert needs_epochs(config) == ["duration"]
  config = recipe(
    "multistep", duration="30 steps", lr_stepvalues=("1 epoch", "20 steps")
  )
  assert needs_epochs(config) == ["lr_stepvalues"]
  config = recipe("poly", duration="30 steps", lr_stepvalues=("1 epoch",))
  assert needs_epochs(config) == []


def test_what_makes_no_sense_is_refused():
  with pytest.raises(ValueError, match="no step at all"):
    preview_rates(recipe("fixed", duration="0 steps"), None)
  config = recipe(
    "inv", duration="100 steps", lr_gamma=-0.1, lr_gamma_per="step"
  )
  with pytest.raises(ValueError, match="learning rate of step 10 is inf"):
    preview_rates(config, None)
