"""Data sets: preparing them, and reading them back."""

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
