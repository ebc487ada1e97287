"""fcn_jax.models.convolution: every form is the plain sum.

Caffe's numbers: see test_parity.
"""

import functools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from small_nets import _convolve, assert_near

from fcn_jax.models import convolution
from fcn_jax.models import layers as d


@pytest.fixture(params=["cpu", "gpu"])
def backend(request, monkeypatch):
  """Runs both forms of the convolutions, whatever the device is."""
  monkeypatch.setattr(jax, "default_backend", lambda: request.param)


def exact_conv(*arguments):
  with jax.default_matmul_precision("highest"):
    return convolution.conv(*arguments)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
  ("kernel", "stride", "pad", "groups", "features"),
  [
    (6, 1, 0, 1, 5),  # fc6
    (1, 1, 0, 1, 3),  # fc7
    (2, 1, 0, 2, 4),
    (5, 3, 2, 1, 50),  # enough features to be strided as they are
  ],
)
def test_convolution_is_the_plain_sum(kernel, stride, pad, groups, features):
  rng = np.random.default_rng(kernel)
  x = rng.normal(size=(2, 9, 8, 4)).astype(np.float32)
  w = rng.normal(size=(kernel, kernel, 4 // groups, features))
  b = rng.normal(size=features).astype(np.float32)
  layer = d.Conv(
    "c",
    features=features,
    kernel=kernel,
    stride=stride,
    pad=pad,
    groups=groups,
  )
  run = jax.jit(exact_conv, static_argnums=(3, 4, 5))
  ours = run(x, w.astype(np.float32), b, stride, pad, groups)
  assert_near(ours, [_convolve(one, w, layer) + b for one in x])


def forward_and_back(function, *inputs):
  """(output, gradients of the inputs) where the output's are 0 1 2 3 0 1 ..."""

  @jax.jit
  def run(*inputs):
    y, back = jax.vjp(function, *inputs)
    dy = (jnp.arange(y.size) % 4).reshape(y.shape).astype(jnp.float32)
    return y, *back(dy)

  return run(*inputs)


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
@hypothesis.given(
  kernel=st.integers(1, 6),
  stride=st.integers(1, 4),
  pad=st.integers(0, 30),
  size=st.tuples(st.integers(1, 9), st.integers(6, 12)),
)
def test_wide_padding_is_computed_as_the_constant_it_is(
  backend, kernel, stride, pad, size
):
  """To the bit, on small integers, forward and back."""
  hypothesis.assume(min(size) + 2 * pad >= kernel)
  rng = np.random.default_rng(kernel)
  x = rng.integers(-3, 4, (2, *size, 2)).astype(np.float32)
  w = rng.integers(-3, 4, (kernel, kernel, 2, 3)).astype(np.float32)
  b = np.array([1, -2, 3], np.float32)

  def plain(x, w, b):
    sides = [(pad, pad)] * 2
    axes = ("NHWC", "HWIO", "NHWC")
    y = lax.conv_general_dilated(
      x, w, (stride, stride), sides, dimension_numbers=axes
    )
    return y + b[None, None, None]

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jax, "default_backend", lambda: backend)
    ours = forward_and_back(
      lambda x, w, b: convolution.conv(x, w, b, stride, pad), x, w, b
    )
  theirs = forward_and_back(plain, x, w, b)
  for a, expected in zip(ours, theirs, strict=True):
    np.testing.assert_array_equal(a, expected)


def test_the_cells_that_see_a_pixel_by_hand():
  """conv1 of FCN-AlexNet on 375 rows: cell i sees rows 4 i - 100 and 10 more.

  The first with a row from 0 on is 23 (-8 to 2), the last with one below 375
  is 118 (372 to 382); 142 in all.
  """
  side, margins = convolution._live(375, 11, 4, 100)
  assert margins == (23, 23)
  assert side == (8, 8)
  assert convolution._live(5, 3, 1, 1) == ((1, 1), (0, 0))
  assert convolution._live(5, 3, 1, 0) == ((0, 0), (0, 0))


@pytest.mark.parametrize(
  ("pad", "convolutions"), [(100, 0), (2, 0), (1, 1), (0, 1)]
)
def test_on_gpus_no_convolution_enlarges_what_it_reads(pad, convolutions):
  """XLA has no fast gradient of the kernel there; 3 x 3, as conv1_1."""
  x, w = np.zeros((1, 9, 8, 3), np.float32), np.zeros((3, 3, 3, 4), np.float32)
  with convolution.traced_for("cuda"):
    run = functools.partial(convolution.conv, stride=1, pad=pad)
    traced = jax.make_jaxpr(run)(x, w, np.zeros(4, np.float32))
  found = [each.primitive.name for each in traced.eqns]
  assert found.count("conv_general_dilated") == convolutions
