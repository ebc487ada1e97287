"""fcn_jax.random_weights: spread by hand, one stream a layer."""

import numpy as np
import pytest

from fcn_jax import models
from fcn_jax.weights import initialise, surgery

WIDTHS = (6, 8, 12, 12, 8, 24, 20)


def network(name="fcn_alexnet", classes=21):
  return models.build(models.declare(name, classes=classes, width=WIDTHS))


def test_random_weights_are_reproducible_and_differ_by_seed():
  one, two, other = network(), network(classes=3), network()
  receipt = surgery.initialise(one, seed=0)
  surgery.initialise(two, seed=0)
  surgery.initialise(other, seed=1)
  assert {row.action for row in receipt.rows} == {"initialised"}
  np.testing.assert_array_equal(one.fc6.kernel[...], two.fc6.kernel[...])
  assert np.any(one.fc6.kernel[...] != other.fc6.kernel[...])
  assert not np.any(one.score_fr.kernel[...])
  # sqrt(2 / (11 * 11 * 3)) * 64 ** (-1 / 7) = 0.0742 * 0.552 = 0.0410, from
  # 2178 draws, 1.5 % known.
  assert np.std(one.conv1.kernel[...]) == pytest.approx(0.0410, rel=0.06)
  # A group of conv2 has 3 input channels: sqrt(2 / 75) * 0.552 = 0.0901.
  assert np.std(one.conv2.kernel[...]) == pytest.approx(0.0901, rel=0.15)


def test_heads_start_at_zero_or_small():
  net = network()
  head = next(x for x in net.layers if x.name == "score_fr")
  (kernel, bias), rows = initialise.draw(head, net, "zero", 0)
  assert not kernel.any()
  assert not bias.any()
  assert [row.note for row in rows] == ["head: zero", "zero"]
  (kernel, _), rows = initialise.draw(head, net, "gaussian", 3)
  # 20 x 21 draws: the standard deviation is known to 3.5 %.
  assert np.std(kernel) == pytest.approx(0.01, rel=0.12)
  assert rows[0].note == "head: gaussian, std 0.01, seed 3"
  with pytest.raises(ValueError, match="there is zero and gaussian"):
    initialise.draw(head, net, "one", 0)


def test_every_layer_takes_its_share_of_the_images_scale():
  """VGG-16 has 15 before its head: 64 ** (-1 / 15) = 0.758."""
  net = models.build(models.declare("fcn8s", 3, width=0.1))
  surgery.initialise(net, seed=0)
  # conv5_1: 9 * 52 inputs; from 24336 draws.
  expected = (2 / (9 * 52)) ** 0.5 * 0.758
  assert np.std(net.conv5_1.kernel[...]) == pytest.approx(expected, rel=0.03)
