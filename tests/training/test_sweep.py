"""fcn_jax.training.sweep: every combination, each but once."""

import os
import signal
import time
import types

import pytest
from configs_there import load_config

from fcn_jax.training import loop, progress, recipe, sweep


@pytest.fixture
def config():
  return load_config("shapes_fcn_alexnet")


def test_every_combination_by_hand(config):
  found = sweep.recipes(config, "base_lr=1e-3,2 data.mirror=true,false")
  assert list(found) == [
    "base_lr=0.001,data.mirror=True",
    "base_lr=0.001,data.mirror=False",
    "base_lr=2,data.mirror=True",
    "base_lr=2,data.mirror=False",
  ]
  last = found["base_lr=2,data.mirror=False"]
  assert (last.base_lr, last.data.mirror) == (2.0, False)
  assert last.weight_decay == config.weight_decay


def test_words_sequences_and_options_of_what_is_chosen(config):
  grid = (
    "duration=10 epochs,20 optimizer=adam,sgd "
    "data.augment=(),('photometric',) loss.terms.cross_entropy=1.0"
  )
  found = sweep.recipes(config, grid)
  assert len(found) == 8
  for name, one in found.items():
    assert one.duration in ("10 epochs", "20")
    assert (f"optimizer={one.optimizer}") in name
    assert one.loss.terms.to_dict() == {"cross_entropy": 1.0}
    assert ("photometric" in one.augment) == bool(one.data.augment)


@pytest.mark.parametrize(
  ("grid", "message"),
  [
    ("", "write FIELD=VALUE,VALUE"),
    ("base_lr", "write FIELD=VALUE,VALUE"),
    ("seed=", "seed=: write FIELD=VALUE,VALUE"),
    ("seed=1 seed=2", "each field once"),
    ("base_lrr=1", "base_lrr: unknown"),
    ("seed=1,x", "seed = '1': must be a int"),
  ],
)
def test_what_cannot_be_swept_is_refused_before_any_run(config, grid, message):
  with pytest.raises(ValueError, match=message):
    sweep.recipes(config, grid)


def test_runs_come_one_after_the_other(config, tmp_path, monkeypatch):
  """The second is not finite, the third is stopped."""
  seen = []

  def train(one, workdir):
    seen.append((one.seed, workdir))
    if one.seed == 2:
      raise progress.NotFinite("step 1")
    signal = 15 if one.seed == 3 else None
    return types.SimpleNamespace(stopped_by=signal)

  monkeypatch.setattr(loop, "train_and_evaluate", train)
  said = []
  found = sweep.sweep(config, "seed=1,2,3,4", str(tmp_path), said.append)
  assert seen == [(n, str(tmp_path / f"seed={n}")) for n in (1, 2, 3)]
  assert found == sweep.Swept((tmp_path / "seed=1",), ("seed=2",), 15)
  assert said[1] == "run 2 of 4: seed=2"


FAKE_TRAIN = """
import os, runpy, signal, sys, time
path, workdir = (a.partition("=")[2] for a in sys.argv[1:])
config = runpy.run_path(path)["get_config"]()
print("GPU", os.environ.get("CUDA_VISIBLE_DEVICES"), config.seed, flush=True)
if config.seed == 2:
  sys.exit("error: no room")
if config.seed == 9:
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + 15))
  open(workdir + "/began", "w").close()
  time.sleep(60)
open(workdir + "/ended", "w").close()
"""


@pytest.fixture
def train(tmp_path):
  path = tmp_path / "train.py"
  path.write_text(FAKE_TRAIN)
  return path


def test_runs_at_a_time_have_a_gpu_each(config, tmp_path, monkeypatch, train):
  """Three runs on two GPUs; the second fails, the others go on."""
  monkeypatch.setenv("JAX_PLATFORMS", "")
  monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")
  said, folder = [], tmp_path / "runs"
  given = (config, "seed=1,2,4", str(folder))
  found = sweep.sweep_parallel(*given, 2, train, said.append)
  assert found.failed == ("seed=2",)
  assert found.finished == (folder / "seed=1", folder / "seed=4")
  assert found.stopped_by is None
  logs = {n: (folder / f"seed={n}/log.txt").read_text() for n in (1, 2, 4)}
  assert logs[1] == "GPU 3 1\n"
  assert logs[2] == "GPU 5 2\nerror: no room\n"
  assert logs[4] in ("GPU 3 4\n", "GPU 5 4\n")
  assert said[0] == "run 1 of 3 on GPU 3: seed=1"
  log = folder / "seed=2/log.txt"
  assert (
    "run 2 of 3 failed (exit code 1): seed=2: error: no room; see " + str(log)
  ) in said
  with pytest.raises(
    ValueError, match="every run has a GPU to itself, and the"
  ):
    sweep.sweep_parallel(*given, 3, train)


def test_a_signal_is_passed_on(config, tmp_path, monkeypatch, train):
  monkeypatch.setenv("JAX_PLATFORMS", "cpu")
  assert sweep.visible_gpus() == ()
  began = tmp_path / "seed=9/began"

  def look(seconds):
    time.sleep(0.05)
    if began.exists() and not told:
      told.append(True)
      os.kill(os.getpid(), signal.SIGINT)

  told, slept = [], types.SimpleNamespace(sleep=look)
  monkeypatch.setattr(sweep, "time", slept)
  found = sweep.sweep_parallel(
    config, "seed=9,1,4", str(tmp_path), 1, train, lambda line: None
  )
  assert found == sweep.Swept((), (), signal.SIGINT)
  assert not (tmp_path / "seed=1").exists()


def test_the_recipe_of_a_run_is_a_file(config, tmp_path):
  """All fields, empty ones too, are what they were."""
  config.loss.terms = {"cross_entropy": 1.0, "dice": 0.5}
  (name, one), *_ = sweep.recipes(config, "lr_mult={'conv*': 0.1},{}").items()
  assert name == "lr_mult={'conv_'_0.1}"
  sweep._write_recipe(one, tmp_path / "recipe.py")
  again = recipe.check(recipe.read_recipe(tmp_path / "recipe.py"))
  assert again.to_dict() == one.to_dict()
  assert again.lr_mult.to_dict() == {"conv*": 0.1}
