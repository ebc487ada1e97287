import pytest
from small_data import photo, tar_of, voc_files, write

from fcn_jax.data.formats import voc
from fcn_jax.files import DataError


def test_standard_names():
  assert len(voc.CLASS_NAMES) == 21
  assert voc.CLASS_NAMES[15] == "person"


def test_tar_and_folder_agree(tmp_path):
  folder = write(tmp_path / "tree", voc_files())
  trees = [
    voc.open_tree(archive=tar_of(folder, tmp_path / "voc.tar")),
    voc.open_tree(devkit=str(folder)),
    voc.open_tree(devkit=str(folder / "VOCdevkit/VOC2012")),
  ]
  for tree in trees:
    assert tree.year == 2012
    assert voc.class_names(tree) == voc.CLASS_NAMES
    splits, findings = voc.find_pairs(tree)
    assert {
      split: [pair.image_id for pair in pairs]
      for split, pairs in splits.items()
    } == {"train": ["b", "a"], "val": ["c"], "trainval": ["a", "b", "c"]}
    assert splits["val"][0].image.read() == photo(3)
    assert [(f.kind, f.warning) for f in findings] == [("list left out", True)]


def test_class_names(tmp_path):
  tree = voc.open_tree(devkit=str(write(tmp_path / "1", voc_files())))
  assert voc.class_names(tree) == voc.CLASS_NAMES
  files = voc_files("") | {"classes.txt": "sky\nroad\n"}
  own = voc.open_tree(devkit=str(write(tmp_path / "2", files)))
  assert voc.class_names(own) == ("sky", "road")
  bare = voc.open_tree(devkit=str(write(tmp_path / "3", voc_files("x/"))))
  with pytest.raises(DataError, match="--class_names"):
    voc.class_names(bare)


def test_years(tmp_path):
  files = voc_files() | voc_files("VOCdevkit/VOC2007/")
  place = str(write(tmp_path, files))
  with pytest.raises(DataError, match=r"2 VOC trees.*--year"):
    voc.open_tree(devkit=place)
  assert voc.open_tree(devkit=place, year=2007).root == "VOCdevkit/VOC2007"
  with pytest.raises(DataError, match="no VOC2008 in it; there: VOCdevkit"):
    voc.open_tree(devkit=place, year=2008)


def test_no_tree(tmp_path):
  with pytest.raises(DataError, match="ImageSets/Segmentation"):
    voc.open_tree(devkit=str(write(tmp_path, {"a/b.txt": "a"})))


def test_faults_of_lists(tmp_path):
  root = "VOCdevkit/VOC2012/"
  files = voc_files() | {
    root + "ImageSets/Segmentation/train.txt": "a\nb\nghost\na\n",
    root + "ImageSets/Segmentation/empty.txt": "\n",
    root + "ImageSets/Segmentation/all.txt": "a\n",
    root + "ImageSets/Segmentation/my-set.txt": "a\n",
    root + "JPEGImages/c.png": photo(3),
  }
  tree = voc.open_tree(devkit=str(write(tmp_path, files)))
  _, findings = voc.find_pairs(tree)
  kinds = [f.kind for f in findings if not f.warning]
  assert sorted(kinds) == [
    "empty list",
    "id listed twice",
    "list whose name cannot name a split",
    "list whose name cannot name a split",
    "listed file that is missing",  # ghost's image
    "listed file that is missing",  # and its label
    "several files of one stem",  # c in trainval
    "several files of one stem",  # c in val
  ]


def test_train_without_labels_is_told(tmp_path):
  files = voc_files()
  files = {k: v for k, v in files.items() if "SegmentationClass" not in k}
  tree = voc.open_tree(devkit=str(write(tmp_path, files)))
  _, findings = voc.find_pairs(tree)
  missing = [f.value for f in findings if f.kind.startswith("listed file")]
  assert missing == [
    "b: no SegmentationClass/b.*",
    "a: no SegmentationClass/a.*",
    "c: no SegmentationClass/c.*",
  ]
