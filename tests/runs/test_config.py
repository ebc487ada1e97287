"""fcn_jax.config: what a training config must hold; whose a workdir is."""

import copy
import json

import pytest
from configs_there import load_config
from ml_collections import ConfigDict

from fcn_jax.runs import config as config_lib
from fcn_jax.training import optimizers, recipe


@pytest.fixture
def config() -> ConfigDict:
  return load_config("shapes_fcn_alexnet")


def refused(config) -> str:
  with pytest.raises(ValueError, match="the config cannot be used") as error:
    recipe.check(config)
  return str(error.value)


def test_all_mistakes_are_named_at_once(config):
  plain = config.to_dict() | {"base_lrr": 0.1, "batch_size": 2.5}
  del plain["momentum"]
  plain["data"]["mirror"] = 1
  plain["model"]["width"] = "wide"
  text = refused(ConfigDict(plain))
  for line in (
    "base_lrr: unknown",
    "momentum: missing",
    "batch_size = 2.5: must be a int",
    "data.mirror = 1: must be a bool",
    "model.width = 'wide': must be a float",
  ):
    assert line in text


@pytest.mark.parametrize(
  ("field", "value", "message"),
  [
    ("batch_size", 0, "batch_size = 0: must be at least 1"),
    ("data.max_canvases", 0, "data.max_canvases = 0: must be at least 1"),
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
  with config.unlocked():
    config.update_from_flattened_dict({field: value})
  assert message in refused(config)


def test_a_networks_options_are_its_fields(config):
  config.model = {"name": "fcn8s", "width": 1, "mean_bgr": (1.0, 2.0, 3.0)}
  recipe.check(config)
  config.model.order = "pool_norm"
  assert "model.order: unknown" in refused(config)
  config.model = {"name": "fcn_alexnet", "width": 1.0}
  text = refused(config)
  assert "model.order: missing" in text
  assert "model.mean_bgr: missing" in text
  config.model = {"name": "fcn9s", "width": 1.0}
  text = refused(config)
  assert "model.name = 'fcn9s': there is alexnet, vgg16" in text
  assert "model.width" not in text
  config.model = {"name": "fcn8s", "width": (4,) * 7, "mean_bgr": (1, 2, 3)}
  recipe.check(config)
  config.model = {"name": "fcn8s", "width": "half", "mean_bgr": (1, 2, 3)}
  assert "model.width = 'half': must be a float or tuple" in refused(config)


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


def test_a_workdir_is_claimed_once(config, tmp_path):
  workdir = tmp_path / "runs/a"
  config_lib.claim_workdir(config, workdir)
  stored = json.loads((workdir / "config.json").read_text())
  assert stored["base_lr"] == config.base_lr
  assert [p.name for p in workdir.iterdir()] == ["config.json"]
  config_lib.claim_workdir(config, workdir)


def test_another_config_is_refused_with_the_difference(config, tmp_path):
  config_lib.claim_workdir(config, tmp_path)
  other = copy.deepcopy(config)
  other.base_lr = 0.125
  other.data.mirror = not config.data.mirror
  with pytest.raises(ValueError, match="belongs to a run with") as error:
    config_lib.claim_workdir(other, tmp_path)
  text = str(error.value)
  assert f"-base_lr = {config.base_lr}" in text
  assert "+base_lr = 0.125" in text
  assert "+data.mirror" in text
  assert "momentum" not in text
  stored = json.loads((tmp_path / "config.json").read_text())
  assert stored["base_lr"] == config.base_lr


def test_what_enters_no_result_may_change(config, tmp_path):
  config_lib.claim_workdir(config, tmp_path)
  config.data.data_dir = "/elsewhere"
  config.data.num_threads += 1
  config.keep_latest += 1
  config.log_every = "3 steps"
  config_lib.claim_workdir(config, tmp_path)


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


def test_a_run_from_before_a_field_goes_on(config, tmp_path):
  """Where the field's value is what was done then."""
  config_lib.claim_workdir(config, tmp_path)
  path = tmp_path / "config.json"
  stored = json.loads(path.read_text())
  for name in ("accumulation_steps", "lr_gamma_per"):
    del stored[name]
  for name in ("allow_unknown", "keep_classes"):
    del stored["init"][name]
  path.write_text(json.dumps(stored))
  config_lib.claim_workdir(config, tmp_path)
  config.accumulation_steps = 2
  with pytest.raises(ValueError, match=r"-accumulation_steps = 1"):
    config_lib.claim_workdir(config, tmp_path)
