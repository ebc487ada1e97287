"""fcn_jax.image_set: lists and splits, and what may be wrong with them."""

import numpy as np
import pytest
from small_data import photo, voc_files, write
from stored_data import StoredDataset

from fcn_jax.data.files import DataError
from fcn_jax.data.pipeline import Sample
from fcn_jax.prediction.image_set import image_set_of, read_image_set

LISTS = "ImageSets/Segmentation/"


@pytest.fixture
def tree(tmp_path):
  return write(tmp_path, voc_files(root="") | {"JPEGImages/e.jpg": photo(5)})


def test_a_list_with_its_images(tree):
  found = read_image_set(tree / LISTS / "trainval.txt", tree / "JPEGImages")
  assert found.ids == ("a", "b", "c")
  assert found.sizes == {"a": (6, 8), "b": (5, 9), "c": (6, 8)}
  assert found.name == "trainval"
  assert found.source == str(tree / LISTS / "trainval.txt")


def test_a_list_alone_is_a_test_set_by_any_name(tree):
  write(tree, {"mine.txt": "d\ne\n"})
  found = read_image_set(tree / "mine.txt")
  assert (found.name, found.ids, found.sizes) == ("test", ("d", "e"), {})


def test_a_split(tmp_path):
  shape = (2, 3)
  samples = [Sample(np.zeros((*shape, 3), "u1"), np.zeros(shape, "u1"))] * 2
  found = image_set_of(StoredDataset(samples, ("a", "b")), "train")
  assert found.ids == ("id0", "id1")
  assert found.sizes == {"id0": shape, "id1": shape}
  assert (found.name, found.source) == ("train", "stored/train")


def test_all_bad_lines_are_told_at_once(tree):
  write(tree, {"bad.txt": "a\nb 1\n../c\na\n"})
  with pytest.raises(DataError) as raised:
    read_image_set(tree / "bad.txt", tree / "nowhere")
  said = str(raised.value)
  assert "line that is no image id (2)" in said
  assert "'b 1'" in said
  assert "'../c'" in said
  assert "id listed twice (1)" in said


def test_an_empty_list(tree):
  write(tree, {"bad.txt": "\n \n"})
  with pytest.raises(DataError, match="no image id; give another list"):
    read_image_set(tree / "bad.txt")


def test_missing_and_broken_images(tree):
  write(tree, {"JPEGImages/d.jpg": b"no image", "some.txt": "d\nf\nb\n"})
  with pytest.raises(DataError) as raised:
    read_image_set(tree / "some.txt", tree / "JPEGImages")
  said = str(raised.value)
  assert "JPEGImages: no f.jpg; give the folder" in said
  assert "JPEGImages/d.jpg: its header tells no size; fetch it again" in said
  assert "b.jpg" not in said
