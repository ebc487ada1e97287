"""Net surgery: the tensors of a weight file become a network's parameters.

Strict, and with a receipt.  Every tensor of the file and of the network gets
one row that says what became of it; a tensor that is missing, misshapen or
unknown stops the surgery before anything is changed, unless its layer is
allowed by name.

Caffe stores a convolution as (O, I / groups, H, W) and an inner product as
(O, C * H * W), its input flattened in C, H, W order; kernels here are HWIO.
Channels stay in Caffe's BGR order.
"""

import collections
import dataclasses
from collections.abc import Iterable, Mapping

import jax
import numpy as np
from jaxtyping import Float32

from fcn_jax.models import Network
from fcn_jax.models import layers as d
from fcn_jax.weights.initialise import (
  check_scale,
  check_upscore,
  draw,
  is_bilinear,
)
from fcn_jax.weights.receipt import Misfit, Receipt, TensorRow
from fcn_jax.weights.source import Source, SourceLayer

# Layer types whose first blob is a kernel; some writers leave the type out.
_WITH_KERNEL = ("Convolution", "InnerProduct", "")


class SurgeryError(ValueError):
  """Tensors that do not fit; the text lists all of them, both sides."""


def surgery(
  source: Source,
  network: Network,
  *,
  file: str = "",
  allow_missing: Iterable[str] = (),
  allow_unknown: Iterable[str] = (),
  head_init: str = "zero",
  seed: int = 0,
  head_rows: Mapping[int, int] | None = None,
) -> Receipt:
  """Copies the weights of a file into a network, in place.

  The network's own heads (score_fr, score_pool4) may be absent from the source:
  they are then initialised.  The classifier's last layer (fc8...) and bilinear
  upscores of other strides may be absent from the network: they are then
  dropped.  All else has to fit.

  Args:
    source: what `readers.read` returns.
    network: receives the weights; unchanged if an error is raised.
    file: the source's name for receipt and errors.
    allow_missing: layers of the network that are initialised (He-normal, zero
      bias) where the source has no tensors of their shape.
    allow_unknown: layers of the source that are dropped.
    head_init: 'zero', or 'gaussian' with standard deviation 0.01.
    seed: of whatever is initialised.
    head_rows: where the source has other classes, those that both know: class
      id in the network to class id in the source.  The heads keep these rows,
      and start afresh otherwise.  None: the classes are the same.

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
  if known := [name for name in unknown if name in targets]:
    raise ValueError(
      f"allow_unknown: {', '.join(known)}: no stranger, the network has it, too"
    )
  problems, rows, values = [], [], {}
  counts = collections.Counter(x.name for x in source.layers if x.blobs)
  for name, count in counts.items():
    if count > 1:
      problems.append(f"{name}: stands {count} times in the source")
  for layer in targets.values():
    found = blobs.get(layer.name)
    try:
      if head_rows is not None and layer.head:
        value, made = _of_other_classes(
          found, layer, network, head_init, seed, head_rows
        )
      elif found is None and layer.head:
        value, made = _fresh(layer, network, head_init, seed)
      else:
        value, made = _fit(found, layer, network, blobs)
    except Misfit as misfit:
      if layer.name not in allowed:
        problems += misfit.problems
        continue
      rows += _dropped(found, "does not fit, allowed by name")
      value, made = _fresh(layer, network, head_init, seed)
    rows += made
    values[layer.name] = value
  for name, layer in blobs.items():
    if name in targets:
      continue
    if name in unknown:
      rows += _dropped(layer, "not in the network, allowed by name")
    elif name.startswith("fc8"):
      rows += _dropped(layer, "the classifier's last layer")
    elif layer.type == "Deconvolution" and is_bilinear(layer):
      rows += _dropped(layer, "bilinear, of another stride")
    else:
      learned = ", learned" if layer.type == "Deconvolution" else ""
      problems += [
        f"unknown: {row.source} {row.source_shape}{learned} is not in the "
        "network"
        for row in _dropped(layer, "")
      ]
  if problems:
    misshapen = all(line.startswith("misshapen") for line in problems)
    raise SurgeryError(
      f"{file} does not fit the network, nothing was copied:\n  "
      + "\n  ".join(problems)
      + (
        "\nIf the features differ throughout, the width is not the file's."
        if misshapen
        else "\nIf most of it does not fit, the file is of another network."
      )
      + " What may start from fresh values has to be named in allow_missing "
      f"(now: {','.join(allowed) or 'none'}), what may be left out in "
      f"allow_unknown (now: {','.join(unknown) or 'none'})."
    )
  _assign(network, values)
  order = _order([layer.name for layer in source.layers])
  return Receipt(
    source=file,
    sha1=source.sha1,
    known_as=source.known_as,
    source_order=source.order if order == "unknown" else order,
    target_order=_order([layer.name for layer in network.layers]),
    rows=tuple(rows),
  )


def initialise(network: Network, seed: int, head_init: str = "zero") -> Receipt:
  """Random weights, in place: see `random_weights`.

  Args:
    network: receives the weights.
    seed: the same seed gives a layer the same weights in any network.
    head_init: of the head, 'zero' or 'gaussian' (standard deviation 0.01).

  Returns:
    A receipt in which every tensor is 'initialised'.
  """
  rows, values = [], {}
  for layer in _weighted(network).values():
    values[layer.name], made = _fresh(layer, network, head_init, seed)
    rows += made
  _assign(network, values)
  order = _order([layer.name for layer in network.layers])
  return Receipt(
    f"random weights, seed {seed}", "", "", "unknown", order, tuple(rows)
  )


def _weighted(network: Network) -> dict[str, d.Layer]:
  """The network's layers that have weights in a file, by name."""
  arrays = d.weights(network.layers)
  return {
    layer.name: layer
    for layer in network.layers
    if layer.name in arrays or isinstance(layer, d.Scale)
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


def _both(found: SourceLayer | None, layer, network, fault: str) -> str:
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


def _fit(found: SourceLayer | None, layer, network: Network, blobs):
  """(arrays, or None where they are fixed; rows) of one layer.

  Raises:
    Misfit: the source has nothing for it, or something else.
  """
  if isinstance(layer, d.Upscore):
    return None, check_upscore(found, layer)
  if isinstance(layer, d.Scale):
    readers = [
      reader.name
      for reader, bottom in d.with_bottoms(network.layers)
      if bottom == layer.name and reader.name in blobs
    ]
    return None, check_scale(found, layer, readers)
  if not isinstance(layer, d.Conv):
    return _as_they_are(found, layer, network)
  if found is None:
    raise Misfit([_both(None, layer, network, "missing")])
  return _convert(found, layer, network)


def _as_they_are(found: SourceLayer | None, layer: d.Layer, network: Network):
  """(arrays, rows) of a layer that no file format knows: this package's own."""
  wanted = {
    name: weight.shape
    for name, weight in d.weights(network.layers)[layer.name].items()
  }
  blobs = found.blobs if found else ()
  if [blob.shape for blob in blobs] != [*wanted.values()]:
    left = f"{found.type} " if found else ""
    left += ", ".join(str(blob.shape) for blob in blobs) or "nothing"
    right = ", ".join(f"{name} {shape}" for name, shape in wanted.items())
    raise Misfit(
      [
        f"{'misshapen' if found else 'missing'}: source {layer.name}: {left} "
        f"-> network {layer.name}: {right}"
      ]
    )
  if bad := _not_finite(found):
    raise Misfit(bad)
  return dict(zip(wanted, blobs, strict=True)), [
    TensorRow(*found.tensor(i)[:2], f"{layer.name}.{name}", shape, "copied")
    for i, (name, shape) in enumerate(wanted.items())
  ]


def _not_finite(found: SourceLayer) -> list[str]:
  return [
    f"not finite: {found.name}[{index}] {blob.shape} holds NaN or infinity"
    for index, blob in enumerate(found.blobs)
    if not np.isfinite(blob).all()
  ]


def _convert(found: SourceLayer, layer: d.Conv, network: Network):
  """(arrays, rows) of one convolution that the source has."""
  (h, w, i, o), _ = _shapes(layer, network)
  shapes = [blob.shape for blob in found.blobs]
  if len(shapes) != 2 or not _last_axes(shapes[1], (o,)):
    raise Misfit([_both(found, layer, network, "misshapen")])
  convolution = found.type != "InnerProduct" and shapes[0] == (o, i, h, w)
  inner_product = found.type != "Convolution" and layer.groups == 1
  inner_product &= _last_axes(shapes[0], (o, i * h * w))
  if found.type not in _WITH_KERNEL or not (convolution or inner_product):
    raise Misfit([_both(found, layer, network, "misshapen")])
  weight, bias = found.blobs
  if bad := _not_finite(found):
    raise Misfit(bad)
  kernel = weight.reshape(o, i, h, w).transpose(2, 3, 1, 0)
  note = found.tensor(0).done or "OIHW to HWIO"
  if not convolution and not found.tensor(0).done:
    note = f"{o} x ({i} x {h} x {w}) to HWIO"
  elif layer.groups > 1:
    note += f", {layer.groups} groups"
  name = layer.name
  stored, stored_bias = found.tensor(0), found.tensor(1)
  return {"kernel": kernel, "bias": bias.reshape(o)}, [
    TensorRow(
      stored.name,
      stored.shape,
      f"{name}.kernel",
      kernel.shape,
      "copied" if convolution else "reshaped",
      note,
    ),
    TensorRow(
      stored_bias.name,
      stored_bias.shape,
      f"{name}.bias",
      (o,),
      "copied",
      stored_bias.done,
    ),
  ]


def _last_axes(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
  """Whether a shape is the wanted one, but for leading ones (V1 files)."""
  lead = len(shape) - len(wanted)
  return lead >= 0 and shape[lead:] == wanted and set(shape[:lead]) <= {1}


def _fresh(layer, network: Network, head_init: str, seed: int):
  """(arrays, or None where they are fixed; rows), from no source."""
  if isinstance(layer, d.Upscore):
    return None, check_upscore(None, layer)
  if isinstance(layer, d.Scale):
    return None, check_scale(None, layer, ())
  return draw(layer, network, head_init, seed)


def _of_other_classes(found, layer, network, head_init, seed, head_rows):
  """A fresh head, but for the rows that are kept."""
  arrays, rows = _fresh(layer, network, head_init, seed)
  if found is None:
    return arrays, rows
  if not head_rows:
    return arrays, [*_dropped(found, "of other classes"), *rows]
  kernel, bias = arrays["kernel"], arrays["bias"]
  weight = found.blobs[0]
  if weight.shape[1:] != tuple(kernel.shape[i] for i in (2, 0, 1)):
    raise Misfit([_both(found, layer, network, "misshapen")])
  ours, theirs = list(head_rows), list(head_rows.values())
  kernel[..., ours] = weight[theirs].transpose(2, 3, 1, 0)
  bias[ours] = found.blobs[1].reshape(-1)[theirs]
  kept = ", ".join(f"{b} as {a}" for a, b in head_rows.items())
  return arrays, [
    dataclasses.replace(
      row,
      source=found.tensor(i).name,
      source_shape=found.tensor(i).shape,
      action="copied",
      note=f"rows {kept}; others {row.note.removeprefix('head: ')}",
    )
    for i, row in enumerate(rows)
  ]


def _dropped(found: SourceLayer | None, note: str) -> list[TensorRow]:
  return [
    TensorRow(*found.tensor(index)[:2], "", None, "dropped", note)
    for index in range(len(found.blobs) if found else 0)
  ]


def _assign(
  network: Network,
  values: Mapping[str, Mapping[str, Float32[np.ndarray, "..."]] | None],
) -> None:
  for layer, arrays in values.items():
    for name, array in (arrays or {}).items():  # None: they are fixed
      # jnp.array would compile a program for each shape.
      placed = jax.device_put(array, may_alias=False)
      getattr(getattr(network, layer), name)[...] = placed


def _order(names: list[str]) -> str:
  """'norm_pool' or 'pool_norm', by which of norm1 and pool1 comes first."""
  if "norm1" not in names or "pool1" not in names:
    return "unknown"
  first = names.index("norm1") < names.index("pool1")
  return "norm_pool" if first else "pool_norm"
