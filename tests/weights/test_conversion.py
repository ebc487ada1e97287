"""fcn_jax.weights.conversion: from a file to a model directory."""

import numpy as np
import pytest
from weight_files import OWT, state_dict

from fcn_jax import models
from fcn_jax.files import DataError
from fcn_jax.weights import checkpoints, conversion, export, surgery
from fcn_jax.weights.caffemodel import write_caffemodel

PALETTE = [[i, i, i] for i in range(256)]


@pytest.fixture(scope="module")
def owt(tmp_path_factory):
  """torchvision's AlexNet, narrow, by its names."""
  path = tmp_path_factory.mktemp("owt") / "alexnet.npz"
  np.savez(path, **state_dict("alexnet_owt"))
  return path


def make(path, output, name="fcn_alexnet_owt", classes=3, **given):
  given = {"width": list(OWT["width"])} | given
  names = [f"class{i}" for i in range(classes)]
  return conversion.convert(path, output, name, names, PALETTE, given)


def test_the_mean_is_the_files_unless_one_is_given(owt, tmp_path):
  """And the proof holds with either: the file's network gets that mean, too."""
  receipt = make(owt, tmp_path / "a")
  assert receipt.proof.startswith("holds: fc7 of a 224x224 image")
  _, card = checkpoints.load_about(tmp_path / "a")
  assert card.model["mean_bgr"] == [103.53, 116.28, 123.675]
  assert card.source.startswith("alexnet.npz, SHA-1 ")
  receipt = make(owt, tmp_path / "b", mean_bgr=[104.0, 117.0, 123.0])
  assert receipt.proof.startswith("holds")
  _, card = checkpoints.load_about(tmp_path / "b")
  assert card.model["mean_bgr"] == [104.0, 117.0, 123.0]


def test_a_classifier_of_a_thousand_classes(tmp_path):
  """Label images have 255 values; a classifier needs none."""
  width = (4, 8, 8, 8, 8, 10, 12)
  net = models.build(models.declare("alexnet", 1000, width=width))
  surgery.initialise(net, 0, "gaussian")
  path = tmp_path / "a.caffemodel"
  stored = export.to_caffe(net, inner_products=("fc6", "fc7", "fc8"))
  write_caffemodel(path, stored)
  make(path, tmp_path / "model", "alexnet", 1000, width=list(width))
  again, card, _ = checkpoints.load_model(tmp_path / "model")
  assert len(card.class_names) == 1000
  np.testing.assert_array_equal(again.fc8.kernel[...], net.fc8.kernel[...])
  with pytest.raises(DataError, match="256 classes: a label image"):
    make(path, tmp_path / "b", "fcn_alexnet", 256, width=list(width))
  assert not (tmp_path / "b").exists()


def test_what_fails_leaves_nothing(owt, tmp_path):
  with pytest.raises(surgery.SurgeryError):
    make(owt, tmp_path / "model", width=0.5)
  (tmp_path / "there").mkdir()
  with pytest.raises(DataError, match="is not overwritten"):
    make(owt, tmp_path / "there")
  assert [p.name for p in tmp_path.iterdir()] == ["there"]
