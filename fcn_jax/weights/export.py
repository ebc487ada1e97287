"""A network as Caffe reads it: a .caffemodel's layers and a deploy prototxt.

Both are derived from the declaration, in the form Caffe itself writes: new
format, one Convolution per kernel, ReLU and Dropout in place, upscore as a
grouped Deconvolution, Crop with the derived offset.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fcn_jax.models import Network, geometry
from fcn_jax.models import layers as d
from fcn_jax.weights.source import Source, SourceLayer

# One layer of a prototxt: field name to value; a list is a repeated field, a
# dict a message.
Fields = dict[str, Any]


def caffe_layers(layers: d.Layers) -> list[Fields]:
  """A declared network, layer by layer, as fields of Caffe's LayerParameter.

  Data becomes an Input without a shape and, where the mean is the same on all
  channels, a Power layer that subtracts it (as DIGITS does it, so that conv1's
  zero padding comes after the mean).
  """
  offsets = geometry.crop_offsets(layers)
  channels = d.channels(layers)
  tops: dict[str, str] = {}
  out: list[Fields] = []

  def add(name, kind, bottom, top, **fields):
    out.append({"name": name, "type": kind, "bottom": bottom, "top": [top]})
    out[-1] |= fields

  for layer, bottom in d.with_bottoms(layers):
    name, below = layer.name, tops.get(bottom or "")
    tops[name] = name
    match layer:
      case d.Data():
        add(name, "Input", [], name)
        if len(set(layer.mean_bgr)) == 1:
          tops[name] = f"{name}_preprocessed"
          shift = {"shift": -layer.mean_bgr[0]}
          add("shift", "Power", [name], tops[name], power_param=shift)
      case d.Conv():
        param = {
          "num_output": layer.features,
          "pad": [layer.pad],
          "kernel_size": [layer.kernel],
          "group": layer.groups,
          "stride": [layer.stride],
        }
        rates = zip(layer.lr_mult, layer.decay_mult, strict=True)
        add(
          name,
          "Convolution",
          [below],
          name,
          param=[{"lr_mult": lr, "decay_mult": wd} for lr, wd in rates],
          convolution_param=param,
        )
        if layer.relu:
          # conv1 has relu1, fc6 has relu6: Caffe's models count them through.
          number = re.sub(r"^\D+", "", name)
          relu = f"relu{number}"
          if not number or any(x["name"] == relu for x in out):
            relu = f"{name}_relu"
          add(relu, "ReLU", [name], name)
      case d.MaxPool():
        param = {
          "pool": _Word("MAX"),
          "kernel_size": layer.kernel,
          "stride": layer.stride,
          "pad": layer.pad,
        }
        add(name, "Pooling", [below], name, pooling_param=param)
      case d.LRN():
        param = {
          "local_size": layer.size,
          "alpha": layer.alpha,
          "beta": layer.beta,
          "k": layer.k,
        }
        add(name, "LRN", [below], name, lrn_param=param)
      case d.Dropout():
        tops[name] = below
        param = {"dropout_ratio": layer.rate}
        add(name, "Dropout", [below], below, dropout_param=param)
      case d.Upscore():
        param = {
          "num_output": channels[name],
          "bias_term": False,
          "kernel_size": [layer.kernel],
          "group": channels[name],
          "stride": [layer.stride],
          "weight_filler": {"type": "bilinear"},
        }
        add(
          name,
          "Deconvolution",
          [below],
          name,
          param=[{"lr_mult": 0.0, "decay_mult": 0.0}],
          convolution_param=param,
        )
      case d.Crop():
        # The size of the mean-subtracted image is that of the image.
        image = layer.like == layers[0].name
        like = layer.like if image else tops[layer.like]
        param = {"axis": 2, "offset": [offsets[name]]}
        add(name, "Crop", [below, like], name, crop_param=param)
      case d.Scale():
        param = {
          "filler": {"type": "constant", "value": layer.factor},
          "bias_term": False,
        }
        fixed = [{"lr_mult": 0.0, "decay_mult": 0.0}]
        add(name, "Scale", [below], name, param=fixed, scale_param=param)
      case d.Sum():
        param = {"operation": _Word("SUM")}
        bottoms = [below, tops[layer.other]]
        add(name, "Eltwise", bottoms, name, eltwise_param=param)
      case _:
        raise ValueError(
          f"layer {name!r}: Caffe has no layer for a {type(layer).__name__}; a "
          "network with one is kept as a checkpoint only"
        )
  return out


def to_caffe(
  network: Network, name: str = "", inner_products: Iterable[str] = ()
) -> Source:
  """The network's weights in Caffe's layout.

  Args:
    network: any network of this package.
    name: the net's name in the file.
    inner_products: convolutions stored as InnerProduct (O, C * H * W), as a
      classifier has its fc6, fc7 and fc8.

  Returns:
    Kernels as (O, I / groups, H, W), biases (O,), upscore (classes, 1, k, k);
    layers without weights are listed too, which keeps the layer order.
  """
  inner_products = set(inner_products)
  weighted = {layer.name: layer for layer in to_source(network).layers}
  layers = []
  for fields in caffe_layers(network.layers):
    found = weighted.get(fields["name"])
    blobs = found.blobs if found else ()
    layer = SourceLayer(fields["name"], fields["type"], blobs)
    if layer.name in inner_products:
      kernel, bias = layer.blobs
      flat = kernel.reshape(len(kernel), -1)
      layer = SourceLayer(layer.name, "InnerProduct", (flat, bias))
    layers.append(layer)
  return Source(name, "new", "", tuple(layers))


def to_source(network: Network) -> Source:
  """The network's layers with their weights, as `surgery` takes them.

  In Caffe's layout; a layer that Caffe does not have goes by the name of its
  class, and keeps its arrays as they are.
  """
  channels = d.channels(network.layers)
  own = d.weights(network.layers)
  layers = []
  for layer in network.layers:
    kind = _KINDS.get(type(layer), type(layer).__name__)
    arrays = {
      array: np.asarray(getattr(getattr(network, layer.name), array)[...])
      for array in own.get(layer.name, {})
    }
    match layer:
      case d.Conv():
        kernel = arrays["kernel"].transpose(3, 2, 0, 1)
        blobs = (np.ascontiguousarray(kernel), arrays["bias"])
      case d.Upscore():
        kernel = np.outer(arrays["kernel1d"], arrays["kernel1d"])
        blobs = (np.tile(kernel, (channels[layer.name], 1, 1, 1)),)
      case d.Scale(factor=factor):
        blobs = (np.full(channels[layer.name], factor, np.float32),)
      case _:
        blobs = tuple(arrays.values())
    layers.append(SourceLayer(layer.name, kind, blobs))
  return Source("", "", "", tuple(layers))


_KINDS = {d.Conv: "Convolution", d.Upscore: "Deconvolution"}


def deploy_prototxt(
  layers: d.Layers,
  name: str,
  height: int,
  width: int,
  class_names: Sequence[str] = (),
) -> str:
  """The text of a deploy prototxt for one image of a fixed size.

  Args:
    layers: the declaration.
    name: the net's name.
    height, width: of the image.
    class_names: listed in a comment, in the order of the scores' channels.

  Raises:
    ValueError: the network has no output for an image of that size.
  """
  for n in (height, width):
    geometry.sizes(layers, n)
  fields = caffe_layers(layers)
  shape = {"shape": [{"dim": [1, 3, height, width]}]}
  fields[0] = fields[0] | {"input_param": shape}
  mean = ", ".join(f"{value:g}" for value in layers[0].mean_bgr)
  comments = [
    f"Input blob {layers[0].name}: float32 1 x 3 x H x W, channels in BGR "
    "order, values 0..255, not scaled.",
  ]
  if fields[1]["type"] == "Power":
    comments.append(
      f'The mean (B, G, R = {mean}) is subtracted by the layer "shift": do not '
      "subtract it before."
    )
  else:
    comments.append(
      f"SUBTRACT THE MEAN from the image before: B, G, R = {mean}. No layer "
      "here does it."
    )
  comments += [
    "No oversampling, no resizing: set the two last dims to the size of the "
    "image.",
    f"Output blob {layers[-1].name}: one channel per class, not normalised; "
    "its argmax is the label.",
  ]
  if any(isinstance(layer, d.Crop) for layer in layers):
    comments.append(
      "The offset of a Crop follows from the kernels, strides and pads before "
      "it; change none of them alone."
    )
  comments += [
    f"class {index}: {' '.join(class_name.split())}"
    for index, class_name in enumerate(class_names)
  ]
  body = [f"# {line}" for line in comments]
  body += _text({"name": name, "layer": fields})
  return "\n".join(body) + "\n"


class _Word(str):
  """An enum value: text without quotes."""


def _text(fields: Fields, indent: str = "") -> list[str]:
  """Fields in protobuf's text format, one line each."""
  lines = []
  for key, values in fields.items():
    for value in values if isinstance(values, list) else [values]:
      if isinstance(value, dict):
        lines.append(f"{indent}{key} {{")
        lines += _text(value, indent + "  ")
        lines.append(f"{indent}}}")
      else:
        lines.append(f"{indent}{key}: {_scalar(value)}")
  return lines


def _scalar(value) -> str:
  match value:
    case bool():
      return str(value).lower()
    case _Word():
      return str(value)
    case str():
      plain = "".join(c for c in value if c.isascii() and c.isprintable())
      return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
    case int():
      return str(value)
    case _:
      return f"{value:.9g}"
