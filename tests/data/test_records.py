import numpy as np
import pytest
from small_data import folder_files, folder_options, photo, write
from stored_data import StoredDataset

from fcn_jax.data import load_dataset
from fcn_jax.data.checks import check_splits
from fcn_jax.data.labels import LabelReader
from fcn_jax.data.pipeline import Sample
from fcn_jax.data.prepare import prepare_dataset
from fcn_jax.data.records import pairs
from fcn_jax.files import DataError


def test_records_are_checked_as_files_are(tmp_path):
  write(tmp_path, folder_files())
  prepare_dataset(folder_options(tmp_path), lambda line: None)
  data = load_dataset("tiny", str(tmp_path / "sets"))
  a, b = pairs(data, "train")
  assert (a.image_id, a.image.name) == ("a", "train/a")
  assert b.label.name == "train/b (label)"
  assert a.image.read() == photo(1)
  facts, findings = check_splits(
    {"train": [a, b]}, LabelReader(), data.class_names
  )
  assert findings == []
  # Rows of 0 1 1 255, six of eight pixels.
  assert facts[b].counts[[0, 1, 255]].tolist() == [12, 24, 12]
  with pytest.raises(DataError, match="no split 'test'"):
    pairs(data, "test")


def test_pairs_of_two_splits_differ():
  sample = Sample(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint8))
  data = StoredDataset([sample, sample], ("a", "b"))
  assert len(set(pairs(data, "train"))) == 2
