"""fcn_jax.learning_rate_preview: rates worked by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from configs_there import load_config

from fcn_jax.training import optimizers, preview
from fcn_jax.training.step import make_solver


def recipe(policy: str, **fields):
  config = load_config("voc_fcn_alexnet_digits")
  config.update({"lr_policy": policy, "lr_gamma_per": "percent", **fields})
  return config


def test_steps_by_hand():
  """10 epochs of 7 steps; a third of 70 is 23.1, which rounds up."""
  config = recipe("step", duration="10 epochs", lr_stepsize="33 %")
  found = preview.preview(config, 7)
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
  found = preview.preview(config, None)
  assert [step for step, _ in found.told()] == [*range(0, 50, 5), 49]
  rates = [rate for _, rate in found.told()]
  assert rates[2] == pytest.approx(0.8e-4)
  assert rates[-1] == pytest.approx(0.02e-4, rel=1e-4)
  assert not found.logarithmic
  assert "epoch" not in found.text()


def test_the_plot_by_hand():
  """Half of the run at 4, half at 1: 4 and 1 of 4 rows."""
  rates = np.array([4, 4, 1, 1], np.float32)
  found = preview.Preview("step", rates, None)
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
  found = preview.Preview("step", rates, None)
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
}


@pytest.mark.parametrize("policy", optimizers.POLICIES)
def test_every_policy_is_the_one_that_trains(policy):
  """Step by step, the solver's own schedule."""
  config = recipe(policy, duration="2 epochs", **FORMS[policy])
  found = preview.preview(config, 60)
  _, schedule = make_solver(config, (), {}, 120, 60)
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
  found = preview.preview(config, None)
  assert found.points().tolist() == [0, 39, 40, 79, 80, 99]


def test_which_fields_need_epochs():
  config = recipe("fixed", duration="30 epochs", lr_stepsize="2 epochs")
  assert preview.needs_epochs(config) == ["duration"]
  config = recipe(
    "multistep", duration="30 steps", lr_stepvalues=("1 epoch", "20 steps")
  )
  assert preview.needs_epochs(config) == ["lr_stepvalues"]
  config = recipe("poly", duration="30 steps", lr_stepvalues=("1 epoch",))
  assert preview.needs_epochs(config) == []


def test_what_makes_no_sense_is_refused():
  with pytest.raises(ValueError, match="no step at all"):
    preview.preview(recipe("fixed", duration="0 steps"), None)
  config = recipe(
    "inv", duration="100 steps", lr_gamma=-0.1, lr_gamma_per="step"
  )
  with pytest.raises(ValueError, match="learning rate of step 10 is inf"):
    preview.preview(config, None)
