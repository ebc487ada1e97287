"""scripts/evaluate.py as a user runs it."""

import json

import numpy as np
import pytest
import small_network
from run_scripts import ROOT, exits
from small_data import (
  folder_files,
  folder_format,
  label,
  photo,
  png,
  tiny_output,
  write,
)

from fcn_jax.data import load_dataset
from fcn_jax.data.prepare import prepare_dataset
from fcn_jax.evaluation.evaluator import evaluate
from fcn_jax.weights import checkpoints

SCRIPT = str(ROOT / "scripts/evaluate.py")


@pytest.fixture
def place(tmp_path):
  """A network that finds light, and a data set of noise to find it in."""
  files = folder_files() | {"classes.txt": "background\nlight\nnone\n"}
  for seed, name in enumerate("defg"):
    files[f"val/images/{name}.jpg"] = photo(seed + 9)
    files[f"val/labels/{name}.png"] = label(*range(seed % 3 + 1), 255)
  write(tmp_path, files)
  prepare_dataset(
    folder_format(tmp_path), tiny_output(tmp_path), say=lambda _: None
  )
  checkpoints.save_model(
    tmp_path / "model", small_network.sees_light(), small_network.about()
  )
  return tmp_path


def test_figures_intervals_and_page(place):
  common = [
    f"--checkpoint={place}/model",
    "--data=tiny",
    f"--data_dir={place}/sets",
  ]
  write(place, {"mine.html": "my own page"})
  done = exits(
    SCRIPT,
    [*common, f"--output={place}/plain.json"],
    [
      *common,
      f"--output={place}/with.json",
      f"--report={place}/new/page.html",
      "--worst=2",
      "--bootstrap_seed=2",
    ],
    [*common, f"--report={place}/mine.html", f"--output={place}/late.json"],
    [*common, f"--output={place}/plain.json"],
    [*common, f"--output={place}/classes.txt"],
    [*common, f"--output={place}/classes.txt/m.json"],
  )
  assert done[:2] == [None] * 2
  assert done[3] is None  # its own figures are written anew
  assert "classes.txt is no file of figures" in done[4]
  assert done[5]
  assert (place / "classes.txt").read_text() == "background\nlight\nnone\n"
  assert "nothing of yours is overwritten" in done[2]
  assert not (place / "late.json").exists()
  assert (place / "mine.html").read_text() == "my own page"

  evaluation = evaluate(
    small_network.sees_light(),
    load_dataset("tiny", str(place / "sets")),
    "val",
  )
  plain = json.loads((place / "plain.json").read_text())
  assert "intervals" not in plain
  found = json.loads((place / "with.json").read_text())
  told = found.pop("intervals")
  assert found == plain
  assert plain["mean_iu"] == evaluation.scores["mean_iu"]
  expected = evaluation.intervals(1000, seed=2)
  assert (told["resamples"], told["seed"], told["level"]) == (1000, 2, 0.95)
  assert told["mean_iu"] == list(expected.scores["mean_iu"])
  for ends, name in zip(
    expected.class_iu, small_network.CLASS_NAMES, strict=True
  ):
    nulls = [None if np.isnan(end) else end for end in ends]
    assert told["per_class_iu"][name] == nulls
  text = (place / "new/page.html").read_text()
  assert (
    "percentiles of 1000 bootstrap resamples of the images (seed 2)" in text
  )
  assert 2 <= text.count("<article") <= 4


def test_the_gain_of_several_views_is_told(place, capsys):
  done = exits(
    SCRIPT,
    [
      f"--checkpoint={place}/model",
      "--data=tiny",
      f"--data_dir={place}/sets",
      "--tta=flip",
      "--tile=32",
      f"--output={place}/views.json",
    ],
    [f"--checkpoint={place}/model", "--tta=flop"],
    [f"--checkpoint={place}/model", "--tile=some"],
  )
  assert done[0] is None
  assert "--tta=flop: 'flop' is neither flip nor a scale" in done[1]
  assert "--tile=some: give auto, off, or the side of a tile" in done[2]
  found = json.loads((place / "views.json").read_text())
  assert found["tta"] == "flip,1"
  plain = evaluate(
    small_network.sees_light(),
    load_dataset("tiny", str(place / "sets")),
    "val",
  )
  assert found["without_tta"]["pixel_accuracy"] == pytest.approx(
    plain.scores["pixel_accuracy"], abs=0.01
  )


def test_images_and_labels_as_they_lie_on_disk(place):
  """The figures of the data set, of the same files by another road."""
  names = ("c", "d", "e", "f", "g")
  files = {"map.txt": "7 -> light\n5 -> none\n1 -> background\n"}
  values = np.array([1, 7, 5, *[255] * 253], np.uint8)
  data = load_dataset("tiny", str(place / "sets"))
  for i, name in enumerate(names):
    image, index = data.example("val", i)
    assert data.ids("val")[i] == name
    files[f"disk/{name}_x.jpg"] = data.source("val")[i].image
    files[f"disk/{name}_gt.png"] = png(values[index])
    files[f"disk/{name}_gt_color.png"] = png(image)
  write(place, files)
  common = [f"--checkpoint={place}/model"]
  disk = [f"--images={place}/disk", f"--labels={place}/disk"]
  suffixes = ["--image_suffix=_x.jpg", "--label_suffix=_gt.png"]
  mapped = [*suffixes, f"--label_map={place}/map.txt"]
  done = exits(
    SCRIPT,
    [*common, "--data=tiny", f"--data_dir={place}/sets", f"--output={place}/1"],
    [
      *common,
      *disk,
      *mapped,
      f"--output={place}/2",
      f"--report={place}/p.html",
    ],
    [*common, *disk, "--image_suffix=_x.jpg"],
    [*common, *disk, "--data=tiny"],
    [*common, *suffixes, "--data=tiny", f"--data_dir={place}/sets"],
    [*common, *disk, *suffixes],
  )
  assert done[:2] == [None] * 2
  first, second = (json.loads((place / n).read_text()) for n in "12")
  assert second.pop("intervals")
  told = {"data": first.pop("data"), "split": first.pop("split")}
  assert told == {"data": "tiny", "split": "val"}
  assert (second.pop("data"), second.pop("split")) == (str(place), "disk")
  assert first == second
  assert "--image_suffix=_x.jpg --label_suffix=_gt.png" in done[2]
  assert "give both --images and --labels, or --data alone" in done[3]
  assert "--image_suffix and the like are for --labels" in done[4]
  assert "7 in " in done[5]
