"""configs: every recipe can be used, and says what its source says."""

import ast
import math

import jax.numpy as jnp
import pytest
from configs_there import FOLDER, TRAINING, load_config
from small_nets import split

from fcn_jax import models
from fcn_jax.training import optimizers, recipe


@pytest.mark.parametrize("name", TRAINING)
def test_recipes_can_be_used(name):
  config = load_config(name)
  recipe.check(config)
  config.model.width = 0.01
  layers = models.declare(classes=3, **config.model)
  net = models.build(layers, config.precision)
  total = optimizers.steps_in(config.duration, None, 100)
  schedule = optimizers.make_schedule(config, total, 100)
  optimizers.make_solver(config, layers, split(net)[1])(schedule)
  warm = optimizers.steps_in(config.get("lr_warmup", "0 steps"), total, 100)
  assert float(schedule(jnp.asarray(warm))) == pytest.approx(config.base_lr)
  for field in ("validate_every", "checkpoint_every", "log_every"):
    assert 0 < optimizers.steps_in(config[field], total, 100) <= total


@pytest.mark.parametrize(
  "path", sorted(FOLDER.glob("*.py")), ids=lambda p: p.stem
)
def test_headers_say_command_hardware_time_and_score(path):
  header = ast.get_docstring(ast.parse(path.read_text()))
  assert f"--config=configs/{path.name}" in header
  for word in ("Data", "Hardware", "Time", "Expected"):
    assert f"\n{word}" in header


def test_every_recipe_starts_from_weights_or_says_so():
  for name in TRAINING:
    config = load_config(name)
    assert config.init.source != "random"
    assert config.init.path == ""  # asked for by the command


def test_the_digits_recipe():
  """30 epochs, lr 1e-4 down by 10 at every 33 %, decay a hundredth of it."""
  config = load_config("voc_fcn_alexnet_digits")
  assert config.weight_decay == pytest.approx(config.base_lr / 100)
  assert (config.batch_size, config.momentum) == (1, 0.9)
  assert (config.data.order, config.data.mirror) == ("sequential", False)
  assert tuple(config.model.mean_bgr) == (116.0, 116.0, 116.0)
  assert config.loss.normalize
  images = 1464
  total = optimizers.steps_in(config.duration, None, images)
  assert total == 43_920
  rate = optimizers.make_schedule(config, total, images)
  first = math.ceil(0.33 * total)
  for step, expected in (
    (0, 1e-4),
    (first - 1, 1e-4),
    (first, 1e-5),
    (2 * first, 1e-6),
    (3 * first, 1e-7),
  ):
    assert float(rate(jnp.asarray(step))) == pytest.approx(expected, rel=1e-5)


def test_the_reference_recipe():
  """The FCN authors': 100,000 updates of 20 images drawn with replacement."""
  config = load_config("voc_fcn_alexnet")
  assert optimizers.steps_in(config.duration, None, 74) == 100_000
  assert (config.batch_size, config.data.order) == (20, "with_replacement")
  assert (config.base_lr, config.lr_policy) == (1e-4, "fixed")
  assert (config.momentum, config.weight_decay) == (0.9, 5e-4)
  assert tuple(config.model.mean_bgr) == (104.00699, 116.66877, 122.67892)


@pytest.mark.parametrize(
  ("name", "rate", "steps"),
  [
    ("fcn32s", 1e-10, 100_000),
    ("fcn16s", 1e-12, 100_000),
    ("fcn8s", 1e-14, 100_000),
    ("fcn8s_atonce", 1e-10, 300_000),
  ],
)
def test_the_heavy_recipes(name, rate, steps):
  """The FCN authors': one image an update, its loss a sum, momentum 0.99."""
  config = load_config(f"voc_{name}")
  assert config.model.name == name
  assert (config.base_lr, config.lr_policy) == (rate, "fixed")
  assert optimizers.steps_in(config.duration, None, 1464) == steps
  assert (config.momentum, config.weight_decay) == (0.99, 5e-4)
  assert not config.loss.normalize
  assert optimizers.images_per_update(config) == 1
  assert config.data.order == "with_replacement"
  assert tuple(config.model.mean_bgr) == (104.00699, 116.66877, 122.67892)
  # Every kernel learns at the rate, every bias at twice that, undecayed.
  layers = models.declare(name, classes=3, width=0.01)
  for layer in layers:
    if hasattr(layer, "lr_mult"):
      assert (layer.lr_mult, layer.decay_mult) == ((1, 2), (1, 0)), layer.name
