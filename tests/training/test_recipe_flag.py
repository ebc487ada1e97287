"""Functions that are named on the command line, and their options."""

import pytest
from configs_there import load_config

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


def test_what_there_is_none_of():
  config = load_config("voc_fcn_alexnet")
  with pytest.raises(ValueError, match="lion': there is caffe_sgd, adamw"):
    recipe.with_options_of(config, {"optimizer": "lion"})
