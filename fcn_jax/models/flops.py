"""Floating-point operations of a network, by layer.

A multiplication and an addition are two.  What is counted is the network as it
is declared, padding included, whatever is skipped in computing it.
"""

from fcn_jax.models import geometry
from fcn_jax.models import layers as d


def forward(layers: d.Layers, height: int, width: int) -> dict[str, int]:
  """FLOPs of every convolution and upscore for one image, by layer name."""
  channels = d.channels(layers)
  rows, columns = (geometry.sizes(layers, n) for n in (height, width))
  found = {}
  for layer, bottom in d.with_bottoms(layers):
    match layer:
      case d.Conv():
        cells = rows[layer.name] * columns[layer.name]
        inputs = layer.kernel**2 * channels[bottom] // layer.groups
        found[layer.name] = 2 * cells * inputs * layer.features
      case d.Upscore():
        cells = rows[bottom] * columns[bottom]
        found[layer.name] = 2 * cells * layer.kernel**2 * channels[bottom]
  return found


def train_step(layers: d.Layers, height: int, width: int) -> int:
  """FLOPs of forward and backward passes for one image.

  Backward, a convolution costs as much again for its kernel and for its input;
  the image needs no gradient, and an upscore's kernel none.
  """
  counted = forward(layers, height, width)
  total = 0
  for layer, bottom in d.with_bottoms(layers):
    if layer.name in counted:
      of_input = bottom != layers[0].name
      of_kernel = isinstance(layer, d.Conv)
      total += counted[layer.name] * (1 + of_input + of_kernel)
  return total


def parameters_of(layer: d.Layer, channels: int) -> int:
  """Learnable numbers of one layer that reads so many channels."""
  if not isinstance(layer, d.Conv):
    return 0
  return layer.features * (layer.kernel**2 * channels // layer.groups + 1)


def parameters(layers: d.Layers) -> int:
  """Learnable numbers of all layers."""
  channels = d.channels(layers)
  return sum(
    parameters_of(layer, channels[bottom])
    for layer, bottom in d.with_bottoms(layers)
    if bottom
  )
