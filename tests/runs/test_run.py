"""fcn_jax.runs.run: a training run read from its files."""

import copy
import json
import math
import pathlib

import pytest
from configs_there import load_config, shapes_sgd
from made_up_runs import VAL, make_run, val

from fcn_jax.runs import record
from fcn_jax.runs.run import differing_fields, names, read_run
from fcn_jax.training import recipe


def test_what_the_files_say(tmp_path):
  make_run(tmp_path / "a")
  run = read_run(tmp_path / "a")
  assert run.workdir == tmp_path / "a"
  assert run.config["data.name"] == "shapes"
  assert run.config["model.mean_bgr"] == [116.0, 116.0, 116.0]
  assert [r["step"] for r in run.train] == [10, 20, 30]
  assert [r["step"] for r in run.val] == [0, 20]
  assert (run.step, run.total_steps, run.outcome) == (30, 40, None)
  assert run.images_per_step == 4
  assert run.latest["step"] == 20
  assert run.recorded == (tmp_path / "a/metrics.jsonl").stat().st_mtime


def test_a_stop_between_two_records_tells_the_step(tmp_path):
  make_run(tmp_path)
  record.end_session(tmp_path, 34, record.STOPPED)
  assert read_run(tmp_path).step == 34
  make_run(tmp_path)
  record.end_session(tmp_path, None, record.FAILED, "it was lost")
  assert read_run(tmp_path).step == 30


def test_the_best_is_the_checkpoint_that_is_kept(tmp_path):
  """Of equals the later; NaN is below all."""
  scored = [val(0, math.nan), val(10, 0.5), val(20, 0.5), val(30, 0.25)]
  make_run(tmp_path, records=scored)
  run = read_run(tmp_path)
  assert (run.best["step"], run.latest["step"]) == (20, 30)
  make_run(tmp_path, records=scored[:1])
  assert read_run(tmp_path).best["step"] == 0
  make_run(tmp_path, records=[])
  empty = read_run(tmp_path)
  assert (empty.best, empty.latest, empty.step) == (None, None, 0)


def test_a_classifier_is_best_by_pixel_accuracy(tmp_path):
  """Its images are of one pixel: that is the share of images."""
  scored = [
    val(10, 0.5, pixel_accuracy=0.75),
    val(20, 0.25, pixel_accuracy=0.875),
  ]
  make_run(tmp_path, records=scored)
  run = read_run(tmp_path)
  assert (run.measure, run.best["step"]) == ("mean_iu", 10)
  config = load_config("shapes_alexnet_classifier")
  make_run(tmp_path, records=scored, config=config)
  run = read_run(tmp_path)
  assert (run.measure, run.best["step"]) == ("pixel_accuracy", 20)


def test_time_spent_and_left_by_hand(tmp_path):
  """10 updates of 4 images at 2, 4 and 8 images a second: 20, 10 and 5 s.

  Two validations of 3 s. Of 40 updates 10 are left, at the middle speed, that
  the first, which compiles, does not move; and the validation at 40.
  """
  make_run(tmp_path)
  run = read_run(tmp_path)
  assert run.seconds_spent == pytest.approx(35 + 6)
  assert run.seconds_left == pytest.approx(10 + 3)
  record.end_session(tmp_path, 40, record.FINISHED)
  assert read_run(tmp_path).seconds_left == 0
  make_run(tmp_path, records=VAL[:1], schedule=None)
  unknown = read_run(tmp_path)
  assert (unknown.seconds_left, unknown.total_steps) == (None, None)


def test_folders_that_are_no_workdirs_are_refused_by_name(tmp_path):
  def refused(folder) -> str:
    with pytest.raises(ValueError, match=str(folder)) as error:
      read_run(folder)
    return str(error.value)

  assert "no such folder" in refused(tmp_path / "none")
  make_run(tmp_path / "two")
  make_run(tmp_path / "one")
  assert refused(tmp_path).endswith("no config.json; in it there are one, two")
  (tmp_path / "one/config.json").write_text("{")
  assert "not the config of a run" in refused(tmp_path / "one")
  classifier = {"data": {"directory": "crops"}, "duration": "2 steps"}
  (tmp_path / "one/config.json").write_text(json.dumps(classifier))
  text = refused(tmp_path / "one")
  assert "not the workdir of scripts/train.py" in text
  assert "no data.name" in text


def test_names_are_as_long_as_they_must_be(tmp_path):
  paths = [pathlib.Path(p) for p in ("/r/x/a", "/r/y/a", "/r/x/b")]
  assert names(paths) == ["x/a", "y/a", "b"]
  assert names(paths[:1]) == ["a"]
  with pytest.raises(ValueError, match="/r/x/a is given twice"):
    names([*paths, paths[0]])
  nested = [pathlib.Path(p) for p in ("/a", "/r/a")]
  assert names(nested) == ["/a", "r/a"]


def test_exactly_the_fields_that_differ(tmp_path):
  config = shapes_sgd()
  other = copy.deepcopy(config)
  other.base_lr = 1e-3
  other.data.mirror = False
  third = copy.deepcopy(config)
  third.model = {"name": "fcn8s", "width": 0.25, "mean_bgr": (116.0,) * 3}
  for name, each in (("a", config), ("b", other), ("c", third)):
    make_run(tmp_path / name, config=each)
  a, b, c = (read_run(tmp_path / name) for name in "abc")
  assert differing_fields([a, a]) == {}
  assert differing_fields([a, b]) == {
    "base_lr": [5e-3, 1e-3],
    "data.mirror": [True, False],
  }
  assert differing_fields([a, c]) == {
    "model.name": ["fcn_alexnet", "fcn8s"],
    "model.order": ["pool_norm", None],
  }


def test_a_run_from_before_a_field_did_what_was_done_then(tmp_path):
  make_run(tmp_path)
  path = tmp_path / "config.json"
  stored = json.loads(path.read_text())
  del stored["accumulation_steps"]
  path.write_text(json.dumps(stored))
  run = read_run(tmp_path, recipe.complete)
  assert run.config["accumulation_steps"] == 1
  assert run.images_per_step == 4
