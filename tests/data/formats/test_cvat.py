import numpy as np
import pytest
from small_data import photo, write
from tool_files import (
  CVAT_CAR,
  CVAT_DOG,
  cvat_files,
  cvat_image,
  cvat_mask_files,
  cvat_xml,
  drawn,
)

from fcn_jax.data.formats import FORMATS
from fcn_jax.files import DataError


def source(root, **flags):
  given = {"archive": str(root), "val_percent": 50.0}
  return FORMATS["cvat"](**(given | flags))


def labels_of(found):
  pairs = [pair for group in found.splits.values() for pair in group]
  return {pair.image_id: pair.label for pair in pairs}


def one_image(root, *shapes):
  image = cvat_image(0, "a.jpg", *shapes)
  files = {"a.jpg": photo(1), "b.jpg": photo(2)}
  xml = cvat_xml(image, cvat_image(1, "b.jpg"))
  write(root, files | {"annotations.xml": xml})
  return labels_of(source(root).find())["a"]


def test_images_and_xml(tmp_path):
  write(tmp_path, cvat_files())
  found = source(tmp_path).find()
  # In the order of the task, behind a background.
  assert found.class_names == ("background", "dog", "car")
  labels = labels_of(found)
  # The car lies in the layer above, wherever it stands in the file.
  assert drawn(labels["a"]) == [
    "...111..",
    ".22211..",
    ".22211..",
    ".222....",
    "........",
    "........",
  ]
  # Runs of 1, 2, 3 in rows of three, from (5, 3) on; the tag is no area.
  assert drawn(labels["sub/b"])[3:] == ["......11", "........", "........"]
  _, warnings = labels["sub/b"].drawn()
  assert warnings == []


def test_layers_decide_and_then_the_order_in_the_file(tmp_path):
  below = CVAT_CAR.replace('z_order="1"', 'z_order="0"')
  assert drawn(one_image(tmp_path, below, CVAT_DOG))[1] == ".22111.."
  assert drawn(one_image(tmp_path, CVAT_DOG, below))[1] == ".22211.."


def test_boxes_turn_and_ellipses_are_round(tmp_path):
  box = (
    '<box label="dog" xtl="2" ytl="2.5" xbr="7" ybr="3.5" rotation="90" '
    'z_order="0"/>'
  )
  assert [row[4] for row in drawn(one_image(tmp_path, box))] == list("111111")
  ellipse = '<ellipse label="dog" cx="3.5" cy="2.5" rx="3" ry="2" z_order="0"/>'
  assert drawn(one_image(tmp_path, ellipse)) == [
    ".11111..",
    "1111111.",
    "1111111.",
    "1111111.",
    ".11111..",
    "........",
  ]


def test_lines_and_points_are_no_area(tmp_path):
  line = '<polyline label="dog" points="1,1;2,2" z_order="0"/>'
  _, (warning,) = one_image(tmp_path, line).drawn()
  assert warning.value == "1 polyline"


def test_subsets_are_splits(tmp_path):
  images = [
    cvat_image(i, "a.jpg", CVAT_CAR, subset=subset)
    for i, subset in enumerate(("Train", "Validation"))
  ]
  files = {"images/Train/a.jpg": photo(1), "images/Validation/a.jpg": photo(2)}
  write(tmp_path, files | {"annotations.xml": cvat_xml(*images)})
  found = source(tmp_path, val_percent=None).find()
  assert {s: p[0].image.read() for s, p in found.splits.items()} == {
    "train": photo(1),
    "val": photo(2),
  }


def test_xml_alone_and_images_elsewhere(tmp_path):
  files = cvat_files()
  xml = files.pop("annotations.xml")
  write(tmp_path, files | {"export/annotations.xml": xml})
  alone = str(tmp_path / "export/annotations.xml")
  found = source(alone, train_images=str(tmp_path / "images")).find()
  assert sum(len(pairs) for pairs in found.splits.values()) == 2
  with pytest.raises(DataError, match="give --train_images=FOLDER"):
    source(alone).find()


@pytest.mark.parametrize("with_images", [False, True])
def test_segmentation_mask(tmp_path, with_images):
  files = cvat_mask_files()
  folder = "JPEGImages" if with_images else "photos"
  files |= {f"{folder}/{s}.jpg": photo(i) for i, s in enumerate("ab")}
  write(tmp_path, files)
  flags = {} if with_images else {"train_images": str(tmp_path / "photos")}
  found = source(tmp_path, **flags).find()
  assert found.class_names == ("background", "car", "dog")
  labels = labels_of(found)
  index = found.reader.read(labels["b"].read()).index
  assert np.unique(index).tolist() == [0, 2]


def test_what_is_called_ignored_is_void(tmp_path):
  files = cvat_mask_files()
  files["labelmap.txt"] = files["labelmap.txt"].replace("car:", "ignored:")
  files |= {f"JPEGImages/{s}.jpg": photo(i) for i, s in enumerate("ab")}
  write(tmp_path, files)
  found = source(tmp_path).find()
  assert found.class_names == ("background", "dog")
  index = found.reader.read(labels_of(found)["a"].read()).index
  assert np.unique(index).tolist() == [0, 255]


@pytest.mark.parametrize(
  ("xml", "part"),
  [
    ("<annotations>", "not an XML file of CVAT's"),
    ('<!DOCTYPE x [<!ENTITY a "b">]><annotations/>', "document types"),
    ("<annotations><track/></annotations>", "not for video"),
    (cvat_xml(cvat_image(0, "ghost.jpg")), "none of its images"),
  ],
)
def test_broken_xml(tmp_path, xml, part):
  write(tmp_path, {"annotations.xml": xml})
  with pytest.raises(DataError, match=part):
    source(tmp_path).find()


@pytest.mark.parametrize(
  "shape",
  [
    '<polygon label="dog" points="1,1;2,2" z_order="0"/>',
    '<polygon label="dog" points="1;2" z_order="0"/>',
    '<polygon label="dog" z_order="0"/>',
    '<box label="dog" xtl="a" z_order="0"/>',
    '<mask label="dog" rle="1,2" left="0" top="0" width="2" height="2"/>',
  ],
)
def test_broken_shapes(tmp_path, shape):
  with pytest.raises(DataError, match=r"#a\.jpg: a shape is not understood"):
    one_image(tmp_path, shape).read()


def test_a_subset_is_needed_for_validation(tmp_path):
  write(tmp_path, cvat_files())
  with pytest.raises(DataError, match="--val_percent=10"):
    source(tmp_path, val_percent=None).find()
