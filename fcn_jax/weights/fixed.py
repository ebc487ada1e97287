"""What is never learned, as a caffemodel has it: bilinear kernels and factors.

A file may hold them or not; what it holds has to be what the network computes
with, since nothing of it is copied.
"""

from collections.abc import Sequence

import numpy as np

from fcn_jax.models import layers as d
from fcn_jax.models.ops import bilinear_kernel
from fcn_jax.weights import caffemodel
from fcn_jax.weights.receipt import Misfit, Row

_BILINEAR_ERROR = 1e-6  # the filler's rounding


def check_upscore(
  found: caffemodel.CaffeLayer | None, layer: d.Upscore
) -> list[Row]:
  """The row of a fixed kernel; a stored one has to be that very kernel.

  Raises:
    Misfit: it is another one.
  """
  target = (f"{layer.name}.kernel1d", (layer.kernel,))
  if found is None:
    return [Row("", None, *target, "initialised", "bilinear, never learned")]
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
  return [Row(f"{layer.name}[0]", stored, *target, "copied", note)]


def _from_bilinear(found: caffemodel.CaffeLayer) -> float | None:
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


def is_bilinear(found: caffemodel.CaffeLayer) -> bool:
  """Whether a deconvolution's weights are bilinear, of any stride."""
  error = _from_bilinear(found)
  return error is not None and error <= _BILINEAR_ERROR


def check_scale(
  found: caffemodel.CaffeLayer | None, layer: d.Scale, readers: Sequence[str]
) -> list[Row]:
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
    return [Row("", None, *target, "initialised", note)]
  stored = found.blobs[0]
  if len(found.blobs) != 1 or not np.allclose(stored, layer.factor, atol=0):
    raise Misfit(
      [
        f"misshapen: source {layer.name}: {stored.min():g} to "
        f"{stored.max():g} -> {to} on every channel"
      ]
    )
  note = f"checked: {layer.factor:g} throughout"
  return [Row(f"{layer.name}[0]", stored.shape, *target, "copied", note)]
