"""prediction.activations: figures by hand, and against a plain reference."""

import json

import numpy as np
import pytest
import small_network
from small_nets import random_image, random_net, reference_blobs

from fcn_jax import models
from fcn_jax.prediction import activations
from fcn_jax.prediction.activations import BINS, activity, distribution


def by_name(layers):
  return {layer.name: layer for layer in layers}


@pytest.fixture(scope="module")
def light():
  """Red is 200 in an image of 60 x 80, all else 0."""
  image = np.zeros((60, 80, 3), np.uint8)
  image[..., 0] = 200
  net = small_network.sees_light()
  return activity(net, image, small_network.CLASS_NAMES)


def test_every_layer_has_its_figures(light):
  """conv1's middle tap passes red on where it lies in the image.

  Of its (60 + 200 - 11) // 4 + 1 = 63 rows those from 24 to 38 look at pixels
  4 i - 95 = 1 to 57, of 68 columns 24 to 43 at 1 to 77: 15 x 20 cells are 200.
  """
  assert [layer.name for layer in light] == [
    layer.name for layer in small_network.sees_light().layers
  ]
  found = by_name(light)
  conv1 = found["conv1"].activation
  assert conv1.shape == (63, 68, 2)
  assert conv1.mean == pytest.approx(300 * 200 / (63 * 68 * 2), rel=1e-12)
  assert conv1.zeros == pytest.approx(1 - 300 / (63 * 68 * 2), rel=1e-12)
  assert (conv1.minimum, conv1.maximum, conv1.dead) == (0, 200, (1,))
  data = found["data"].activation
  assert data.channel_means.tolist() == [0, 0, 200]
  kernel = found["conv1"].distributions["kernel"]
  assert kernel.shape == (11, 11, 3, 2)
  assert kernel.mean == pytest.approx(1 / 726, rel=1e-12)
  assert found["score_fr"].distributions["bias"].mean == 0
  assert found["score"].activation.shape == (60, 80, 3)


def test_parameters_are_those_that_are_learned(light):
  found = by_name(light)
  assert found["conv1"].parameters == 11 * 11 * 3 * 2 + 2
  assert found["upscore"].parameters == 0
  assert list(found["upscore"].distributions) == ["kernel1d"]
  assert found["pool1"].distributions == {}


def test_channels_that_mean_something_have_names(light):
  found = by_name(light)
  assert found["data"].channel_names == ("blue", "green", "red")
  for name in ("score_fr", "upscore", "score"):
    assert found[name].channel_names == small_network.CLASS_NAMES
  assert found["fc7"].channel_names == ()
  assert [x.name for x in light if x.sees_image] == ["conv1"]


def test_the_strongest_come_first(light):
  assert by_name(light)["score"].strongest(2) == [1, 0]
  assert by_name(light)["conv2"].strongest(9) == [0, 1]


def test_figures_are_those_of_the_reference():
  """Every blob at its true extent, in float64 of another computation."""
  net = random_net()
  image = random_image(np.random.default_rng(0), 37, 53)
  expected = reference_blobs(net, image)
  found = activity(net, image)
  assert [layer.name for layer in found] == list(expected)
  for layer in found:
    theirs = expected[layer.name]
    ours = layer.activation
    largest = np.abs(theirs).max()
    assert ours.shape == theirs.shape
    for figure, value in (
      (ours.mean, theirs.mean()),
      (ours.std, theirs.std()),
      (ours.minimum, theirs.min()),
      (ours.maximum, theirs.max()),
    ):
      assert figure == pytest.approx(value, abs=1e-5 * largest), layer.name
    assert ours.zeros == pytest.approx((theirs == 0).mean(), abs=1e-3)
    np.testing.assert_array_equal(
      ours.dead, np.flatnonzero((theirs == 0).all((0, 1)))
    )


def test_one_layer_alone_is_the_same(light):
  image = np.zeros((60, 80, 3), np.uint8)
  image[..., 0] = 200
  (alone,) = activity(small_network.sees_light(), image, only=["conv5"])
  assert alone.activation.mean == by_name(light)["conv5"].activation.mean


def test_an_unknown_layer_is_told():
  net = small_network.sees_light()
  image = np.zeros((60, 80, 3), np.uint8)
  with pytest.raises(ValueError, match="no layer is called conv9; there is da"):
    activity(net, image, only=["conv1", "conv9"])


def test_a_layer_that_overflows_is_named():
  net = small_network.sees_light()
  net.conv3.bias[...] = np.array([np.inf, 0], np.float32)
  with pytest.raises(ValueError, match=r"conv3: \d+ of .* NaN or infinite"):
    activity(net, np.zeros((60, 80, 3), np.uint8))


def test_a_classifier_takes_the_middle_square():
  """100 x 300: the middle third, its own left half dark, its right half light.

  Scaled up by 2.27, all but the seam keeps its values.
  """
  image = np.zeros((100, 300, 3), np.uint8)
  image[:, 150:200] = 250
  image[:, 200:] = 99
  square = activations.classifier_image(image, 227)
  assert square.shape == (227, 227, 3)
  assert not square[:, :111].any()
  assert (square[:, 116:] == 250).all()
  net = models.build(
    models.declare("alexnet", 3, width=(2,) * 7, mean_bgr=(0, 0, 0))
  )
  net.fc8.bias[...] = np.array([1, 3, 2], np.float32)
  found = by_name(activity(net, square, ("a", "b", "c")))
  assert found["fc8"].activation.shape == (1, 1, 3)
  assert found["fc8"].channel_names == ("a", "b", "c")
  assert found["fc8"].strongest(3) == [1, 2, 0]
  assert found["data"].activation.maximum == 250


def test_layers_say_what_they_do(light):
  kinds = {layer.name: layer.kind for layer in light}
  assert kinds["data"] == "image, mean subtracted"
  assert kinds["conv1"] == "convolution 11 × 11, stride 4, pad 100, ReLU"
  assert kinds["conv2"] == "convolution 5 × 5, pad 2, 2 groups, ReLU"
  assert kinds["score_fr"] == "convolution 1 × 1"
  assert kinds["pool5"] == "max pooling 3 × 3, stride 2"
  assert kinds["upscore"] == "upscore 63 × 63, stride 32"
  assert kinds["score"] == "cut to data"


def test_the_table_has_a_line_for_every_array(light):
  lines = activations.table(light).splitlines()
  assert len(lines) == 1 + 18 + 2 * 8 + 1 + 1
  (line,) = (x for x in lines if x.startswith("conv1 "))
  words = "conv1 63 x 68 x 2 7.003 36.76 0 200 96.5% 1 of 2: 1"
  assert " ".join(line.split()) == words
  assert lines[-1].split() == ["together", "1,019"]


def test_dead_channels_are_counted_where_they_are_many():
  found = activations.distribution(np.zeros((3, 20), np.float32))
  text = activations.dead_channels(found)
  assert text == "20 of 20: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ..."


# Two channels of four cells: 0, 1, 2, 5 and 0 throughout.
VALUES = np.array([0, 0, 1, 0, 2, 0, 5, 0], np.float32).reshape(2, 2, 2)


def test_by_hand():
  """The sum is 8, of the squares 30: the variance is 30/8 - 1."""
  found = distribution(VALUES)
  assert found.shape == (2, 2, 2)
  assert found.size == 8
  assert found.mean == 1
  assert found.std == pytest.approx(2.75**0.5, rel=1e-15)
  assert (found.minimum, found.maximum) == (0, 5)
  assert found.zeros == 5 / 8
  assert found.channel_means.tolist() == [2, 0]
  assert found.dead == (1,)
  # Bins of an eighth: 1 begins bin 8, 2 bin 16, and 5 ends the last one.
  assert np.flatnonzero(found.counts).tolist() == [0, 8, 16, 39]
  assert found.counts[[0, 8, 16, 39]].tolist() == [5, 1, 1, 1]
  assert (found.edges[0], found.edges[1], found.edges[-1]) == (0, 0.125, 5)


def test_blocks_change_nothing(monkeypatch):
  values = np.random.default_rng(0).normal(0, 3, (7, 5, 3)).astype(np.float32)
  whole = distribution(values)
  monkeypatch.setattr(activations, "_BLOCK", 6)
  parts = distribution(values)
  assert parts.mean == pytest.approx(values.mean(dtype=np.float64), rel=1e-12)
  assert parts.std == pytest.approx(values.std(dtype=np.float64), rel=1e-12)
  assert whole.std == pytest.approx(parts.std, rel=1e-12)
  np.testing.assert_array_equal(whole.counts, parts.counts)
  assert whole.counts.sum() == values.size
  assert (whole.zeros, whole.dead) == (0, ())
  np.testing.assert_allclose(
    parts.channel_means, values.astype(np.float64).mean((0, 1)), rtol=1e-12
  )


def test_sums_are_of_float64():
  """In float32 a hundred million and one is a hundred million."""
  found = distribution(np.array([[1e8], [1]], np.float32))
  assert found.mean == 50_000_000.5


def test_one_value_fills_one_bin():
  found = distribution(np.full((3, 2), 2.0, np.float32))
  assert (found.mean, found.std) == (2, 0)
  assert (found.edges[0], found.edges[-1]) == (1.5, 2.5)
  assert found.counts.max() == 6
  assert len(found.counts) == BINS


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_counted(bad):
  with pytest.raises(ValueError, match="1 of 4 values are NaN or infinite"):
    distribution(np.array([[1, 2], [3, bad]], np.float32))


def test_figures_are_json():
  figures = json.loads(json.dumps(distribution(VALUES).figures()))
  assert figures["shape"] == [2, 2, 2]
  assert figures["dead"] == [1]
  assert figures["channel_means"] == [2, 0]
  assert sum(figures["counts"]) == 8


def test_tiles_make_the_same_blobs():
  """Cells in the padding too: conv1 begins 95 pixels before the image."""
  net = random_net(seed=3)
  image = random_image(np.random.default_rng(0), 70, 50)
  names = ("conv1", "pool5", "score_fr", "score")
  whole = reference_blobs(net, image)
  for layer in activity(net, image, only=names, tile=64):
    theirs = whole[layer.name]
    assert layer.blob.shape == theirs.shape
    assert np.abs(layer.blob - theirs).max() < 1e-5 * np.abs(theirs).max()
