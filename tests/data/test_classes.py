import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcn_jax.data.classes import (
  background_classes,
  parse_class_file,
  read_class_names,
  shared_palette,
  voc_palette,
)
from fcn_jax.data.labels import ColorMap, parse_color, read_color_map
from fcn_jax.files import DataError


def test_voc_palette_by_hand():
  palette = voc_palette()
  # 15 = 1111b: red 2^7 + 2^6 (bits 0, 3), green 2^7 (bit 1), blue 2^7 (bit 2).
  assert palette[15].tolist() == [192, 128, 128]
  assert palette[1].tolist() == [128, 0, 0]
  assert palette[20].tolist() == [0, 64, 128]
  assert palette[255].tolist() == [224, 224, 192]
  assert len(np.unique(palette, axis=0)) == 256


def test_class_names(tmp_path):
  file = tmp_path / "classes.txt"
  file.write_bytes(b"\xef\xbb\xbfbackground\r\ntraffic light\r\n\r\n")
  assert read_class_names(file) == ("background", "traffic light")


def test_background_is_known_by_its_name():
  names = ("Background", "cat", "__background__", "in the background")
  assert background_classes(names) == (0, 2)
  assert background_classes(("sky", "tree")) == ()


@pytest.mark.parametrize(
  ("text", "part"),
  [
    ("", "no class name"),
    ("a\n\nb", "line 2 is empty"),
    ("a\nb\na", "lines 1 and 3"),
    ("\n".join(map(str, range(256))), "at most 255"),
  ],
)
def test_bad_class_names(text, part):
  with pytest.raises(DataError, match=part):
    parse_class_file(text, "names.txt")


def test_missing_class_names(tmp_path):
  with pytest.raises(DataError, match="cannot be read"):
    read_class_names(tmp_path / "none.txt")


def test_color_map_maps_exactly():
  colors = ColorMap(
    np.array([[0, 0, 0], [128, 0, 0], [0, 0, 1]], np.uint8), (224, 224, 192)
  )
  image = np.array(
    [
      [[0, 0, 0], [128, 0, 0], [0, 0, 1]],
      [[224, 224, 192], [127, 0, 0], [127, 0, 0]],
    ],
    np.uint8,
  )
  index, unknown = colors.indices(image)
  assert index.tolist() == [[0, 1, 2], [255, 0, 0]]
  assert unknown == {(127, 0, 0): 2}


@given(
  st.lists(
    st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=40, unique=True
  ),
  st.integers(0, 2**32 - 1),
)
def test_color_map_inverts_its_palette(colors, seed):
  table = np.array(colors, np.uint8)
  label = np.random.default_rng(seed).integers(0, len(table), (5, 7))
  index, unknown = ColorMap(table).indices(table[label])
  np.testing.assert_array_equal(index, label)
  assert unknown == {}


def test_color_map_file(tmp_path):
  file = tmp_path / "colors.txt"
  file.write_text("0 0 0\n128, 64,32\n")
  found = read_color_map(file, ("a", "b"), (1, 2, 3))
  assert found.colors.tolist() == [[0, 0, 0], [128, 64, 32]]
  assert found.void == (1, 2, 3)


@pytest.mark.parametrize(
  ("text", "part"),
  [
    ("0 0 0\n1 2", "line 2"),
    ("0 0 0\n1 2 256", "line 2"),
    ("0 0 0", "1 colours for 2 classes"),
    ("4 5 6\n4 5 6", "'a' and 'b' have the colour"),
    ("9 9 9\n4 5 6", "also the colour of class 'a'"),
  ],
)
def test_bad_color_map(tmp_path, text, part):
  file = tmp_path / "colors.txt"
  file.write_text(text)
  with pytest.raises(DataError, match=part):
    read_color_map(file, ("a", "b"), (9, 9, 9))


def test_parse_color():
  assert parse_color("224,224,192") == (224, 224, 192)
  for text in ("", "1,2", "-1,0,0", "1.0 2 3", "a,b,c"):
    with pytest.raises(DataError, match="three integers"):
      parse_color(text)


def _counts(*ids):
  return np.bincount(ids, minlength=256)


def test_shared_palette_looks_at_used_ids_only():
  first = np.array([[0, 0, 0], [9, 8, 7], [1, 1, 1]], np.uint8)
  second = np.array([[0, 0, 0], [50, 50, 50], [1, 1, 1], [5, 5, 5]], np.uint8)
  found = shared_palette(
    [(first, _counts(0, 1, 1)), (second, _counts(0, 2))], classes=3
  )
  assert found[:3].tolist() == first.tolist()
  assert found[200].tolist() == voc_palette()[200].tolist()
  # Index 1 now is used by both, in two colours.
  assert shared_palette([(first, _counts(1)), (second, _counts(1))], 3) is None


def test_useless_palettes_are_not_taken():
  ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
  assert shared_palette([(ramp, _counts(0, 1))], 2) is None
  assert shared_palette([(ramp * 0, _counts(0, 1))], 2) is None
  assert shared_palette([], 2) is None


@pytest.mark.parametrize(
  ("text", "names"),
  [
    ("Pixel Value, Class\n0, background\n1, cat\n", "background cat"),
    ("__ignore__\n_background_\ncat\n", "_background_ cat"),
    (
      "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:9,0,0::\n",
      "background cat",
    ),
    (
      "Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t.2\t8\t9\t1\twall\n"
      "2\t.1\t8\t9\t1\tsky\n",
      "class0 wall sky",
    ),
    ("# made by hand\nroad\nsky\n", "road sky"),
    ("0 road\n1 sky\n", "road sky"),
    ("0: road\n1: sky\n", "road sky"),
    ("0,road\n1,sky\n255,void\n", "road sky"),
    ("road\t0\nsky\t1\n", "road sky"),
    ("sky;1\nroad;0\n", "road sky"),
    ("name,r,g,b\nroad,1,2,3\nsky,4,5,6\n", "road sky"),
    ("1 2 3\troad\n4 5 6\tsky\n", "road sky"),
    ("id,name\n0,road\n1,sky\n", "road sky"),
    ("label,name\n0,road\n1,sky\n", "road sky"),
    ("T-shirt\n3d\nN/A\n", "T-shirt 3d N/A"),
  ],
)
def test_class_files_of_other_tools(text, names):
  assert parse_class_file(text, "names").names == tuple(names.split())


def test_names_with_marks_stand_in_quotes():
  found = parse_class_file('"building, edifice"\nsky\n', "names")
  assert found.names == ("building, edifice", "sky")


@pytest.mark.parametrize(
  ("text", "part"),
  [
    ("road\nbuilding, edifice\n", r"line 2 is 'building, edifice'"),
    ("road\nsky\t1\n", r"line 2 is 'sky\\t1'"),
    ("names:\n- road\n", "line 1 is 'names:'"),
    ("- road\n- sky\n", "line 1 is '- road'"),
    ("classes\nroad\n", "line 1 is 'classes'"),
    ("road\n__ignore__\n", "line 2 is '__ignore__'"),
    ('{"0": "road"}', "line 1"),
    ("0 road\n1 sky\ncar\n", "line 3 is 'car'"),
    ("0 road\n2 sky\n3 car\n", "line 2 names label 2, and no line names"),
    ("0 road\n1 sky\n1 car\n", "line 3 names label 1, and so does line 2"),
    ("id,name\n0,road\nx,sky\n", "line 3 is 'x,sky'"),
    ("x" * 2000, "line 1 is 'xxx"),
  ],
)
def test_lines_that_are_not_understood_are_named(text, part):
  with pytest.raises(DataError, match=part):
    parse_class_file(text, "names")


def test_colours_of_a_class_file(tmp_path):
  text = "name,r,g,b\nroad,1,2,3\nsky,4,5,6\n"
  assert parse_class_file(text, "x").colors == ((1, 2, 3), (4, 5, 6))
  assert parse_class_file("0 road\n1 sky\n", "x").colors is None
  file = tmp_path / "class_dict.csv"
  file.write_text(text)
  # Names decide which colour is whose.
  found = read_color_map(file, ("sky", "road"))
  assert found.colors.tolist() == [[4, 5, 6], [1, 2, 3]]
  with pytest.raises(DataError, match="'car' stands only in"):
    read_color_map(file, ("sky", "road", "car"))
