import dataclasses
import re
import shutil

import pytest
from small_data import folder_files, folder_format, label, photo, write

from fcn_jax.data.formats.folder import find_pairs
from fcn_jax.data.formats.names import Suffixes
from fcn_jax.files import DataError


def test_pairs_by_stem(tmp_path):
  write(
    tmp_path,
    {
      "images/b.JPG": photo(1),
      "images/sub/a.jpeg": photo(2),
      "images/.DS_Store": b"",
      "labels/b.png": label(0),
      "labels/sub/a.bmp": label(0),
    },
  )
  pairs, findings = find_pairs(
    str(tmp_path / "images"), str(tmp_path / "labels")
  )
  assert [pair.image_id for pair in pairs] == ["b", "sub/a"]
  assert pairs[1].image.read() == photo(2)
  assert pairs[1].label.name.endswith("a.bmp")
  assert findings == []


def test_faults(tmp_path):
  write(
    tmp_path,
    {
      "images/both.jpg": photo(1),
      "images/both.png": photo(1),
      "images/alone.jpg": photo(1),
      "images/notes.txt": "x",
      "labels/both.png": label(0),
      "labels/other.png": label(0),
    },
  )
  pairs, findings = find_pairs(
    str(tmp_path / "images"), str(tmp_path / "labels")
  )
  assert [pair.image_id for pair in pairs] == ["both"]
  assert sorted((f.kind, f.warning) for f in findings) == [
    ("file that is no image", True),
    ("image without label", False),
    ("label without image", False),
    ("several files of one stem", False),
  ]
  alone = next(f for f in findings if f.kind == "image without label")
  assert alone.file.endswith("alone.jpg")


def test_suffixes_are_proposed(tmp_path):
  write(
    tmp_path,
    {"i/a.jpg": photo(1), "i/b.jpg": photo(1)}
    | {"l/a_mask.png": label(0), "l/b_mask.png": label(0)},
  )
  pairs, findings = find_pairs(str(tmp_path / "i"), str(tmp_path / "l"))
  assert pairs == []
  assert len(findings) == 4
  assert {finding.remedy for finding in findings} == {
    "names pair with --image_suffix=.jpg --label_suffix=_mask.png"
  }


def test_wrong_folders(tmp_path):
  write(tmp_path, {"i/a.jpg": photo(1), "l/a.txt": "x"})
  for images, labels, part in (
    ("i", "i", "images and labels"),
    ("i", "l", "no image in it"),
    ("none", "l", "no such folder or archive"),
    ("l", "i", "no image in it"),
  ):
    with pytest.raises(DataError, match=part):
      find_pairs(str(tmp_path / images), str(tmp_path / labels))


def cityscapes_like(root):
  """Folders as Cityscapes lays them out, with all its kinds of labels."""
  stems = [f"aachen/aachen_{i:06}_000019" for i in range(3)]
  files = {f"i/{s}_leftImg8bit.png": photo(i) for i, s in enumerate(stems)}
  for i, stem in enumerate(stems):
    files[f"l/{stem}_gtFine_labelIds.png"] = label(i)
    files[f"l/{stem}_gtFine_color.png"] = label(9)
    files[f"l/{stem}_gtFine_polygons.json"] = "{}"
  return write(root, files)


def test_image_and_label_suffix(tmp_path):
  root = cityscapes_like(tmp_path)
  suffixes = Suffixes(
    image_suffix="_leftImg8bit.png", label_suffix="_gtFine_labelIds.png"
  )
  pairs, findings = find_pairs(str(root / "i"), str(root / "l"), suffixes)
  assert findings == []
  assert [p.image_id for p in pairs] == [
    f"aachen/aachen_{i:06}_000019" for i in range(3)
  ]
  assert [p.label.read() for p in pairs] == [label(i) for i in range(3)]


def test_nothing_pairs_and_the_flags_that_would_are_named(tmp_path):
  root = cityscapes_like(tmp_path)
  source = folder_format(
    write(root, {"classes.txt": "a\nb\n"}),
    train_images=str(root / "i"),
    train_labels=str(root / "l"),
    val_images=None,
    val_labels=None,
    val_percent=50.0,
  )
  told = (
    r"--image_suffix=_leftImg8bit.png --label_suffix=_gtFine_labelIds.png "
    r"\(or _gtFine_color.png\)"
  )
  with pytest.raises(DataError, match=told):
    source.find()
  wrong = dataclasses.replace(source, label_suffix="_mask.png")
  with pytest.raises(DataError, match=f"ends in '_mask.png'; give {told}"):
    wrong.find()


@pytest.mark.parametrize(
  ("image", "mask", "flags"),
  [
    # DeepGlobe, Carvana, CamVid, Roboflow, labelme_json_to_dataset
    ("{}_sat.jpg", "{}_mask.png", ("_sat.jpg", "_mask.png")),
    ("{}.jpg", "{}_mask.gif", (".jpg", "_mask.gif")),
    ("0001TP_{}.png", "0001TP_{}_L.png", (".png", "_L.png")),
    ("{}_jpg.rf.a0.jpg", "{}_jpg.rf.a0_mask.png", (".jpg", "_mask.png")),
    ("{}_json/img.png", "{}_json/label.png", ("/img.png", "/label.png")),
    ("{}.jpg", "{}.png", (".jpg", ".png")),
  ],
)
def test_images_and_labels_in_one_folder(tmp_path, image, mask, flags):
  stems = [f"{i:05}" for i in range(4)]
  write(
    tmp_path,
    {image.format(s): photo(i) for i, s in enumerate(stems)}
    | {mask.format(s): label(i) for i, s in enumerate(stems)},
  )
  folder = str(tmp_path)
  given = dict(zip(("image_suffix", "label_suffix"), flags, strict=True))
  told = f"give --image_suffix={flags[0]} --label_suffix={flags[1]}, which"
  with pytest.raises(DataError, match=re.escape(told)):
    find_pairs(folder, folder)
  pairs, findings = find_pairs(folder, folder, Suffixes(**given))
  assert findings == []
  assert [p.label.read() for p in pairs] == [label(i) for i in range(4)]
  assert [p.image.read() for p in pairs] == [photo(i) for i in range(4)]
  if flags[0] == ".jpg":  # an extension need not be said
    given["image_suffix"] = None
    assert len(find_pairs(folder, folder, Suffixes(**given))[0]) == 4


def test_names_that_no_suffix_pairs(tmp_path):
  write(tmp_path, {f"{i}.png": label(i) for i in range(3)})
  with pytest.raises(DataError, match="put labels into their own folder"):
    find_pairs(str(tmp_path), str(tmp_path))


def test_what_is_found(tmp_path):
  write(
    tmp_path,
    folder_files()
    | {"test/images/d.jpg": photo(4), "test/labels/d.png": label(0)},
  )
  test = {
    f"test_{kind}": str(tmp_path / "test" / kind)
    for kind in ("images", "labels")
  }
  found = folder_format(tmp_path, **test).find()
  assert found.class_names == ("ground", "thing")
  assert found.name is None
  assert found.tree is None
  assert {split: len(pairs) for split, pairs in found.splits.items()} == {
    "train": 2,
    "val": 1,
    "test": 1,
  }
  drawn = folder_format(
    tmp_path, val_images=None, val_labels=None, val_percent=50.0, **test
  ).find()
  assert list(drawn.splits) == ["train", "val", "test"]
  ids = [pair.image_id for pair in drawn.splits["train"] + drawn.splits["val"]]
  assert sorted(ids) == ["a", "b"]


def test_no_image_has_a_label(tmp_path):
  files = folder_files()
  files["train/labels/other.png"] = files.pop("train/labels/a.png")
  del files["train/labels/b.png"]
  write(tmp_path, files)
  with pytest.raises(DataError, match="train: no image has a label of its"):
    folder_format(tmp_path).find()


def one_folder(root, **lists):
  """The format of one folder of images a to d, one of labels, and lists."""
  files = {"classes.txt": "ground\nthing\n", "labels/unused.png": label(0)}
  for i, name in enumerate("abcd"):
    files[f"images/{name}.jpg"] = photo(i)
    files[
      f"labels/{name}_mask.png" if name == "d" else f"labels/{name}.png"
    ] = label(i)
  files |= {f"{split}.txt": text for split, text in lists.items()}
  write(root, files)
  return folder_format(
    root,
    train_images=str(root / "images"),
    train_labels=str(root / "labels"),
    val_images=None,
    val_labels=None,
    **{f"{split}_list": str(root / f"{split}.txt") for split in lists},
  )


def test_lists_say_what_is_in_a_split(tmp_path):
  source = one_folder(
    tmp_path,
    train="b\n/data/images/a.jpg\n\n",
    val="images/d.jpg labels/d_mask.png\nc.jpg,c.png\n",
  )
  found = source.find()
  ids = {s: [p.image_id for p in pairs] for s, pairs in found.splits.items()}
  assert ids == {"train": ["b", "a"], "val": ["d", "c"]}
  assert found.splits["val"][0].label.read() == label(3)
  assert found.findings == []


def test_lists_with_faults(tmp_path):
  source = one_folder(tmp_path, train="a\na\nghost\nd\n", val="b\n")
  found = source.find()
  assert [(f.kind, f.value) for f in found.findings] == [
    ("id listed twice", "a"),
    ("listed file that is missing", f"ghost: not in {tmp_path}/images"),
    ("image without label", f"ghost: not in {tmp_path}/labels"),
    ("image without label", f"d: not in {tmp_path}/labels"),
  ]
  empty = one_folder(tmp_path / "2", train="\n", val="b\n")
  with pytest.raises(DataError, match="names no image"):
    empty.find()


def test_a_list_needs_folders(tmp_path):
  write(tmp_path, folder_files() | {"val.txt": "a\n"})
  source = folder_format(
    tmp_path,
    train_images=None,
    train_labels=None,
    val_images=None,
    val_labels=None,
    val_list=str(tmp_path / "val.txt"),
  )
  with pytest.raises(DataError, match="give --train_images and --train_labels"):
    source.find()


def test_folders_in_archives(tmp_path):
  write(tmp_path, folder_files())
  archives = {
    f"train_{kind}": shutil.make_archive(
      str(tmp_path / kind), form, tmp_path / "train" / kind
    )
    for kind, form in (("images", "zip"), ("labels", "gztar"))
  }
  pairs = folder_format(tmp_path, **archives).find().splits["train"]
  assert [pair.image_id for pair in pairs] == ["a", "b"]
  assert pairs[0].image.read() == photo(1)
  assert pairs[0].label.read() == label(0, 1)
