"""A classifier in an ONNX file as a `Source`."""

import dataclasses
import functools
import pathlib
import re

import numpy as np

from fcn_jax.models import layers as d
from fcn_jax.weights import float64
from fcn_jax.weights.named import (
  ALEXNET,
  IMAGENET_STD,
  MEAN_BGR,
  VGG16,
  as_float32,
)
from fcn_jax.weights.onnx_file import Graph, Node, read_graph
from fcn_jax.weights.source import (
  Source,
  SourceLayer,
  Stored,
  WeightFileError,
  to_bgr_255,
)

# Initialisers of networks that take RGB in 0..1, standardised: of MXNet's
# model zoo and of torchvision.  Those of Caffe2 (conv1_w_0) take Caffe's BGR.
_RGB = re.compile(
  r"(vgg|alexnet)\d+_conv\d+_weight$|(.*\.)?features\.0\.weight$"
)
_WEIGHTED = ("Conv", "Gemm", "MatMul", "ConvTranspose")
_PASSING = {
  *("Relu", "MaxPool", "LRN", "Dropout", "Softmax", "Flatten", "Reshape"),
  *("Identity", "Constant", "Add", "Shape", "Slice", "Gather", "Concat"),
  *("Unsqueeze", "Squeeze", "GlobalAveragePool", "AveragePool", "Cast"),
  *("Sub", "Mul", "LogSoftmax"),
}


def read_onnx(path: pathlib.Path) -> Source:
  """Reads an AlexNet or VGG-16, its layers taken in their order.

  Raises:
    WeightFileError: it is damaged, quantised, or another network.
  """
  graph = read_graph(path)
  _check_operations(graph, path)
  constants = _constants(graph)
  weighted = [node for node in graph.nodes if _is_weighted(node, constants)]
  names = _names(weighted, path)
  first = weighted[0].inputs[1]
  is_rgb = bool(_RGB.match(first))
  found, order = [], []
  for node in graph.nodes:
    if node in weighted:
      name = names[weighted.index(node)]
      found.append(_layer(name, node, graph, constants, is_rgb, path))
    elif node.op in ("LRN", "MaxPool"):
      order.append(node.op)
  return Source(
    name="",
    format="ONNX",
    sha1="",
    layers=tuple(found),
    order=_order(order),
    std_rgb=IMAGENET_STD if is_rgb else None,
    mean_bgr=MEAN_BGR if is_rgb else None,
  )


def _check_operations(graph: Graph, path) -> None:
  ops = {node.op for node in graph.nodes}
  quantised = sorted(op for op in ops if "Quantize" in op or "Integer" in op)
  quantised += sorted(op for op in ops if op.startswith("QLinear"))
  if quantised:
    raise WeightFileError(
      f"{path}: the network is quantised ({', '.join(quantised)}); take the "
      "one in float32"
    )
  strange = sorted(ops - _PASSING - set(_WEIGHTED) - {"Transpose"})
  if strange:
    raise WeightFileError(
      f"{path}: has the operations {', '.join(strange)}, which AlexNet and "
      "VGG-16 have not"
    )


def _constants(graph: Graph) -> dict[str, np.ndarray]:
  """Initialisers, constants, and what is reshaped or transposed of them."""
  found = dict(graph.tensors)
  for node in graph.nodes:
    values = [found.get(name) for name in node.inputs]
    match node.op:
      case "Constant" if isinstance(node.attributes.get("value"), np.ndarray):
        found[node.outputs[0]] = node.attributes["value"]
      case "Identity" if values[0] is not None:
        found[node.outputs[0]] = values[0]
      case "Transpose" if values[0] is not None:
        perm = node.attributes.get("perm")
        found[node.outputs[0]] = values[0].transpose(perm)
      case "Reshape" if all(value is not None for value in values):
        shape = [
          values[0].shape[i] if n == 0 else int(n)
          for i, n in enumerate(values[1])
        ]
        found[node.outputs[0]] = values[0].reshape(shape)
  return found


def _is_weighted(node: Node, constants) -> bool:
  return node.op in _WEIGHTED and node.inputs[1] in constants


def _names(weighted: list[Node], path) -> tuple[str, ...]:
  """Our names of the weighted layers, in the order of the graph."""
  kinds = ["Conv" if node.op == "Conv" else "Product" for node in weighted]
  for ours in (ALEXNET, VGG16):
    convolutions = len(ours) - 3
    if kinds in (
      ["Conv"] * convolutions + ["Product"] * 3,
      ["Conv"] * len(ours),
      ["Conv"] * convolutions,
    ):
      return ours
  raise WeightFileError(
    f"{path}: {len(kinds)} layers with weights ({', '.join(kinds[:20])}); "
    "AlexNet has 5 convolutions and 3 products, VGG-16 13 and 3"
  )


def _order(ops: list[str]) -> str:
  if "LRN" not in ops:
    return "unknown"
  return "norm_pool" if ops[0] == "LRN" else "pool_norm"


def _layer(name, node: Node, graph, constants, is_rgb, path) -> SourceLayer:
  weight_name = node.inputs[1]
  raw = constants[weight_name]
  bias_name, raw_bias = _bias(node, graph, constants, raw)
  weight = as_float32(raw, weight_name, path)
  bias = as_float32(raw_bias, bias_name or f"{name}'s bias", path)
  done = "renamed, OIHW to HWIO"
  if node.op == "Conv":
    if weight.ndim != 4:
      raise WeightFileError(f"{path}: {weight_name} {raw.shape} is not OIHW")
    apply = functools.partial(_convolve, node, raw, raw_bias, path)
    if is_rgb and weight.shape[1] == 3:
      weight = to_bgr_255(weight, IMAGENET_STD)
      done = "renamed, RGB to BGR, divided by 255 std, OIHW to HWIO"
  else:
    transposed = node.attributes.get("transB", 0)
    scales = [node.attributes.get(key, 1.0) for key in ("alpha", "beta")]
    if weight.ndim != 2 or scales != [1, 1] or node.attributes.get("transA"):
      raise WeightFileError(
        f"{path}: {node.op} with {weight_name} {raw.shape} is no fully "
        "connected layer"
      )
    _check_flattened(node, graph, path)
    apply_stored = float64.of_oihw if transposed else float64.of_io
    apply = functools.partial(apply_stored, raw, raw_bias)
    done = "renamed, O x (I x H x W) to HWIO"
    if not transposed:
      weight = np.ascontiguousarray(weight.T)
      done = "renamed, (I x H x W) x O to HWIO"
  if raw.dtype != np.float32:
    done += f", {raw.dtype} to float32"
  if bias.shape != (len(weight),):
    raise WeightFileError(
      f"{path}: {bias_name} {raw_bias.shape} for {weight_name} {raw.shape}"
    )
  return SourceLayer(
    name,
    "Convolution" if node.op == "Conv" else "InnerProduct",
    (weight, bias),
    (
      Stored(weight_name, raw.shape, done),
      Stored(bias_name or "none", raw_bias.shape, "renamed"),
    ),
    apply,
  )


def _bias(node: Node, graph, constants, weight):
  """(name, values) of a layer's bias: its third input, or one that is added."""
  if len(node.inputs) > 2 and node.inputs[2] in constants:
    return node.inputs[2], constants[node.inputs[2]].reshape(-1)
  for other in graph.nodes:
    if other.op == "Add" and node.outputs[0] in other.inputs:
      for name in other.inputs:
        if name in constants:
          return name, constants[name].reshape(-1)
  out = weight.shape[0] if node.op == "Conv" else weight.shape[1]
  if node.attributes.get("transB"):
    out = weight.shape[0]
  return "", np.zeros(out, np.float32)


def _check_flattened(node: Node, graph: Graph, path) -> None:
  """Refuses an input that was transposed before it was flattened."""
  made = {out: other for other in graph.nodes for out in other.outputs}
  name = node.inputs[0]
  while name in made and made[name].op in ("Reshape", "Flatten", "Transpose"):
    if made[name].op == "Transpose":
      raise WeightFileError(
        f"{path}: the input of {node.outputs[0]} is transposed; only networks "
        "in NCHW throughout are read"
      )
    name = made[name].inputs[0]


def _convolve(node: Node, weight, bias, path, layer: d.Conv, x):
  """With the node's own stride and groups, whatever the declaration says."""
  group = node.attributes.get("group", 1)
  strides = set(node.attributes.get("strides", [1, 1]))
  dilations = set(node.attributes.get("dilations", [1, 1]))
  if len(strides) != 1 or dilations != {1}:
    raise WeightFileError(
      f"{path}: {node.outputs[0]} has strides {sorted(strides)} and dilations "
      f"{sorted(dilations)}"
    )
  layer = dataclasses.replace(layer, groups=group, stride=strides.pop())
  return float64.of_oihw(weight, bias, layer, x)
