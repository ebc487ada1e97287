"""fcn_jax.pretrain: a short training on a few crops, and what it leaves."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from configs_there import load_config
from PIL import Image
from small_nets import split

from fcn_jax import devices, models
from fcn_jax.data import class_folders
from fcn_jax.training import pretrain, progress
from fcn_jax.training.step import TrainState
from fcn_jax.weights import caffemodel, surgery

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
def recipe(directory):
  config = load_config("shapes_alexnet_classifier")
  config.model.width = 0.02
  config.data.directory = str(directory)
  config.batch_size = 3
  config.duration = "2 steps"
  config.warmup_steps = 1
  return config


def declared(recipe, name="alexnet"):
  return models.declare(
    name,
    classes=3,
    width=recipe.model.width,
    order=recipe.model.order,
    mean_bgr=tuple(recipe.model.mean_bgr),
  )


def test_a_run_leaves_a_classifier_that_surgery_accepts(recipe, tmp_path):
  workdir = tmp_path / "new/classifier"
  accuracy = pretrain.train_classifier(recipe, str(workdir))
  assert accuracy in (0, 0.25, 0.5, 0.75, 1)
  assert sorted(path.name for path in workdir.iterdir()) == [
    "classes.txt",
    "classifier.caffemodel",
    "config.json",
  ]
  assert (workdir / "classes.txt").read_text() == "dark\nlight\nmiddle\n"
  stored = json.loads((workdir / "config.json").read_text())
  assert stored == json.loads(json.dumps(recipe.to_dict()))
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
  net = models.build(declared(recipe, "fcn_alexnet"))
  receipt = surgery.surgery(source, net)
  assert receipt.initialised_layers() == ("score_fr", "upscore")
  # AdamW moves every weight by about its rate: warm-up's 0, then 6e-4.
  before = models.build(declared(recipe))
  surgery.initialise(before, recipe.seed, "gaussian")
  moved = np.abs(net.conv1.kernel[...] - before.conv1.kernel[...])
  assert 3e-4 < moved.max() < 1e-3

  classifier, about = pretrain.load_classifier(workdir)
  assert about.class_names == ["dark", "light", "middle"]
  assert classifier.layers == models.declare(**about.model)
  stored = next(x.blobs[0] for x in source.layers if x.name == "fc8")
  np.testing.assert_array_equal(classifier.fc8.kernel[...][0, 0].T, stored)

  with pytest.raises(FileExistsError, match="name another --workdir"):
    pretrain.train_classifier(recipe, str(workdir))
  assert caffemodel.read_caffemodel(path).sha1 == source.sha1


def test_a_folder_without_a_classifier_is_told(tmp_path):
  with pytest.raises(FileNotFoundError, match=r"holds no classifier\.caffem"):
    pretrain.load_classifier(tmp_path)


@pytest.mark.parametrize(
  ("loss", "weight"), [(np.nan, 0), (np.inf, 0), (1, np.nan), (1, np.inf)]
)
def test_nothing_is_left_of_a_run_that_blows_up(
  recipe, tmp_path, monkeypatch, loss, weight
):
  """Seen at a loss, or at the weights after the last step."""

  def stepper(state, drawn):
    params = jax.tree.map(lambda x: x + weight, state.params)
    return state.replace(params=params), [jnp.array([1.0, loss, 1.0])]

  monkeypatch.setattr(pretrain, "Stepper", lambda *_, **__: stepper)
  with pytest.raises(progress.NotFinite) as error:
    pretrain.train_classifier(recipe, str(tmp_path / "classifier"))
  assert str(error.value).startswith("step 2: the ")
  assert "lower config.learning_rate" in str(error.value)
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
  ("total", "shares"),
  [
    (1, [1]),
    (2, [0, 1]),
    (3, [0, 1 / 2, 1]),
    (6, [0, 1 / 2, 1, (2 + 2**0.5) / 4, 1 / 2]),
  ],
)
def test_the_solver_by_hand(recipe, total, shares):
  """Equal slopes: Adam moves by its rate, which warms up and falls.

  A warm-up of 2 steps, less where the run is shorter; from the rate's peak on
  1/2 + cos(pi t) / 2, over the 4 steps that are left of 6: 1, 0.854, 1/2.
  """
  recipe.warmup_steps = 2
  recipe.weight_decay = 0.1
  solver = pretrain._solver(recipe, total)
  weight = {"kernel": jnp.full(3, 2.0)}
  state = solver.init(weight)
  step = jax.jit(solver.update)
  for share in shares:
    updates, state = step({"kernel": jnp.full(3, 9.0)}, state, weight)
    # The decay takes 0.1 of the weight, 2, besides.
    expected = -share * recipe.learning_rate * (1 + 0.1 * 2)
    np.testing.assert_allclose(updates["kernel"], expected, rtol=1e-4)


def test_accuracy_by_hand(recipe):
  """All is named light, the second class; so are three of the four of val.

  The second batch of three is filled up with a dark and a light one, which do
  not count again: that would be 4 of 6.
  """
  net = models.build(declared(recipe))
  net.fc8.bias[...] = np.array([0, 1, 0], np.float32)
  graphdef, params, frozen = split(net)
  state = TrainState(jnp.zeros((), jnp.int32), params, frozen, None)
  folders = class_folders.find_classes(recipe.data.directory)["val"]
  assert folders.classes == (0, 1, 1, 1)
  found = pretrain._accuracy(
    recipe, folders, graphdef, state, devices.data_mesh()
  )
  assert found == 0.75


def test_crops_are_placed_at_random_only_in_training(recipe):
  """Around a crop lies the mean, in RGB: 3, 2, 1."""
  recipe.model.mean_bgr = (1.2, 1.9, 3.1)
  folders = class_folders.find_classes(recipe.data.directory)["train"]
  still, moved = (
    pretrain._loader(recipe, folders, order).batch(0).parts[0].image
    for order in ("sequential", "shuffle")
  )
  assert still.shape == (3, 227, 227, 3)
  assert still[0, 0, 0].tolist() == [3, 2, 1]
  # 20 x 30 pixels in the middle: round(207 / 2) above, round(197 / 2) beside.
  rows, columns = np.nonzero((still[0] == COLORS["dark"]).all(-1))
  assert (rows.min(), rows.max()) == (104, 123)
  assert (columns.min(), columns.max()) == (98, 127)
  assert np.any(moved[:, 104:123, 98:127].min((1, 2)) < 20)
