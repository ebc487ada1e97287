import hashlib
import io
import tarfile
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from fcn_jax.data import shapes
from fcn_jax.data.classes import voc_palette
from fcn_jax.data.shapes.scenes import BORDER, CLASS_NAMES, VOID

SIDES = ("xmin", "ymin", "xmax", "ymax")
TINY = {
  "train": 4,
  "val": 3,
  "main_train": 8,
  "main_val": 5,
  "sizes": ((48, 64), (64, 48), (51, 51)),
  "diameters": (24.0, 36.0),
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
  path = tmp_path_factory.mktemp("world") / "tiny.tar"
  shapes.write_voc_tar(path, **TINY)
  return path


@pytest.fixture(scope="module")
def files(tiny):
  with tarfile.open(tiny) as tar:
    return {
      member.name.removeprefix("VOCdevkit/VOC2012/"): tar.extractfile(
        member
      ).read()
      for member in tar
      if member.isfile()
    }


def listed(files, name):
  return files[f"ImageSets/{name}.txt"].decode().splitlines()


def image(files, name):
  return Image.open(io.BytesIO(files[name]))


def boxes(files, image_id):
  root = ET.fromstring(files[f"Annotations/{image_id}.xml"])
  return [
    (
      item.findtext("name"),
      [int(item.findtext(f"bndbox/{side}")) for side in SIDES],
    )
    for item in root.iter("object")
  ]


def test_layout(files):
  names = [f"2012_{i:06d}" for i in range(1, 14)]
  assert listed(files, "Main/trainval") == names
  pictures = [n for n in files if n.startswith("JPEGImages/")]
  assert sorted(pictures) == [f"JPEGImages/{n}.jpg" for n in names]
  labels = [n for n in files if n.startswith("SegmentationClass/")]
  segmented = listed(files, "Segmentation/trainval")
  assert sorted(labels) == [f"SegmentationClass/{n}.png" for n in segmented]
  assert files["classes.txt"].decode().split() == list(CLASS_NAMES)
  assert CLASS_NAMES[0] == "background"


def test_the_classifier_never_sees_what_the_network_is_scored_on(files):
  train, val = (set(listed(files, f"Main/{s}")) for s in ("train", "val"))
  assert (len(train), len(val)) == (8, 5)
  assert not train & val
  few = {s: set(listed(files, f"Segmentation/{s}")) for s in ("train", "val")}
  assert (len(few["train"]), len(few["val"])) == (4, 3)
  assert few["train"] < train
  assert few["val"] < val


def test_labels_are_paletted_with_void_borders(files):
  for image_id in listed(files, "Segmentation/trainval"):
    picture = image(files, f"JPEGImages/{image_id}.jpg")
    label = image(files, f"SegmentationClass/{image_id}.png")
    assert picture.format == "JPEG"
    assert label.mode == "P"
    assert label.size == picture.size
    assert (label.height, label.width) in TINY["sizes"]
    colours = np.reshape(label.getpalette(), (256, 3))
    assert (colours == voc_palette()).all()
    index = np.asarray(label)
    assert index.max() == VOID
    assert set(np.unique(index)) <= {*range(len(CLASS_NAMES)), VOID}


def test_boxes_agree_with_labels(files):
  for image_id in listed(files, "Segmentation/trainval"):
    index = np.asarray(image(files, f"SegmentationClass/{image_id}.png"))
    found = boxes(files, image_id)
    for class_id in set(np.unique(index)) - {0, VOID}:
      own = np.array([b for n, b in found if n == CLASS_NAMES[class_id]])
      rows, columns = np.nonzero(index == class_id)
      low = np.array([columns.min(), rows.min()]) + 1
      high = np.array([columns.max(), rows.max()]) + 1
      # Inside the boxes, and short of them by the border at the least; thin
      # ends (tails, tips, legs) are lost in the border altogether.
      assert (low >= own[:, :2].min(0)).all()
      assert (high <= own[:, 2:].max(0)).all()
    ymax, xmax = (np.argwhere(index > 0) + 1).max(0)
    ymin, xmin = (np.argwhere(index > 0) + 1).min(0)
    whole = np.array([b for _, b in found])
    height, width = index.shape
    assert xmin == max(1, whole[:, 0].min() - BORDER)
    assert ymin == max(1, whole[:, 1].min() - BORDER)
    assert xmax == min(width, whole[:, 2].max() + BORDER)
    assert ymax == min(height, whole[:, 3].max() + BORDER)


def test_annotations_are_vocs(files):
  segmented = set(listed(files, "Segmentation/trainval"))
  for image_id in listed(files, "Main/trainval"):
    root = ET.fromstring(files[f"Annotations/{image_id}.xml"])
    picture = image(files, f"JPEGImages/{image_id}.jpg")
    assert root.findtext("filename") == f"{image_id}.jpg"
    assert root.findtext("size/width") == str(picture.width)
    assert root.findtext("size/height") == str(picture.height)
    assert root.findtext("segmented") == str(int(image_id in segmented))
    assert boxes(files, image_id)
    for name, (xmin, ymin, xmax, ymax) in boxes(files, image_id):
      assert name in CLASS_NAMES[1:]
      assert 1 <= xmin <= xmax <= picture.width
      assert 1 <= ymin <= ymax <= picture.height


def test_lists_of_a_class_say_where_it_is(files):
  for name in CLASS_NAMES[1:]:
    for line in listed(files, f"Main/{name}_trainval"):
      image_id, flag = line.split()
      present = name in [n for n, _ in boxes(files, image_id)]
      assert flag == ("1" if present else "-1")


def test_equal_seeds_give_equal_bytes(tiny, tmp_path):
  def digest(path, **options):
    if options:
      shapes.write_voc_tar(path, **(TINY | options))
    return hashlib.sha256(path.read_bytes()).hexdigest()

  assert digest(tmp_path / "again.tar", seed=0) == digest(tiny)
  assert digest(tmp_path / "other.tar", seed=1) != digest(tiny)


def test_images_alone(tmp_path, files):
  options = {"sizes": TINY["sizes"], "diameters": TINY["diameters"]}
  shapes.write_images(tmp_path / "new", count=3, seed=0, **options)
  written = sorted(tmp_path.glob("new/*"))
  assert [p.name for p in written] == ["new_01.jpg", "new_02.jpg", "new_03.jpg"]
  # The same seed draws the same world; another seed draws another.
  first = files["JPEGImages/2012_000001.jpg"]
  assert written[0].read_bytes() == first
  shapes.write_images(tmp_path / "new", count=1, seed=1, **options)
  assert written[0].read_bytes() != first


def test_more_segmentations_than_images_are_refused(tmp_path):
  with pytest.raises(ValueError, match="main_val=5: ask for 1 to 5"):
    shapes.write_voc_tar(tmp_path / "w.tar", **(TINY | {"val": 6}))
  assert not list(tmp_path.iterdir())


def test_nothing_half_made_is_left(tmp_path, monkeypatch):
  path = tmp_path / "w.tar"
  path.write_text("the user's own")

  def interrupt(*_):
    raise KeyboardInterrupt

  monkeypatch.setattr(shapes, "draw_scene", interrupt)
  with pytest.raises(KeyboardInterrupt):
    shapes.write_voc_tar(path, **TINY)
  assert [p.name for p in tmp_path.iterdir()] == ["w.tar"]
  assert path.read_text() == "the user's own"
