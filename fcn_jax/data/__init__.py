"""Data sets: preparing them, and reading them back."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from fcn_jax.data.dataset import Dataset, Example, load_dataset
  from fcn_jax.data.images import decode_image, decode_label
  from fcn_jax.files import DataError

__all__ = [
  "DataError",
  "Dataset",
  "Example",
  "decode_image",
  "decode_label",
  "load_dataset",
]

_HOMES = {
  "DataError": "fcn_jax.files",
  "Dataset": "fcn_jax.data.dataset",
  "Example": "fcn_jax.data.dataset",
  "decode_image": "fcn_jax.data.images",
  "decode_label": "fcn_jax.data.images",
  "load_dataset": "fcn_jax.data.dataset",
}


def __getattr__(name: str):
  # Imported when first asked for: whoever needs the names of classes or formats
  # alone needs no image to be read.
  if name not in _HOMES:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
  value = getattr(importlib.import_module(_HOMES[name]), name)
  globals()[name] = value
  return value


def __dir__() -> list[str]:
  return sorted({*globals(), *__all__})
