"""fcn_jax.runs.config: config.json, and whose workdir it is."""

import copy
import json
import os
import platform
import subprocess
import sys

import pytest
from configs_there import shapes_sgd
from ml_collections import ConfigDict

from fcn_jax.files import DataError
from fcn_jax.runs import config as config_lib
from fcn_jax.training import recipe


@pytest.fixture
def config() -> ConfigDict:
  return shapes_sgd()


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


def test_a_workdir_is_for_one_process(tmp_path):
  """The lock goes with the process, however it ends; the file stays."""
  workdir = tmp_path / "runs/a"
  program = (
    "import os, pathlib, sys\n"
    "from fcn_jax.runs import config\n"
    "with config.in_use(pathlib.Path(sys.argv[1])):\n"
    "  print('in', flush=True)\n"
    "  sys.stdin.read()\n"
    "  os._exit(9)\n"
  )
  with subprocess.Popen(
    [sys.executable, "-c", program, workdir],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
  ) as other:
    assert other.stdout.readline() == b"in\n"
    with pytest.raises(DataError) as error, config_lib.in_use(workdir):
      pass
    other.stdin.close()
  assert str(error.value) == (
    f"process {other.pid} of {platform.node()} trains in {workdir}; wait for "
    "it, or name another --workdir"
  )
  with config_lib.in_use(workdir):
    assert (workdir / ".lock").read_text().startswith(f"process {os.getpid()} ")
  assert other.returncode == 9


@pytest.mark.parametrize(
  ("name", "text"),
  [
    ("config.json", '{"editor": "dark"}'),
    ("config.json", '["duration"]'),
    ("config.json", '{"duration": '),
    ("receipt.txt", "bread"),
    ("metrics.jsonl", '{"loss": 1}'),
  ],
)
def test_somebody_elses_files_are_left_alone(tmp_path, name, text):
  (tmp_path / "notes.txt").write_text("mine")
  (tmp_path / name).write_text(text)
  with pytest.raises(DataError) as error, config_lib.in_use(tmp_path):
    pass
  assert str(error.value).startswith(
    f"{tmp_path} holds {name} and no config.json of a training run;"
  )
  assert (tmp_path / name).read_text() == text
  assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", name}


def test_other_files_are_in_nobodys_way(config, tmp_path):
  (tmp_path / "log.txt").write_text("")
  with config_lib.in_use(tmp_path):
    config_lib.write(config, tmp_path)
  (tmp_path / "metrics.jsonl").write_text("")
  with config_lib.in_use(tmp_path):
    pass


def test_a_longer_duration_is_no_other_config(config, tmp_path):
  config.duration = "3 epochs"
  assert config_lib.claim_workdir(config, tmp_path) == "3 epochs"
  config.duration = "5 epochs"
  assert config_lib.claim_workdir(config, tmp_path) == "3 epochs"
  assert config_lib.read(tmp_path / "config.json")["duration"] == "3 epochs"
