"""fcn_jax.activations: figures by hand, and against a plain reference."""

import numpy as np
import pytest
import small_network
from small_nets import random_image, random_net, reference_blobs

from fcn_jax import models
from fcn_jax.prediction import activations
from fcn_jax.prediction.activations import activity


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
  assert kinds["data"] == "image as BGR, less 0, 0, 0"
  assert kinds["conv1"] == "convolution 11 x 11, stride 4, pad 100, ReLU"
  assert kinds["conv2"] == "convolution 5 x 5, pad 2, 2 groups, ReLU"
  assert kinds["score_fr"] == "convolution 1 x 1"
  assert kinds["pool5"] == "largest of 3 x 3, stride 2"
  assert kinds["upscore"] == "bilinear, 63 x 63, stride 32, fixed"
  assert kinds["score"] == "cut to the size of data"


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
