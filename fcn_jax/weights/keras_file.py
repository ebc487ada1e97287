"""Reads Keras' .h5, .weights.h5 and .keras files; nothing else knows h5py."""

import functools
import io
import pathlib
import re
import zipfile
from typing import NamedTuple

import numpy as np

from fcn_jax.weights import float64
from fcn_jax.weights.named import ALEXNET, VGG16, as_float32
from fcn_jax.weights.source import Source, SourceLayer, Stored, WeightFileError

_INSIDE = "model.weights.h5"  # of a .keras file
_MAX_OBJECTS = 10_000
_FULLY_CONNECTED = {"fc1": "fc6", "fc2": "fc7", "predictions": "fc8"}


class _Pair(NamedTuple):
  """Kernel and bias of one layer, as stored, with their paths in the file."""

  kernel_path: str
  kernel: np.ndarray
  bias_path: str
  bias: np.ndarray


def read_keras(path: pathlib.Path) -> Source:
  """Reads the weights of Keras' VGG-16, or of an AlexNet or VGG-16 in order.

  Kernels are HWIO.  A fully connected layer after a convolution sees its input
  flattened H, W, C.

  Raises:
    WeightFileError: the file is damaged, leads outside itself, or is of
      another network.
  """
  try:
    import h5py
  except ImportError:
    raise WeightFileError(
      f"{path}: Keras' files need a package: pip install h5py"
    ) from None
  try:
    with h5py.File(_h5(path), "r") as file:
      size = path.stat().st_size
      pairs = _pairs(_datasets(h5py, file, path, size), path)
  except (OSError, RuntimeError, KeyError, zipfile.BadZipFile) as error:
    raise WeightFileError(f"{path}: a damaged HDF5 file: {error}") from None
  return _source(pairs, path)


def _h5(path: pathlib.Path) -> pathlib.Path | io.BytesIO:
  """The HDF5 file, which a .keras file has inside."""
  if not zipfile.is_zipfile(path):
    return path
  with zipfile.ZipFile(path) as archive:
    info = archive.getinfo(_INSIDE)
    if info.compress_type != zipfile.ZIP_STORED:
      raise WeightFileError(
        f"{path}: {_INSIDE} is compressed, as Keras never writes it"
      )
    return io.BytesIO(archive.read(info))


def _datasets(h5py, file, path, size: int) -> dict[str, np.ndarray]:
  """Every array of a file by its path, none of which leads outside."""
  found: dict[str, np.ndarray] = {}
  left = [file]
  seen = 0
  while left:
    group = left.pop()
    for name in group:
      seen += 1
      where = f"{group.name.rstrip('/')}/{name}"
      if seen > _MAX_OBJECTS:
        raise WeightFileError(f"{path}: more than {_MAX_OBJECTS} objects")
      if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise WeightFileError(
          f"{path}: {where} is a link to elsewhere; only what the file itself "
          "holds is read"
        )
      item = group[name]
      if isinstance(item, h5py.Group):
        if where.split("/")[1] != "optimizer_weights":
          left.append(item)
        continue
      if item.external or item.is_virtual:
        raise WeightFileError(
          f"{path}: the values of {where} lie in another file; only what the "
          "file itself holds is read"
        )
      stored = item.id.get_storage_size()
      claimed = item.size * item.dtype.itemsize if item.shape else 0
      if claimed > min(stored, size):
        raise WeightFileError(
          f"{path}: {where} {item.shape} claims {claimed} bytes and has "
          f"{stored}; if it is compressed, save it without compression"
        )
      if item.dtype.kind == "f" and item.ndim in (1, 2, 4):
        found[where] = item[()]
  return found


def _pairs(arrays: dict[str, np.ndarray], path) -> dict[str, _Pair]:
  """Kernel and bias of each layer, by the name of its group."""
  groups: dict[str, list[str]] = {}
  for where in arrays:
    groups.setdefault(where.rpartition("/")[0], []).append(where)
  pairs = {}
  for group, members in groups.items():
    kernels = [name for name in members if arrays[name].ndim > 1]
    biases = [name for name in members if arrays[name].ndim == 1]
    if len(kernels) != 1 or len(biases) != 1:
      raise WeightFileError(
        f"{path}: {group} holds {len(kernels)} kernels and {len(biases)} "
        "biases; a layer here has one of each"
      )
    layer = group.removesuffix("/vars").rpartition("/")[2]
    kernel, bias = kernels[0], biases[0]
    pairs[layer] = _Pair(kernel, arrays[kernel], bias, arrays[bias])
  if not pairs:
    raise WeightFileError(f"{path}: holds no weights")
  return pairs


def _source(pairs: dict[str, _Pair], path) -> Source:
  """The layers in their order, fully connected ones flattened C, H, W."""
  names = _names(pairs, path)
  order = VGG16 if "conv1_1" in names.values() else ALEXNET
  layers, channels = [], 0
  for theirs in sorted(pairs, key=lambda name: order.index(names[name])):
    pair = pairs[theirs]
    layers.append(_layer(names[theirs], pair, channels, path))
    channels = pair.kernel.shape[-1]
  return Source("", "Keras", "", tuple(layers))


def _names(pairs: dict[str, _Pair], path) -> dict[str, str]:
  """Our names: by Keras Applications' own, else by the order of their kind."""
  named = {
    name: re.sub(r"block(\d)_conv(\d)", r"conv\1_\2", name)
    if name not in _FULLY_CONNECTED
    else _FULLY_CONNECTED[name]
    for name in pairs
  }
  if set(named.values()) <= set(VGG16) or set(named.values()) <= set(ALEXNET):
    return named
  order = sorted(
    pairs, key=lambda name: (pairs[name].kernel.ndim == 2, *_nth(name))
  )
  for ours in (VGG16, ALEXNET):
    dimensions = [pairs[name].kernel.ndim for name in order]
    if dimensions == [4] * (len(ours) - 3) + [2] * 3:
      return dict(zip(order, ours, strict=True))
  raise WeightFileError(
    f"{path}: its layers ({', '.join(list(pairs)[:20])}) are neither those of "
    "Keras Applications' VGG16 nor 13 or 5 convolutions and 3 dense layers"
  )


def _nth(name: str) -> tuple[str, int]:
  """'conv2d_3' is the fourth of 'conv2d'."""
  match = re.fullmatch(r"(.*?)(?:_(\d+))?", name)
  return match[1], int(match[2] or 0)


def _layer(name: str, pair: _Pair, channels: int, path) -> SourceLayer:
  kernel = as_float32(pair.kernel, pair.kernel_path, path)
  bias = as_float32(pair.bias, pair.bias_path, path)
  if kernel.ndim == 4:
    kernel = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))
    done, kind = "renamed, HWIO, as stored", "Convolution"
  else:
    inputs, out = kernel.shape
    side = round((inputs / max(channels, 1)) ** 0.5)
    if side * side * channels != inputs:
      raise WeightFileError(
        f"{path}: {pair.kernel_path} {kernel.shape} does not follow a layer of "
        f"{channels} channels"
      )
    kernel = kernel.reshape(side, side, channels, out).transpose(3, 2, 0, 1)
    kernel = np.ascontiguousarray(kernel).reshape(out, inputs)
    done = f"renamed, {side} x {side} x {channels} x O, as flattened"
    kind = "InnerProduct"
  if pair.kernel.dtype != np.float32:
    done += f", {pair.kernel.dtype} to float32"
  return SourceLayer(
    name,
    kind,
    (kernel, bias),
    (
      Stored(pair.kernel_path, pair.kernel.shape, done),
      Stored(pair.bias_path, pair.bias.shape, "renamed"),
    ),
    functools.partial(float64.of_hwio, pair.kernel, pair.bias),
  )
