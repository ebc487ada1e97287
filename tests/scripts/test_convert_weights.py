"""scripts/convert_weights.py as a user runs it."""

import functools
import json
import pathlib

import numpy as np
import pytest
import run_scripts
from places import ROOT

import fcn_jax
from fcn_jax import models
from fcn_jax.models.ops import bilinear_kernel
from fcn_jax.weights import caffemodel, checkpoints, export, surgery
from fcn_jax.weights.source import Source, SourceLayer

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
  assert stored["sha1"] == caffemodel.read_caffemodel(source).sha1
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
  whole = caffemodel.read_caffemodel(GOLDEN / "alexnet.caffemodel")
  part = tmp_path / "part.caffemodel"
  layers = tuple(x for x in whole.layers if not x.name.startswith("fc"))
  caffemodel.write_caffemodel(part, Source("part", "new", "", layers))
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


VGG_WIDTH = "--width=6,8,10,12,12,24,24"


def authors_file(path: pathlib.Path, name: str) -> dict[str, np.ndarray]:
  """What Caffe ran as FCN-8s, as the FCN authors publish theirs.

  Their deconvolutions go from every class to every class, and are zero but for
  their own.
  """
  with np.load(GOLDEN / "fcn_vgg.npz") as npz:
    golden = dict(npz)
  layers = []
  described = json.loads((GOLDEN / "fcn_vgg.json").read_text())["nets"][name]
  for layer in described["net"]:
    blobs = [
      golden.get(f"w/{name}/{layer['name']}_{i}", golden.get(key))
      for i in range(2)
      if (key := f"w/{layer['name']}_{i}") in golden
      or f"w/{name}/{layer['name']}_{i}" in golden
    ]
    if layer["type"] == "Deconvolution":
      size = layer["kernel_size"]
      factor = bilinear_kernel(size)
      weight = np.zeros((21, 21, size, size), np.float32)
      weight[range(21), range(21)] = np.outer(factor, factor)
      blobs = [weight]
    if layer["type"] == "Scale":
      blobs = [np.full(12 if "4" in layer["name"] else 10, 1, np.float32)]
      blobs[0] *= np.float32(layer["filler_value"])
    layers.append(SourceLayer(layer["name"], layer["type"], tuple(blobs)))
  caffemodel.write_caffemodel(path, Source(name, "new", "", tuple(layers)))
  return golden


@pytest.mark.parametrize(
  "name", [pytest.param("fcn8s", marks=pytest.mark.exhaustive), "fcn8s_atonce"]
)
def test_the_authors_own_fcn_is_used_as_it_is(name, tmp_path):
  """Its labels are Caffe's, at every size; VOC's classes are its classes."""
  path = tmp_path / f"{name}-heavy-pascal.caffemodel"
  golden = authors_file(path, name)
  output = tmp_path / "model"
  assert exits(
    [f"--source={path}", f"--output={output}", f"--model={name}", VGG_WIDTH]
  ) == [None]
  receipt = (output / "receipt.txt").read_text()
  assert "the same bilinear kernel, on the diagonal" in receipt
  assert "initialised" not in receipt
  assert "proof   holds: fc7 of a 224x224 image" in receipt
  net = fcn_jax.load(output)
  assert net.class_names[1] == "aeroplane"
  for size in ("37x29", "97x131", "80x61"):
    result = net(golden[f"image/{size}"])
    theirs = golden[f"{name}/argmax/{size}"]
    assert (result.labels == theirs).mean() > 0.999


def test_vgg16_becomes_each_of_the_networks(tmp_path):
  """Of one classifier's file; the recipes name the model directories."""
  declared = models.declare("vgg16", 7, width=0.02)
  net = models.build(declared)
  surgery.initialise(net, 0, "gaussian")
  source = tmp_path / "vgg16.caffemodel"
  inner = ("fc6", "fc7", "fc8")
  caffemodel.write_caffemodel(source, export.to_caffe(net, "VGG", inner))
  names = ("fcn32s", "fcn16s", "fcn8s", "fcn8s_atonce", "vgg16")
  arguments = [
    [
      f"--source={source}",
      f"--output={tmp_path / name}",
      f"--model={name}",
      "--width=0.02",
      "--num_classes=7",
    ]
    for name in names
  ]
  refused = [*arguments[0], "--order=pool_norm"]
  refused[1] += "_ordered"
  found = exits(*arguments, refused)
  assert found[:-1] == [None] * len(names)
  assert "--order=pool_norm: fcn32s does not normalise" in found[-1]
  for name in names:
    made, about, _ = checkpoints.load_model(tmp_path / name)
    assert about.model == {
      "name": name,
      "classes": 7,
      "width": 0.02,
      "mean_bgr": about.model["mean_bgr"],
    }
    np.testing.assert_array_equal(made.fc7.kernel[...], net.fc7.kernel[...])
    assert "holds" in (tmp_path / name / "receipt.txt").read_text()
  mean = checkpoints.load_about(tmp_path / "fcn8s")[1].model["mean_bgr"]
  assert mean == [104.00699, 116.66877, 122.67892]


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
    (
      "--source=x",
      f"--class_names={names}",
      "--num_classes=3",
    ): "names 2 classes, --num_classes is 3",
    ("--source=x", "--model=fcn"): "model 'fcn' is unknown",
    ("--source=" + str(names), WIDTH): "names.txt: ",
  }
  found = exits(*[[output, *arguments] for arguments in mistakes])
  for text, says in zip(found, mistakes.values(), strict=True):
    assert text.startswith("error: ")
    assert says in text
  assert list(tmp_path.iterdir()) == [names]
