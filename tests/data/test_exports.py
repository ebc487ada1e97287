import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from small_data import photo, voc_files, write

from fcn_jax.data import exports
from fcn_jax.data.files import File
from fcn_jax.data.formats import voc
from fcn_jax.files import DataError

ROOT = "VOCdevkit/VOC2012/"


def annotation(*objects) -> str:
  """objects: (class name, xmin, ymin, xmax, ymax, difficult)."""
  return (
    "<annotation>"
    + "".join(
      f"<object><name>{name}</name><difficult>{difficult}</difficult>"
      f"<bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax>"
      f"<ymax>{y1}</ymax></bndbox><part><name>head</name><bndbox>"
      "<xmin>1</xmin><ymin>1</ymin><xmax>1</xmax><ymax>1</ymax></bndbox></part>"
      "</object>"
      for name, x0, y0, x1, y1, difficult in objects
    )
    + "</annotation>"
  )


@pytest.fixture
def tree(tmp_path):
  boxes = annotation(
    ("dog", 2, 3, 4, 5, 0), ("cat", 1, 1, 8, 6, 1), ("cat", 1.4, 1, 8, 6, 0)
  )
  files = voc_files() | {
    ROOT + "ImageSets/Main/train.txt": "a\n",
    ROOT + "ImageSets/Main/val.txt": "c\n",
    ROOT + "Annotations/a.xml": boxes,
    ROOT + "Annotations/c.xml": annotation(("dog", 1, 1, 2, 2, 0)),
  }
  return voc.open_tree(devkit=str(write(tmp_path / "voc", files)))


def test_crop_bounds_by_hand():
  # Pixels 11..30 and 21..30 (20 wide, 10 high), plus 2 and 1 on each side.
  assert exports.crop_bounds((11, 21, 30, 30), 99, 99, 0.1) == (19, 31, 8, 32)
  assert exports.crop_bounds((11, 21, 30, 30), 99, 99, 0.0) == (20, 30, 10, 30)
  assert exports.crop_bounds((1, 1, 8, 6), 6, 8, 3.0) == (0, 6, 0, 8)
  with pytest.raises(DataError, match="outside the image of 8x6"):
    exports.crop_bounds((20, 1, 30, 6), 6, 8, 0.1)


@given(st.integers(1, 50), st.integers(1, 50), st.data(), st.floats(0, 2))
def test_crops_lie_in_the_image_around_the_box(height, width, data, context):
  x0, y0 = data.draw(st.integers(1, width)), data.draw(st.integers(1, height))
  x1, y1 = data.draw(st.integers(x0, width)), data.draw(st.integers(y0, height))
  top, bottom, left, right = exports.crop_bounds(
    (x0, y0, x1, y1), height, width, context
  )
  assert 0 <= top < y0 <= y1 <= bottom <= height
  assert 0 <= left < x0 <= x1 <= right <= width


def test_crops(tree, tmp_path):
  found, findings = exports.crop_exports(tree, 0.0)
  assert findings == []
  # The difficult cat and the parts are left out.
  assert sorted(found) == [
    "train/cat/a_1.jpg",
    "train/dog/a_0.jpg",
    "val/dog/c_0.jpg",
  ]
  exports.write_exports(tmp_path / "crops", found)
  with Image.open(tmp_path / "crops/train/dog/a_0.jpg") as image:
    assert image.size == (3, 3)
    whole = np.asarray(Image.open(io.BytesIO(photo(1))), int)
    assert np.abs(np.asarray(image, int) - whole[2:5, 1:4]).mean() < 40


def test_hostile_and_broken_annotations(tmp_path):
  bomb = '<!DOCTYPE a [<!ENTITY b "c">]><annotation/>'
  for number, text in enumerate(
    (
      bomb,
      "<annotation><object>",
      annotation(("../../up", 1, 1, 2, 2, 0)),
      annotation(("dog", 5, 1, 2, 2, 0)),
      annotation(("dog", "nan", 1, 2, 2, 0)),
      "<annotation><object><name>dog</name></object></annotation>",
      bomb.encode("utf-16"),
    )
  ):
    write(tmp_path, {f"{number}.xml": text})
    with pytest.raises(DataError, match="not a VOC annotation"):
      exports.read_objects(File("x.xml", str(tmp_path / f"{number}.xml")))


def test_faults_of_annotations_are_findings(tmp_path):
  files = voc_files() | {
    ROOT + "ImageSets/Main/train.txt": "a\nb\nghost\n",
    ROOT + "ImageSets/Main/val.txt": "c\n",
    ROOT + "Annotations/a.xml": "no xml",
    ROOT + "Annotations/c.xml": annotation(),
  }
  tree = voc.open_tree(devkit=str(write(tmp_path, files)))
  found, findings = exports.crop_exports(tree, 0.1)
  assert found == {}
  assert [finding.kind for finding in findings] == [
    "broken annotation",
    "listed file that is missing",
    "listed file that is missing",
  ]


def test_trees_without_object_lists(tmp_path):
  tree = voc.open_tree(devkit=str(write(tmp_path, voc_files())))
  with pytest.raises(DataError, match=r"no ImageSets/Main/train\.txt"):
    exports.crop_exports(tree, 0.1)
  with pytest.raises(DataError, match="--crop_context"):
    exports.crop_exports(tree, -0.1)


def test_nothing_is_overwritten(tmp_path):
  write(tmp_path, {"a": b"old", "same": b"new"})
  found = {"a": lambda: b"new", "same": lambda: b"new", "b": lambda: b"new"}
  with pytest.raises(DataError, match=r"a: exists with other content; nothing"):
    exports.check_exports(tmp_path, found)
  del found["a"]
  exports.check_exports(tmp_path, found)
  assert exports.write_exports(tmp_path, found) == 1
  assert (tmp_path / "a").read_bytes() == b"old"
  assert (tmp_path / "b").read_bytes() == b"new"


def test_a_failed_export_takes_its_files_away(tmp_path):
  write(tmp_path, {"keep/old": b"old"})

  def fail():
    raise KeyboardInterrupt

  found = {"keep/x": lambda: b"1", "new/deep/y": lambda: b"2", "z": fail}
  with pytest.raises(KeyboardInterrupt):
    exports.write_exports(tmp_path, found)
  assert [p.name for p in sorted(tmp_path.rglob("*"))] == ["keep", "old"]
