import numpy as np
import pytest
from small_data import folder_files, folder_format, label, png, write

from fcn_jax.data.label_maps import parse_label_map, read_label_map, shipped
from fcn_jax.data.labels import LabelError
from fcn_jax.files import DataError


def test_values_many_to_one():
  found = parse_label_map(
    "# my map\n7 -> road\n\n8 -> road  # pavement\n0->void\n11 -> a house\n",
    "x",
  )
  assert found.class_names == ("road", "a house")
  reader = found.reader(("a house", "road"))
  raw = reader.read(label(7, 8, 0, 11, 255))
  assert raw.index[0, :5].tolist() == [1, 1, 255, 0, 255]
  assert raw.palette is None
  with pytest.raises(LabelError, match=r"9 in 24 pixels.*VALUE -> void"):
    reader.read(label(7, 9))


def test_values_of_16_bits_and_of_void_itself():
  reader = parse_label_map("300 -> a\n255 -> b\n", "x").reader(("a", "b"))
  values = np.array([[300, 255]], np.uint16)
  assert reader.read(png_of_16_bits(values)).index.tolist() == [[0, 1]]
  with pytest.raises(LabelError, match="301 in 1 pixels"):
    reader.read(png_of_16_bits(values + 1))


def png_of_16_bits(values):
  import io

  from PIL import Image

  stream = io.BytesIO()
  Image.fromarray(values).save(stream, "PNG")
  return stream.getvalue()


def test_colours_many_to_one():
  text = "128 0 0 -> house\n0,128,64 -> house\n0 0 0 -> void\n9 9 9 -> sky"
  found = parse_label_map(text, "x")
  reader = found.reader(found.class_names)
  colors = [[(128, 0, 0), (0, 128, 64), (0, 0, 0), (9, 9, 9)]]
  assert reader.read(png(colors)).index.tolist() == [[0, 0, 255, 1]]
  # A class is shown in its first colour.
  assert reader.color_map.colors.tolist() == [[128, 0, 0], [9, 9, 9]]
  assert reader.color_map.void == (0, 0, 0)
  with pytest.raises(LabelError, match=r"\(1, 0, 0\) in 1 pixels"):
    reader.read(png([[(1, 0, 0)]]))


@pytest.mark.parametrize(
  ("text", "part"),
  [
    ("7 road\n", "line 1 is '7 road'; write 'VALUE -> CLASS'"),
    ("7 -> a -> b\n", "line 1"),
    ("7 -> \n", "line 1"),
    ("1 -> a\n01 -> b\n", "line 2 names '1' once more"),
    ("1,2,3 -> a\n1 2 3 -> b\n", "line 2 names '1 2 3' once more"),
    ("1 2 300 -> a\n", "no colour"),
    ("", "0 classes"),
    ("1 -> void\n", "0 classes"),
    ("\n".join(f"{i} -> c{i}" for i in range(256)), "256 classes"),
  ],
)
def test_maps_that_are_none(text, part):
  with pytest.raises(DataError, match=part):
    parse_label_map(text, "x")


def test_keys_of_two_kinds():
  for text in ("1 -> a\n1 2 3 -> b\n", "1 -> a\ncar -> b\n"):
    with pytest.raises(DataError, match="in every line"):
      parse_label_map(text, "x").reader(("a", "b"))
  with pytest.raises(DataError, match="beyond 16 bits"):
    parse_label_map("65536 -> a\n", "x").reader(("a",))


def test_map_and_class_names_must_agree():
  with pytest.raises(DataError, match="'b' is no class"):
    parse_label_map("1 -> a\n2 -> b\n", "x").labels(("a", "c"))


def test_no_such_map():
  with pytest.raises(DataError, match=r"ade20k, camvid, cityscapes, loveda"):
    read_label_map("camvit")


def test_a_folder_of_a_map_s_name_is_no_file(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "pets").mkdir()
  assert len(read_label_map("pets").class_names) == 2
  write(tmp_path, {"loveda": "1 -> mine\n"})
  assert read_label_map("loveda").class_names == ("mine",)


@pytest.mark.parametrize(
  ("name", "classes", "keys", "voids"),
  [
    ("ade20k", 150, 151, 1),
    ("camvid", 11, 32, 1),
    ("cityscapes", 19, 35, 16),
    ("loveda", 7, 8, 1),
    ("pets", 2, 3, 1),
  ],
)
def test_maps_that_come_with_the_package(name, classes, keys, voids):
  found = read_label_map(name)
  assert len(found.class_names) == classes
  assert len(found.targets) == keys
  assert sum(target is None for target in found.targets.values()) == voids


def test_every_shipped_map_is_tested():
  assert shipped() == ["ade20k", "camvid", "cityscapes", "loveda", "pets"]


def test_facts_of_the_shipped_maps():
  city = read_label_map("cityscapes")
  assert [city.class_names.index(city.targets[k]) for k in ("7", "33")] == [
    0,
    18,
  ]
  assert city.targets["29"] is None
  ade = read_label_map("ade20k")
  assert [ade.targets[k] for k in ("1", "13", "21", "150")] == [
    "wall",
    "person",
    "car",
    "flag",
  ]
  assert read_label_map("loveda").targets["7"] == "agriculture"
  assert read_label_map("pets").class_names == ("background", "pet")
  camvid = read_label_map("camvid")
  assert camvid.targets["64 128 64"] == "pedestrian"  # animals
  assert camvid.class_names[0] == "sky"


def test_a_map_names_the_classes_of_folders(tmp_path):
  write(tmp_path, folder_files() | {"map.txt": "1 -> thing\n0 -> void\n"})
  found = folder_format(
    tmp_path, class_names=None, label_map=str(tmp_path / "map.txt")
  ).find()
  assert found.class_names == ("thing",)
  pair = found.splits["train"][0]
  assert found.reader.read(pair.label.read()).index[0, :2].tolist() == [255, 0]
  with pytest.raises(DataError, match="--label_map and --binary_masks"):
    folder_format(
      tmp_path, label_map=str(tmp_path / "map.txt"), binary_masks=True
    ).find()
