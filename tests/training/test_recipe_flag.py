"""Functions that are named on the command line, and their options."""

import sys

import pytest
from absl import flags
from configs_there import load_config
from ml_collections import config_flags

from fcn_jax.training import recipe, recipe_flag


@pytest.mark.parametrize(
  ("arguments", "expected"),
  [
    ([], {}),
    (["--workdir=optimizer", "--config=a.py", "--config.base_lr=1"], {}),
    (["--config.optimizer=adamw"], {"optimizer": "adamw"}),
    (["-config.optimizer=a", "--config.optimizer", "b"], {"optimizer": "b"}),
    (["--config.model.name=fcn8s"], {"model.name": "fcn8s"}),
    (["--config.modelXname=fcn8s"], {}),
    (["--config.optimizer"], {"optimizer": ""}),
    (["--config.data.augment=('blur', 'noise')"], ("blur", "noise")),
    (["--config.data.augment='blur'"], ("blur",)),
    (["--config.data.augment=()"], ()),
    (["--config.data.augment=(blur"], None),
    (["--config.data.augment=3"], None),
  ],
)
def test_names_on_the_command_line(arguments, expected):
  if expected is None:
    expected = {}
  elif isinstance(expected, tuple):
    expected = {"data.augment": expected}
  fields = [field for field, _ in recipe.NAMING.values()]
  assert recipe_flag.named(fields, arguments) == expected


def test_they_bring_their_options():
  config = load_config("voc_fcn_alexnet")
  whole = recipe.check(config)
  names = {"optimizer": "adamw", "data.augment": ("random_scale",)}
  recipe.with_options_of(config, names)
  assert (config.b1, config.augment.random_scale.high) == (0.9, 2.0)
  assert recipe.check(config) == whole, "and choose nothing"
  config.optimizer = names["optimizer"]
  config.data.augment = names["data.augment"]
  config.b1, config.augment.random_scale.low = 0.8, 0.7
  found = recipe.check(config)
  assert (found.b1, found.augment.random_scale.low) == (0.8, 0.7)
  with pytest.raises(AttributeError):
    config.b_1 = 0.8


def test_fields_of_several_types_take_all_of_them(monkeypatch):
  given = (
    "--config.model.width=(4, 8, 8, 8, 8, 12, 12)",
    "--config.lr_warmup=20",
    "--config.loss.class_weights=(0.5, 2)",
  )
  config = recipe.default_recipe(lr_policy="cosine", width=0.5)
  # ml_collections looks there for which fields become flags.
  monkeypatch.setattr(sys, "argv", ["train", *given])
  values = flags.FlagValues()
  config_flags.DEFINE_config_dict("config", config, flag_values=values)
  values(sys.argv)
  assert config.model.width == (4, 8, 8, 8, 8, 12, 12)
  assert (config.lr_warmup, config.loss.class_weights) == (20, (0.5, 2))
  assert recipe.check(config).to_dict() == config.to_dict()
  config.model.width = 0.25
  config.loss.class_weights = "median_frequency"
  assert recipe.check(config).model.width == 0.25
  config.model.width = "half"
  with pytest.raises(ValueError, match="'half': must be a float or tuple"):
    recipe.check(config)


def test_what_there_is_none_of():
  config = load_config("voc_fcn_alexnet")
  with pytest.raises(ValueError, match="lion': there is caffe_sgd, adamw"):
    recipe.with_options_of(config, {"optimizer": "lion"})
