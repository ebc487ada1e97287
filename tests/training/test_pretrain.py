"""fcn_jax.training.pretrain: a short training on a few crops."""

import json

import numpy as np
import pytest
from configs_there import STORED, load_config
from PIL import Image

from fcn_jax import models
from fcn_jax.prediction.activations import activity
from fcn_jax.runs import album
from fcn_jax.runs.run import read_run
from fcn_jax.training import input, loop, recipe, start
from fcn_jax.weights import caffemodel, checkpoints, surgery

COLORS = {"dark": 20, "light": 230, "middle": 128}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
  """Grey images; val: three light ones and a dark one."""
  root = tmp_path_factory.mktemp("crops")
  counts = {
    "train": {"dark": 2, "light": 2, "middle": 1},
    "val": {"dark": 1, "light": 3},
  }
  for split_name, classes in counts.items():
    for name, count in classes.items():
      folder = root / split_name / name
      folder.mkdir(parents=True)
      for number in range(count):
        Image.new("RGB", (30, 20 + number), (COLORS[name],) * 3).save(
          folder / f"{number}.png"
        )
  return root


@pytest.fixture
def config(directory):
  config = load_config("shapes_alexnet_classifier")
  config.model.width = 0.02
  config.data.directory = str(directory)
  config.batch_size = config.data.part_size = 3
  config.duration = "2 steps"
  config.lr_warmup = "1 step"
  config.validate_every = config.checkpoint_every = "2 steps"
  return config


def declared(config, name="alexnet"):
  return models.declare(
    name,
    classes=3,
    width=config.model.width,
    order=config.model.order,
    mean_bgr=tuple(config.model.mean_bgr),
  )


def test_a_run_leaves_a_classifier_that_surgery_accepts(config, tmp_path):
  workdir = tmp_path / "new/classifier"
  outcome = loop.train_and_evaluate(config, str(workdir))
  # Of val's four images so many are named rightly.
  accuracy = outcome.evaluation.figures()["pixel_accuracy"]
  assert accuracy in (0, 0.25, 0.5, 0.75, 1)
  assert outcome.evaluation.histogram.sum() == 4
  # A label is one pixel; none of them is void.
  assert outcome.evaluation.pixels.tolist() == [1, 1, 1, 1]
  assert outcome.evaluation.figures()["void_pixels"] == 0
  assert (workdir / "classes.txt").read_text() == "dark\nlight\nmiddle\n"
  path = workdir / "classifier.caffemodel"
  source = caffemodel.read_caffemodel(path)
  shapes = {
    layer.name: (layer.type, layer.blobs[0].shape)
    for layer in source.layers
    if layer.name.startswith("fc")
  }
  assert shapes == {
    "fc6": ("InnerProduct", (82, 6 * 6 * 6)),
    "fc7": ("InnerProduct", (82, 82)),
    "fc8": ("InnerProduct", (3, 82)),
  }
  net = models.build(declared(config, "fcn_alexnet"))
  receipt = surgery.surgery(source, net)
  assert receipt.initialised_layers() == ("score_fr", "upscore")
  # AdamW moves every weight by about its rate: warm-up's 0, then 6e-4.
  before = models.build(declared(config))
  surgery.initialise(before, config.seed, "gaussian")
  moved = np.abs(net.conv1.kernel[...] - before.conv1.kernel[...])
  assert 3e-4 < moved.max() < 1e-3

  # The workdir is that of any other run.
  run = read_run(workdir)
  assert (run.step, run.outcome, len(run.val)) == (2, "finished", 2)
  assert (workdir / "report.html").is_file()
  kept = album.read(workdir)
  assert sorted(kept.pictures[0].predictions) == [0, 2]
  net, card, step = checkpoints.load_model(workdir)
  assert (card.class_names, step) == (["dark", "light", "middle"], 2)
  assert card.config["data"]["directory"] == config.data.directory
  stored = next(x.blobs[0] for x in source.layers if x.name == "fc8")
  np.testing.assert_array_equal(net.fc8.kernel[...][0, 0].T, stored)

  # The same command again trains nothing more.
  again = loop.train_and_evaluate(config, str(workdir))
  assert again.stopped_by is None
  assert caffemodel.read_caffemodel(path).sha1 == source.sha1


def test_a_classifier_starts_an_fcn(config, tmp_path):
  """From its checkpoint, without a caffemodel in between."""
  loop.train_and_evaluate(config, str(tmp_path))
  net, *_ = checkpoints.load_model(tmp_path)
  fcn = recipe.default_recipe("fcn_alexnet", width=0.02)
  fcn.init.path = str(tmp_path)
  card = checkpoints.ModelCard(
    {**fcn.model.to_dict(), "classes": 4}, list("abcd"), []
  )
  made, receipt = start.network(fcn, card)
  np.testing.assert_array_equal(made.fc6.kernel[...], net.fc6.kernel[...])
  assert receipt.initialised_layers() == ("score_fr", "upscore")


def test_the_classifier_of_an_older_version_is_read(config, tmp_path):
  """It has a caffemodel, class names and a config, and no checkpoint."""
  workdir = tmp_path / "old"
  loop.train_and_evaluate(config, str(tmp_path / "new"))
  workdir.mkdir()
  for name in ("classifier.caffemodel", "classes.txt"):
    (workdir / name).write_bytes((tmp_path / "new" / name).read_bytes())
  model = config.model.to_dict()
  del model["name"]
  (workdir / "config.json").write_text(json.dumps({"model": model}))
  net, card, _ = checkpoints.load_model(workdir)
  assert card.class_names == ["dark", "light", "middle"]
  new, *_ = checkpoints.load_model(tmp_path / "new")
  np.testing.assert_array_equal(net.conv1.kernel[...], new.conv1.kernel[...])
  image = np.zeros((227, 227, 3), np.uint8)
  found = activity(net, image, card.class_names)
  assert found[-1].blob.shape == (1, 1, 3)
  with pytest.raises(FileExistsError, match="name another --workdir"):
    loop.train_and_evaluate(config, str(workdir))
  (workdir / "classes.txt").unlink()
  with pytest.raises(FileNotFoundError, match=r"holds no classes\.txt"):
    checkpoints.load_model(workdir)


def test_the_config_of_an_older_version_is_translated():
  """Its clip was of the mean of 16 gradients: 1 of theirs is 16 of the sum."""
  whole = recipe.complete(STORED["shapes_alexnet_classifier"])
  assert whole["duration"] == "1200 steps"
  now = load_config("shapes_alexnet_classifier").to_dict()
  for config in (whole, now):
    for field in ("batching", "part_size"):
      del config["data"][field]
    for field in ("validate", "checkpoint", "log"):
      del config[f"{field}_every"]
    del config["keep_latest"], config["duration"]
  assert whole == now
  assert (whole["base_lr"], whole["lr_warmup"]) == (6e-4, "50 steps")
  assert whole["clip_gradients"] == 16.0


def test_the_data_fit_the_network(config):
  config.data.directory = ""
  with pytest.raises(ValueError, match=r"alexnet classifies images: give"):
    input.load_data(config)
  fcn = load_config("shapes_fcn_alexnet")
  fcn.data.directory = "somewhere"
  with pytest.raises(ValueError, match=r"scores the pixels of images: give"):
    input.load_data(fcn)


def test_a_square_is_not_cropped_again(config):
  config.data.random_crop = 3
  data = input.load_data(config)
  with pytest.raises(ValueError, match="a square at a random place already"):
    input.augmentations(config, data)
