"""Net surgery: the tensors of a caffemodel become a network's parameters.

Strict, and with a receipt.  Every tensor of the file and of the network gets
one row that says what became of it; a tensor that is missing, misshapen or
unknown stops the surgery before anything is changed, unless its layer is
allowed by name.

Caffe stores a convolution as (O, I / groups, H, W) and an inner product as
(O, C * H * W), its input flattened in C, H, W order; kernels here are HWIO.
Channels stay in Caffe's BGR order.
"""

import collections
import zlib
from collections.abc import Iterable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32

from fcn_jax import caffe
from fcn_jax import declaration as d
from fcn_jax.models import Network
from fcn_jax.receipt import Receipt, Row

# SHA-1 of published files: a name, and the order of their layers.
KNOWN_FILES = {
  "9116a64c0fbe4459d18f4bb6b56d647b63920377": ("bvlc_alexnet", "norm_pool"),
  "4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46": ("bvlc_caffenet", "pool_norm"),
}
# Layer types whose first blob is a kernel; some writers leave the type out.
_WITH_KERNEL = ("Convolution", "InnerProduct", "")
HEAD_STD = 0.01  # of AlexNet's own last layer
# About that of image values, 0..255.  Fresh kernels bring it down to one, each
# its share: were it left to the first alone, its steps would be 64 ** 2 times
# as large, beside its weights, as those of the others.
IMAGE_STD = 64


class SurgeryError(ValueError):
  """Tensors that do not fit; the text lists all of them, both sides."""


def surgery(
  source: caffe.CaffeNet,
  network: Network,
  *,
  file: str = "",
  allow_missing: Iterable[str] = (),
  allow_unknown: Iterable[str] = (),
  head_init: str = "zero",
  seed: int = 0,
) -> Receipt:
  """Copies the weights of a caffemodel into a network, in place.

  The network's own head (score_fr) may be absent from the source: it is then
  initialised.  The classifier's last layer (fc8...) may be absent from the
  network: it is then dropped.  All else has to fit.

  Args:
    source: what `caffe.read_caffemodel` returns.
    network: receives the weights; unchanged if an error is raised.
    file: the source's name for receipt and errors.
    allow_missing: layers of the network that are initialised (He-normal, zero
      bias) where the source has no tensors of their shape.
    allow_unknown: layers of the source that are dropped.
    head_init: 'zero', or 'gaussian' with standard deviation 0.01.
    seed: of whatever is initialised.

  Returns:
    The receipt.

  Raises:
    SurgeryError: with all tensors that are missing, misshapen, unknown or not
      finite.
    ValueError: a name in allow_missing or allow_unknown that does not exist, or
      an unknown head_init.
  """
  file = file or source.name or "the source"
  targets = _weighted(network)
  blobs = {layer.name: layer for layer in source.layers if layer.blobs}
  allowed = _check_names("allow_missing", allow_missing, targets, "network")
  unknown = _check_names("allow_unknown", allow_unknown, blobs, "source")
  problems, rows, values = [], [], {}
  counts = collections.Counter(x.name for x in source.layers if x.blobs)
  for name, count in counts.items():
    if count > 1:
      problems.append(f"{name}: stands {count} times in the source")
  for layer in targets.values():
    found = blobs.get(layer.name)
    try:
      if isinstance(layer, d.Upscore):
        rows += _check_upscore(found, layer, network)
        continue
      if found is None and not layer.head and layer.name not in allowed:
        raise _Misfit([_both(None, layer, network, "missing")])
      if found is not None:
        kernel, bias, made = _convert(found, layer, network)
    except _Misfit as misfit:
      if layer.name not in allowed:
        problems += misfit.problems
        continue
      rows += _dropped(found, "does not fit, allowed by name")
      found = None
      if isinstance(layer, d.Upscore):
        rows += _check_upscore(None, layer, network)
        continue
    if found is None:
      kernel, bias, made = _initial(layer, network, head_init, seed)
    rows += made
    values[layer.name] = (kernel, bias)
  for name, layer in blobs.items():
    if name in targets:
      continue
    if name in unknown:
      rows += _dropped(layer, "not in the network, allowed by name")
    elif name.startswith("fc8"):
      rows += _dropped(layer, "the classifier's last layer")
    else:
      problems += [
        f"unknown: {row.source} {row.source_shape} is not in the network"
        for row in _dropped(layer, "")
      ]
  if problems:
    raise SurgeryError(
      f"{file} does not fit the network, nothing was copied:\n  "
      + "\n  ".join(problems)
      + "\nIf the features differ throughout, the width is not that of the "
      "file. What may start from fresh values has to be named in allow_missing "
      "(now: " + (",".join(allowed) or "none") + "), what may be left out in "
      "allow_unknown (now: " + (",".join(unknown) or "none") + ")."
    )
  _assign(network, values)
  known_as, known_order = KNOWN_FILES.get(source.sha1, ("", "unknown"))
  order = _order([layer.name for layer in source.layers])
  return Receipt(
    source=file,
    sha1=source.sha1,
    known_as=known_as,
    source_order=known_order if order == "unknown" else order,
    target_order=_order([layer.name for layer in network.layers]),
    rows=tuple(rows),
  )


def initialise(network: Network, seed: int, head_init: str = "zero") -> Receipt:
  """Random weights, in place: He-normal kernels, zero biases.

  Each kernel is normal with variance 2 / (kh * kw * input channels per group):
  He et al., ICCV 2015; and all L of them together divide by 64 ** 2, about the
  variance of image values, each by 64 ** (2 / L).

  Args:
    network: receives the weights.
    seed: the same seed gives a layer the same weights in any network.
    head_init: of the head, 'zero' or 'gaussian' (standard deviation 0.01).

  Returns:
    A receipt in which every tensor is 'initialised'.
  """
  rows, values = [], {}
  for layer in _weighted(network).values():
    if isinstance(layer, d.Upscore):
      rows += _check_upscore(None, layer, network)
      continue
    kernel, bias, made = _initial(layer, network, head_init, seed)
    values[layer.name] = (kernel, bias)
    rows += made
  _assign(network, values)
  order = _order([layer.name for layer in network.layers])
  return Receipt(
    f"random weights, seed {seed}", "", "", "unknown", order, tuple(rows)
  )


class _Misfit(Exception):
  def __init__(self, problems: list[str]):
    super().__init__(problems)
    self.problems = problems


def _weighted(network: Network) -> dict[str, d.Conv | d.Upscore]:
  """The network's layers that hold weights, by name."""
  return {
    layer.name: layer
    for layer in network.layers
    if isinstance(layer, d.Conv | d.Upscore)
  }


def _check_names(what: str, names, known, side: str) -> tuple[str, ...]:
  names = tuple(names)
  if strange := [name for name in names if name not in known]:
    raise ValueError(
      f"{what}: {', '.join(strange)}: no layer with weights of that name in "
      f"the {side}, which has {', '.join(known)}"
    )
  return names


def _shapes(layer: d.Conv, network: Network):
  """Shapes of kernel (HWIO) and bias."""
  weights = getattr(network, layer.name)
  return weights.kernel.shape, weights.bias.shape


def _both(found: caffe.CaffeLayer | None, layer, network, fault: str) -> str:
  """One line with both sides of a tensor pair that does not fit."""
  if found is None:
    left = "nothing"
  else:
    left = f"{found.type} {', '.join(str(b.shape) for b in found.blobs)}"
  kernel, bias = _shapes(layer, network)
  h, w, i, o = kernel
  hint = ""
  if layer.head and found is not None:
    hint = (
      "; for another number of classes start the head afresh with "
      f"allow_missing={layer.name}"
    )
  return (
    f"{fault}: source {layer.name}: {left} -> network {layer.name}: kernel "
    f"{kernel} (in Caffe {(o, i, h, w)} or, as an inner product, "
    f"{(o, i * h * w)}), bias {bias}{hint}"
  )


def _convert(found: caffe.CaffeLayer, layer: d.Conv, network: Network):
  """Kernel, bias and rows of one layer that the source has."""
  (h, w, i, o), _ = _shapes(layer, network)
  shapes = [blob.shape for blob in found.blobs]
  if len(shapes) != 2 or not _last_axes(shapes[1], (o,)):
    raise _Misfit([_both(found, layer, network, "misshapen")])
  convolution = found.type != "InnerProduct" and shapes[0] == (o, i, h, w)
  inner_product = found.type != "Convolution" and layer.groups == 1
  inner_product &= _last_axes(shapes[0], (o, i * h * w))
  if found.type not in _WITH_KERNEL or not (convolution or inner_product):
    raise _Misfit([_both(found, layer, network, "misshapen")])
  weight, bias = found.blobs
  bad = [
    f"not finite: {layer.name}[{index}] {blob.shape} holds NaN or infinity"
    for index, blob in enumerate(found.blobs)
    if not np.isfinite(blob).all()
  ]
  if bad:
    raise _Misfit(bad)
  kernel = weight.reshape(o, i, h, w).transpose(2, 3, 1, 0)
  note = "OIHW to HWIO"
  if not convolution:
    note = f"{o} x ({i} x {h} x {w}) to HWIO"
  elif layer.groups > 1:
    note += f", {layer.groups} groups"
  name = layer.name
  return (
    kernel,
    bias.reshape(o),
    [
      Row(
        f"{name}[0]",
        weight.shape,
        f"{name}.kernel",
        kernel.shape,
        "copied" if convolution else "reshaped",
        note,
      ),
      Row(f"{name}[1]", bias.shape, f"{name}.bias", (o,), "copied"),
    ],
  )


def _last_axes(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
  """Whether a shape is the wanted one, but for leading ones (V1 files)."""
  lead = len(shape) - len(wanted)
  return lead >= 0 and shape[lead:] == wanted and set(shape[:lead]) <= {1}


def _check_upscore(found, layer: d.Upscore, network: Network) -> list[Row]:
  """The row of the fixed kernel; a stored one has to be that very kernel."""
  factor = np.asarray(getattr(network, layer.name).kernel1d[...])
  target = (f"{layer.name}.kernel1d", factor.shape)
  if found is None:
    return [Row("", None, *target, "initialised", "bilinear, never learned")]
  fixed = np.outer(factor, factor)
  stored = found.blobs[0]
  fits = len(found.blobs) == 1 and stored.ndim == 4
  fits = fits and stored.shape[2:] == fixed.shape
  if fits and stored.shape[1] == 1:
    fits = np.allclose(stored[:, 0], fixed, rtol=0, atol=1e-6)
  elif fits:
    # The FCN authors' form: every class to every class, zero off the diagonal.
    dense = np.eye(*stored.shape[:2])[:, :, None, None] * fixed
    fits = np.allclose(stored, dense, rtol=0, atol=1e-6)
  if not fits:
    shapes = ", ".join(str(blob.shape) for blob in found.blobs)
    raise _Misfit(
      [
        f"misshapen: source {layer.name}: {shapes} -> network {layer.name}: "
        f"one fixed bilinear kernel {fixed.shape}; the stored one is another, "
        "so it was learned or belongs to another stride"
      ]
    )
  note = "checked: the same bilinear kernel"
  return [Row(f"{layer.name}[0]", stored.shape, *target, "copied", note)]


def _initial(layer: d.Conv, network: Network, head_init: str, seed: int):
  """Fresh kernel, bias and rows of one layer."""
  if head_init not in ("zero", "gaussian"):
    raise ValueError(f"head_init {head_init!r}: there is zero and gaussian")
  kernel_shape, bias_shape = _shapes(layer, network)
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
  return (
    kernel,
    bias,
    [
      Row("", None, f"{name}.kernel", kernel_shape, "initialised", note),
      Row("", None, f"{name}.bias", bias_shape, "initialised", "zero"),
    ],
  )


def _hidden_layers(network: Network) -> int:
  """Number of convolutions between the image and the head."""
  return sum(isinstance(x, d.Conv) and not x.head for x in network.layers)


def _dropped(found: caffe.CaffeLayer | None, note: str) -> list[Row]:
  return [
    Row(f"{found.name}[{index}]", blob.shape, "", None, "dropped", note)
    for index, blob in enumerate(found.blobs if found else ())
  ]


def _assign(
  network: Network,
  values: dict[
    str,
    tuple[
      Float32[np.ndarray, "h w i o"],
      Float32[np.ndarray, " o"],
    ],
  ],
) -> None:
  for name, (kernel, bias) in values.items():
    weights = getattr(network, name)
    weights.kernel[...] = jnp.array(kernel)
    weights.bias[...] = jnp.array(bias)


def _order(names: list[str]) -> str:
  """'norm_pool' or 'pool_norm', by which of norm1 and pool1 comes first."""
  if "norm1" not in names or "pool1" not in names:
    return "unknown"
  first = names.index("norm1") < names.index("pool1")
  return "norm_pool" if first else "pool_norm"
