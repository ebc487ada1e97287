"""fcn_jax.training.recipe: what a recipe holds, and what is wrong with one."""

import ast
import json

import pytest
from configs_there import STORED, load_config, shapes_sgd
from ml_collections import ConfigDict
from places import CONFIGS

from fcn_jax.runs.config import flat
from fcn_jax.training import optimizers, recipe


@pytest.fixture
def config() -> ConfigDict:
  return shapes_sgd()


def refused(config) -> str:
  with pytest.raises(ValueError, match="the config cannot be used") as error:
    recipe.check(config)
  return str(error.value)


def test_all_mistakes_are_named_at_once(config):
  plain = config.to_dict() | {"base_lrr": 0.1, "batch_size": 2.5}
  plain["data"]["mirror"] = 1
  plain["model"]["width"] = "wide"
  text = refused(ConfigDict(plain))
  for line in (
    "base_lrr: unknown",
    "batch_size = 2.5: must be a int",
    "data.mirror = 1: must be a bool",
    "model.width = 'wide': must be a float or tuple",
  ):
    assert line in text


def test_fields_that_are_not_given_have_their_defaults():
  """Those of version 0.1.0, where it had no such field."""
  whole = recipe.check({"model": {"name": "fcn8s"}, "base_lr": 1})
  assert whole.base_lr == 1.0
  assert whole.optimizer == "caffe_sgd"
  assert whole.loss.to_dict() == {
    "name": "cross_entropy",
    "normalize": True,
    "class_weights": "none",
    "label_smoothing": 0.0,
    "terms": {},
    "auxiliary": {},
  }
  assert (whole.accumulation_steps, whole.lr_gamma_per) == (1, "step")
  assert (whole.momentum, whole.weight_decay) == (0.9, 0.0)
  with pytest.raises(AttributeError):
    whole.base_lrr = 1.0


def test_options_of_a_choice_are_fields():
  config = recipe.default_recipe(
    "fcn_alexnet", loss="focal", lr_policy="cosine", optimizer="adamw"
  )
  assert (config.loss.name, config.loss.gamma) == ("focal", 2.0)
  assert (config.lr_warmup, config.lr_final) == ("0 steps", 0.0)
  assert (config.b1, config.b2) == (0.9, 0.999)
  assert "momentum" not in config
  assert recipe.check(config).to_dict() == config.to_dict()


def test_options_of_another_choice_are_not_ignored(config):
  """momentum 0.9 is the default of caffe_sgd: nobody expects anything."""
  config.optimizer = "adamw"
  config.weight_decay = 1e-2
  whole = recipe.check(config)
  assert "momentum" not in whole
  assert (whole.weight_decay, whole.b2) == (1e-2, 0.999)
  config.momentum = 0.99
  assert "momentum = 0.99: has an effect with caffe_sgd, sgd alone" in refused(
    config
  )


@pytest.mark.parametrize(
  ("choice", "message"),
  [
    ({"network": "fcn9s"}, "model.name = 'fcn9s': there is alexnet"),
    ({"loss": "hinge"}, "loss.name = 'hinge': there is cross_entropy, dice"),
    ({"lr_policy": "up"}, "lr_policy = 'up': there is fixed, step"),
    ({"optimizer": "lion"}, "optimizer = 'lion': there is caffe_sgd, adamw"),
    ({"augment": ("blurr",)}, "data.augment = 'blurr': there is "),
    ({"augment": ("mirror",)}, "mirror has a field of its own, data.mirror"),
    ({"network": "fcn8s", "order": "x"}, "model.order: fcn8s has the options"),
  ],
)
def test_an_unknown_choice_is_refused_with_what_there_is(choice, message):
  with pytest.raises(ValueError, match="the config cannot be used") as error:
    recipe.default_recipe(**choice)
  assert message in str(error.value)


@pytest.mark.parametrize("name", [n for n in STORED if "classifier" not in n])
def test_configs_of_0_1_0_mean_what_they_meant(name):
  whole = flat(json.loads(json.dumps(recipe.complete(STORED[name]))))
  stored = flat(STORED[name])
  assert {field: whole.get(field) for field in stored} == stored


# The made-up world is free to be learned better.
@pytest.mark.parametrize("name", [n for n in STORED if "shapes" not in n])
def test_recipes_hold_what_they_held(name):
  """Every field of version 0.1.0 has its value, by the recipe and by JSON."""
  now = json.loads(json.dumps(load_config(name).to_dict()))
  fields = flat(now)
  assert {k: fields.get(k) for k in flat(STORED[name])} == flat(STORED[name])
  assert json.loads(json.dumps(recipe.complete(STORED[name]))) == now


def test_an_augmentation_can_be_taken_out_by_its_name_alone():
  config = load_config("nuclei_alexnet8s")
  config.data.augment = ("fixed_crop",)
  assert recipe.check(config).augment.to_dict() == {
    "fixed_crop": {"height": 224, "width": 224, "cat_max_ratio": 1.0}
  }
  tree = config.to_dict()
  tree["augment"]["random_scale"]["lowest"] = 0.5
  with pytest.raises(ValueError, match=r"random_scale\.lowest: unknown"):
    recipe.complete(tree)


@pytest.mark.parametrize(
  "path", sorted(CONFIGS.glob("*.py")), ids=lambda p: p.stem
)
def test_recipes_state_differences_only(path):
  """Each line that sets a field sets it to something else than it has."""
  tree = ast.parse(path.read_text())
  config = load_config(path.stem)
  default = flat(
    recipe.default_recipe(
      config.model.name,
      loss=config.loss.name,
      lr_policy=config.lr_policy,
      optimizer=config.optimizer,
      augment=config.data.augment,
    ).to_dict()
  )
  lines = [n for n in ast.walk(tree) if isinstance(n, ast.Assign)]
  fields = [ast.unparse(n.targets[0]).removeprefix("config.") for n in lines]
  assert fields[0] == "config"
  values = flat(config.to_dict())
  for field in fields[1:]:
    if field in default:
      assert values[field] != default[field], field
    else:  # numbers by name, of which there are none by default
      assert any(name.startswith(f"{field}.") for name in values), field


@pytest.mark.parametrize(
  ("field", "value", "message"),
  [
    ("batch_size", 0, "batch_size = 0: must be at least 1"),
    ("data.max_canvases", 0, "data.max_canvases = 0: must be at least 1"),
    (
      "batch_size",
      100_000,
      "batch_size = 100000: must be at least 1 and at most 65536",
    ),
    (
      "accumulation_steps",
      10**5,
      "accumulation_steps = 100000: must be at least 1 and at most 65536",
    ),
    (
      "data.part_size",
      10**9,
      "data.part_size = 1000000000: must be at least 1 and at most 65536",
    ),
    (
      "seed",
      10**20,
      "seed = 100000000000000000000: must be at least 0 and at most 4294967295",
    ),
    (
      "data.resize_mode",
      "zoom",
      "'zoom': there is squash, crop, fill, half_crop",
    ),
    ("data.resize_mode", "crop", "'crop', 0, 0: give all three"),
    ("data.resize_width", 9, "'', 0, 9: give all three"),
    ("data.resize_height", -1, "data.resize_height = -1: must be at least 0"),
    ("data.order", "random", "there is sequential, shuffle, with_replacement"),
    ("data.batching", "mixed", "there is as_drawn, by_canvas"),
    ("init.source", "", "there is caffemodel, checkpoint, random"),
    ("init.head", "one", "there is zero, gaussian"),
    ("batch_size", True, "batch_size = True: must be a int"),
    ("base_lr", 0.0, "base_lr = 0.0: must be above 0"),
    ("base_lr", float("nan"), "base_lr = nan: must be above 0"),
    ("base_lr", float("inf"), "base_lr = inf: must be above 0"),
    ("momentum", 1.0, "momentum = 1.0: must be at least 0 and below 1"),
    ("weight_decay", -1e-4, "weight_decay = -0.0001: must be at least 0"),
    ("clip_gradients", -1.0, "clip_gradients = -1.0: must be at least 0"),
    ("lr_gamma_per", "epoch", "there is step, percent"),
  ],
)
def test_values_out_of_range_are_refused(config, field, value, message):
  with config.unlocked(), config.ignore_type():
    config.update_from_flattened_dict({field: value})
  assert message in refused(config)


def test_a_networks_options_are_its_fields(config):
  tree = config.to_dict()
  tree["model"] = {"name": "fcn8s", "width": 1, "mean_bgr": (1.0, 2.0, 3.0)}
  recipe.check(tree)
  tree["model"]["order"] = "pool_norm"
  assert "model.order: unknown" in refused(tree)
  tree["model"] = {"name": "fcn_alexnet", "width": 1.0}
  assert recipe.check(tree).model.order == "pool_norm"
  tree["model"] = {"name": "fcn9s", "width": 1.0}
  text = refused(tree)
  assert "model.name = 'fcn9s': there is alexnet, alexnet_owt" in text
  assert "model.width" not in text
  tree["model"] = {"name": "fcn8s", "width": (4,) * 7, "mean_bgr": (1, 2, 3)}
  assert recipe.check(tree).model.width == (4,) * 7
  tree["model"] = {"name": "fcn8s", "width": "half", "mean_bgr": (1, 2, 3)}
  assert "model.width = 'half': must be a float or tuple" in refused(tree)


def test_images_per_update(config):
  config.batch_size, config.accumulation_steps = 4, 5
  assert optimizers.images_per_update(config) == 20
  config.accumulation_steps = 0
  assert "accumulation_steps = 0: must be at least 1" in refused(config)


def test_an_integer_is_a_float_and_a_list_a_tuple(config):
  plain = config.to_dict()
  plain["base_lr"] = 1
  plain["lr_stepvalues"] = ["1 epoch"]
  plain["model"]["mean_bgr"] = [1.0, 2.0, 3.0]
  recipe.check(ConfigDict(plain))


def test_what_cannot_go_together_is_refused():
  config = load_config("voc_fcn_alexnet")
  config.data.batching = "by_canvas"
  config.precision = "half"
  config.seed = -1
  with pytest.raises(ValueError, match="draws without replacement") as error:
    recipe.check(config)
  assert "precision = 'half'" in str(error.value)
  assert "seed = -1: must be at least 0" in str(error.value)


def test_what_is_not_read_is_not_set(config):
  config.init.keep_classes = True
  config.init.source = "caffemodel"
  assert "a caffemodel has no class names" in refused(config)
  config.init.source = "random"
  config.init.keep_classes = False
  config.init.allow_missing = ("fc6",)
  assert "init.allow_missing = ('fc6',): nothing is read" in refused(config)


def test_numbers_by_name(config):
  """Of losses and layers; a config.json holds them, and means the same."""
  config.lr_mult = {"conv*": 0.1, "score*": 10}
  config.decay_mult = {"fc6": 0}
  config.loss.terms = {"cross_entropy": 1.0, "dice": 0.5}
  config.loss.auxiliary = {"score_pool4": 0.4}
  whole = recipe.check(config)
  assert whole.lr_mult.to_dict() == {"conv*": 0.1, "score*": 10}
  assert whole.loss.terms.to_dict() == {"cross_entropy": 1.0, "dice": 0.5}
  stored = json.loads(json.dumps(whole.to_dict()))
  assert recipe.complete(stored) == whole.to_dict()
  config.lr_mult = {"conv*": -0.1, "fc6": "high"}
  assert "lr_mult.fc6 = 'high': must be a float" in refused(config)
  config.lr_mult = {"conv*": -0.1}
  config.loss.terms = {"dice": 0.5, "hinge": 1.0}
  text = refused(config)
  assert "lr_mult.conv* = -0.1: must be at least 0" in text
  assert "loss.terms.hinge: there is cross_entropy, dice" in text
  assert "loss.terms: cross_entropy, which loss.name names, is not" in text


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    (
      {"data.repeat_threshold": 0.1, "data.images_per_class": 3},
      "data.repeat_threshold and data.images_per_class: give one of them",
    ),
    (
      {"data.repeat_threshold": 0.1, "data.order": "sequential"},
      "set data.order to 'shuffle' or 'with_replacement'",
    ),
    (
      {"data.images_per_class": 3, "data.order": "with_replacement"},
      "data.images_per_class: set data.order to 'shuffle'",
    ),
    (
      {"data.repeat_factors": (1.0, 2.0), "data.batching": "by_canvas"},
      "data.repeat_factors: set data.batching to 'as_drawn'",
    ),
    ({"data.repeat_factors": (1.0, -2.0)}, "(1.0, -2.0): at least 0"),
    ({"data.repeat_threshold": 1.5}, "at least 0 and at most 1"),
    ({"ema_decay": 1.0}, "ema_decay = 1.0: must be at least 0 and below 1"),
    ({"patience": -1}, "patience = -1: must be at least 0"),
  ],
)
def test_what_cannot_be_drawn_or_averaged(fields, message):
  config = load_config("voc_fcn_alexnet_digits")
  config.data.order = "shuffle"
  config.update_from_flattened_dict(fields)
  assert message in refused(config)
