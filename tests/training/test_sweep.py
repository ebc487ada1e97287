"""fcn_jax.training.sweep: every combination, each but once."""

import types

import pytest
from configs_there import load_config

from fcn_jax.training import loop, progress, sweep


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
