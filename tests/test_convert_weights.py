"""scripts/convert_weights.py as a user runs it."""

import functools
import json
import pathlib

import numpy as np
import run_scripts

from fcn_jax import caffe, checkpoints

ROOT = pathlib.Path(__file__).parents[1]
GOLDEN = ROOT / "tests/golden"
SCRIPT = str(ROOT / "scripts/convert_weights.py")
WIDTH = "--width=6,8,12,12,8,24,20"

exits = functools.partial(run_scripts.exits, SCRIPT)
run = functools.partial(run_scripts.run, SCRIPT)


def test_a_classifier_becomes_a_model_directory(tmp_path):
  source = GOLDEN / "alexnet_v1.caffemodel"
  output = tmp_path / "converted/model"
  done = run(
    f"--source={source}",
    f"--output={output}",
    "--num_classes=5",
    "--mean=104,117,123",
    "--order=norm_pool",
    "--head_init=gaussian",
    WIDTH,
  )
  assert done.returncode == 0, done.stderr
  assert "proof   holds: fc7" in done.stdout
  receipt = (output / "receipt.txt").read_text()
  assert receipt in done.stdout
  stored = json.loads((output / "receipt.json").read_text())
  assert stored["proof"].startswith("holds")
  assert stored["sha1"] == caffe.read_caffemodel(source).sha1
  net, about, step = checkpoints.load_model(output)
  assert step == 0
  assert about.model == {
    "name": "fcn_alexnet",
    "classes": 5,
    "width": [6, 8, 12, 12, 8, 24, 20],
    "order": "norm_pool",
    "mean_bgr": [104, 117, 123],
  }
  assert about.class_names == [f"class{i}" for i in range(5)]
  weight = np.load(GOLDEN / "alexnet.npz")["w/conv1_0"]
  np.testing.assert_array_equal(
    net.conv1.kernel[...], weight.transpose(2, 3, 1, 0)
  )
  assert np.any(net.score_fr.kernel[...])
  assert [p.name for p in (tmp_path / "converted").iterdir()] == ["model"]


def test_a_partial_file_has_to_be_allowed(tmp_path):
  whole = caffe.read_caffemodel(GOLDEN / "alexnet.caffemodel")
  part = tmp_path / "part.caffemodel"
  layers = tuple(x for x in whole.layers if not x.name.startswith("fc"))
  caffe.write_caffemodel(part, caffe.CaffeNet("part", "new", "", layers))
  output = tmp_path / "model"
  arguments = [f"--source={part}", f"--output={output}", WIDTH]
  refused, allowed, again = exits(
    arguments,
    [*arguments, "--allow_missing=fc6,fc7"],
    [*arguments, "--allow_missing=fc6,fc7"],
  )
  assert "missing: source fc6" in refused
  assert "missing: source fc7" in refused
  assert allowed is None
  assert "is not overwritten" in again
  assert set(tmp_path.iterdir()) == {part, output}
  assert "proof   holds: pool5" in (output / "receipt.txt").read_text()
  _, about, _ = checkpoints.load_model(output)
  assert about.class_names[20] == "tvmonitor"


def test_mistakes_get_one_sentence(tmp_path):
  output = f"--output={tmp_path / 'model'}"
  names = tmp_path / "names.txt"
  names.write_text("road\nsky\n")
  mistakes = {
    (): "give either --source=FILE or --download=NAME",
    ("--source=x", "--download=bvlc_alexnet"): "give either --source=FILE",
    ("--source=absent.caffemodel", WIDTH): "absent.caffemodel: no such file",
    ("--source=x", "--mean=1,2"): "--mean=1,2: one number",
    ("--source=x", "--mean=1,2,grey"): "--mean=1,2,grey: one number",
    ("--source=x", "--width=half"): "--width=half: one share",
    ("--source=x", f"--class_names={names}"): "names 2 classes",
    ("--source=x", "--model=fcn"): "model 'fcn' is unknown",
    ("--source=" + str(names), WIDTH): "names.txt: ",
  }
  found = exits(*[[output, *arguments] for arguments in mistakes])
  for text, says in zip(found, mistakes.values(), strict=True):
    assert text.startswith("error: ")
    assert says in text
  assert list(tmp_path.iterdir()) == [names]
