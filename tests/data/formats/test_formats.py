import pytest
from small_data import folder_files, folder_options, tar_of, voc_files, write

from fcn_jax.data.formats import Options, find_files
from fcn_jax.files import DataError


def test_a_voc_tar(tmp_path):
  archive = tar_of(write(tmp_path / "t", voc_files()), tmp_path / "voc.tar")
  found = find_files(Options("voc", archive=archive))
  assert found.name == "voc2012"
  assert [p.image_id for p in found.splits["train"]] == ["b", "a"]
  assert [f.kind for f in found.findings] == ["list left out"]
  assert found.summary() == (
    "checking 3 images and labels, 21 classes, splits: train 2, val 1, "
    "trainval 3"
  )


def test_folders_with_colours(tmp_path):
  write(tmp_path, folder_files() | {"colors.txt": "0 0 0\n200 0 7\n"})
  options = folder_options(
    tmp_path, colormap=str(tmp_path / "colors.txt"), void_color="9,9,9"
  )
  found = find_files(options)
  assert found.reader.color_map.colors[1].tolist() == [200, 0, 7]
  assert found.reader.color_map.void == (9, 9, 9)
  assert found.class_names == ("ground", "thing")
  assert found.name is None
  assert {s: len(p) for s, p in found.splits.items()} == {"train": 2, "val": 1}


def test_a_void_colour_needs_a_colour_map(tmp_path):
  write(tmp_path, folder_files())
  with pytest.raises(DataError, match="give that too"):
    find_files(folder_options(tmp_path, void_color="9,9,9"))
