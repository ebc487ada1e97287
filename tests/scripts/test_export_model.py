"""scripts/export_model.py as a user runs it."""

import functools

import pytest
import run_scripts
import small_network
from places import ROOT

from fcn_jax.weights import checkpoints

exits = functools.partial(
  run_scripts.exits, str(ROOT / "scripts/export_model.py")
)


def test_formats_and_mistakes(tmp_path):
  pytest.importorskip("onnxruntime")
  pytest.importorskip("safetensors")
  model = tmp_path / "model"
  checkpoints.save_model(model, small_network.random(0), small_network.about())
  base = [f"--checkpoint={model}"]

  def output(name):
    return f"--output={tmp_path / name}"

  runs = {
    ("--format=onnx", output("a.onnx"), "--argmax", "--size=40x56"): None,
    ("--format=safetensors", output("hub")): None,
    ("--format=onnx", output("a.onnx")): "a.onnx exists",
    ("--format=onnx", output("b.onnx"), "--size=40"): "--size=40: write it",
    ("--format=caffe", output("b.onnx")): "has to end in .caffemodel",
    ("--format=onnx", output("b.onnx"), "--step=7"): "no checkpoint 7;",
    (
      *("--format=caffe", output("b.caffemodel"), "--opset=14"),
    ): "--opset does not go with --format=caffe",
  }
  found = exits(*[[*base, *arguments] for arguments in runs])
  for text, says in zip(found, runs.values(), strict=True):
    if says is None:
      assert text is None
    else:
      assert text.startswith("error: ")
      assert says in text
  assert sorted(p.name for p in tmp_path.iterdir()) == [
    *("a.onnx", "hub", "model"),
  ]
