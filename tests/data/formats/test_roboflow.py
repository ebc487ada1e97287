import pytest
from small_data import write
from tool_files import drawn, roboflow_coco_files, roboflow_files

from fcn_jax.data.formats import FORMATS
from fcn_jax.files import DataError


def source(root, **flags):
  return FORMATS["roboflow"](**({"archive": str(root)} | flags))


def test_masks(tmp_path):
  write(tmp_path, roboflow_files())
  found = source(tmp_path).find()
  assert found.class_names == ("background", "car", "dog")
  assert {s: [p.image_id for p in g] for s, g in found.splits.items()} == {
    "train": ["a_jpg.rf.0a1b2c3d4e5f", "b_jpg.rf.0a1b2c3d4e5f"],
    "val": ["c_jpg.rf.0a1b2c3d4e5f"],
  }
  assert found.findings == []
  index = found.reader.read(found.splits["val"][0].label.read()).index
  assert index[0, :4].tolist() == [0, 1, 2, 0]


def test_coco(tmp_path):
  write(tmp_path, roboflow_coco_files())
  found = source(tmp_path).find()
  assert found.class_names == ("background", "car", "dog")
  assert {s: len(g) for s, g in found.splits.items()} == {"train": 1, "val": 1}
  assert drawn(found.splits["val"][0].label)[1] == ".111...."


def test_a_validation_set_is_needed(tmp_path):
  files = roboflow_files()
  kept = {k: v for k, v in files.items() if not k.startswith("valid")}
  write(tmp_path, kept)
  with pytest.raises(DataError, match="no folder valid; draw one with"):
    source(tmp_path).find()
  found = source(tmp_path, val_percent=50.0).find()
  assert {s: len(g) for s, g in found.splits.items()} == {"train": 1, "val": 1}


def test_tables_that_differ(tmp_path):
  files = roboflow_files()
  files["valid/_classes.csv"] += "3, cow\n"
  write(tmp_path, files)
  with pytest.raises(DataError, match="of its folders differ"):
    source(tmp_path).find()


def test_something_else(tmp_path):
  write(tmp_path, {"train/a.txt": "1 0.5 0.5 0.1 0.1"})
  with pytest.raises(DataError, match="'Semantic Segmentation Masks'"):
    source(tmp_path).find()
