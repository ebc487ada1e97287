"""fcn_jax.runs.config: config.json, and whose workdir it is."""

import copy
import json

import pytest
from configs_there import load_config
from ml_collections import ConfigDict

from fcn_jax.runs import config as config_lib
from fcn_jax.training import recipe


@pytest.fixture
def config() -> ConfigDict:
  return load_config("shapes_fcn_alexnet")


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


def test_a_run_from_before_a_field_goes_on(config, tmp_path):
  """Where the field's value is what was done then."""
  complete = recipe.complete
  config_lib.claim_workdir(config, tmp_path)
  path = tmp_path / "config.json"
  stored = json.loads(path.read_text())
  for name in ("accumulation_steps", "lr_gamma_per", "optimizer", "augment"):
    del stored[name]
  for name in ("allow_unknown", "keep_classes"):
    del stored["init"][name]
  del stored["loss"]["name"]
  path.write_text(json.dumps(stored))
  config_lib.claim_workdir(config, tmp_path, complete=complete)
  assert config_lib.read(path, complete)["optimizer"] == "caffe_sgd"
  config.accumulation_steps = 2
  with pytest.raises(ValueError, match=r"-accumulation_steps = 1"):
    config_lib.claim_workdir(config, tmp_path, complete=complete)
