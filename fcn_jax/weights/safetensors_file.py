"""Reads and writes .safetensors files; nothing else knows safetensors."""

import pathlib
from collections.abc import Mapping

import numpy as np

from fcn_jax.files import replacing
from fcn_jax.weights.named import from_named
from fcn_jax.weights.source import Source, WeightFileError


def read_safetensors(path: pathlib.Path) -> Source:
  """Reads a file of torchvision's, timm's or this package's names.

  Raises:
    WeightFileError: it is damaged, or its names are of no known network.
  """
  return from_named(load(path), path, "safetensors")


def load(path: pathlib.Path) -> dict[str, np.ndarray]:
  """The tensors by name.

  Raises:
    WeightFileError: it is damaged, or of a type that numpy has not.
  """
  safetensors = _library(path)
  try:
    # Lengths are checked against the file's before anything is read.
    with safetensors.safe_open(path, framework="numpy") as file:
      return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
  except (safetensors.SafetensorError, OSError, TypeError) as error:
    raise WeightFileError(
      f"{path}: a damaged .safetensors file, or one of a type that numpy does "
      f"not know: {error}"
    ) from None


def save(
  path: pathlib.Path,
  tensors: Mapping[str, np.ndarray],
  about: Mapping[str, str],
) -> None:
  """Writes tensors and words about them, complete or not at all."""
  safetensors = _library(path)
  contiguous = {k: np.ascontiguousarray(v) for k, v in tensors.items()}
  with replacing(path) as temporary:
    safetensors.numpy.save_file(contiguous, temporary, dict(about))


def _library(path: pathlib.Path):
  try:
    import safetensors
    import safetensors.numpy
  except ImportError:
    raise WeightFileError(
      f"{path}: .safetensors files need a package: pip install safetensors"
    ) from None
  return safetensors
