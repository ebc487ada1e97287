import dataclasses

import numpy as np
import pytest
from tool_files import drawn, lines

from fcn_jax.data.drawn import (
  Drawn,
  Region,
  decode_runs,
  ordered,
  polygon,
  rest_of,
  with_background,
)
from fcn_jax.data.labels import LabelError
from fcn_jax.files import DataError

SIZE = (6, 8)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Objects(Drawn):
  regions: tuple = dataclasses.field(compare=False)

  def objects(self):
    return SIZE, iter(self.regions)


def label_of(*regions, rest=0):
  labels = {"car": 1, "dog": 2, "shade": 255}
  return Objects("x", "x", regions=regions, labels=labels, rest=rest)


def test_a_polygon_by_hand():
  """The corners' pixels and those that the outline runs through are in it."""
  triangle = polygon("car", [(1.9, 0.5), (5.2, 0.0), (1.0, 4.99)], SIZE)
  assert drawn(label_of(triangle)) == [
    ".11111..",
    ".1111...",
    ".111....",
    ".11.....",
    ".1......",
    "........",
  ]


def test_a_polygon_is_cut_at_the_image():
  large = polygon("dog", [(-3, 2), (99, 2), (99, 2.5), (-3, 2.5)], SIZE)
  outside = polygon("car", [(9, 9), (12, 9), (9, 12)], SIZE)
  assert drawn(label_of(large, outside)) == [
    "........",
    "........",
    "22222222",
    *["........"] * 3,
  ]


def test_a_polygon_that_goes_around_leaves_a_hole():
  """Outer corners, then inner ones, joined by a seam there and back."""
  outer = [(0, 0), (6, 0), (6, 5), (0, 5), (0, 0)]
  inner = [(2, 2), (2, 3), (4, 3), (4, 2), (2, 2)]
  found = drawn(label_of(polygon("car", outer + inner, SIZE)))
  assert found[0] == "1111111."
  # Outlines belong to it, so of the hole from 2 to 4 the middle is left.
  wide = [(1, 1), (1, 4), (5, 4), (5, 1), (1, 1)]
  found = drawn(label_of(polygon("car", outer + wide, SIZE)))
  assert found == [
    "1111111.",
    "1111111.",
    "11...11.",
    "11...11.",
    "1111111.",
    "1111111.",
  ]


@pytest.mark.parametrize(
  ("points", "part"),
  [
    ([(0, 0), (1, 1)], "of 2 corners; three"),
    ([(0, 0), (1, 1), (0, float("nan"))], "finite"),
    ([(0, 0), (1, 1), (0,)], "pairs of numbers"),
    ([], "pairs of"),
  ],
)
def test_polygons_that_are_none(points, part):
  with pytest.raises(DataError, match=part):
    polygon("car", points, SIZE)


def test_the_last_object_covers_and_the_overlap_is_told():
  left = Region("car", np.ones((2, 3), bool), 1, 0)
  right = Region("dog", np.ones((2, 3), bool), 2, 2)
  data, warnings = label_of(left, left, right).drawn()
  assert drawn(label_of(left, left, right))[:4] == [
    "........",
    "111.....",
    "11222...",
    "..222...",
  ]
  (warning,) = warnings
  assert warning.warning
  assert warning.kind == "objects of different classes overlap"
  # One pixel of 48; the second car hides nothing of the first.
  assert warning.value == "1 pixels (2.1%) lie under another object"
  assert data


def test_void_objects_and_what_no_object_covers():
  region = Region("shade", np.ones((1, 8), bool), 5, 0)
  assert drawn(label_of(region, rest=0))[4:] == ["........", "--------"]
  assert drawn(label_of(rest=255))[0] == "--------"


def test_objects_without_an_area_are_left_out_and_told():
  _, warnings = label_of(
    Region("car", None, kind="points"), Region("dog", None, kind="points")
  ).drawn()
  assert [w.value for w in warnings] == ["2 points"]


def test_names_that_are_no_class():
  one = Region("cat", np.ones((1, 1), bool))
  with pytest.raises(LabelError, match=r"'cat' \(2\).*label_map"):
    label_of(one, one).read()


def test_a_region_beyond_the_image():
  with pytest.raises(DataError, match="beyond the image of 8x6"):
    label_of(Region("car", np.ones((2, 2), bool), 5, 0)).read()


def test_runs():
  assert lines(decode_runs([0, 2, 4, 2], 2, 4)) == ["11..", "..11"]
  with pytest.raises(DataError, match="runs of 3 pixels for a mask of 2x2"):
    decode_runs([1, 2], 2, 2)


def test_background():
  assert with_background(("car",)) == ("background", "car")
  assert with_background(("_background_", "car")) == ("_background_", "car")
  assert rest_of(("car", "Background")) == 1
  assert rest_of(("car", "dog")) == 255


def test_names_stand_once():
  assert list(ordered("ab", "labels", "x.xml")) == ["a", "b"]
  with pytest.raises(DataError, match="two labels are called 'a'"):
    list(ordered("aba", "labels", "x.xml"))
