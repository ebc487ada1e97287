"""fcn_jax.parity and scripts/compare_caffe.py can fail, and say where."""

import json
import math
import shutil

import numpy as np
import pytest
import run_scripts
from places import GOLDEN

from fcn_jax import parity
from fcn_jax.parity import comparison, golden, nets


def spoilt(folder, name: str, changes: dict) -> set[str]:
  """Which kinds are beyond after some arrays of a copy were changed."""
  for suffix in ("json", "npz"):
    shutil.copy(GOLDEN / f"{name}.{suffix}", folder)
  with np.load(folder / f"{name}.npz") as npz:
    arrays = dict(npz)
  for key, change in changes.items():
    change(arrays[key])
  if name == "sgd":  # the others take their time
    described = json.loads((folder / "sgd.json").read_text())
    used = {key.split("/")[0] for key in changes}
    described["runs"] = [x for x in described["runs"] if x["name"] in used]
    (folder / "sgd.json").write_text(json.dumps(described))
  np.savez(folder / f"{name}.npz", **arrays)
  found = parity.compare(folder, (name,))
  return {one.what for one in found if not one.holds}


def one_more(array: np.ndarray) -> None:
  array.flat[-1] += 1


def a_little(array: np.ndarray) -> None:
  array.flat[0] += 3e-5 * np.abs(array).max()


@pytest.mark.exhaustive
def test_wrong_numbers_of_single_layers_are_seen(tmp_path):
  changes = {
    "pool_k3s2p1_3x3/y": one_more,
    "pool_k3s2p0_2x2/dx": one_more,
    "lrn_c8/dx": a_little,
    "conv_g2/dw": a_little,
    "deconv_bilinear64_s32_crop19_dense/y": a_little,
    "relu/y": one_more,
    "softmax_loss_FULL_some_ignored/dscore": a_little,
  }
  assert spoilt(tmp_path, "layers", changes) == {
    "pooling",
    "pooling, gradient",
    "LRN, gradient",
    "convolution, gradient of weight",
    "upscore and crop",
    "ReLU",
    "softmax loss, gradient",
  }


@pytest.mark.exhaustive
def test_a_wrong_number_of_a_run_is_seen(tmp_path):
  """Of one run, at the end; of both ways to it where there are two."""
  changes = {
    "step/w/fc7_1": a_little,
    "iter_size3/history/fc6_0": lambda x: x.__imul__(1.0001),
    "poly/lr": a_little,
    "grad/conv1_0": a_little,
  }
  assert spoilt(tmp_path, "sgd", changes) == {
    "weights at the end",
    "history at the end",
    "history at the end, drawn as a batch",
    "learning rates",
    "gradients",
  }


def test_a_wrong_blob_is_seen_in_its_own_line(tmp_path):
  def change(array):
    array[0, 0] = 20 - array[0, 0]

  found = spoilt(tmp_path, "fcn_alexnet", {"argmax/64x64": change})
  assert found == {"labels", "labels in a batch"}


def test_a_wrong_declaration_is_seen():
  described, _ = golden.Golden(GOLDEN).load("fcn_vgg")
  net = described["nets"]["fcn8s"]["net"]
  layers = golden.declare("fcn8s", net, described["preprocessing"])
  assert nets.differences("fcn8s", layers, net).holds
  for name, key, value in (
    ("conv1_1", "pad", 99),
    ("fc6", "lr_mult", [1, 1]),
    ("score_pool3", "bottom", ["pool4"]),
    ("fuse_pool4", "type", "Crop"),
    ("conv3_2", "num_output", 7),
    ("pool5", "stride", 1),
    ("drop7", "dropout_ratio", 0.4),
  ):
    wrong = [x | ({key: value} if x["name"] == name else {}) for x in net]
    assert nets.differences("fcn8s", layers, wrong).case == f"fcn8s: {name}"
  offset = [x | ({"offset": 30} if x["name"] == "score" else {}) for x in net]
  assert nets.differences("fcn8s", layers, offset).case == "fcn8s: score"
  assert nets.differences("fcn8s", layers, net[:-1]).case == "fcn8s: score"


def test_comparisons_by_hand():
  """0.5 is a quarter of 2."""
  ours, theirs = [1.0, -1.5], [1.0, -2.0]
  one = comparison.near("w", "c", ours, theirs, 0.3)
  assert (one.error, one.largest, one.relative) == (0.5, 2, 0.25)
  assert one.holds
  assert not comparison.near("w", "c", ours, theirs, 0.2).holds
  assert comparison.near("w", "c", ours, theirs, 0.01, scale=50).holds
  assert comparison.near("w", "c", 0.0, 0.0, 0.0).holds
  assert not comparison.near("w", "c", 1e-9, 0.0, 0.1).holds
  nan = math.nan
  assert comparison.near("w", "c", [nan, 1], [nan, 1], 0.1).holds
  assert not comparison.near("w", "c", [nan, 1], [1, 1], 0.1).holds
  assert not comparison.near("w", "c", [1, 1], [nan, 1], 0.1).holds
  assert not comparison.near("w", "c", [1.0], [1.0, 1.0], 0.1).holds
  one = comparison.equal("w", "c", [1, 2, 3], [1, 5, 3])
  assert (one.error, one.largest, one.holds) == (1, 3, False)
  assert not comparison.equal("w", "c", [1], [1, 1]).holds


def test_the_table():
  rows = [
    comparison.near("blobs", "a", [1.0], [1.0], 1e-5).of("net"),
    comparison.near("blobs", "b", [1.0], [1.5], 1e-5).of("net"),
    comparison.equal("labels", "a", [1, 2], [1, 2]).of("net"),
    comparison.equal("labels", "b", [1], [1]).of("net"),
    comparison.Comparison("loss", "c", left_out="capped", group="net"),
  ]
  lines = [line.split() for line in comparison.table(rows).splitlines()]
  assert lines[1:] == [
    ["net:", "blobs", "2", "5.0e-01", "3.3e-01", "1e-05", "BEYOND"],
    ["b", "1", "5.0e-01", "3.3e-01", "1e-05", "BEYOND"],
    ["net:", "labels", "2", "0", "of", "3", "0", "ok"],
    ["net:", "loss,", "c", "capped"],
  ]


# The script.

SCRIPT = "scripts/compare_caffe.py"


def test_the_script(tmp_path):
  for suffix in ("json", "npz"):
    shutil.copy(GOLDEN / f"metrics.{suffix}", tmp_path)
  wrong = tmp_path / "wrong"
  wrong.mkdir()
  found = spoilt(wrong, "metrics", {"random21/hist": one_more})
  assert found == {"confusion matrix"}
  (tmp_path / "empty").mkdir()
  damaged = tmp_path / "damaged"
  damaged.mkdir()
  (damaged / "metrics.json").write_text("{")
  lacking = tmp_path / "lacking"
  lacking.mkdir()
  shutil.copy(GOLDEN / "metrics.json", lacking)
  right, beyond, strange, nothing, broken, partly = run_scripts.exits(
    SCRIPT,
    [f"--golden={tmp_path}"],
    [f"--golden={wrong}"],
    [f"--golden={tmp_path}", "--groups=metric"],
    [f"--golden={tmp_path / 'empty'}"],
    [f"--golden={damaged}"],
    [f"--golden={lacking}"],
  )
  assert (right, beyond) == (0, 1)
  assert strange == (
    f"error: --groups=metric: there is {', '.join(parity.GROUPS)}"
  )
  assert "empty holds none of layers" in nothing
  assert "damaged/metrics: " in broken
  assert "lacking, metrics: lacks 'random21/label_0'" in partly
  done = run_scripts.run(SCRIPT, f"--golden={tmp_path}", "--groups=metrics")
  assert done.returncode == 0
  assert "metrics: mean IoU" in done.stdout
  assert "36 comparisons on cpu: all within tolerance" in done.stdout
