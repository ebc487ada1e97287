"""Data sets: preparing them, and reading them back."""

from fcn_jax.data.dataset import Dataset, Example, load_dataset
from fcn_jax.data.files import DataError
from fcn_jax.data.images import decode_image, decode_label

__all__ = [
  "DataError",
  "Dataset",
  "Example",
  "decode_image",
  "decode_label",
  "load_dataset",
]
