import pytest
from small_data import photo, png, write
from tool_files import drawn, mask_png

from fcn_jax.data.formats import FORMATS
from fcn_jax.data.labels import LabelError
from fcn_jax.files import DataError

LEFT = mask_png("##..", "##..")
LOW = mask_png("....", ".###")


def source(root, **flags):
  given = {
    "train_images": str(root / "images"),
    "train_labels": str(root / "masks"),
    "val_percent": 50.0,
  }
  return FORMATS["masks"](**(given | flags))


def labels_of(found):
  pairs = [pair for group in found.splits.values() for pair in group]
  return {pair.image_id: pair.label for pair in pairs}


def files(**masks):
  images = {f"images/{s}.jpg": photo(i, 2, 4) for i, s in enumerate("ab")}
  return images | {f"masks/{name}": data for name, data in masks.items()}


@pytest.mark.parametrize(
  "layout", ["{name}/{stem}.png", "{stem}/{name}.png", "{stem}_{name}.png"]
)
def test_layouts(tmp_path, layout):
  masks = {
    layout.format(name=name, stem=stem): data
    for stem, name, data in (
      ("a", "tree", LEFT),
      ("a", "road", LOW),
      ("b", "road", LOW),
    )
  }
  write(tmp_path, files(**masks))
  found = source(tmp_path).find()
  assert found.class_names == ("background", "road", "tree")
  labels = labels_of(found)
  # tree, the last class, is drawn over road.
  assert drawn(labels["a"]) == ["22..", "2211"]
  assert drawn(labels["b"]) == ["....", ".111"]
  _, (warning,) = labels["a"].drawn()
  assert warning.value == "1 pixels (12.5%) lie under another object"


def test_the_order_of_the_classes_decides(tmp_path):
  masks = {"tree/a.png": LEFT, "road/a.png": LOW, "road/b.png": LOW}
  write(tmp_path, files(**masks) | {"c.txt": "background\ntree\nroad\n"})
  found = source(tmp_path, class_names=str(tmp_path / "c.txt")).find()
  assert drawn(labels_of(found)["a"]) == ["11..", "1222"]


def test_soft_masks_need_a_threshold(tmp_path):
  soft = png([[0, 100, 200, 255]] * 2)
  write(tmp_path, files(**{"t/a.png": soft, "t/b.png": soft}))
  with pytest.raises(LabelError, match=r"a\.png: values \[100, 200\]"):
    labels_of(source(tmp_path).find())["a"].read()
  found = source(tmp_path, threshold=128).find()
  assert drawn(labels_of(found)["a"]) == ["..11", "..11"]


def test_masks_of_several_sizes(tmp_path):
  masks = {"t/a.png": LEFT, "r/a.png": mask_png("#"), "r/b.png": LOW}
  write(tmp_path, files(**masks))
  with pytest.raises(LabelError, match="1x1, 4x2"):
    labels_of(source(tmp_path).find())["a"].read()


def test_an_image_without_any_mask_and_masks_of_none(tmp_path):
  masks = {"t/a.png": LEFT, "t/c.png": LEFT}
  write(tmp_path, files(**masks) | {"images/d.jpg": photo(3)})
  found = source(tmp_path, val_percent=None, val_list=str(tmp_path / "v.txt"))
  write(tmp_path, {"v.txt": "a\n"})
  kinds = sorted(f.kind for f in found.find().findings)
  assert kinds == ["image without label"] * 2 + ["label without image"]


def test_names_that_fit_no_layout(tmp_path):
  write(tmp_path, files(**{"x.png": LEFT}))
  with pytest.raises(DataError, match=r"CLASS/STEM\.png"):
    source(tmp_path).find()
