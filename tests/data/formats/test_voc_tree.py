import pytest
from small_data import voc_files, write

from fcn_jax.data.formats import voc_tree
from fcn_jax.files import DataError


def test_years(tmp_path):
  files = voc_files() | voc_files("VOCdevkit/VOC2007/")
  place = str(write(tmp_path, files))
  with pytest.raises(DataError, match=r"2 VOC trees.*--year"):
    voc_tree.open_tree(devkit=place)
  assert voc_tree.open_tree(devkit=place, year=2007).root == "VOCdevkit/VOC2007"
  with pytest.raises(DataError, match="no VOC2008 in it; there: VOCdevkit"):
    voc_tree.open_tree(devkit=place, year=2008)


def test_no_tree(tmp_path):
  with pytest.raises(DataError, match="ImageSets/Segmentation"):
    voc_tree.open_tree(devkit=str(write(tmp_path, {"a/b.txt": "a"})))


def test_a_folder_of_a_tree_by_stem(tmp_path):
  tree = voc_tree.open_tree(devkit=str(write(tmp_path, voc_files())))
  assert tree.year == 2012
  labels = tree.folder("SegmentationClass")
  assert {stem: len(files) for stem, files in labels.items()} == {
    "a": 1,
    "b": 1,
    "c": 1,
  }
