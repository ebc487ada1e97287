"""scripts/predict.py as a user runs it."""

import json
import os
import subprocess
import sys

import numpy as np
import run_scripts
import small_network
from PIL import Image
from places import SCRIPTS

from fcn_jax.data.formats import FORMATS
from fcn_jax.weights import checkpoints

SCRIPT = SCRIPTS / "predict.py"


def predict(folder, *arguments):
  return subprocess.run(
    [sys.executable, SCRIPT, *arguments],
    cwd=folder,
    env={
      **os.environ,
      "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    },
    capture_output=True,
    text=True,
    check=False,
  )


def test_the_whole_road_on_two_devices(tmp_path):
  checkpoints.save_model(
    tmp_path / "model",
    small_network.constant([0, 2, 1]),
    small_network.about(),
  )
  for name in ("a/1.png", "b/1.jpg", "b/2.jpg"):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (40, 30)).save(path)
  (tmp_path / "b/bad.jpg").write_text("no image")
  done = predict(
    tmp_path,
    "--checkpoint=model",
    "--images",
    "a/1.png",
    "b",
    "--output_dir=out",
    "--palette=none",
  )
  assert done.returncode == 1, done.stderr
  assert done.stderr.splitlines()[-1].startswith("error: ")
  assert "b/bad.jpg: not an image" in done.stderr
  assert "3 of 4 images segmented" in done.stdout
  summary = json.loads((tmp_path / "out/summary.json").read_text())
  assert summary["checkpoint"] == "model"
  assert summary["step"] == 0
  assert summary["class_names"] == list(small_network.CLASS_NAMES)
  assert list(summary["images"]) == ["a/1", "b/1", "b/2"]
  for record in summary["images"].values():
    assert record["shares"] == {"background": 0, "light": 1, "none": 0}
    with Image.open(tmp_path / "out" / record["mask"]) as mask:
      assert mask.mode == "L"
      assert (np.asarray(mask) == 1).all()
  assert not (tmp_path / "out/probabilities").exists()


def test_the_page_beside_the_predictions(tmp_path):
  checkpoints.save_model(
    tmp_path / "model",
    small_network.constant([0, 2, 1]),
    small_network.about(),
  )
  label = np.ones((30, 40), np.uint8)
  label[:, :10] = 2  # predicted as class 1: IU 3/4, and 0
  for name in ("photos/1.png", "photos/2.png", "labels/1.png"):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (40, 30)).save(path)
  Image.fromarray(label).save(tmp_path / "labels/1.png")
  page = tmp_path / "deep/page.html"
  common = [f"--checkpoint={tmp_path}/model", f"--output_dir={tmp_path}/out"]
  first = [*common, f"--images={tmp_path}/photos/1.png"]
  both = [*common, f"--images={tmp_path}/photos"]
  labels = f"--labels={tmp_path}/labels"
  told = run_scripts.exits(
    str(SCRIPT),
    [*first, f"--report={page}", labels],
    [*both, f"--report={page}", labels],
    [*both, labels],
    [*both, f"--report={tmp_path}/page"],
    [*both, f"--report={tmp_path}/first.html", "--report_images=1"],
  )
  assert told[0] == 0
  text = page.read_text()
  assert "<dd>0.3750 <small>only light: 0.3750</small>" in text
  assert "<dd>0.7500 <small>only light: 0.7500</small>" in text
  assert f"{tmp_path}/photos/2.png: no 2.* in {tmp_path}/labels" in told[1]
  assert "--labels are for the page: give --report=" in told[2]
  assert f"{tmp_path}/page: a page's name ends in .html" in told[3]
  assert told[4] == 0
  text = (tmp_path / "first.html").read_text()
  assert "Shown: the first 1 of 2 images. Left out: 1;" in text


def test_suffixes_and_the_export_of_what_was_predicted(tmp_path):
  """Corrected in CVAT, the export is read as a data set: the same pixels."""
  checkpoints.save_model(
    tmp_path / "model",
    small_network.constant([0, 2, 1]),
    small_network.about(),
  )
  mask = np.full((30, 40), 4, np.uint8)
  (tmp_path / "a").mkdir()
  for stem in ("a/1", "2", "3"):
    Image.new("RGB", (40, 30)).save(tmp_path / f"{stem}_sat.jpg")
    Image.fromarray(mask).save(tmp_path / f"{stem}_mask.png")
  (tmp_path / "map.txt").write_text("4 -> light\n")
  common = [
    f"--checkpoint={tmp_path}/model",
    f"--images={tmp_path}",
    f"--output_dir={tmp_path}/out",
    "--image_suffix=_sat.jpg",
  ]
  labels = [
    f"--labels={tmp_path}",
    f"--label_map={tmp_path}/map.txt",
    f"--report={tmp_path}/page.html",
  ]
  export = ["--export=cvat", f"--export_to={tmp_path}/cvat.zip"]
  told = run_scripts.exits(
    str(SCRIPT),
    [*common, *labels, "--label_suffix=_mask.png", *export],
    [*common, *export],
    [*common, "--export=cvat"],
    [*common, *labels],
  )
  assert told[0] == 0
  summary = json.loads((tmp_path / "out/summary.json").read_text())
  assert list(summary["images"]) == ["2_sat", "3_sat", "a/1_sat"]
  assert "<dd>1.0000" in (tmp_path / "page.html").read_text()
  assert "nothing is overwritten" in told[1]
  assert "give both --export=voc|folders|cvat and --export_to" in told[2]
  assert "--image_suffix=_sat.jpg --label_suffix=_mask.png" in told[3]
  found = FORMATS["cvat"](
    archive=str(tmp_path / "cvat.zip"), val_percent=40.0
  ).find()
  assert found.class_names == small_network.CLASS_NAMES
  pairs = [pair for group in found.splits.values() for pair in group]
  assert sorted(p.image_id for p in pairs) == ["2_sat", "3_sat", "a/1_sat"]
  for pair in pairs:
    index = found.reader.read(pair.label.read()).index
    assert (index == 1).all()
