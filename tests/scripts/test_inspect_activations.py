"""scripts/inspect_activations.py as a user runs it."""

import functools
import json

import numpy as np
import pytest
import run_scripts
import small_network
from PIL import Image
from places import SCRIPTS

from fcn_jax import models
from fcn_jax.prediction.activations import activity
from fcn_jax.weights import caffemodel, checkpoints, export

SCRIPT = str(SCRIPTS / "inspect_activations.py")
exits = functools.partial(run_scripts.exits, SCRIPT)
run = functools.partial(run_scripts.run, SCRIPT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A segmentation network, a classifier, and an image with a bright left."""
  folder = tmp_path_factory.mktemp("inspect")
  checkpoints.save_model(
    folder / "net", small_network.sees_light(), small_network.about()
  )
  classifier = folder / "classifier"
  classifier.mkdir()
  model = {"width": [2] * 7, "order": "pool_norm", "mean_bgr": [0, 0, 0]}
  net = models.build(models.declare("alexnet", 3, **model))
  net.fc8.bias[...] = np.log(np.array([1, 6, 3], np.float32))
  caffemodel.write_caffemodel(
    classifier / checkpoints.CLASSIFIER,
    export.to_caffe(net, inner_products=("fc6", "fc7", "fc8")),
  )
  (classifier / "classes.txt").write_text("a\nb\nc\n")
  (classifier / "config.json").write_text(json.dumps({"model": model}))
  image = np.zeros((60, 80, 3), np.uint8)
  image[:, :40, 0] = 200
  Image.fromarray(image).save(folder / "photo.png")
  return folder


def test_figures_are_printed_as_json(folder):
  done = run(
    f"--checkpoint={folder / 'net'}",
    f"--image={folder / 'photo.png'}",
    "--layers=conv1,pool5",
    "--format=json",
  )
  assert done.returncode == 0, done.stderr
  found = json.loads(done.stdout)
  assert found["step"] == 0
  assert [layer["name"] for layer in found["layers"]] == ["conv1", "pool5"]
  image = np.asarray(Image.open(folder / "photo.png"))
  (conv1,) = activity(small_network.sees_light(), image, only=["conv1"])
  assert found["layers"][0] == json.loads(json.dumps(conv1.figures()))


def test_pages_and_refusals(folder):
  image = f"--image={folder / 'photo.png'}"
  net, classifier = (
    f"--checkpoint={folder / name}" for name in ("net", "classifier")
  )
  (folder / "mine.html").write_text("mine")
  codes = exits(
    [net, image, f"--output={folder / 'a/net.html'}"],
    [classifier, image, f"--output={folder / 'classifier.html'}"],
    [net, image, "--layers=conv9"],
    [net, f"--image={folder / 'absent.png'}"],
    [f"--checkpoint={folder}", image],
    [net, image, f"--output={folder / 'mine.html'}"],
  )
  assert codes[:2] == [None, None]
  page = (folder / "a/net.html").read_text()
  assert "Activations of fcn_alexnet on photo.png" in page
  assert page.count("<details") == 18
  page = (folder / "classifier.html").read_text()
  assert f"{folder / 'classifier'}" in page
  assert "It sees the middle square of this image of 80 × 60, scaled." in page
  likeliest = page[page.index('<ol class="likeliest">') :]
  places = [likeliest.index(text) for text in ("b <", "60.0 %", "c <", "30.0")]
  assert places == sorted(places)
  refusals = ("no layer is called conv9", "no such file", "holds no", "no page")
  for code, refusal in zip(codes[2:], refusals, strict=True):
    assert code.startswith("error:")
    assert refusal in code
  assert (folder / "mine.html").read_text() == "mine"


def test_text_is_printed_where_nothing_else_is_asked(folder):
  done = run(
    f"--checkpoint={folder / 'net'}",
    f"--image={folder / 'photo.png'}",
    "--layers=conv1",
  )
  assert done.returncode == 0, done.stderr
  lines = done.stdout.splitlines()
  assert lines[0].endswith(f"step 0, on {folder / 'photo.png'}")
  assert [line.split()[0] for line in lines[2:]] == [
    "array",
    "conv1",
    "conv1.kernel",
    "conv1.bias",
    "together",
  ]
