"""Weight formats: a reader each, chosen by what a file holds, not by its name.

To add one, write a function of a path that returns a `Source`, and give it a
line in READERS.
"""

import dataclasses
import os
import pathlib
import zipfile
from collections.abc import Callable
from typing import NamedTuple

from fcn_jax.weights import published
from fcn_jax.weights.caffemodel import read_caffemodel
from fcn_jax.weights.keras_file import read_keras
from fcn_jax.weights.named import restandardised
from fcn_jax.weights.npz_file import read_npz, refuse_npy
from fcn_jax.weights.onnx_source import read_onnx
from fcn_jax.weights.safetensors_file import read_safetensors
from fcn_jax.weights.source import Source, WeightFileError
from fcn_jax.weights.torch_file import read_torch

_ZIP = b"PK\x03\x04"


class Head(NamedTuple):
  """What a file begins with.

  Attributes:
    start: its first 16 bytes.
    suffix: of its name, '.onnx'.
    members: names of the files in it, where it is a zip archive.
  """

  start: bytes
  suffix: str
  members: tuple[str, ...]


class Reader(NamedTuple):
  """One weight format.

  Attributes:
    knows: whether a file is of it.
    read: path to what the file holds; WeightFileError where it cannot.
  """

  knows: Callable[[Head], bool]
  read: Callable[[pathlib.Path], Source]


# Of several that know a file the last one reads it; caffemodels have no mark.
READERS: dict[str, Reader] = {
  "caffemodel": Reader(
    lambda head: not head.start.startswith(_ZIP), read_caffemodel
  ),
  "keras": Reader(
    lambda head: (
      head.start.startswith(b"\x89HDF\r\n\x1a\n")
      or "model.weights.h5" in head.members
    ),
    read_keras,
  ),
  "torch": Reader(
    lambda head: (
      any(name.endswith("data.pkl") for name in head.members)
      or (
        head.start[:1] == b"\x80"
        and head.suffix not in (".caffemodel", ".onnx")
      )
    ),
    read_torch,
  ),
  "npz": Reader(
    lambda head: (
      bool(head.members) and all(name.endswith(".npy") for name in head.members)
    ),
    read_npz,
  ),
  "npy": Reader(lambda head: head.start.startswith(b"\x93NUMPY"), refuse_npy),
  # Behind the length of the header.
  "safetensors": Reader(lambda head: head.start[8:9] == b"{", read_safetensors),
  "onnx": Reader(lambda head: head.suffix == ".onnx", read_onnx),
}


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
  head = _head(path)
  readers = [reader.read for reader in READERS.values() if reader.knows(head)]
  if not readers:
    raise WeightFileError(
      f"{path}: a zip archive, but of no kind that is known (.npz, .pth, "
      ".keras)"
    )
  source = readers[-1](path)
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


def _head(path: pathlib.Path) -> Head:
  with path.open("rb") as file:
    start = file.read(16)
  members: tuple[str, ...] = ()
  if start.startswith(_ZIP):
    try:
      with zipfile.ZipFile(path) as archive:
        members = tuple(archive.namelist())
    except (zipfile.BadZipFile, OSError) as error:
      raise WeightFileError(f"{path}: a damaged zip archive: {error}") from None
  return Head(start, path.suffix, members)
