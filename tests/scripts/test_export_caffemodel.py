"""scripts/export_caffemodel.py as a user runs it."""

import functools

import pytest
import run_scripts
from places import ROOT

from fcn_jax import models
from fcn_jax.weights import caffemodel, checkpoints, surgery

GOLDEN = ROOT / "tests/golden"
SCRIPT = str(ROOT / "scripts/export_caffemodel.py")

exits = functools.partial(run_scripts.exits, SCRIPT)
run = functools.partial(run_scripts.run, SCRIPT)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
  about = checkpoints.ModelCard(
    model={
      "name": "fcn_alexnet",
      "classes": 21,
      "width": [6, 8, 12, 12, 8, 24, 20],
      "order": "pool_norm",
      "mean_bgr": [116.0, 116.0, 116.0],
    },
    class_names=[f"thing {i}" for i in range(21)],
    palette=[[i, i, i] for i in range(256)],
  )
  net = models.build(about.declaration())
  source = caffemodel.read_caffemodel(GOLDEN / "fcn_alexnet.caffemodel")
  surgery.surgery(source, net)
  directory = tmp_path_factory.mktemp("model") / "golden"
  checkpoints.save_model(directory, net, about)
  return directory


def test_caffes_own_file_comes_out_again(checkpoint, tmp_path):
  output = tmp_path / "out/fcn.caffemodel"
  arguments = (f"--checkpoint={checkpoint}", f"--output={output}")
  done = run(*arguments, "--size=97x131")
  assert done.returncode == 0, done.stderr
  source = caffemodel.read_caffemodel(GOLDEN / "fcn_alexnet.caffemodel")
  ours = {x.name: x.blobs for x in caffemodel.read_caffemodel(output).layers}
  for layer in source.layers:
    for a, b in zip(layer.blobs, ours.get(layer.name, ()), strict=True):
      assert a.shape == b.shape
      assert a.tobytes() == b.tobytes()
  text = output.with_suffix(".prototxt").read_text()
  assert "class 20: thing 20" in text
  assert "dim: 97\n      dim: 131\n" in text
  assert "offset: 18\n" in text
  assert text.count("layer {") == 26

  again = run(*arguments)
  assert again.returncode == 1
  assert "is not overwritten" in again.stderr


def test_mistakes_get_one_sentence(checkpoint, tmp_path):
  output = tmp_path / "fcn.caffemodel"
  mistakes = {
    f"--output={tmp_path / 'a.bin'}": "end in .caffemodel",
    "--size=500": "--size=500: write it as 375x500",
    "--step=7": "no checkpoint 7;",
    f"--checkpoint={tmp_path}": "holds no checkpoints folder",
  }
  base = [f"--checkpoint={checkpoint}", f"--output={output}"]
  found = exits(*[[*base, mistake] for mistake in mistakes])
  for text, says in zip(found, mistakes.values(), strict=True):
    assert text.startswith("error: ")
    assert says in text
  assert list(tmp_path.iterdir()) == []
