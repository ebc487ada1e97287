import numpy as np
import pytest
from PIL import Image
from places import SHARED
from small_data import (
  folder_files,
  folder_options,
  label,
  photo,
  png,
  tar_of,
  voc_files,
  write,
)

from fcn_jax.data import decode_label, load_dataset
from fcn_jax.data.prepare import Options, prepare_dataset
from fcn_jax.files import DataError


def test_voc_tar(tmp_path):
  archive = tar_of(write(tmp_path / "t", voc_files()), tmp_path / "voc.tar")
  said = []
  sets = str(tmp_path / "sets")
  prepare_dataset(Options("voc", data_dir=sets, archive=archive), said.append)
  data = load_dataset("voc2012", sets)
  assert data.splits == {"train": 2, "val": 1, "trainval": 3}
  assert data.ids("train") == ("b", "a")
  assert data.sizes("train").tolist() == [[5, 9], [6, 8]]
  assert data.source("val")[0].image == photo(3)
  assert data.class_names[20] == "tvmonitor"
  assert "test.txt: none of its 2 images has a label" in "\n".join(said)


def test_voc_like_tree_with_its_own_names(tmp_path):
  files = voc_files("") | {"classes.txt": "\n".join("abcdefghijklmnopqrstu")}
  devkit = str(write(tmp_path / "t", files))
  options = Options("voc", "own", str(tmp_path / "sets"), devkit=devkit)
  prepare_dataset(options, lambda line: None)
  data = load_dataset("own", str(tmp_path / "sets"))
  assert data.class_names == tuple("abcdefghijklmnopqrstu")


def test_folders(tmp_path):
  write(tmp_path, folder_files())
  prepare_dataset(folder_options(tmp_path), lambda line: None)
  data = load_dataset("tiny", str(tmp_path / "sets"))
  assert data.splits == {"train": 2, "val": 1}
  assert data.class_names == ("ground", "thing")
  assert decode_label(data.source("val")[0].label)[0, :2].tolist() == [1, 0]


def test_validation_set_is_drawn(tmp_path):
  write(tmp_path, folder_files())
  changes = {"val_images": None, "val_labels": None, "val_percent": 50.0}
  prepare_dataset(folder_options(tmp_path, **changes), lambda line: None)
  data = load_dataset("tiny", str(tmp_path / "sets"))
  assert {*data.ids("train"), *data.ids("val")} == {"a", "b"}
  assert data.splits == {"train": 1, "val": 1}


def test_labels_in_colours(tmp_path):
  colours = np.zeros((6, 8, 3), np.uint8)
  colours[:3], colours[5] = (200, 0, 7), (9, 9, 9)
  files = folder_files()
  files = {
    k: png(colours) if "/labels/" in k else v for k, v in files.items()
  } | {"colors.txt": "0 0 0\n200 0 7\n"}
  write(tmp_path, files)
  options = folder_options(
    tmp_path, colormap=str(tmp_path / "colors.txt"), void_color="9,9,9"
  )
  prepare_dataset(options, lambda line: None)
  data = load_dataset("tiny", str(tmp_path / "sets"))
  stored = decode_label(data.source("train")[0].label)
  assert stored[:, 0].tolist() == [1, 1, 1, 0, 0, 255]
  assert data.palette[1].tolist() == [200, 0, 7]
  assert data.palette[255].tolist() == [9, 9, 9]


def test_palette_of_the_label_files_is_kept(tmp_path):
  write(tmp_path, folder_files())
  for path in tmp_path.rglob("labels/*.png"):
    image = Image.open(path).copy()
    image.putpalette([5, 6, 7, 50, 60, 70])
    image.save(path)
  # A palette is as long as its file says; void's colour is VOC's then.
  prepare_dataset(folder_options(tmp_path), lambda line: None)
  data = load_dataset("tiny", str(tmp_path / "sets"))
  assert data.palette[:2].tolist() == [[5, 6, 7], [50, 60, 70]]


def test_all_findings_and_nothing_written(tmp_path):
  files = folder_files() | {
    "train/images/cut.jpg": photo(9)[:300],
    "train/labels/cut.png": label(0, 1),
    "train/images/size.jpg": photo(10, 9, 9),
    "train/labels/size.png": label(0, 1),
    "train/images/id.jpg": photo(11),
    "train/labels/id.png": label(0, 2),
    "train/images/colour.jpg": photo(12),
    "train/labels/colour.png": png(np.full((6, 8, 3), 3)),
    "train/images/alone.jpg": photo(13),
    "train/images/c.jpg": photo(14),
    "train/labels/c.png": label(0, 1),
    "val/images/void.jpg": photo(15),
    "val/labels/void.png": label(255),
  }
  write(tmp_path, files)
  with pytest.raises(DataError) as error:
    prepare_dataset(folder_options(tmp_path), lambda line: None)
  text = str(error.value)
  for name, kind in (
    ("cut.jpg", "unreadable image"),
    ("size.png", "differ in size"),
    ("id.png", "2 in 24 pixels"),
    ("colour.png", "no colour map"),
    ("alone.jpg", "image without label"),
    ("c.jpg", "both train and val"),
    ("void.png", "all void"),
  ):
    assert name in text
    assert kind in text
  assert "7 errors; nothing was written" in text
  assert not (tmp_path / "sets").exists()


def test_masks_of_0_and_255_get_their_hint(tmp_path):
  files = {
    k: label(0, 255) if "/labels/" in k else v
    for k, v in folder_files().items()
  }
  write(tmp_path, files)
  with pytest.raises(DataError, match="--binary_masks"):
    prepare_dataset(folder_options(tmp_path), lambda line: None)
  options = folder_options(tmp_path, binary_masks=True)
  prepare_dataset(options, lambda line: None)
  data = load_dataset("tiny", str(tmp_path / "sets"))
  assert decode_label(data.source("val")[0].label)[0, :2].tolist() == [0, 1]


def test_exports_and_a_second_run(tmp_path):
  write(tmp_path, folder_files())
  out = tmp_path / "out"
  options = folder_options(
    tmp_path, export_folders=str(out), export_only=True, name=None
  )
  assert prepare_dataset(options, lambda line: None) is None
  assert not (tmp_path / "sets").exists()
  assert (out / "val/images/c.jpg").read_bytes() == photo(3)
  prepare_dataset(options, lambda line: None)
  (out / "val/images/c.jpg").write_bytes(b"mine")
  with pytest.raises(DataError, match=r"c\.jpg: exists with other content"):
    prepare_dataset(options, lambda line: None)
  assert (out / "val/images/c.jpg").read_bytes() == b"mine"


@pytest.mark.parametrize(
  ("changes", "part"),
  [
    ({"name": None}, "--name"),
    ({"name": "Tiny"}, "lower-case"),
    ({"class_names": None}, "--class_names"),
    ({"val_labels": None}, "both --val_images and"),
    ({"val_images": None, "val_labels": None}, "--val_percent"),
    ({"val_percent": 10.0}, "one of the two"),
    ({"train_images": None, "train_labels": None}, "give --train_images"),
    ({"archive": "x.tar"}, "--dataset=voc"),
    ({"void_color": "1,2,3"}, "--colormap"),
    ({"export_only": True}, "--export_folders or"),
    ({"export_crops": "x"}, "--dataset=voc"),
    ({"dataset": "voc"}, "--archive=FILE.tar or"),
    ({"dataset": "voc", "devkit": "x"}, "--dataset=folder"),
  ],
)
def test_options_that_do_not_fit(tmp_path, changes, part):
  write(tmp_path, folder_files())
  with pytest.raises(DataError, match=part):
    prepare_dataset(folder_options(tmp_path, **changes), lambda line: None)


@pytest.mark.skipif(
  not (SHARED / "data/voc2012_subset.tar").exists(),
  reason="needs genuine VOC images, which are not distributed",
)
def test_genuine_voc(tmp_path):
  archive = str(SHARED / "data/voc2012_subset.tar")
  options = Options("voc", data_dir=str(tmp_path), archive=archive)
  prepare_dataset(options, lambda line: None)
  data = load_dataset("voc2012", str(tmp_path))
  assert (data.splits["train"], data.splits["val"]) == (46, 48)
  assert data.palette[15].tolist() == [192, 128, 128]
