import builtins
import json

import numpy as np
import pytest
from pycocotools import mask as runs
from small_data import photo, write
from tool_files import coco, coco_files, drawn

from fcn_jax.data.formats import FORMATS
from fcn_jax.files import DataError


def source(root, **flags):
  given = {
    f"{split}_{kind}": str(root / place)
    for split in ("train", "val")
    for kind, place in (
      ("images", f"{split}2017"),
      ("labels", f"annotations/instances_{split}2017.json"),
    )
  }
  return FORMATS["coco"](**(given | flags))


def one_image(root, *annotations, **flags):
  """The label of one image with these annotations."""
  given = [{"image_id": 1, "category_id": 3} | a for a in annotations]
  text = coco({1: "a.jpg", 2: "b.jpg"}, *given)
  write(root, {"a.jpg": photo(1), "b.jpg": photo(2), "all.json": text})
  found = FORMATS["coco"](
    train_images=str(root), val_percent=50.0, **flags
  ).find()
  pairs = [pair for group in found.splits.values() for pair in group]
  return next(pair.label for pair in pairs if pair.image_id == "a")


def test_what_is_found(tmp_path):
  write(tmp_path, coco_files())
  found = source(tmp_path).find()
  # By the ids of the categories, not as they stand in the file.
  assert found.class_names == ("background", "car", "dog")
  assert found.findings == []
  labelled, plain = found.splits["train"]
  assert labelled.image_id == "000000000007"
  assert drawn(labelled.label) == [
    "........",
    *[".111...."] * 3,
    "........",
    "........",
  ]
  assert set(drawn(plain.label)) == {"........"}
  (crowd,) = found.splits["val"]
  assert drawn(crowd.label) == [
    ".......2",
    ".......2",
    "2......2",
    "2......2",
    ".......2",
    ".......2",
  ]


def test_polygons_are_as_pycocotools_draws_them(tmp_path):
  rng = np.random.default_rng(1)
  polygons = [(rng.random((5, 2)) * (8, 6)).ravel().tolist() for _ in "ab"]
  label = one_image(tmp_path, {"segmentation": polygons})
  expected = runs.decode(runs.merge(runs.frPyObjects(polygons, 6, 8)))
  assert drawn(label) == ["".join(".1"[v] for v in r) for r in expected]


def test_runs_with_a_hole_plain_and_compressed(tmp_path):
  ring = np.zeros((6, 8), np.uint8)
  ring[1:5, 1:6] = 1
  ring[2:4, 3] = 0
  code = runs.encode(np.asfortranarray(ring))
  counts = np.diff(
    [0, *(np.flatnonzero(np.diff(ring.T.ravel())) + 1), 48]
  ).tolist()
  for segmentation in (
    {"size": [6, 8], "counts": code["counts"].decode()},
    {"size": [6, 8], "counts": counts},
  ):
    label = one_image(tmp_path, {"segmentation": segmentation})
    assert drawn(label) == [
      "........",
      ".11111..",
      ".11.11..",
      ".11.11..",
      ".11111..",
      "........",
    ]


def test_small_objects_are_drawn_over_large_ones_and_crowds_first(tmp_path):
  large = [[0, 0, 8, 0, 8, 6, 0, 6]]
  small = [[1, 1, 3, 1, 3, 3, 1, 3]]
  dog = {"category_id": 18}
  label = one_image(
    tmp_path, {"segmentation": small, **dog}, {"segmentation": large}
  )
  assert drawn(label)[:3] == ["11111111", "12211111", "12211111"]
  _, (warning,) = label.drawn()
  assert warning.value.startswith("4 pixels")
  crowd = {"size": [6, 8], "counts": [0, 12, 36]}  # two columns
  label = one_image(
    tmp_path,
    {"segmentation": large},
    {"segmentation": crowd, "iscrowd": 1, **dog},
  )
  assert set(drawn(label)) == {"11111111"}


def test_boxes_alone(tmp_path):
  with pytest.raises(DataError, match="boxes alone"):
    one_image(tmp_path, {"bbox": [1, 1, 2, 2]})
  square = [[1, 1, 4, 1, 4, 4, 1, 4]]
  label = one_image(tmp_path, {"segmentation": []}, {"segmentation": square})
  _, (warning,) = label.drawn()
  assert warning.value == "1 box without outline"


def test_images_that_are_missing_and_lists(tmp_path):
  files = coco_files()
  del files["train2017/000000000008.jpg"]
  write(tmp_path, files | {"t.txt": "000000000007.jpg\nghost\n"})
  found = source(tmp_path, train_list=str(tmp_path / "t.txt")).find()
  assert [f.value for f in found.findings] == [
    "000000000008.jpg: no such image",
    "ghost: not found",
  ]


def test_images_by_the_end_of_their_path(tmp_path):
  text = coco(
    {1: "data/x/a.jpg", 2: "b.jpg"},
    *[{"image_id": 1, "category_id": 3, "segmentation": [[0, 0, 2, 0, 2, 2]]}],
  )
  write(
    tmp_path, {"i/x/a.jpg": photo(1), "i/y/b.jpg": photo(2), "a.json": text}
  )
  found = FORMATS["coco"](
    train_images=str(tmp_path / "i"),
    train_labels=str(tmp_path / "a.json"),
    val_percent=50.0,
  ).find()
  pairs = {p.image_id: p for group in found.splits.values() for p in group}
  assert pairs["data/x/a"].image.read() == photo(1)
  assert pairs["b"].image.read() == photo(2)


@pytest.mark.parametrize(
  ("segmentation", "part"),
  [
    ([[1, 1, 2, 2]], "annotation 100: a polygon of fewer than three corners"),
    ({"size": [8, 6], "counts": [48]}, r"runs of size \[8, 6\]"),
    ({"size": [6, 8], "counts": [47]}, "do not fill the image"),
    ({"size": [6, 8], "counts": "abc"}, "annotation 100"),
    ({"size": [6, 8]}, "not COCO's"),
    ("text", "not COCO's"),
  ],
)
def test_broken_outlines(tmp_path, segmentation, part):
  label = one_image(tmp_path, {"segmentation": segmentation})
  with pytest.raises(DataError, match=part):
    label.read()


@pytest.mark.parametrize(
  ("text", "part"),
  [
    ("[]", "not a JSON file of COCO's"),
    ("{", "not a JSON file"),
    ("{}", "it has images"),
    (
      json.dumps(
        {
          "images": [],
          "annotations": [],
          "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}],
        }
      ),
      "two categories are called 'a'",
    ),
  ],
)
def test_broken_files(tmp_path, text, part):
  write(tmp_path, {"a.jpg": photo(1), "a.json": text})
  with pytest.raises(DataError, match=part):
    FORMATS["coco"](train_images=str(tmp_path), val_percent=50.0).find()


def test_no_json_file_and_several(tmp_path):
  write(tmp_path, {"a.jpg": photo(1)})
  with pytest.raises(DataError, match="no JSON file beside the images"):
    FORMATS["coco"](train_images=str(tmp_path), val_percent=50.0).find()
  write(tmp_path, {"a.json": "{}", "b.json": "{}"})
  with pytest.raises(DataError, match="2 JSON files; name one"):
    FORMATS["coco"](train_images=str(tmp_path), val_percent=50.0).find()


def test_splits_of_other_categories(tmp_path):
  files = coco_files()
  key = "annotations/instances_val2017.json"
  files[key] = files[key].replace('"dog"', '"cow"')
  write(tmp_path, files)
  with pytest.raises(DataError, match="train and val differ: cow, dog"):
    source(tmp_path).find()


def test_without_pycocotools(tmp_path, monkeypatch):
  write(tmp_path, coco_files())
  real = builtins.__import__

  def refuse(name, *args, **kwargs):
    if name.startswith("pycocotools"):
      raise ImportError(name)
    return real(name, *args, **kwargs)

  monkeypatch.setattr(builtins, "__import__", refuse)
  with pytest.raises(DataError, match=r"pip install 'fcn_jax\[coco\]'"):
    source(tmp_path).find()
