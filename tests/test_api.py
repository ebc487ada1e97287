"""What `import fcn_jax` gives a notebook."""

import doctest
import subprocess
import sys

import numpy as np
import pytest
import small_network
from PIL import Image

import fcn_jax
from fcn_jax.prediction import predictor, result
from fcn_jax.weights import checkpoints


@pytest.fixture(scope="module")
def home(tmp_path_factory):
  """A folder in which the quickstart has been run."""
  folder = tmp_path_factory.mktemp("home")
  quickstart = folder / "runs/quickstart"
  checkpoints.save_model(
    quickstart / "fcn_alexnet",
    small_network.sees_light(),
    small_network.about(),
  )
  (quickstart / "new_images").mkdir()
  image = np.zeros((40, 60, 3), np.uint8)
  image[:, 30:] = 255
  Image.fromarray(image).save(quickstart / "new_images/new_01.jpg")
  return folder


@pytest.mark.parametrize("module", [fcn_jax, predictor, result])
def test_the_examples_of_the_docstrings_run(home, monkeypatch, module):
  monkeypatch.chdir(home)
  outcome = doctest.testmod(module)
  assert outcome.attempted >= 4
  assert outcome.failed == 0
  with Image.open(home / "labels.png") as saved:
    assert saved.size == (60, 40)


def test_load(home):
  net = fcn_jax.load(home / "runs/quickstart/fcn_alexnet", step="latest")
  assert net.class_names == small_network.CLASS_NAMES
  assert net.palette.shape == (256, 3)
  assert net.step == 0
  assert repr(net) == (
    "<Predictor fcn_alexnet, step 0, 3 classes: background, light, none>"
  )
  whole = net(np.full((40, 60), 255, np.uint8))
  assert whole.shares["light"] == 1


def test_load_names_what_is_missing(home):
  with pytest.raises(FileNotFoundError, match="holds no checkpoints folder"):
    fcn_jax.load(home / "runs")
  with pytest.raises(FileNotFoundError, match="there is best, latest, 0"):
    fcn_jax.load(home / "runs/quickstart/fcn_alexnet", step=5)


def test_all_names_are_there():
  assert set(fcn_jax.__all__) <= set(dir(fcn_jax))
  for name in fcn_jax.__all__:
    assert getattr(fcn_jax, name).__doc__
  with pytest.raises(AttributeError, match="no attribute 'lod'"):
    _ = fcn_jax.lod


def test_importing_is_cheap():
  code = "import sys, fcn_jax; print('jax' in sys.modules, dir(fcn_jax))"
  told = subprocess.check_output([sys.executable, "-c", code], text=True)
  assert told.startswith("False ")
  assert "'load_dataset'" in told


def test_looking_up_load_costs_little_more_than_jax():
  """What takes long is imported when a network is read, or never."""
  code = "import sys, fcn_jax; fcn_jax.load; print(*sys.modules)"
  told = subprocess.check_output([sys.executable, "-c", code], text=True)
  late = {"flax", "optax", "orbax", "grain", "tensorflow_datasets"}
  assert "jax" in told.split()
  assert not late & set(told.split())
