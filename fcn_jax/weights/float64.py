"""One layer of a classifier in float64 numpy, on weights as files store them.

No weight is transposed here: what is transposed, is x.
"""

import numpy as np
from jaxtyping import Float

from fcn_jax.models import layers as d

Chw = Float[np.ndarray, "c h w"]
Oyx = Float[np.ndarray, "o y x"]


def of_oihw(weight, bias, layer: d.Conv, x: Chw) -> Oyx:
  """Caffe's, ONNX's and PyTorch's layout.

  Args:
    weight: (O, I / groups, H, W), or of an inner product (O, C * H * W).
    bias: O values.
    layer: stride, pad and groups.
    x: the layer's input.
  """
  weight, bias = weight.astype(np.float64), bias.reshape(-1, 1, 1)
  if _sees_all(layer, x):
    flat = weight.reshape(layer.features, -1) @ x.reshape(-1)
    return flat[:, None, None] + bias
  windows = _windows(layer, x)
  _, height, width = windows.shape[:3]
  out = []
  for inputs, kernels in zip(
    np.split(windows, layer.groups), np.split(weight, layer.groups), strict=True
  ):
    columns = inputs.transpose(0, 3, 4, 1, 2).reshape(-1, height * width)
    out.append(kernels.reshape(len(kernels), -1) @ columns)
  return np.concatenate(out).reshape(-1, height, width) + bias


def of_io(weight, bias, layer: d.Conv, x: Chw) -> Oyx:
  """An inner product stored as (C * H * W, O), as ONNX's MatMul takes it."""
  flat = x.reshape(-1) @ weight.astype(np.float64)
  return (flat + bias)[:, None, None]


def of_hwio(weight, bias, layer: d.Conv, x: Chw) -> Oyx:
  """Keras' layout, and that of this package.

  Args:
    weight: (H, W, I / groups, O), or of an inner product (H * W * C, O).
    bias: O values.
    layer: stride, pad and groups.
    x: the layer's input.
  """
  weight = weight.astype(np.float64)
  if weight.ndim == 2:
    flat = x.transpose(1, 2, 0).reshape(-1) @ weight
    return (flat + bias)[:, None, None]
  windows = _windows(layer, x)
  _, height, width = windows.shape[:3]
  out = []
  for inputs, kernels in zip(
    np.split(windows, layer.groups),
    np.split(weight, layer.groups, axis=3),
    strict=True,
  ):
    rows = inputs.transpose(1, 2, 3, 4, 0).reshape(height * width, -1)
    out.append(rows @ kernels.reshape(-1, kernels.shape[3]))
  found = np.concatenate(out, axis=1) + bias
  return found.T.reshape(-1, height, width)


def _windows(layer: d.Conv, x: Chw) -> Float[np.ndarray, "c y x k k"]:
  """What each cell of the layer sees."""
  k, s, p = layer.kernel, layer.stride, layer.pad
  padded = np.pad(x, ((0, 0), (p, p), (p, p)))
  windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), (1, 2))
  return windows[:, ::s, ::s]


def _sees_all(layer: d.Conv, x: Chw) -> bool:
  """Whether the one window of the layer is the whole input."""
  return layer.groups == 1 and layer.pad == 0 and layer.kernel == x.shape[1]
