import io

import numpy as np
import pytest
from PIL import Image
from small_data import (
  folder_files,
  folder_format,
  label,
  photo,
  tiny_output,
  voc_files,
  write,
)

from fcn_jax.data import exports, layouts, load_dataset
from fcn_jax.data.classes import voc_palette
from fcn_jax.data.files import File, Pair
from fcn_jax.data.formats import FORMATS, Folder, Voc, voc
from fcn_jax.data.labels import LabelReader
from fcn_jax.data.layouts import Content, Exporting
from fcn_jax.data.prepare import Output, prepare_dataset
from fcn_jax.files import DataError


def content(root, **changes):
  """VOC's small tree."""
  tree = voc.open_tree(devkit=str(write(root / "voc", voc_files())))
  splits, _ = voc.find_pairs(tree)
  given = {
    "splits": splits,
    "reader": LabelReader(),
    "class_names": voc.CLASS_NAMES,
    "palette": voc_palette(),
  }
  return Content(**(given | changes))


def test_folders_as_digits_makes_them(tmp_path):
  found = layouts.folders_layout(content(tmp_path))
  assert exports.write_exports(tmp_path / "out", found) == 7
  names = {
    path.relative_to(tmp_path / "out").as_posix()
    for path in (tmp_path / "out").rglob("*.*")
  }
  assert names == {
    "classes.txt",
    *("train/images/a.jpg", "train/images/b.jpg", "val/images/c.jpg"),
    *("train/labels/a.png", "train/labels/b.png", "val/labels/c.png"),
  }
  assert (tmp_path / "out/train/images/a.jpg").read_bytes() == photo(1)
  with Image.open(tmp_path / "out/val/labels/c.png") as image:
    assert image.mode == "P"
    assert np.unique(image).tolist() == [0, 20]
    assert image.convert("RGB").getpixel((1, 0)) == (0, 64, 128)


def test_cvat_by_hand(tmp_path):
  names = ("background", "car")
  write(tmp_path, {"a.jpg": photo(1), "a.png": label(0, 1, 255)})
  files = (File(name, str(tmp_path / name)) for name in ("a.jpg", "a.png"))
  found = layouts.cvat_layout(
    content(
      tmp_path, splits={"default": [Pair("x/a", *files)]}, class_names=names
    )
  )
  made = {key: make() for key, make in found.items()}
  assert made["labelmap.txt"].decode() == (
    "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar:128,0,0::\n"
    "ignored:224,224,192::\n"
  )
  assert made["ImageSets/Segmentation/default.txt"] == b"x/a\n"
  assert made["JPEGImages/x/a.jpg"] == photo(1)
  with Image.open(io.BytesIO(made["SegmentationClass/x/a.png"])) as image:
    assert image.mode == "RGB"
    assert np.asarray(image)[0, :3].tolist() == [
      [0, 0, 0],
      [128, 0, 0],
      [224, 224, 192],
    ]
  assert len(made) == 4


def test_what_labelmap_txt_cannot_hold(tmp_path):
  for names, part in (
    (("a:b", "c"), "'a:b'"),
    (("ignored", "c"), "'ignored'"),
  ):
    with pytest.raises(DataError, match=part):
      layouts.cvat_layout(content(tmp_path, class_names=names))
  palette = np.zeros((256, 3), np.uint8)
  with pytest.raises(DataError, match="'a' and 'b' have the colour"):
    layouts.cvat_layout(
      content(tmp_path, class_names=("a", "b"), palette=palette)
    )


def records(name, root):
  """Ids, image bytes and label pixels of all splits."""
  data = load_dataset(name, str(root / "sets"))
  return data, {
    split: [
      (data.ids(split)[i], one.image, data.example(split, i)[1].tolist())
      for i, one in enumerate(data.source(split))
    ]
    for split in ("train", "val")
  }


def quiet(*_):
  """Takes lines for the user."""


@pytest.mark.parametrize(
  ("layout", "place"),
  [
    *((layout, "out") for layout in layouts.LAYOUTS),
    ("cvat", "out.zip"),
  ],
)
def test_there_and_back(tmp_path, layout, place):
  """Export, read again, same pixels: void, palette and folders included."""
  files = folder_files() | {"train/images/deep/d e.jpg": photo(4)}
  files["train/labels/deep/d e.png"] = label(1, 255, 0)
  write(tmp_path, files)
  out = tmp_path / place
  export = {"export": layout, "export_to": str(out)}
  output = tiny_output(tmp_path, name="first", **export)
  prepare_dataset(folder_format(tmp_path), output, quiet)
  if layout == "folders":
    source = Folder(
      class_names=str(out / "classes.txt"),
      **{
        f"{split}_{kind}": str(out / split / kind)
        for split in ("train", "val")
        for kind in ("images", "labels")
      },
    )
  elif layout == "voc":
    source = Voc(archive=str(out))
  else:
    source = FORMATS["cvat"](archive=str(out))
  prepare_dataset(source, tiny_output(tmp_path, name="second"), quiet)
  first, found = records("first", tmp_path)
  second, again = records("second", tmp_path)
  assert found == again
  assert first.class_names == second.class_names
  assert first.palette[:2].tolist() == second.palette[:2].tolist()
  assert len(found["train"]) == 3


def test_one_id_in_two_splits(tmp_path):
  files = folder_files() | {"val/images/a.jpg": photo(9)}
  write(tmp_path, files | {"val/labels/a.png": label(1)})
  out = tmp_path / "out"
  output = Output(export="voc", export_to=str(out), export_only=True)
  prepare_dataset(folder_format(tmp_path), output, quiet)
  assert (out / "JPEGImages/val/a.jpg").read_bytes() == photo(9)
  lists = out / "ImageSets/Segmentation"
  assert (lists / "train.txt").read_text() == "train/a\ntrain/b\n"


@pytest.mark.parametrize(
  ("flags", "part"),
  [
    ({"export": "voc"}, "give both --export=voc|folders|cvat"),
    ({"export_to": "x"}, "give both"),
    ({"export": "coco", "export_to": "x"}, "give voc, folders, cvat"),
  ],
)
def test_flags_that_do_not_fit(flags, part):
  with pytest.raises(DataError, match=part.replace("|", r"\|")):
    Exporting(**flags).check()


def test_a_place_that_is_taken(tmp_path):
  write(tmp_path, folder_files() | {"out.zip": "mine"})
  output = Output(
    export="voc", export_to=str(tmp_path / "out.zip"), export_only=True
  )
  with pytest.raises(DataError, match="nothing is overwritten"):
    prepare_dataset(folder_format(tmp_path), output, quiet)
  assert (tmp_path / "out.zip").read_text() == "mine"


def test_extensions(tmp_path):
  write(tmp_path, {"a.jpeg": photo(1), "record": photo(1)})
  for name, expected in (("a.jpeg", ".jpeg"), ("record", ".jpg")):
    file = File(name, str(tmp_path / name))
    assert layouts.extension_of(file) == expected
