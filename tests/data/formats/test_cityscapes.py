import shutil

import pytest
from small_data import write
from tool_files import cityscapes_files

from fcn_jax.data.formats import FORMATS
from fcn_jax.files import DataError


def test_cityscapes(tmp_path):
  write(tmp_path, cityscapes_files())
  found = FORMATS["cityscapes"](archive=str(tmp_path)).find()
  assert (found.name, len(found.class_names)) == ("cityscapes", 19)
  ids = {s: [p.image_id for p in g] for s, g in found.splits.items()}
  # test has no labels that count.
  assert ids == {
    "train": ["aachen/aachen_000000_000019"],
    "val": ["munster/munster_000000_000019"],
  }
  read = [
    found.reader.read(found.splits[s][0].label.read()).index[0, :3].tolist()
    for s in ("train", "val")
  ]
  # road, building, unlabeled; person, bicycle, license plate
  assert read == [[0, 2, 255], [11, 18, 255]]


def test_cityscapes_as_it_is_downloaded(tmp_path):
  files = cityscapes_files()
  write(tmp_path / "t", files)
  zips = []
  for kind in ("leftImg8bit", "gtFine"):
    name = str(tmp_path / f"{kind}_trainvaltest")
    zips.append(shutil.make_archive(name, "zip", tmp_path / "t", kind))
  found = FORMATS["cityscapes"](archive=",".join(zips)).find()
  assert {s: len(g) for s, g in found.splits.items()} == {"train": 1, "val": 1}
  with pytest.raises(DataError, match=r"no label of train; give --archive="):
    FORMATS["cityscapes"](archive=zips[0]).find()


MAP = "7 -> ground\n11 -> other\n0 -> void\n"


def test_another_map_for_cityscapes(tmp_path):
  write(tmp_path, cityscapes_files() | {"m.txt": MAP})
  found = FORMATS["cityscapes"](
    archive=str(tmp_path), label_map=str(tmp_path / "m.txt")
  ).find()
  assert found.class_names == ("ground", "other")
