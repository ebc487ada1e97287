import dataclasses
import functools

import numpy as np
import pytest
import tool_files
from PIL import Image
from places import SHARED
from small_data import (
  folder_files,
  folder_format,
  label,
  photo,
  png,
  tar_of,
  tiny_output,
  voc_files,
  write,
)

from fcn_jax.data import decode_label, load_dataset, shapes
from fcn_jax.data.formats import FORMATS, Folder, Shapes, Voc
from fcn_jax.data.inspection import inspect_files
from fcn_jax.data.prepare import Output, prepare_dataset
from fcn_jax.files import DataError


def prepare(root, **changes):
  """The data set 'tiny' of folders; changes are of the format or the output."""
  of_format = {field.name for field in dataclasses.fields(Folder)}
  source = {k: v for k, v in changes.items() if k in of_format}
  output = {k: v for k, v in changes.items() if k not in of_format}
  return prepare_dataset(
    folder_format(root, **source),
    tiny_output(root, **output),
    lambda line: None,
  )


def test_voc_tar(tmp_path):
  archive = tar_of(write(tmp_path / "t", voc_files()), tmp_path / "voc.tar")
  said = []
  sets = str(tmp_path / "sets")
  prepare_dataset(Voc(archive=archive), Output(data_dir=sets), said.append)
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
  output = tiny_output(tmp_path, name="own")
  prepare_dataset(Voc(devkit=devkit), output, lambda line: None)
  data = load_dataset("own", str(tmp_path / "sets"))
  assert data.class_names == tuple("abcdefghijklmnopqrstu")


def test_folders(tmp_path):
  write(tmp_path, folder_files())
  prepare(tmp_path)
  data = load_dataset("tiny", str(tmp_path / "sets"))
  assert data.splits == {"train": 2, "val": 1}
  assert data.class_names == ("ground", "thing")
  assert decode_label(data.source("val")[0].label)[0, :2].tolist() == [1, 0]


def test_validation_set_is_drawn(tmp_path):
  write(tmp_path, folder_files())
  changes = {"val_images": None, "val_labels": None, "val_percent": 50.0}
  prepare(tmp_path, **changes)
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
  colormap = str(tmp_path / "colors.txt")
  prepare(tmp_path, colormap=colormap, void_color="9,9,9")
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
  prepare(tmp_path)
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
    "train/labels/colour.png": png(np.full((6, 8, 3), (3, 0, 0))),
    "train/images/alone.jpg": photo(13),
    "train/images/c.jpg": photo(3),
    "train/labels/c.png": label(0, 1),
    "val/images/void.jpg": photo(15),
    "val/labels/void.png": label(255),
  }
  write(tmp_path, files)
  with pytest.raises(DataError) as error:
    prepare(tmp_path)
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
    prepare(tmp_path)
  prepare(tmp_path, binary_masks=True)
  data = load_dataset("tiny", str(tmp_path / "sets"))
  assert decode_label(data.source("val")[0].label)[0, :2].tolist() == [0, 1]


def test_exports_and_a_second_run(tmp_path):
  write(tmp_path, folder_files())
  out = tmp_path / "out"
  output = Output(export="folders", export_to=str(out), export_only=True)

  def export():
    return prepare_dataset(folder_format(tmp_path), output, lambda line: None)

  assert export() is None
  assert not (tmp_path / "sets").exists()
  assert (out / "val/images/c.jpg").read_bytes() == photo(3)
  export()
  (out / "val/images/c.jpg").write_bytes(b"mine")
  with pytest.raises(DataError, match=r"c\.jpg: exists with other content"):
    export()
  assert (out / "val/images/c.jpg").read_bytes() == b"mine"


@pytest.mark.parametrize(
  ("name", "files", "flags"),
  [
    ("labelme", tool_files.labelme_files, "train_images=. val_percent=40"),
    (
      "masks",
      tool_files.masks_files,
      "train_images=images train_labels=masks val_percent=50",
    ),
    (
      "coco",
      tool_files.coco_files,
      "train_images=train2017 val_images=val2017 "
      "train_labels=annotations/instances_train2017.json "
      "val_labels=annotations/instances_val2017.json",
    ),
    ("cvat", tool_files.cvat_files, "archive=. val_percent=50"),
    ("roboflow", tool_files.roboflow_files, "archive=."),
    ("roboflow", tool_files.roboflow_coco_files, "archive=."),
    ("cityscapes", tool_files.cityscapes_files, "archive=."),
    ("ade20k", tool_files.ade20k_files, "archive=."),
    ("sbd", tool_files.sbd_files, "archive=."),
  ],
)
def test_files_as_tools_make_them(tmp_path, name, files, flags):
  """They become a data set, and looking at them finds no errors."""
  write(tmp_path, files())
  given = dict(flag.split("=") for flag in flags.split())
  if "val_percent" in given:
    given["val_percent"] = float(given["val_percent"])
  for flag in given.keys() - {"val_percent"}:
    given[flag] = str(tmp_path / given[flag])
  source = FORMATS[name](**given)
  assert inspect_files(source, lambda line: None).errors == 0
  prepare_dataset(source, tiny_output(tmp_path), lambda line: None)
  data = load_dataset("tiny", str(tmp_path / "sets"))
  assert {"train", "val"} == data.splits.keys()
  for split in data.splits:
    image, index = data.example(split, 0)
    assert image.shape[:2] == index.shape == (6, 8)


def test_overlaps_are_told_and_stop_nothing(tmp_path):
  write(tmp_path, tool_files.labelme_files())
  said = []
  source = FORMATS["labelme"](train_images=str(tmp_path), val_percent=40.0)
  prepare_dataset(source, tiny_output(tmp_path), said.append)
  text = "\n".join(said)
  assert "warning: objects of different classes overlap (2)" in text
  assert "a.json: 2 pixels (4.2%) lie under another object" in text


def test_an_object_of_no_class_stops_it(tmp_path):
  write(tmp_path, tool_files.labelme_files() | {"n.txt": "background\ncar\n"})
  source = FORMATS["labelme"](
    train_images=str(tmp_path),
    val_percent=40.0,
    class_names=str(tmp_path / "n.txt"),
  )
  with pytest.raises(DataError, match=r"object of a name that is no class \(2"):
    prepare_dataset(source, tiny_output(tmp_path), lambda line: None)


@pytest.mark.parametrize(
  ("changes", "part"),
  [
    ({"name": None}, "--name"),
    ({"name": "Tiny"}, "lower-case"),
    ({"class_names": None}, "--class_names"),
    ({"val_labels": None}, "both --val_images and"),
    ({"val_images": None, "val_labels": None}, "--val_percent"),
    ({"val_percent": 10.0}, "one of these"),
    ({"train_images": None, "train_labels": None}, "give --train_images"),
    ({"void_color": "1,2,3"}, "--colormap"),
    ({"export_only": True}, "--export or"),
    ({"export_crops": "x"}, "--dataset=voc"),
  ],
)
def test_options_that_do_not_fit(tmp_path, changes, part):
  write(tmp_path, folder_files())
  with pytest.raises(DataError, match=part):
    prepare(tmp_path, **changes)


def test_a_name_is_refused_before_anything_is_looked_at(tmp_path):
  """Also the one that a format always has."""
  with pytest.raises(DataError, match="lower-case"):
    prepare_dataset(Voc(archive="absent.tar"), Output(name="Voc 2012"))
  write(tmp_path, {"sets/shapes/1.0.0/there": ""})
  said = []
  with pytest.raises(DataError, match=r"1\.0\.0 exists already"):
    prepare_dataset(Shapes(), tiny_output(tmp_path, name=None), said.append)
  assert said == []


def test_the_made_up_world(tmp_path, monkeypatch):
  small = functools.partial(
    shapes.write_voc_tar, train=2, val=1, main_train=3, main_val=2
  )
  monkeypatch.setattr("fcn_jax.data.formats.shapes.write_voc_tar", small)
  said = []
  output = tiny_output(tmp_path, name=None, export_crops=str(tmp_path / "out"))
  prepare_dataset(Shapes(seed=3), output, said.append)
  assert said[0] == "drawing the made-up data set"
  data = load_dataset("shapes", str(tmp_path / "sets"))
  assert data.splits == {"train": 2, "val": 1, "trainval": 3}
  assert list((tmp_path / "out/train").iterdir())


@pytest.mark.skipif(
  not (SHARED / "data/voc2012_subset.tar").exists(),
  reason="needs genuine VOC images, which are not distributed",
)
def test_genuine_voc(tmp_path):
  archive = str(SHARED / "data/voc2012_subset.tar")
  output = Output(data_dir=str(tmp_path))
  prepare_dataset(Voc(archive=archive), output, lambda line: None)
  data = load_dataset("voc2012", str(tmp_path))
  assert (data.splits["train"], data.splits["val"]) == (46, 48)
  assert data.palette[15].tolist() == [192, 128, 128]


def test_skip_leaves_out_what_was_reported_and_says_so(tmp_path):
  files = folder_files() | {
    "train/images/cut.jpg": photo(9)[:300],
    "train/labels/cut.png": label(0, 1),
    "train/images/alone.jpg": photo(13),
    "val/images/void.jpg": photo(15),
    "val/labels/void.png": label(255),
  }
  write(tmp_path, files)
  with pytest.raises(DataError, match="--skip=void,unlabelled,unreadable"):
    prepare(tmp_path)
  with pytest.raises(DataError, match=r"1 errors.*--skip=unreadable"):
    prepare(tmp_path, skip="void,unlabelled")
  prepare(tmp_path, skip="void, unlabelled,unreadable")
  data = load_dataset("tiny", str(tmp_path / "sets"))
  assert data.ids("train") == ("a", "b")
  assert data.ids("val") == ("c",)
  assert len(data.sizes("train")) == len(data.source("train")) == 2
  kinds = [kind for kind, _, _ in data.record["skipped"]]
  assert kinds == [
    "image without label",
    "unreadable image",
    "label that is all void",
  ]


def test_skip_stops_at_other_errors_and_at_nothing_left(tmp_path):
  write(tmp_path, folder_files() | {"train/labels/a.png": label(7)})
  with pytest.raises(DataError, match=r"1 errors.*again\."):
    prepare(tmp_path, skip="unreadable")
  write(tmp_path, folder_files() | {"val/labels/c.png": label(255)})
  with pytest.raises(DataError, match="val: no image is left"):
    prepare(tmp_path, skip="void")
  with pytest.raises(DataError, match="'all' is none of void, unlabelled"):
    prepare(tmp_path, skip="all")
  assert not (tmp_path / "sets").exists()


def test_one_name_in_two_splits(tmp_path):
  files = folder_files()
  files["val/images/a.jpg"] = files.pop("val/images/c.jpg")
  files["val/labels/a.png"] = files.pop("val/labels/c.png")
  write(tmp_path, files)
  prepare(tmp_path)
  data = load_dataset("tiny", str(tmp_path / "sets"))
  assert data.ids("train") == ("train/a", "train/b")
  assert data.ids("val") == ("val/a",)
  assert data.source("val")[0].image_id == "val/a"


def test_the_digest_is_of_bytes_and_labels(tmp_path):
  def digest(**files):
    write(tmp_path, folder_files() | files)
    prepare(tmp_path, overwrite=True)
    return load_dataset("tiny", str(tmp_path / "sets")).digest("train")

  first = digest()
  assert len(first) == 64
  assert digest() == first
  assert digest(**{"train/labels/b.png": label(1, 0)}) != first
  assert digest(**{"train/images/b.jpg": photo(77)}) != first
  assert digest(**{"val/labels/c.png": label(0, 1)}) == first


def test_places_that_cannot_be_written_are_told_first(tmp_path):
  write(tmp_path, folder_files() | {"file": ""})
  said = []
  output = tiny_output(tmp_path, data_dir=str(tmp_path / "file/sets"))
  with pytest.raises(DataError, match=r"written: .*file is no folder"):
    prepare_dataset(folder_format(tmp_path), output, said.append)
  output = tiny_output(tmp_path, export="voc", export_to=str(tmp_path / "file"))
  with pytest.raises(DataError, match="file is no folder"):
    prepare_dataset(folder_format(tmp_path), output, said.append)
  assert said == []
