"""Fresh weights of one layer: He-normal kernels, zero biases, and heads.

He et al., ICCV 2015: kernels are normal with variance 2 / (kh * kw * input
channels per group).  All L of them together divide by 64 ** 2, about the
variance of image values, each by 64 ** (2 / L).
"""

import zlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from fcn_jax.models import Network
from fcn_jax.models import layers as d
from fcn_jax.models.ops import bilinear_kernel
from fcn_jax.weights.receipt import Misfit, TensorRow
from fcn_jax.weights.source import SourceLayer

HEAD_STD = 0.01  # of AlexNet's own last layer
# About that of image values, 0..255.  Fresh kernels bring it down to one, each
# its share: were it left to the first alone, its steps would be 64 ** 2 times
# as large, beside its weights, as those of the others.
IMAGE_STD = 64


def draw(
  layer: d.Layer, network: Network, head_init: str, seed: int
) -> tuple[dict[str, Float32[np.ndarray, "..."]], list[TensorRow]]:
  """Fresh weights of one layer.

  Args:
    layer: of the network, with weights that are learned.
    network: gives their shapes, and the number of its layers.
    head_init: of a head, 'zero' or 'gaussian' (standard deviation 0.01).
    seed: the same seed gives a layer the same weights in any network as deep.

  Returns:
    (arrays by name, rows of a receipt).

  Raises:
    ValueError: an unknown head_init.
  """
  if head_init not in ("zero", "gaussian"):
    raise ValueError(f"head_init {head_init!r}: there is zero and gaussian")
  declared = d.weights(network.layers)
  hidden = sum(
    any(weight.drawn for weight in declared.get(x.name, {}).values())
    for x in network.layers
    if not x.head
  )
  # A stream of its own per layer, so that no layer depends on another one.
  stream = np.random.default_rng([seed, zlib.crc32(layer.name.encode())])
  arrays, rows = {}, []
  for name, weight in declared[layer.name].items():
    std = 0.0
    if weight.drawn:
      array = stream.standard_normal(weight.shape, np.float32)
      if layer.head:
        std = 0.0 if head_init == "zero" else HEAD_STD
        note = "head: zero" if std == 0 else f"head: gaussian, std {std}"
      else:
        std = float(np.sqrt(2 / np.prod(weight.shape[:-1])))
        std *= IMAGE_STD ** (-1 / hidden)
        note = f"He-normal, std {std:.4g}"
      note += f", seed {seed}" if std else ""
      array *= np.float32(std)
    else:
      array = np.full(weight.shape, weight.fill, np.float32)
      note = f"{weight.fill:g}" if weight.fill else "zero"
    arrays[name] = array
    target = (f"{layer.name}.{name}", weight.shape)
    rows.append(TensorRow("", None, *target, "initialised", note))
  return arrays, rows


_BILINEAR_ERROR = 1e-6  # the filler's rounding


def check_upscore(
  found: SourceLayer | None, layer: d.Upscore
) -> list[TensorRow]:
  """The row of a fixed kernel; a stored one has to be that very kernel.

  Raises:
    Misfit: it is another one.
  """
  target = (f"{layer.name}.kernel1d", (layer.kernel,))
  if found is None:
    return [
      TensorRow("", None, *target, "initialised", "bilinear, never learned")
    ]
  error = _from_bilinear(found)
  why = ""
  if error is None or found.blobs[0].shape[2] != layer.kernel:
    why = "the stored one is of another shape"
  elif error > _BILINEAR_ERROR:
    why = f"the stored one differs from it by up to {error:.2g}: it was learned"
  if why:
    shapes = ", ".join(str(blob.shape) for blob in found.blobs)
    raise Misfit(
      [
        f"misshapen: source {layer.name}: {shapes} -> network {layer.name}: "
        f"one fixed bilinear kernel {(layer.kernel,) * 2}; {why}"
      ]
    )
  note = "checked: the same bilinear kernel"
  stored = found.blobs[0].shape
  if stored[1] > 1:
    note += ", on the diagonal"
  return [TensorRow(f"{layer.name}[0]", stored, *target, "copied", note)]


def _from_bilinear(found: SourceLayer) -> float | None:
  """Largest difference of a deconvolution's weights from bilinear ones.

  Both of Caffe's forms: one kernel per class (classes, 1, k, k), and the FCN
  authors' (classes, classes, k, k), where all off the diagonal is zero.

  Returns:
    None: the shape is another.
  """
  stored = found.blobs[0]
  if len(found.blobs) != 1 or stored.ndim != 4:
    return None
  classes, others, height, width = stored.shape
  if height != width or others not in (1, classes):
    return None
  factor = bilinear_kernel(height)
  channels = np.ones((classes, 1)) if others == 1 else np.eye(classes)
  expected = channels[:, :, None, None] * np.outer(factor, factor)
  error = np.abs(stored - expected).max()
  return float(error) if np.isfinite(error) else float("inf")


def is_bilinear(found: SourceLayer) -> bool:
  """Whether a deconvolution's weights are bilinear, of any stride."""
  error = _from_bilinear(found)
  return error is not None and error <= _BILINEAR_ERROR


def check_scale(
  found: SourceLayer | None, layer: d.Scale, readers: Sequence[str]
) -> list[TensorRow]:
  """The row of a fixed factor; a stored one has to be that very number.

  Args:
    found: the source's layer, if it has it.
    layer: the network's.
    readers: layers of the network that read it and stand in the source.

  Raises:
    Misfit: another factor, or none where there are readers: they learned
      without it.
  """
  target = (f"{layer.name}.factor", ())
  to = f"network {layer.name}: factor {layer.factor:g}"
  if found is None:
    if readers:
      raise Misfit(
        [
          f"missing: source {layer.name}: nothing -> {to}; "
          f"{', '.join(readers)} of the source learned without it"
        ]
      )
    note = f"{layer.factor:g}, never learned"
    return [TensorRow("", None, *target, "initialised", note)]
  stored = found.blobs[0]
  if len(found.blobs) != 1 or not np.allclose(stored, layer.factor, atol=0):
    raise Misfit(
      [
        f"misshapen: source {layer.name}: {stored.min():g} to "
        f"{stored.max():g} -> {to} on every channel"
      ]
    )
  note = f"checked: {layer.factor:g} throughout"
  return [TensorRow(f"{layer.name}[0]", stored.shape, *target, "copied", note)]
