"""Fresh weights of one layer: He-normal kernels, zero biases, and heads.

He et al., ICCV 2015: kernels are normal with variance 2 / (kh * kw * input
channels per group).  All L of them together divide by 64 ** 2, about the
variance of image values, each by 64 ** (2 / L).
"""

import zlib

import numpy as np

from fcn_jax.models import Network
from fcn_jax.models import layers as d
from fcn_jax.weights.receipt import Row

HEAD_STD = 0.01  # of AlexNet's own last layer
# About that of image values, 0..255.  Fresh kernels bring it down to one, each
# its share: were it left to the first alone, its steps would be 64 ** 2 times
# as large, beside its weights, as those of the others.
IMAGE_STD = 64


def draw(layer: d.Conv, network: Network, head_init: str, seed: int):
  """Fresh weights of one layer.

  Args:
    layer: a convolution of the network.
    network: gives their shapes, and the number of its layers.
    head_init: of a head, 'zero' or 'gaussian' (standard deviation 0.01).
    seed: the same seed gives a layer the same weights in any network as deep.

  Returns:
    ((kernel, bias), rows of a receipt).

  Raises:
    ValueError: an unknown head_init.
  """
  if head_init not in ("zero", "gaussian"):
    raise ValueError(f"head_init {head_init!r}: there is zero and gaussian")
  weights = getattr(network, layer.name)
  kernel_shape, bias_shape = weights.kernel.shape, weights.bias.shape
  if layer.head:
    std = 0.0 if head_init == "zero" else HEAD_STD
    note = "head: zero" if std == 0 else f"head: gaussian, std {std}"
  else:
    std = float(np.sqrt(2 / np.prod(kernel_shape[:3])))
    std *= IMAGE_STD ** (-1 / _hidden_layers(network))
    note = f"He-normal, std {std:.4g}"
  # A stream of its own per layer, so that no layer depends on another one.
  stream = np.random.default_rng([seed, zlib.crc32(layer.name.encode())])
  kernel = stream.standard_normal(kernel_shape, np.float32) * np.float32(std)
  note += f", seed {seed}" if std else ""
  bias = np.zeros(bias_shape, np.float32)
  name = layer.name
  return (kernel, bias), [
    Row("", None, f"{name}.kernel", kernel_shape, "initialised", note),
    Row("", None, f"{name}.bias", bias_shape, "initialised", "zero"),
  ]


def _hidden_layers(network: Network) -> int:
  """Number of convolutions between the image and the head."""
  return sum(isinstance(x, d.Conv) and not x.head for x in network.layers)
