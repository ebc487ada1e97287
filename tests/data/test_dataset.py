import copy

import numpy as np
import pytest
from small_data import (
  folder_files,
  folder_format,
  make_plan,
  photo,
  tiny_output,
  write,
)
from stored_data import StoredDataset

from fcn_jax.data.augment import Sample
from fcn_jax.data.builder import write_dataset
from fcn_jax.data.checks import check_splits
from fcn_jax.data.classes import voc_palette
from fcn_jax.data.dataset import available_datasets, load_dataset, pairs
from fcn_jax.data.labels import LabelReader
from fcn_jax.data.prepare import prepare_dataset
from fcn_jax.files import DataError


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  write_dataset(make_plan(folder / "files"), folder / "sets")
  return str(folder / "sets")


def test_metadata(data_dir):
  data = load_dataset("tiny", data_dir)
  assert data.class_names == tuple("abcdefgh")
  assert (data.name, data.void) == ("tiny", 255)
  assert data.splits == {"train": 4, "val": 1}
  assert data.ids("train") == ("4", "3", "2", "1")
  assert data.sizes("train").tolist() == [[6, 8]] * 4
  assert data.sizes("val").dtype == np.int32
  np.testing.assert_array_equal(data.palette, voc_palette())


def test_source_is_a_sequence_and_can_be_sent(data_dir):
  source = load_dataset("tiny", data_dir).source("train")
  assert len(source) == 4
  assert source[-1].image_id == "1"
  again = copy.copy(source)
  assert "_records" not in vars(again)
  assert again[0] == source[0]
  with pytest.raises(IndexError, match="record 4 of 4"):
    source[4]


def test_unknown_names(data_dir, tmp_path):
  with pytest.raises(DataError, match="there: tiny"):
    load_dataset("huge", data_dir)
  with pytest.raises(DataError, match="there: none"):
    load_dataset("tiny", str(tmp_path))
  with pytest.raises(DataError, match=r"no split 'test'; it has train, val"):
    load_dataset("tiny", data_dir).source("test")


def test_default_place(data_dir, monkeypatch):
  monkeypatch.setenv("TFDS_DATA_DIR", data_dir)
  assert load_dataset("tiny").splits["val"] == 1
  assert available_datasets(data_dir) == ["tiny"]


def test_records_are_checked_as_files_are(tmp_path):
  write(tmp_path, folder_files())
  prepare_dataset(
    folder_format(tmp_path), tiny_output(tmp_path), lambda line: None
  )
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
