"""The proof of a surgery: the FCN is the classifier, slid over the image.

On an image of the classifier's own size, with the classifier's padding and in
the order of its layers, fc7 of the converted network is one cell, and it has to
be the classifier's fc7.  The classifier is computed a second way: from the
raw tensors of the file, in the file's own layout and for pixels as its network
takes them, in float64 numpy, convolutions as im2col and fc6, fc7 as inner
products with the flattened input.  A kernel with two axes swapped cannot pass.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from fcn_jax import models
from fcn_jax.models import geometry
from fcn_jax.models import layers as d
from fcn_jax.weights import surgery
from fcn_jax.weights.float64 import Chw
from fcn_jax.weights.receipt import Receipt
from fcn_jax.weights.source import Source

TOLERANCE = 1e-5  # of the blob's maximum; float32 shows about 2e-6


@dataclasses.dataclass(frozen=True)
class Proof:
  """How far the network is from the classifier.

  Attributes:
    blob: the blob compared: fc7, or the last one before an initialised layer;
      '' if there is nothing to compare.
    size: side of the image.
    error: largest absolute difference.
    maximum: largest absolute value of the classifier's blob.
    order: layer order in which both were computed.
  """

  blob: str
  size: int
  error: float
  maximum: float
  order: str

  @property
  def holds(self) -> bool:
    """Whether the difference is at most `TOLERANCE` of a maximum above 0."""
    return self.error <= TOLERANCE * self.maximum and self.maximum > 0

  def __str__(self) -> str:
    if not self.blob:
      return "none: no classifier of this network comes from the source"
    if not self.maximum > 0:
      return (
        f"FAILED: the classifier's {self.blob} is {self.maximum} throughout"
      )
    verdict = "holds" if self.holds else "FAILED"
    order = "" if self.order == "unknown" else f"order {self.order}, "
    return (
      f"{verdict}: {self.blob} of a {self.size}x{self.size} image, {order}"
      f"differs from the classifier's by {self.error:.2g}, "
      f"{self.error / self.maximum:.1e} of its maximum {self.maximum:.4g} "
      f"(allowed {TOLERANCE:g})"
    )


def convert(
  source: Source,
  network: models.Network,
  model: Mapping[str, Any],
  **options,
) -> Receipt:
  """Net surgery (`weights.surgery`, with its options) and its proof.

  Args:
    source: what `readers.read` returns.
    network: receives the weights.
    model: arguments of `models.declare` that made the network.
    **options: of `weights.surgery`.

  Returns:
    The receipt, the proof in it.

  Raises:
    weights.SurgeryError: tensors that do not fit.
    ProofError: the network does not compute what the classifier does.
  """
  receipt = surgery.surgery(source, network, **options)
  proof = prove(source, network, model, receipt)
  receipt = dataclasses.replace(receipt, proof=str(proof))
  if proof.blob and not proof.holds:
    raise ProofError(
      f"{receipt}\n{receipt.source}: the converted network does not compute "
      "what the file's classifier does"
    )
  return receipt


class ProofError(ValueError):
  """A conversion that changed what a network computes."""


def prove(
  source: Source,
  network: models.Network,
  model: Mapping[str, Any],
  receipt: Receipt,
  seed: int = 0,
) -> Proof:
  """Compares a converted network with the classifier of the same file.

  Args:
    source: what the network was converted from.
    network: after `weights.surgery`.
    model: arguments of `models.declare` that made the network.
    receipt: of that surgery; tells the source's order and what was copied.
    seed: of the pseudo-random image.

  Returns:
    The proof, which may or may not hold.
  """
  order = receipt.source_order
  if order == "unknown":
    order = receipt.target_order
  declared = models.declare_classifier(**{**model, "order": order})
  layers = _copied(declared or (), network.layers, receipt.initialised_layers())
  if not layers:
    return Proof("", 0, 0.0, 0.0, order)
  copy = models.build(layers)
  for layer in layers:
    if isinstance(layer, d.Conv):
      setattr(copy, layer.name, getattr(network, layer.name))
  size = layers[0].size
  image = np.random.RandomState(seed).randint(0, 256, (size, size, 3))
  image = image.astype(np.uint8)
  ours = np.asarray(copy(jnp.asarray(image[None])))[0].transpose(2, 0, 1)
  theirs = classify(source, layers, image)
  return Proof(
    layers[-1].name,
    size,
    float(np.abs(ours.astype(np.float64) - theirs).max()),
    float(np.abs(theirs).max()),
    order,
  )


def _copied(
  classifier: d.Layers, network: d.Layers, initialised: tuple[str, ...]
) -> d.Layers:
  """The layers of a classifier before its head, as far as they were copied.

  That is, as far as the network has them, but for the padding.
  """
  ours = {layer.name: layer for layer in network}
  kept: list[d.Layer] = []
  for layer in classifier:
    if layer.name in initialised or layer.head:
      break
    if isinstance(layer, d.Conv):
      other = ours.get(layer.name)
      if not isinstance(other, d.Conv) or layer != dataclasses.replace(
        other, pad=layer.pad, bottom=layer.bottom
      ):
        break
    if not isinstance(layer, d.Dropout):
      kept.append(layer)
  return tuple(kept) if any(isinstance(x, d.Conv) for x in kept) else ()


def classify(
  source: Source,
  layers: d.Layers,
  image: UInt8[np.ndarray, "h w 3"],
) -> Float[np.ndarray, "c y x"]:
  """The last blob of a chain of layers, from the raw tensors of a file.

  Args:
    source: its layers are taken by name.
    layers: a chain of Data, Conv, MaxPool and LRN.
    image: RGB.

  Returns:
    float64.
  """
  stored = {layer.name: layer for layer in source.layers if layer.blobs}
  size = geometry.sizes(layers, image.shape[0])
  x = np.zeros(0)
  for layer in layers:
    match layer:
      case d.Data():
        x = source.pixels(image, layer.mean_bgr)
      case d.Conv():
        x = stored[layer.name].apply(layer, x)
        x = np.maximum(x, 0) if layer.relu else x
      case d.MaxPool():
        x = _pool(x, layer.kernel, layer.stride, size[layer.name])
      case d.LRN():
        squares = np.pad(x**2, ((layer.size // 2,) * 2, (0, 0), (0, 0)))
        total = sum(squares[i : i + len(x)] for i in range(layer.size))
        x = x * (layer.k + layer.alpha / layer.size * total) ** -layer.beta
      case _:
        raise TypeError(f"{layer.name}: no part of a classifier")
  return x


def _pool(
  x: Chw, kernel: int, stride: int, size: int
) -> Float[np.ndarray, "c size size"]:
  """Max over windows that are cut at the edge."""
  out = np.empty((len(x), size, size))
  for i, j in np.ndindex(size, size):
    window = x[:, i * stride :, j * stride :][:, :kernel, :kernel]
    out[:, i, j] = window.max((1, 2))
  return out
