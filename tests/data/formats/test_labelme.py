import json

import numpy as np
import pytest
from PIL import Image, ImageDraw
from small_data import photo, png, write
from tool_files import drawn, labelme, labelme_files, shape

from fcn_jax.data.formats import FORMATS
from fcn_jax.files import DataError


def source(root, **flags):
  given = {"train_images": str(root), "val_percent": 40.0}
  return FORMATS["labelme"](**(given | flags))


def labels_of(found):
  pairs = [pair for group in found.splits.values() for pair in group]
  return {pair.image_id: pair.label for pair in pairs}


def test_what_is_found(tmp_path):
  write(tmp_path, labelme_files())
  found = source(tmp_path).find()
  # Sorted, behind a background; __ignore__ is none.
  assert found.class_names == ("background", "car", "dog")
  assert {s: len(pairs) for s, pairs in found.splits.items()} == {
    "train": 2,
    "val": 1,
  }
  assert found.findings == []
  labels = labels_of(found)
  # Corners (1,1) (3,1) (3,3) (1,3) in whole pixels; the dog is drawn over it.
  assert drawn(labels["a"]) == [
    "...222..",
    ".11222..",
    ".11222..",
    ".111....",
    "........",
    "........",
  ]
  # A point of LabelMe's has a radius of 5; the car (drawn before) keeps less.
  assert drawn(labels["c"])[0][:2] == ".."
  assert drawn(labels["c"])[5] == "..------"
  _, warnings = labels["a"].drawn()
  assert warnings[0].value.startswith("2 pixels")


def test_class_names_of_labels_txt(tmp_path):
  write(tmp_path, labelme_files())
  found = source(tmp_path, class_names=str(tmp_path / "labels.txt")).find()
  assert found.class_names == ("_background_", "car", "dog")
  assert drawn(labels_of(found)["b"])[0] == "...222.."


def test_a_label_map_merges_names(tmp_path):
  write(tmp_path, labelme_files() | {"m.txt": "car -> thing\ndog -> void\n"})
  found = source(tmp_path, label_map=str(tmp_path / "m.txt")).find()
  assert found.class_names == ("background", "thing")
  assert drawn(labels_of(found)["a"])[1] == ".11---.."


def test_without_a_background_the_rest_is_void(tmp_path):
  write(tmp_path, labelme_files() | {"n.txt": "dog\ncar\n"})
  found = source(tmp_path, class_names=str(tmp_path / "n.txt")).find()
  assert drawn(labels_of(found)["b"])[0] == "---...--"


def test_json_files_in_a_folder_of_their_own_and_lists(tmp_path):
  files = labelme_files()
  moved = {
    f"json/{k}" if k.endswith("json") else f"i/{k}": v for k, v in files.items()
  }
  write(tmp_path, moved | {"t.txt": "a.jpg\nb\n", "v.txt": "c\n"})
  found = source(
    tmp_path / "i",
    train_labels=str(tmp_path / "json"),
    train_list=str(tmp_path / "t.txt"),
    val_list=str(tmp_path / "v.txt"),
    val_percent=None,
  ).find()
  assert [p.image_id for p in found.splits["train"]] == ["a", "b"]
  assert [p.image_id for p in found.splits["val"]] == ["c"]


@pytest.mark.parametrize(
  ("one", "rows"),
  [
    (
      shape("dog", [[4.0, 3.0], [4.0, 1.0]], "circle"),
      ["...", "111", "111"],
    ),
    (
      shape("dog", [[2, 1], [4, 2]], "mask", png([[0, 1, 1], [1, 0, 1]])),
      ["...", "11.", ".1."],
    ),
  ],
)
def test_other_shapes(tmp_path, one, rows):
  """Columns 3 to 5 of the first rows."""
  write(
    tmp_path,
    {"a.jpg": photo(1), "a.json": labelme("a", one)}
    | {"b.jpg": photo(2), "b.json": labelme("b", one)},
  )
  label = labels_of(source(tmp_path).find())["a"]
  assert [row[3:6] for row in drawn(label)[:3]] == rows


def test_a_line_is_ten_pixels_wide_as_labelme_draws_it(tmp_path):
  one = shape("dog", [[10, 2], [10, 28]], "line")
  files = {f"{s}.json": labelme(s, one, size=(30, 40)) for s in "ab"}
  write(tmp_path, files | {f"{s}.jpg": photo(1, 30, 40) for s in "ab"})
  row = drawn(labels_of(source(tmp_path).find())["a"])[15]
  assert row.count("1") == 10
  assert row[4] == "."


def test_images_without_json_and_the_other_way_round(tmp_path):
  write(tmp_path, labelme_files() | {"d.jpg": photo(9), "e.json": "{}"})
  found = source(tmp_path, class_names=str(tmp_path / "labels.txt")).find()
  assert sorted(f.kind for f in found.findings) == [
    "image without label",
    "label without image",
  ]


@pytest.mark.parametrize(
  ("change", "part"),
  [
    ({"shapes": None}, "not a JSON file of LabelMe's"),
    ({"shapes": [{"points": []}]}, "not a JSON file of LabelMe's"),
    ({"imageHeight": None}, "are no size"),
    (
      {"shapes": [shape("dog", [[1, 1], [2, 2]])]},
      r"shape 0 \('dog'\): a polygon of 2 corners",
    ),
    (
      {"shapes": [shape("dog", [[1, 1], [2, 2]], "mask", png([[1]]))]},
      "not of the size of its box",
    ),
    (
      {"shapes": [{"label": "dog", "shape_type": "polygon"}]},
      r"shape 0 \('dog'\): not understood",
    ),
  ],
)
def test_broken_files(tmp_path, change, part):
  files = labelme_files()
  files["a.json"] = json.dumps(json.loads(files["a.json"]) | change)
  write(tmp_path, files)
  found = source(tmp_path, class_names=str(tmp_path / "labels.txt")).find()
  with pytest.raises(DataError, match=part):
    labels_of(found)["a"].read()


def test_flags(tmp_path):
  with pytest.raises(DataError, match="do not lie beside the images"):
    FORMATS["labelme"]().find()
  write(tmp_path, labelme_files())
  with pytest.raises(DataError, match="--val_percent=10"):
    source(tmp_path, val_percent=None).find()


def test_labelme_draws_the_same_polygon(tmp_path):
  """As labelme.utils.shape_to_mask does: Pillow, given corners as floats."""
  rng = np.random.default_rng(0)
  points = (rng.random((7, 2)) * (40, 30)).tolist()
  files = {
    f"{s}.json": labelme(s, shape("dog", points), size=(30, 40)) for s in "ab"
  }
  write(tmp_path, files | {f"{s}.jpg": photo(1, 30, 40) for s in "ab"})
  image = Image.new("L", (40, 30))
  ImageDraw.Draw(image).polygon([*map(tuple, points)], outline=1, fill=1)
  found = drawn(labels_of(source(tmp_path).find())["a"])
  assert found == ["".join(".1"[v] for v in row) for row in np.asarray(image)]
