"""Reads and writes .caffemodel files; nothing else here knows protobuf.

A .caffemodel is one serialised `NetParameter` message of Caffe's `caffe.proto`.
Only the fields that carry names, types, shapes and values are declared here,
with the field numbers of that file; protobuf steps over all others.

Weights are declared as `repeated bytes` where Caffe says `repeated float
[packed = true]`: the same bytes in the file, and numpy views instead of one
Python object per weight.  A writer may split packed data into several chunks
or not pack it at all, so every blob is also parsed as `repeated float`, which
counts all of its values, and that count has the last word.
"""

import hashlib
import math
import os
import pathlib
import tempfile

import numpy as np
from google.protobuf import (
  descriptor_pb2,
  descriptor_pool,
  message,
  message_factory,
)
from jaxtyping import Float32

from fcn_jax.weights.source import Source, SourceLayer, WeightFileError

# Far above any net; a file with more is not a net, and reading on would cost
# memory out of proportion to its size.
_MAX_LAYERS = 100_000
_MAX_BLOBS = 1_000
_MAX_AXES = 32  # Caffe's kMaxBlobAxes
_MAX_BYTES = 2**31 - 1  # protobuf's limit for one message

_FIELDS = {
  "Net": {
    "name": (1, "bytes"),
    "layers": (2, "bytes*"),
    "layer": (100, "bytes*"),
  },
  "Layer": {"name": (1, "bytes"), "type": (2, "bytes"), "blobs": (7, "bytes*")},
  # `layer` is the V0 form, an older format still, nested in the V1 message.
  "V1Layer": {
    "layer": (1, "bytes*"),
    "name": (4, "bytes"),
    "type": (5, "int32"),
    "blobs": (6, "bytes*"),
  },
  "Shape": {"dim": (1, "int64*")},
  "Blob": {
    "num": (1, "int32"),
    "channels": (2, "int32"),
    "height": (3, "int32"),
    "width": (4, "int32"),
    "data": (5, "bytes*"),
    "shape": (7, "Shape"),
    "double_data": (8, "bytes*"),
  },
  "BlobValues": {"data": (5, "float*"), "double_data": (8, "double*")},
}

# V1LayerParameter.LayerType, with the names the new format uses for them.
_V1_TYPES = {
  0: "None",
  1: "Accuracy",
  2: "BNLL",
  3: "Concat",
  4: "Convolution",
  5: "Data",
  6: "Dropout",
  7: "EuclideanLoss",
  8: "Flatten",
  9: "HDF5Data",
  10: "HDF5Output",
  11: "Im2col",
  12: "ImageData",
  13: "InfogainLoss",
  14: "InnerProduct",
  15: "LRN",
  16: "MultinomialLogisticLoss",
  17: "Pooling",
  18: "ReLU",
  19: "Sigmoid",
  20: "Softmax",
  21: "SoftmaxWithLoss",
  22: "Split",
  23: "TanH",
  24: "WindowData",
  25: "Eltwise",
  26: "Power",
  27: "SigmoidCrossEntropyLoss",
  28: "HingeLoss",
  29: "MemoryData",
  30: "ArgMax",
  31: "Threshold",
  32: "DummyData",
  33: "Slice",
  34: "MVN",
  35: "AbsVal",
  36: "Silence",
  37: "ContrastiveLoss",
  38: "Exp",
  39: "Deconvolution",
}


class CaffeModelError(WeightFileError):
  """A .caffemodel file that cannot be read; the text names file and fault."""


def _message_classes():
  """Builds the message classes of `_FIELDS` in a pool of their own."""
  field_type = descriptor_pb2.FieldDescriptorProto
  file = descriptor_pb2.FileDescriptorProto(
    name="fcn_jax/caffe.proto", package="fcn_jax.caffe", syntax="proto2"
  )
  for message_name, fields in _FIELDS.items():
    declared = file.message_type.add(name=message_name)
    for field_name, (number, kind) in fields.items():
      base = kind.removesuffix("*")
      field = declared.field.add(name=field_name, number=number)
      field.label = (
        field_type.LABEL_REPEATED if base != kind else field_type.LABEL_OPTIONAL
      )
      if base in _FIELDS:
        field.type = field_type.TYPE_MESSAGE
        field.type_name = f".fcn_jax.caffe.{base}"
      else:
        field.type = getattr(field_type, f"TYPE_{base.upper()}")
        field.options.packed = base != kind and base != "bytes"
  pool = descriptor_pool.DescriptorPool()
  pool.AddSerializedFile(file.SerializeToString())
  return {
    name: message_factory.GetMessageClass(
      pool.FindMessageTypeByName(f"fcn_jax.caffe.{name}")
    )
    for name in _FIELDS
  }


_MESSAGES = _message_classes()


def read_caffemodel(path: str | os.PathLike) -> Source:
  """Reads a .caffemodel of the V1 or the new format.

  Args:
    path: the file, at most 2 GiB.

  Returns:
    The net with read-only float32 blobs in their stored shapes.

  Raises:
    CaffeModelError: the file is missing, empty, truncated or no caffemodel, or
      the number of values of a blob is not what its shape asks for.  Nothing
      is ever allocated by a size that only the file claims.
  """
  path = pathlib.Path(path)
  content = _read_file(path)
  sha1 = hashlib.sha1(content, usedforsecurity=False).hexdigest()
  net = _parse("Net", content, path, "the file")
  del content
  if net.layers and net.layer:
    raise CaffeModelError(
      f"{path}: mixes the V1 and the new format (layers and layer); Caffe "
      "refuses such a file too"
    )
  form = "V1" if net.layers else "new"
  stored = net.layers or net.layer
  if not stored:
    raise CaffeModelError(
      f"{path}: holds no layers, so it is no .caffemodel with weights "
      "(a .solverstate, or another kind of file?)"
    )
  if len(stored) > _MAX_LAYERS:
    raise CaffeModelError(
      f"{path}: claims {len(stored)} layers; no net has more than {_MAX_LAYERS}"
    )
  layers = tuple(
    _read_layer(data, index, form, path) for index, data in enumerate(stored)
  )
  return Source(_text(net.name), form, sha1, layers)


def write_caffemodel(path: str | os.PathLike, net: Source) -> None:
  """Writes a net in the new format: packed floats, shapes as BlobShape.

  The file appears under its name only when it is complete.

  Args:
    path: the file to write; an existing one is replaced.
    net: the net; `format` and `sha1` are not used.  Blobs are stored as
      float32.

  Raises:
    CaffeModelError: the net is larger than protobuf's 2 GiB.
  """
  path = pathlib.Path(path)
  size = sum(blob.nbytes for layer in net.layers for blob in layer.blobs)
  if size > _MAX_BYTES - 2**20:
    raise CaffeModelError(
      f"{path}: {size} bytes of weights; a .caffemodel holds at most 2 GiB"
    )
  handle, temporary = tempfile.mkstemp(prefix=path.name, dir=path.parent)
  try:
    with os.fdopen(handle, "wb") as file:
      # Protobuf joins repeated fields of concatenated messages, so layers can
      # be written one at a time.
      file.write(_MESSAGES["Net"](name=net.name.encode()).SerializeToString())
      for layer in net.layers:
        stored = _MESSAGES["Layer"](
          name=layer.name.encode(),
          type=layer.type.encode(),
          blobs=[_blob_bytes(blob) for blob in layer.blobs],
        ).SerializeToString()
        file.write(_MESSAGES["Net"](layer=[stored]).SerializeToString())
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(temporary, 0o666 & ~umask)  # mkstemp's 0600 would surprise
    os.replace(temporary, path)
  except BaseException:
    os.unlink(temporary)
    raise


def _blob_bytes(blob: Float32[np.ndarray, "..."]) -> bytes:
  """One array as a serialised BlobProto."""
  values = np.ascontiguousarray(blob, "<f4").tobytes()
  shape = _MESSAGES["Shape"](dim=blob.shape)
  return _MESSAGES["Blob"](shape=shape, data=[values]).SerializeToString()


def _read_file(path: pathlib.Path) -> bytes:
  """The bytes of a regular file of a size that protobuf can hold."""
  if not path.exists():
    raise CaffeModelError(f"{path}: no such file")
  if not path.is_file():
    raise CaffeModelError(f"{path}: not a regular file")
  size = path.stat().st_size
  if size == 0:
    raise CaffeModelError(f"{path}: the file is empty; copy it again")
  if size > _MAX_BYTES:
    raise CaffeModelError(
      f"{path}: {size} bytes; a .caffemodel holds at most {_MAX_BYTES}"
    )
  return path.read_bytes()


def _parse(kind: str, data: bytes, path: pathlib.Path, what: str):
  """Parses `data` as message `kind`; `what` names the part in the error."""
  try:
    return _MESSAGES[kind].FromString(data)
  except message.DecodeError as error:
    hint = ""
    if data.lstrip()[:1] == b"<":
      hint = "; it looks like a web page saved in place of the file"
    elif data.startswith(b"version https://git-lfs"):
      hint = "; it is a Git LFS pointer, run `git lfs pull`"
    raise CaffeModelError(
      f"{path}: {what} ({len(data)} bytes) is truncated or no caffemodel"
      f"{hint} [protobuf: {error}]"
    ) from None


def _text(name: bytes) -> str:
  return name.decode("utf-8", "replace")


def _read_layer(
  data: bytes, index: int, form: str, path: pathlib.Path
) -> SourceLayer:
  kind = "V1Layer" if form == "V1" else "Layer"
  layer = _parse(kind, data, path, f"layer {index}")
  name = _text(layer.name)
  if form == "V1" and layer.layer:
    raise CaffeModelError(
      f"{path}: layer {index} is in the V0 format of 2013; run Caffe's "
      "upgrade_net_proto_binary on the file"
    )
  if len(layer.blobs) > _MAX_BLOBS:
    raise CaffeModelError(
      f"{path}: layer {index} {name!r} claims {len(layer.blobs)} blobs"
    )
  if form == "V1":
    type_name = _V1_TYPES.get(layer.type, f"V1 type {layer.type}")
  else:
    type_name = _text(layer.type)
  blobs = tuple(
    _read_blob(blob, f"layer {index} {name!r}, blob {i}", path)
    for i, blob in enumerate(layer.blobs)
  )
  return SourceLayer(name, type_name, blobs)


def _blob_shape(blob, what: str, path: pathlib.Path) -> tuple[int, ...]:
  """The stored shape; like Caffe, num .. width come before BlobShape."""
  legacy = ("num", "channels", "height", "width")
  if any(blob.HasField(axis) for axis in legacy):
    shape = tuple(getattr(blob, axis) for axis in legacy)
  else:
    if len(blob.shape.dim) > _MAX_AXES:
      raise CaffeModelError(
        f"{path}: {what} has {len(blob.shape.dim)} axes; "
        f"Caffe allows {_MAX_AXES}"
      )
    shape = tuple(blob.shape.dim)
  if min(shape, default=0) < 0:
    raise CaffeModelError(f"{path}: {what} has the shape {shape}")
  return shape


def _read_blob(
  data: bytes, what: str, path: pathlib.Path
) -> Float32[np.ndarray, "..."]:
  """One blob; its values are counted before anything takes its shape."""
  blob = _parse("Blob", data, path, what)
  shape = _blob_shape(blob, what, path)
  counted = _parse("BlobValues", data, path, what)
  # Caffe reads double_data where there is any, and data otherwise.
  if counted.double_data:
    values, chunks, dtype = counted.double_data, blob.double_data, "<f8"
  else:
    values, chunks, dtype = counted.data, blob.data, "<f4"
  expected = math.prod(shape)
  if len(values) != expected:
    raise CaffeModelError(
      f"{path}: {what} holds {len(values)} values, but its shape {shape} asks "
      f"for {expected}; the file is damaged"
    )
  packed = b"".join(chunks)
  if len(packed) == len(values) * np.dtype(dtype).itemsize:
    array = np.frombuffer(packed, dtype)
  else:  # some or all values are not packed
    array = np.fromiter(values, dtype, len(values))
  if dtype == "<f8":
    with np.errstate(over="ignore"):
      narrowed = array.astype(np.float32)
    if np.any(np.isinf(narrowed) & ~np.isinf(array)):
      raise CaffeModelError(
        f"{path}: {what} holds float64 values beyond the range of float32"
      )
    array = narrowed
  array = array.astype(np.float32, copy=False).reshape(shape)
  array.flags.writeable = False
  return array
