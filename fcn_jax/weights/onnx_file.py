"""ONNX files as plain graphs, read and written; nothing else knows onnx."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fcn_jax.files import replacing
from fcn_jax.weights.source import WeightFileError

_MAX_BYTES = 2**31 - 1  # protobuf's limit for one message
_OLDEST_IR = 8  # that all runtimes of today read


@dataclasses.dataclass(frozen=True)
class Node:
  """One operation.

  Attributes:
    op: ONNX's name of it.
    inputs, outputs: names of values; '' for an input that is left out.
    attributes: numbers, lists of numbers, strings, arrays.
  """

  op: str
  inputs: tuple[str, ...]
  outputs: tuple[str, ...]
  attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Value:
  """An input or output: name, numpy type, sizes (names where they are free)."""

  name: str
  dtype: str
  shape: tuple[int | str, ...]


@dataclasses.dataclass(frozen=True)
class Graph:
  """A network as ONNX has it.

  Attributes:
    nodes: in order of execution.
    tensors: constants by name.
    inputs, outputs: of the whole.
    metadata: words about it.
  """

  nodes: tuple[Node, ...]
  tensors: Mapping[str, np.ndarray]
  inputs: tuple[Value, ...] = ()
  outputs: tuple[Value, ...] = ()
  metadata: Mapping[str, str] = dataclasses.field(default_factory=dict)


def read_graph(path: pathlib.Path) -> Graph:
  """Nodes and constants of a file.

  Raises:
    WeightFileError: it is damaged, or its values lie in other files.
  """
  onnx = _library(path)
  size = path.stat().st_size
  if size > _MAX_BYTES:
    raise WeightFileError(f"{path}: {size} bytes; ONNX files hold 2 GiB")
  try:
    model = onnx.load(path, load_external_data=False)
  except (
    Exception
  ) as error:  # protobuf's DecodeError, and what onnx makes of it
    raise WeightFileError(
      f"{path}: truncated or no ONNX file [{str(error)[:200]}]"
    ) from None
  if not model.graph.node:
    raise WeightFileError(f"{path}: holds no network in ONNX's format")
  tensors = {
    tensor.name: _array(onnx, tensor, path)
    for tensor in model.graph.initializer
  }
  nodes = []
  for node in model.graph.node:
    attributes = {}
    for attribute in node.attribute:
      value = onnx.helper.get_attribute_value(attribute)
      if isinstance(value, onnx.TensorProto):
        value = _array(onnx, value, path)
      attributes[attribute.name] = value
    nodes.append(
      Node(node.op_type, tuple(node.input), tuple(node.output), attributes)
    )
  return Graph(tuple(nodes), tensors)


def _array(onnx, tensor, path) -> np.ndarray:
  """The values of a tensor, counted before anything takes its shape."""
  if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
    raise WeightFileError(
      f"{path}: the values of {tensor.name} lie in another file; save the "
      "model as one file (onnx.save with save_as_external_data=False)"
    )
  if any(n < 0 for n in tensor.dims):
    raise WeightFileError(
      f"{path}: {tensor.name} has the shape {tuple(tensor.dims)}"
    )
  try:
    return onnx.numpy_helper.to_array(tensor)
  except (ValueError, TypeError, KeyError) as error:
    raise WeightFileError(
      f"{path}: {tensor.name} {tuple(tensor.dims)}: {error}"
    ) from None


def write_graph(path: pathlib.Path, graph: Graph, name: str, opset: int):
  """Writes a graph that ONNX's checker accepts, complete or not at all.

  Raises:
    WeightFileError: onnx is missing, or refuses the graph.
  """
  onnx = _library(path)
  helper = onnx.helper
  types = {
    key: helper.np_dtype_to_tensor_dtype(np.dtype(key))
    for key in ("float32", "uint8", "int64")
  }

  def values(given: Sequence[Value]):
    return [
      helper.make_tensor_value_info(v.name, types[v.dtype], list(v.shape))
      for v in given
    ]

  made = helper.make_graph(
    [
      helper.make_node(
        node.op,
        node.inputs,
        node.outputs,
        name=node.outputs[0],
        **node.attributes,
      )
      for node in graph.nodes
    ],
    name,
    values(graph.inputs),
    values(graph.outputs),
    [
      onnx.numpy_helper.from_array(np.ascontiguousarray(array), key)
      for key, array in graph.tensors.items()
    ],
  )
  opsets = [helper.make_opsetid("", opset)]
  model = helper.make_model(made, opset_imports=opsets, producer_name="fcn_jax")
  # The newest of onnx is newer than many a runtime.
  needed = helper.find_min_ir_version_for(opsets)
  model.ir_version = max(_OLDEST_IR, needed)
  helper.set_model_props(model, dict(graph.metadata))
  with replacing(path) as temporary:
    temporary.write_bytes(model.SerializeToString())
    try:
      onnx.checker.check_model(temporary)
    except onnx.checker.ValidationError as error:
      raise WeightFileError(
        f"{path}: onnx refuses the exported network at opset {opset}: {error}"
      ) from None


def _library(path: pathlib.Path):
  try:
    import onnx
  except ImportError:
    raise WeightFileError(
      f"{path}: ONNX files need a package: pip install onnx"
    ) from None
  return onnx
