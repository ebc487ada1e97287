"""fcn_jax.fixed: bilinear kernels and factors are checked, never copied."""

import numpy as np
import pytest

from fcn_jax.models import layers as d
from fcn_jax.models import ops
from fcn_jax.weights import caffemodel, fixed
from fcn_jax.weights.receipt import Misfit

UPSCORE = d.Upscore("upscore2", kernel=4, stride=2)


def stored(*blobs, kind="Deconvolution") -> caffemodel.CaffeLayer:
  blobs = tuple(np.asarray(blob, np.float32) for blob in blobs)
  return caffemodel.CaffeLayer("upscore2", kind, blobs)


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
  [row] = fixed.check_upscore(None, UPSCORE)
  assert (row.action, row.target_shape) == ("initialised", (4,))
  [row] = fixed.check_upscore(stored(grouped()), UPSCORE)
  assert (row.action, row.source_shape) == ("copied", (3, 1, 4, 4))
  [row] = fixed.check_upscore(stored(dense()), UPSCORE)
  assert row.source_shape == (3, 3, 4, 4)
  assert row.note == "checked: the same bilinear kernel, on the diagonal"


def test_a_learned_kernel_is_refused_and_by_how_much():
  learned = dense()
  learned[0, 2, 1, 1] = 0.25  # from one class to another
  with pytest.raises(Misfit) as misfit:
    fixed.check_upscore(stored(learned), UPSCORE)
  [problem] = misfit.value.problems
  assert "differs from it by up to 0.25: it was learned" in problem
  assert "(3, 3, 4, 4)" in problem
  learned = grouped()
  learned[1] *= np.nan
  with pytest.raises(Misfit, match="up to inf"):
    fixed.check_upscore(stored(learned), UPSCORE)


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
    fixed.check_upscore(stored(*blobs), UPSCORE)


def test_bilinear_of_any_stride():
  assert fixed.is_bilinear(stored(grouped(64)))
  assert fixed.is_bilinear(stored(dense(16)))
  assert not fixed.is_bilinear(stored(2 * grouped(64)))
  assert not fixed.is_bilinear(stored(dense()[::-1]))
  assert not fixed.is_bilinear(stored(np.ones((4, 4, 1, 1)) / 2))


SCALE = d.Scale("scale_pool4", factor=0.01)


def test_a_factor():
  [row] = fixed.check_scale(None, SCALE, ())
  assert (row.action, row.note) == ("initialised", "0.01, never learned")
  [row] = fixed.check_scale(stored(np.full(5, 0.01)), SCALE, ["score_pool4"])
  assert (row.action, row.source_shape) == ("copied", (5,))
  with pytest.raises(Misfit, match="score_pool4 of the source learned without"):
    fixed.check_scale(None, SCALE, ["score_pool4"])
  with pytest.raises(Misfit, match=r"0\.01 to 0\.02 -> network scale_pool4"):
    fixed.check_scale(stored([0.01, 0.02]), SCALE, ())
  with pytest.raises(Misfit, match="misshapen"):
    fixed.check_scale(stored([0.01], [0.0]), SCALE, ())
