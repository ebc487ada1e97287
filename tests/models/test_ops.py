"""fcn_jax.models.ops: by hand, and against the plain sum.

Caffe's numbers of single layers, forward and backward: see test_parity.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_nets import _upscore, assert_near

from fcn_jax.models import ops


def test_lrn_by_hand():
  """Channels 3 4 0, size 3, alpha 3, k 0: sums of neighbours' squares.

  9 + 16, 9 + 16 + 0, 16 + 0; to the power -1/2: 3 / 5, 4 / 5, 0.
  """
  x = jnp.array([3.0, 4, 0])[None, None, None]
  y = ops.lrn(x, 3, 3.0, 0.5, 0.0)
  np.testing.assert_allclose(y[0, 0, 0], [0.6, 0.8, 0.0], rtol=1e-6)
  usual = ops.lrn(x, 3, 3.0, 0.75, 0.0)
  np.testing.assert_allclose(
    usual[0, 0, 0], [3 / 25**0.75, 4 / 25**0.75, 0.0], rtol=1e-6
  )


def test_the_mean_goes_off_blue_green_red():
  pixel = jnp.array([10, 20, 30], jnp.uint8)[None, None, None]
  out = ops.subtract_mean(pixel, (1.0, 2.0, 0.5))
  assert out[0, 0, 0].tolist() == [29, 18, 9.5]
  assert out.dtype == jnp.float32


def test_bilinear_kernels_by_hand():
  assert ops.bilinear_kernel(3).tolist() == [0.5, 1, 0.5]
  assert ops.bilinear_kernel(4).tolist() == [0.25, 0.75, 0.75, 0.25]
  assert ops.bilinear_kernel(63)[[0, 31, 62]].tolist() == [1 / 32, 1, 1 / 32]


def test_upscore_by_hand():
  """1 and 3, two apart, spread by 1/2 1 1/2 and added up."""
  x = jnp.array([1.0, 3])[None, None, :, None]
  y = ops.upscore(x, jnp.array([0.5, 1, 0.5]), 2)
  assert y[0, 1, :, 0].tolist() == [0.5, 1, 2, 3, 1.5]
  assert y[0, 0, :, 0].tolist() == [0.25, 0.5, 1, 1.5, 0.75]


@pytest.mark.parametrize(
  ("height", "width", "stride"), [(1, 1, 3), (4, 2, 1), (2, 3, 5)]
)
def test_upscore_is_the_plain_sum(height, width, stride):
  x = np.random.default_rng(0).normal(size=(1, height, width, 2))
  size = 2 * stride - 1
  ours = ops.upscore(
    jnp.asarray(x, jnp.float32),
    jnp.asarray(ops.bilinear_kernel(size)),
    stride,
  )
  assert_near(ours[0], _upscore(x[0], size, stride))


def test_mask_zeroes_what_lies_beyond_each_image():
  x = jnp.ones((3, 3, 4, 1))
  extent = jnp.array([[2, 1], [3, 4], [0, 0]])
  kept = ops.mask(x, extent)[..., 0]
  assert kept[0].tolist() == [[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
  assert kept[1].all()
  assert not kept[2].any()
  np.testing.assert_array_equal(
    ops.mask(jnp.full((1, 2, 2, 1), jnp.nan), jnp.array([[0, 2]])), 0
  )


def test_dropout_zeroes_a_share_and_keeps_the_mean():
  """Of 2 x 20 x 20 x 10 ones at a rate of 0.25: 6000 +- 39 stay, as 4/3."""
  keys = jax.random.split(jax.random.key(0), 2)
  run = jax.jit(ops.dropout, static_argnums=2)
  out = np.asarray(run(jnp.ones((2, 20, 20, 10)), keys, 0.25))
  np.testing.assert_allclose(np.unique(out), [0, 4 / 3], rtol=1e-6)
  assert abs((out > 0).sum() - 6000) < 4 * 39
  assert (out[0] != out[1]).any()
  channels = (out > 0).mean((0, 1, 2))
  assert (np.abs(channels - 0.75) < 0.08).all()


def test_dropout_does_not_see_the_canvas_or_the_place_in_the_batch():
  keys = jax.random.split(jax.random.key(1), 3)
  run = jax.jit(ops.dropout, static_argnums=2)
  large = run(jnp.ones((3, 9, 7, 4)), keys, 0.5)
  small = run(jnp.ones((2, 4, 5, 4)), keys[1:], 0.5)
  np.testing.assert_array_equal(large[1:, :4, :5], small)
