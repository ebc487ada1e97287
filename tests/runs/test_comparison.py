"""fcn_jax.runs.comparison: which run is best, and exactly what differs."""

import json
import math

import numpy as np
import pytest
from configs_there import load_config
from made_up_runs import SCHEDULE, TRAIN, VAL, make_run, val
from made_up_runs import changed_config as config
from ml_collections import ConfigDict

from fcn_jax import files
from fcn_jax.evaluation import stored_counts
from fcn_jax.evaluation.per_image import PerImage
from fcn_jax.reports.comparison import write_comparison
from fcn_jax.runs import comparison


@pytest.fixture
def two(tmp_path) -> comparison.Comparison:
  """x/a gets better to the end, y/a is best in between and longer."""
  make_run(tmp_path / "x/a", schedule=None)
  changed = {"base_lr": 1e-3, "data.mirror": False, "log_every": "3 steps"}
  records = [*VAL[:1], val(20, 0.5), val(40, 0.25), *TRAIN]
  make_run(tmp_path / "y/a", records, config(**changed), schedule=None)
  return comparison.compare([str(tmp_path / "x/a"), tmp_path / "y/a"])


def test_runs_of_one_basename_are_told_apart(two):
  assert two.names == ("x/a", "y/a")


def test_exactly_the_fields_that_differ(two, tmp_path):
  assert two.differing_fields == {
    "base_lr": [5e-3, 1e-3],
    "data.mirror": [True, False],
    "log_every": ["20 steps", "3 steps"],
  }
  make_run(tmp_path / "z")
  same = comparison.compare([tmp_path / "x/a", tmp_path / "z"])
  assert same.differing_fields == {}
  assert "The configs are the same." in same.text()
  assert [f for f in two.differing_fields if comparison.enters_results(f)] == [
    "base_lr",
    "data.mirror",
  ]


def test_figures_are_those_of_the_records(two):
  found = json.loads(json.dumps(files.without_nan(two.figures())))
  assert found["best_run"] == "y/a"
  first, second = found["runs"]
  assert (first["last"]["mean_iu"], first["best"]["step"]) == (0.4375, 20)
  assert (second["last"]["mean_iu"], second["best"]["mean_iu"]) == (0.25, 0.5)
  assert second["best"]["per_class_iu"]["boat"] is None
  assert found["differing_fields"]["base_lr"] == {"x/a": 5e-3, "y/a": 1e-3}


def test_the_table_of_a_terminal(two):
  lines = two.text().splitlines()
  assert lines[0].split()[:6] == ["run", "step", "best", "mean", "IoU", "at"]
  # Pixel accuracy is 0.625 + mean IoU / 8; the loss 1.25 - mean IoU.
  # Dice and the bands are not in the records of an older version.
  last = "0.2500 0.6562 0.4375 0.5000 0.8750 – – 1.0000"
  assert " ".join(lines[2].split()) == f"y/a 40 0.5000 20 {last}"
  only = "0.1875 0.1875 0.5625 0.3333 0.3164 – – – –"
  assert " ".join(lines[3].split()) == f"(only background) {only}"
  assert lines[5].split() == ["field", "x/a", "y/a"]
  assert lines[7].split() == ["data.mirror", "True", "False"]


def test_runs_that_cannot_be_compared_fairly_are_named(tmp_path):
  make_run(tmp_path / "a")
  many = config(**{"batch_size": 1, "data.name": "voc2012"})
  rare = {**VAL[1]["majority_baseline"], "class": "boat"}
  records = [val(40, 0.5, majority_baseline=rare)]
  make_run(tmp_path / "b", records, many, SCHEDULE)
  found = comparison.compare([tmp_path / "a", tmp_path / "b"])
  assert found.warnings == [
    "The runs are scored on different data, so their scores cannot be "
    "compared.",
    "A step is not the same in all runs: it sees 4 images in a, 1 image in b.",
    "Not at the end of their steps: a.",
  ]
  assert [only["class"] for only in found.baselines] == ["background", "boat"]
  assert found.text().count("(only ") == 2


def test_losses_of_two_kinds_are_not_compared(tmp_path):
  make_run(tmp_path / "a")
  dice = config(**{"seed": 1}).to_dict()
  dice["loss"] = {"name": "dice"}
  make_run(tmp_path / "b", config=ConfigDict(dice))
  found = comparison.compare([tmp_path / "a", tmp_path / "b"])
  assert found.warnings[0] == (
    "The losses are not the same quantity, so they cannot be compared: "
    "cross_entropy in a, dice in b."
  )


def test_a_run_of_an_older_version_has_fewer_scores(tmp_path):
  """Its baseline is the newer one's, as far as both tell."""
  only = VAL[1]["majority_baseline"]
  more = only | {"mean_dice": 0.25, "boundary_iou": None}
  make_run(tmp_path / "old")
  newer = [val(20, 0.5, majority_baseline=more, mean_dice=0.625)]
  make_run(tmp_path / "new", newer)
  make_run(tmp_path / "newest", newer)
  names = [tmp_path / name for name in ("old", "new", "newest")]
  found = comparison.compare(names)
  assert found.baselines == [more]
  assert not any("different data" in line for line in found.warnings)
  dice = [line.split()[-3] for line in found.text().splitlines()[1:5]]
  assert dice == ["–", "0.6250", "0.6250", "0.2500"]


def test_classifiers_are_compared_by_accuracy(tmp_path):
  classifier = load_config("shapes_alexnet_classifier")
  make_run(tmp_path / "a", [val(20, 0.5, pixel_accuracy=0.5)], classifier)
  make_run(tmp_path / "b", [val(20, 0.25, pixel_accuracy=0.75)], classifier)
  found = comparison.compare([tmp_path / "a", tmp_path / "b"])
  assert (found.measure, found.best) == ("pixel_accuracy", 1)
  assert "best pixel accuracy" in found.text().splitlines()[0]


def test_data_prepared_anew_under_its_name_are_other_data(tmp_path):
  make_run(tmp_path / "a")
  commoner = {**VAL[1]["majority_baseline"], "pixel_accuracy": 0.75}
  for last in (
    val(40, 0.5, majority_baseline=commoner),
    val(40, 0.5, per_class_iu={"background": 0.5, "cow": 0.5}),
  ):
    make_run(tmp_path / "b", [last])
    found = comparison.compare([tmp_path / "a", tmp_path / "b"])
    assert "scored on different data" in found.warnings[0]
  make_run(tmp_path / "b", [val(40, 0.5)])
  found = comparison.compare([tmp_path / "a", tmp_path / "b"])
  assert not any("different data" in line for line in found.warnings)


def test_a_mean_iu_that_is_none_is_the_worst(tmp_path):
  make_run(tmp_path / "a", [val(0, math.nan)])
  make_run(tmp_path / "b", [val(0, 0.0)])
  found = comparison.compare([tmp_path / "a", tmp_path / "b"])
  assert found.best == 1
  assert " – " in found.text()
  make_run(tmp_path / "a", [val(0, 0.0)])
  equals = comparison.compare([tmp_path / "a", tmp_path / "b"])
  assert equals.best == 0


def test_all_folders_that_are_no_workdirs_are_named(tmp_path):
  make_run(tmp_path / "a")
  make_run(tmp_path / "new", records=TRAIN[:1])
  (tmp_path / "empty").mkdir()
  names = ("a", "empty", "new", "none")
  with pytest.raises(ValueError, match="cannot be compared") as error:
    comparison.compare([tmp_path / name for name in names])
  _, *lines = str(error.value).splitlines()
  assert [line.split(":")[0].split()[0] for line in lines] == [
    str(tmp_path / name) for name in ("empty", "new", "none")
  ]
  assert "no config.json" in lines[0]
  assert "no validation is recorded there yet" in lines[1]
  assert "no such folder" in lines[2]
  with pytest.raises(ValueError, match="1 workdirs to compare; name two"):
    comparison.compare([tmp_path / "a"])
  with pytest.raises(ValueError, match="is given twice"):
    comparison.compare([tmp_path / "a", tmp_path / "a"])


def test_a_paired_bootstrap_tells_whether_runs_differ(two, tmp_path):
  """Two images of 10 pixels: x/a has one more right in both."""
  assert two.paired == []
  for folder, rights in (("x/a", (9, 3)), ("y/a", (8, 2))):
    confusions = np.array([[[n, 10 - n], [0, 0]] for n in rights])
    counts = stored_counts.StoredCounts(
      ("a", "b"),
      ("1", "2"),
      20,
      PerImage.of(confusions),
      np.array(rights),
      np.array([10, 10]),
      {},
    )
    path = tmp_path / folder / "per_image/toy_test.npz"
    path.parent.mkdir()
    stored_counts.write(path, counts)
  again = comparison.compare([tmp_path / "x/a", tmp_path / "y/a"])
  (found,) = again.paired
  # IoU of a: 12 / 20 and 10 / 20, of b 0: means of 0.3 and 0.25.
  assert found.best == "x/a"
  assert found.scores == pytest.approx({"x/a": 0.3, "y/a": 0.25})
  assert found.below["y/a"].interval == pytest.approx((0.05, 0.05))
  text = again.text()
  assert "Mean IoU on the 2 images of toy_test" in text
  assert "0.0500 to 0.0500  differs" in text
  figures = again.figures()["paired"][0]["runs"]["y/a"]
  assert figures["differs"] is True
  page = write_comparison(tmp_path / "page.html", again).read_text()
  assert "Do they differ?" in page
  assert "0.0500 to 0.0500" in page
