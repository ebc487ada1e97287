"""fcn_jax.weights.initialise: spread by hand, one stream a layer."""

import numpy as np
import pytest

from fcn_jax import models
from fcn_jax.models import layers as d
from fcn_jax.models import ops
from fcn_jax.weights import initialise, surgery
from fcn_jax.weights.receipt import Misfit
from fcn_jax.weights.source import SourceLayer

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
  arrays, rows = initialise.draw(head, net, "zero", 0)
  assert not arrays["kernel"].any()
  assert not arrays["bias"].any()
  assert [row.note for row in rows] == ["head: zero", "zero"]
  arrays, rows = initialise.draw(head, net, "gaussian", 3)
  # 20 x 21 draws: the standard deviation is known to 3.5 %.
  assert np.std(arrays["kernel"]) == pytest.approx(0.01, rel=0.12)
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


UPSCORE = d.Upscore("upscore2", kernel=4, stride=2)


def stored(*blobs, kind="Deconvolution") -> SourceLayer:
  blobs = tuple(np.asarray(blob, np.float32) for blob in blobs)
  return SourceLayer("upscore2", kind, blobs)


def kernel(size=4) -> np.ndarray:
  factor = ops.bilinear_kernel(size)
  return np.outer(factor, factor)


def grouped(size=4) -> np.ndarray:
  return np.tile(kernel(size), (3, 1, 1, 1))


def dense(size=4) -> np.ndarray:
  """The FCN authors' form."""
  weights = np.zeros((3, 3, size, size), np.float32)
  weights[range(3), range(3)] = kernel(size)
  return weights


def test_no_kernel_and_both_forms_of_it():
  [row] = initialise.check_upscore(None, UPSCORE)
  assert (row.action, row.target_shape) == ("initialised", (4,))
  [row] = initialise.check_upscore(stored(grouped()), UPSCORE)
  assert (row.action, row.source_shape) == ("copied", (3, 1, 4, 4))
  [row] = initialise.check_upscore(stored(dense()), UPSCORE)
  assert row.source_shape == (3, 3, 4, 4)
  assert row.note == "checked: the same bilinear kernel, on the diagonal"


def test_a_learned_kernel_is_refused_and_by_how_much():
  learned = dense()
  learned[0, 2, 1, 1] = 0.25  # from one class to another
  with pytest.raises(Misfit) as misfit:
    initialise.check_upscore(stored(learned), UPSCORE)
  [problem] = misfit.value.problems
  assert "differs from it by up to 0.25: it was learned" in problem
  assert "(3, 3, 4, 4)" in problem
  learned = grouped()
  learned[1] *= np.nan
  with pytest.raises(Misfit, match="up to inf"):
    initialise.check_upscore(stored(learned), UPSCORE)


@pytest.mark.parametrize(
  "blobs",
  [
    (grouped(6),),
    (grouped(), np.zeros(3)),
    (grouped()[..., :3],),
    (kernel(),),
    (dense()[:, :2],),
  ],
)
def test_another_shape_is_refused(blobs):
  with pytest.raises(Misfit, match="of another shape"):
    initialise.check_upscore(stored(*blobs), UPSCORE)


def test_bilinear_of_any_stride():
  assert initialise.is_bilinear(stored(grouped(64)))
  assert initialise.is_bilinear(stored(dense(16)))
  assert not initialise.is_bilinear(stored(2 * grouped(64)))
  assert not initialise.is_bilinear(stored(dense()[::-1]))
  assert not initialise.is_bilinear(stored(np.ones((4, 4, 1, 1)) / 2))


SCALE = d.Scale("scale_pool4", factor=0.01)


def test_a_factor():
  [row] = initialise.check_scale(None, SCALE, ())
  assert (row.action, row.note) == ("initialised", "0.01, never learned")
  [row] = initialise.check_scale(
    stored(np.full(5, 0.01)), SCALE, ["score_pool4"]
  )
  assert (row.action, row.source_shape) == ("copied", (5,))
  with pytest.raises(Misfit, match="score_pool4 of the source learned without"):
    initialise.check_scale(None, SCALE, ["score_pool4"])
  with pytest.raises(Misfit, match=r"0\.01 to 0\.02 -> network scale_pool4"):
    initialise.check_scale(stored([0.01, 0.02]), SCALE, ())
  with pytest.raises(Misfit, match="misshapen"):
    initialise.check_scale(stored([0.01], [0.0]), SCALE, ())
