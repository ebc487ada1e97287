"""Which reader a weight file needs: decided by what it holds, not its name."""

import dataclasses
import os
import pathlib
import zipfile
from collections.abc import Callable

from fcn_jax.weights import published
from fcn_jax.weights.caffemodel import read_caffemodel
from fcn_jax.weights.keras_file import read_keras
from fcn_jax.weights.named import restandardised
from fcn_jax.weights.npz_file import read_npz, refuse_npy
from fcn_jax.weights.onnx_source import read_onnx
from fcn_jax.weights.safetensors_file import read_safetensors
from fcn_jax.weights.source import Source, WeightFileError
from fcn_jax.weights.torch_file import read_torch


def read(path: str | os.PathLike) -> Source:
  """Reads a weight file of any format that is known.

  Args:
    path: a .caffemodel, .onnx, .h5, .keras, .safetensors, .pth or .npz file.

  Returns:
    Its layers in Caffe's layout, and what it is if it is a published file.

  Raises:
    WeightFileError: it is missing, damaged, or of another kind.
  """
  path = pathlib.Path(path).expanduser()
  if not path.exists():
    raise WeightFileError(f"{path}: no such file")
  if not path.is_file():
    raise WeightFileError(f"{path}: not a regular file")
  source = _reader(path)(path)
  digests = published.digests(path)
  source = dataclasses.replace(source, sha1=digests["sha1"])
  name = published.known_as(digests)
  if not name:
    return source
  file = published.FILES[name]
  if source.std_rgb and file.std_rgb and file.std_rgb != source.std_rgb:
    source = restandardised(source, file.mean_bgr, file.std_rgb)
  order = file.order if source.order == "unknown" else source.order
  return dataclasses.replace(
    source, sha1=digests["sha1"], known_as=name, order=order
  )


def _reader(path: pathlib.Path) -> Callable[[pathlib.Path], Source]:
  with path.open("rb") as file:
    head = file.read(16)
  if head.startswith(b"\x89HDF\r\n\x1a\n"):
    return read_keras
  if head.startswith(b"\x93NUMPY"):
    return refuse_npy
  if head.startswith(b"PK\x03\x04"):
    return _of_archive(path)
  if head[8:9] == b"{":  # behind the length of the header
    return read_safetensors
  if head[:1] == b"\x80" and path.suffix not in (".caffemodel", ".onnx"):
    return read_torch
  # Two kinds of protobuf, which has no mark.
  if path.suffix == ".onnx":
    return read_onnx
  return read_caffemodel


def _of_archive(path: pathlib.Path) -> Callable[[pathlib.Path], Source]:
  try:
    with zipfile.ZipFile(path) as archive:
      names = archive.namelist()
  except (zipfile.BadZipFile, OSError) as error:
    raise WeightFileError(f"{path}: a damaged zip archive: {error}") from None
  if "model.weights.h5" in names:
    return read_keras
  if any(name.endswith("data.pkl") for name in names):
    return read_torch
  if names and all(name.endswith(".npy") for name in names):
    return read_npz
  raise WeightFileError(
    f"{path}: a zip archive, but of no kind that is known (.npz, .pth, .keras)"
  )
