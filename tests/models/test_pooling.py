"""fcn_jax.models.pooling: by hand, and XLA's own gradient.

Caffe's numbers: see test_parity.
"""

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np

from fcn_jax.benchmark import plain
from fcn_jax.models import pooling


def test_pooling_by_hand():
  """Windows of 3, 2 apart, over 1 5 2 4 7: the last one is cut to 2 4 7."""
  x = jnp.array([1.0, 5, 2, 4, 7, 3])[None, None, :, None]
  y = pooling.max_pool(jnp.tile(x, (1, 3, 1, 1)), 3, 2)
  assert y[0, :, :, 0].tolist() == [[5, 7, 7]]


def test_padded_pooling_by_hand():
  """Windows of 2, 2 apart, from -1 on: (- 1), (5 2), (4 7), and 3 alone.

  With one value less the last window would be of padding: it is left out.
  """
  x = jnp.array([1.0, 5, 2, 4, 7, 3])[None, None, :, None]
  y = pooling.max_pool(x, 2, 2, 1)
  assert y[0, :, :, 0].tolist() == [[1, 5, 7, 3]]
  y = pooling.max_pool(x[:, :, :5], 2, 2, 1)
  assert y[0, :, :, 0].tolist() == [[1, 5, 7]]


@hypothesis.given(
  data=st.data(),
  kernel=st.integers(1, 4),
  stride=st.integers(1, 4),
  size=st.tuples(st.integers(4, 9), st.integers(4, 9)),
)
def test_the_gradient_is_xlas(data, kernel, stride, size):
  """Of small integers, with many ties."""
  hypothesis.assume(stride <= kernel)
  pad = data.draw(st.integers(0, kernel // 2))
  numbers = st.integers(-2, 2).map(float)
  x = data.draw(hnp.arrays(np.float32, (2, *size, 3), elements=numbers))
  shape = jax.eval_shape(
    lambda: plain.max_pool(jnp.asarray(x), kernel, stride, pad)
  ).shape
  dy = data.draw(hnp.arrays(np.float32, shape, elements=numbers))

  def forward_and_back(function):
    y, back = jax.vjp(lambda x: function(x, kernel, stride, pad), x)
    return y, *back(dy)

  ours, theirs = (
    jax.jit(lambda f=function: forward_and_back(f))()
    for function in (pooling.max_pool, plain.max_pool)
  )
  for a, expected in zip(ours, theirs, strict=True):
    np.testing.assert_array_equal(a, expected)


def test_the_gradient_keeps_the_type():
  x = jnp.ones((1, 4, 4, 2), jnp.bfloat16)
  y, back = jax.vjp(lambda x: pooling.max_pool(x, 3, 2), x)
  assert y.dtype == jnp.bfloat16
  assert back(y)[0].dtype == jnp.bfloat16
