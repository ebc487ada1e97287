"""scripts/describe_network.py as a user runs it."""

import json

import pytest
from run_scripts import exits, run
from small_data import label, photo, prepared

SCRIPT = "scripts/describe_network.py"
CONFIG = "--config=configs/voc_fcn_alexnet_digits.py"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> str:
  """Two images for training, of 24 x 30 and 40 x 20, and two classes."""
  root = tmp_path_factory.mktemp("described")
  files = {"classes.txt": "ground\nthing\n"}
  for stem, split, size in (
    ("a", "train", (24, 30)),
    ("b", "train", (40, 20)),
    ("c", "val", (10, 10)),
  ):
    files[f"{split}/images/{stem}.jpg"] = photo(1, *size)
    files[f"{split}/labels/{stem}.png"] = label(
      0, 1, height=size[0], width=size[1]
    )
  return prepared(root, files, name="tiny")


def test_a_recipe_on_its_data(data_dir):
  """Classes and the largest canvas (40 x 20) are those of the data set.

  A batch is one image of 4 bytes a pixel, so no gradients are added up.
  """
  done = run(
    SCRIPT,
    CONFIG,
    "--config.data.name=tiny",
    f"--config.data.data_dir={data_dir}",
    "--config.model.width=0.02",
    "--size=30x30",
    "--format=json",
  )
  assert done.returncode == 0, done.stderr
  found = json.loads(done.stdout)
  assert found["layers"][-1]["channels"] == 2
  assert [need["canvas"] for need in found["memory"]] == [[30, 30], [40, 20]]
  first, largest = found["memory"]
  assert first["batch"] == 30 * 30 * 4 + 12
  assert largest["gradients"] == 0
  assert largest["parameters"] == 4 * (found["parameters"] + 63)
  assert largest["total"] > largest["temporary"] > 0
  assert found["crops"][0]["offset"] == 18
  assert found["warning"] == ""


def test_text_for_a_network_without_a_recipe():
  done = run(SCRIPT, "--model=fcn8s", "--nomemory")
  assert done.returncode == 0, done.stderr
  lines = done.stdout.splitlines()
  assert lines[0].startswith("fcn8s on 375x500: 134,362,751 parameters")
  assert "receptive field 404 pixels, stride 32" in lines[0]
  assert lines[-1].endswith("+ 7.5 (upscore8) = 31 pixels")
  assert "memory" not in done.stdout


def test_files_and_errors(tmp_path):
  page, picture = tmp_path / "net.html", tmp_path / "net.svg"
  (tmp_path / "mine.svg").write_text("<svg/>")
  found = exits(
    SCRIPT,
    ["--model=fcn16s", "--classes=5", "--nomemory", f"--output={page}"],
    ["--model=alexnet", "--classes=5", f"--output={picture}"],
    ["--model=alexnet", f"--output={tmp_path / 'mine.svg'}"],
    ["--model=alexnet", f"--output={tmp_path / 'net.png'}"],
    ["--model=alexnet", "--size=500"],
    ["--model=alexnet", "--size=0x500"],
    ["--model=alexnet", CONFIG],
    ["--model=resnet"],
    [f"--checkpoint={tmp_path}"],
  )
  assert found[:2] == [None, None]
  assert "Network fcn16s" in page.read_text()
  assert ">227 × 227<" in picture.read_text()
  for error, words in zip(
    found[2:],
    (
      "no picture that fcn_jax has written",
      "end it in .html or .svg",
      "--size=500: write it as 375x500",
      "--size=0x500: write it as 375x500",
      "give one of --config",
      "model 'resnet' is unknown",
      "holds no checkpoints folder",
    ),
    strict=True,
  ):
    assert error.startswith("error: ")
    assert words in error
  assert (tmp_path / "mine.svg").read_text() == "<svg/>"
