import shutil

import pytest
from small_data import label, photo, png, tar_of, voc_files, write

from fcn_jax.data.formats import Voc, lists, voc, voc_tree
from fcn_jax.files import DataError


def test_standard_names():
  assert len(voc.CLASS_NAMES) == 21
  assert voc.CLASS_NAMES[15] == "person"


def test_tar_and_folder_agree(tmp_path):
  folder = write(tmp_path / "tree", voc_files())
  trees = [
    voc_tree.open_tree(archive=tar_of(folder, tmp_path / "voc.tar")),
    voc_tree.open_tree(devkit=str(folder)),
    voc_tree.open_tree(devkit=str(folder / "VOCdevkit/VOC2012")),
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
  tree = voc_tree.open_tree(devkit=str(write(tmp_path / "1", voc_files())))
  assert voc.class_names(tree) == voc.CLASS_NAMES
  files = voc_files("") | {"classes.txt": "sky\nroad\n"}
  own = voc_tree.open_tree(devkit=str(write(tmp_path / "2", files)))
  assert voc.class_names(own) == ("sky", "road")
  bare = voc_tree.open_tree(devkit=str(write(tmp_path / "3", voc_files("x/"))))
  with pytest.raises(DataError, match="--class_names"):
    voc.class_names(bare)


def test_faults_of_lists(tmp_path):
  root = "VOCdevkit/VOC2012/"
  files = voc_files() | {
    root + "ImageSets/Segmentation/train.txt": "a\nb\nghost\na\n",
    root + "ImageSets/Segmentation/empty.txt": "\n",
    root + "ImageSets/Segmentation/all.txt": "a\n",
    root + "ImageSets/Segmentation/my-set.txt": "a\n",
    root + "JPEGImages/c.png": photo(3),
  }
  tree = voc_tree.open_tree(devkit=str(write(tmp_path, files)))
  splits, findings = voc.find_pairs(tree)
  assert [pair.image_id for pair in splits["my_set"]] == ["a"]
  kinds = [f.kind for f in findings if not f.warning]
  assert sorted(kinds) == [
    "empty list",
    "id listed twice",
    "list whose name cannot name a split",
    "listed file that is missing",  # ghost's image
    "listed file that is missing",  # and its label
    "several files of one stem",  # c in trainval
    "several files of one stem",  # c in val
  ]


def test_train_without_labels_is_told(tmp_path):
  files = voc_files()
  files = {k: v for k, v in files.items() if "SegmentationClass" not in k}
  tree = voc_tree.open_tree(devkit=str(write(tmp_path, files)))
  _, findings = voc.find_pairs(tree)
  missing = [f.value for f in findings if f.kind.startswith("listed file")]
  assert missing == [
    "b: no SegmentationClass/b.*",
    "a: no SegmentationClass/a.*",
    "c: no SegmentationClass/c.*",
  ]


def test_what_is_found_in_a_tar(tmp_path):
  archive = tar_of(write(tmp_path / "t", voc_files()), tmp_path / "voc.tar")
  found = Voc(archive=archive).find()
  assert found.name == "voc2012"
  assert found.tree.place == archive
  assert [p.image_id for p in found.splits["train"]] == ["b", "a"]
  assert [f.kind for f in found.findings] == ["list left out"]
  assert found.summary() == (
    "checking 3 images and labels, 21 classes, splits: train 2, val 1, "
    "trainval 3"
  )


def test_given_names_come_first(tmp_path):
  names = write(tmp_path / "names", {"mine.txt": "sky\nroad\n"}) / "mine.txt"
  devkit = str(write(tmp_path / "t", voc_files()))
  found = Voc(devkit=devkit, class_names=str(names)).find()
  assert found.class_names == ("sky", "road")


@pytest.mark.parametrize("given", [{}, {"archive": "a.tar", "devkit": "b"}])
def test_one_place_is_given(given):
  with pytest.raises(DataError, match=r"give --archive=FILE\.tar or --devkit"):
    Voc(**given).find()


LISTS = "VOCdevkit/VOC2012/ImageSets/Segmentation/"


def test_lists_of_two_columns(tmp_path):
  aug = "VOCdevkit/VOC2012/SegmentationClassAug/"
  files = voc_files() | {
    LISTS + "train_aug.txt": "/JPEGImages/a.jpg /SegmentationClassAug/a.png\n"
    "VOC2012/JPEGImages/d.jpg VOC2012/SegmentationClassAug/d.png\n",
    aug + "a.png": label(3),
    aug + "d.png": label(4),
  }
  found = Voc(devkit=str(write(tmp_path, files))).find()
  pairs = found.splits["train_aug"]
  assert [pair.image_id for pair in pairs] == ["a", "d"]
  assert [pair.label.read() for pair in pairs] == [label(3), label(4)]
  assert pairs[1].image.read() == photo(4)
  assert found.splits["train"][1].label.read() == label(0, 1, 255)


def test_labels_of_sbd_stand_beside_those_of_voc(tmp_path):
  aug = "VOCdevkit/VOC2012/SegmentationClassAug/"
  files = voc_files() | {aug + "a.png": label(3), aug + "d.png": label(4)}
  files[LISTS + "train-aug.txt"] = "a\nd\n"
  found = Voc(devkit=str(write(tmp_path, files))).find()
  labels = [pair.label.read() for pair in found.splits["train_aug"]]
  assert labels == [label(0, 1, 255), label(4)]


def test_a_missing_label_of_two_columns_is_named(tmp_path):
  files = voc_files() | {LISTS + "train.txt": "JPEGImages/a.jpg Labels/a.png\n"}
  found = Voc(devkit=str(write(tmp_path, files))).find()
  (finding,) = (f for f in found.findings if not f.warning)
  assert finding.value == "a: no Labels/a.png"


def cvat_files():
  colours = png([[[0, 0, 0], [9, 8, 7]]] * 2)
  return {
    "labelmap.txt": "# label:color_rgb:parts:actions\n"
    "background:0,0,0::\ncat:9,8,7::\n",
    "ImageSets/Segmentation/default.txt": "a\nb\n",
    **{f"JPEGImages/{i}.jpg": photo(ord(i), 2, 2) for i in "ab"},
    **{f"SegmentationClass/{i}.png": colours for i in "ab"},
  }


def test_an_export_of_cvat(tmp_path):
  devkit = str(write(tmp_path, cvat_files()))
  found = Voc(devkit=devkit, val_percent=50.0).find()
  assert "no list called train" not in {f.kind for f in found.findings}
  assert found.class_names == ("background", "cat")
  assert {s: len(pairs) for s, pairs in found.splits.items()} == {
    "train": 1,
    "val": 1,
  }
  (pair,) = found.splits["train"]
  raw = found.reader.read(pair.label.read())
  assert raw.index.tolist() == [[0, 1]] * 2
  (finding,) = Voc(devkit=devkit).find().findings
  assert finding.warning
  assert "--val_percent=10" in finding.remedy


def test_what_cannot_be_divided(tmp_path):
  devkit = str(write(tmp_path, voc_files()))
  with pytest.raises(DataError, match="has a list val"):
    Voc(devkit=devkit, val_percent=10.0).find()


def test_a_list_without_end_is_refused(tmp_path, monkeypatch):
  monkeypatch.setattr(lists, "MOST_LINES", 2)
  files = voc_files() | {LISTS + "train.txt": "a\nb\nc\n"}
  with pytest.raises(DataError, match=r"train\.txt: 3 lines, at most 2"):
    Voc(devkit=str(write(tmp_path, files))).find()


def test_archives_of_any_kind(tmp_path):
  folder = write(tmp_path / "t", voc_files())
  whole = shutil.make_archive(str(tmp_path / "a"), "zip", folder)
  packed = shutil.make_archive(str(tmp_path / "a"), "gztar", folder)
  for archive in (whole, packed, str(folder)):
    found = Voc(archive=archive).find()
    assert [p.image_id for p in found.splits["train"]] == ["b", "a"]
    assert found.splits["val"][0].image.read() == photo(3)


def test_names_say_how_many_classes_there_are(tmp_path):
  (tmp_path / "names.txt").write_text("road\nsky\n")
  path = str(tmp_path / "names.txt")
  assert voc.names_for(None, path) == voc.names_for(2, path) == ("road", "sky")
  assert voc.names_for() == voc.CLASS_NAMES
  assert voc.names_for(3) == ("class0", "class1", "class2")
