import builtins

import pytest
from small_data import voc_files, write
from tool_files import drawn, sbd_files

from fcn_jax.data.formats import FORMATS
from fcn_jax.files import DataError


def source(root, **flags):
  return FORMATS["sbd"](**({"archive": str(root)} | flags))


def ids(found):
  return {s: [p.image_id for p in g] for s, g in found.splits.items()}


def test_sbd_alone(tmp_path):
  write(tmp_path, sbd_files())
  found = source(tmp_path).find()
  assert ids(found) == {"train": ["a", "b"], "val": ["c", "e"]}
  assert (found.name, found.class_names[20]) == ("sbd", "tvmonitor")
  assert drawn(found.splits["val"][0].label)[0] == ".3.3.3.3"


def test_with_voc_train_is_trainaug(tmp_path):
  """VOC: train b, a; val c. SBD: train a, b; val c, e."""
  write(tmp_path / "s", sbd_files())
  write(tmp_path / "v", voc_files())
  found = source(tmp_path / "s", with_voc=str(tmp_path / "v")).find()
  assert ids(found) == {"train": ["a", "b", "e"], "val": ["c"]}
  a, b, e = found.splits["train"]
  # VOC's own labels where it has them, else SBD's.
  assert a.label.name.endswith("SegmentationClass/a.png")
  assert b.label.name.endswith("SegmentationClass/b.png")
  assert drawn(e.label)[0] == ".4.4.4.4"
  assert found.splits["val"][0].label.name.endswith("SegmentationClass/c.png")


def test_a_split_that_scores_trained_images_is_refused(tmp_path):
  write(tmp_path / "s", sbd_files())
  write(tmp_path / "v", voc_files() | {"l.txt": "c\ne\n", "m.txt": "c\n"})
  flags = {"with_voc": str(tmp_path / "v")}
  with pytest.raises(DataError, match=r"1 of its 2 images are trained on \(e"):
    source(tmp_path / "s", val_list=str(tmp_path / "v/l.txt"), **flags).find()
  found = source(
    tmp_path / "s", val_list=str(tmp_path / "v/m.txt"), **flags
  ).find()
  assert ids(found)["val"] == ["c"]
  # Without VOC, e is not trained on.
  alone = source(tmp_path / "s", val_list=str(tmp_path / "v/l.txt")).find()
  assert ids(alone) == {"train": ["a", "b"], "val": ["c", "e"]}


def test_ids_that_are_missing(tmp_path):
  files = sbd_files()
  del files["benchmark_RELEASE/dataset/cls/b.mat"]
  write(tmp_path, files)
  found = source(tmp_path).find()
  assert [(f.file, f.value) for f in found.findings] == [
    ("train", "b: no image and label of that id")
  ]


def test_something_else(tmp_path):
  write(tmp_path, voc_files())
  with pytest.raises(DataError, match=r"no folder with train\.txt, val\.txt"):
    source(tmp_path).find()
  write(tmp_path / "s", sbd_files())
  voc = voc_files()
  del voc["VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt"]
  write(tmp_path / "v", voc)
  with pytest.raises(DataError, match="no lists train and val"):
    source(tmp_path / "s", with_voc=str(tmp_path / "v")).find()


def test_broken_labels(tmp_path):
  files = sbd_files() | {"benchmark_RELEASE/dataset/cls/a.mat": b"MATLAB 5"}
  write(tmp_path, files)
  with pytest.raises(DataError, match=r"a\.mat: no label of SBD's in it"):
    source(tmp_path).find().splits["train"][0].label.read()


def test_without_scipy(tmp_path, monkeypatch):
  write(tmp_path, sbd_files())
  label = source(tmp_path).find().splits["train"][0].label
  real = builtins.__import__

  def refuse(name, *args, **kwargs):
    if name.startswith("scipy"):
      raise ImportError(name)
    return real(name, *args, **kwargs)

  monkeypatch.setattr(builtins, "__import__", refuse)
  with pytest.raises(DataError, match=r"pip install 'fcn_jax\[sbd\]'"):
    label.read()
