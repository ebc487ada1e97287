"""Reads .npz files; what would run code is refused."""

import pathlib
import zipfile

import numpy as np

from fcn_jax.weights.named import from_named
from fcn_jax.weights.source import Source, WeightFileError

_WAY_OUT = (
  "With numpy, on a machine where you trust it: net = np.load(FILE, "
  "allow_pickle=True).item(); np.savez('net.npz', **{name + '.weight': ..., "
  "name + '.bias': ...}), weights in OIHW"
)


def read_npz(path: pathlib.Path) -> Source:
  """Reads a .npz file of LAYER.kernel or LAYER.weight and LAYER.bias.

  Raises:
    WeightFileError: it is damaged, holds objects, or other names.
  """
  tensors = {}
  try:
    with np.load(path, allow_pickle=False) as npz:
      for info in npz.zip.infolist():
        _check_size(npz.zip, info, path)
        name = info.filename.removesuffix(".npy")
        tensors[name] = npz[name]
  except (zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
    if isinstance(error, WeightFileError):
      raise
    if "allow_pickle" in str(error):
      raise WeightFileError(
        f"{path}: holds objects, whose loading runs code. {_WAY_OUT}"
      ) from None
    raise WeightFileError(f"{path}: a damaged .npz file: {error}") from None
  return from_named(tensors, path, "npz")


def refuse_npy(path: pathlib.Path) -> Source:
  """A .npy file holds one array, or objects.

  Raises:
    WeightFileError: always.
  """
  raise WeightFileError(
    f"{path}: a .npy file holds one array, or objects whose loading runs code. "
    f"{_WAY_OUT}"
  )


def _check_size(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path) -> None:
  """Refuses an array whose header claims other than what the archive holds."""
  with archive.open(info) as stream:
    version = np.lib.format.read_magic(stream)
    read = {
      (1, 0): np.lib.format.read_array_header_1_0,
      (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
      raise WeightFileError(f"{path}: {info.filename} is of .npy {version}")
    shape, _, dtype = read(stream)
    if dtype.hasobject:
      raise ValueError("allow_pickle")
    claimed = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if claimed != info.file_size - stream.tell():
      raise WeightFileError(
        f"{path}: {info.filename} claims {claimed} bytes of data and has "
        f"{info.file_size - stream.tell()}"
      )
    if info.file_size > 1100 * max(info.compress_size, 1):
      raise WeightFileError(
        f"{path}: {info.filename} claims {info.file_size} bytes in "
        f"{info.compress_size}; no weights shrink so far"
      )
