import numpy as np
import pytest
from PIL import Image, ImageChops

from fcn_jax.data import pictures
from fcn_jax.text import percent

PALETTE = np.zeros((256, 3), np.uint8)
PALETTE[1] = 200, 100, 0
PALETTE[2] = 0, 0, 255


def flat(height, width, value):
  return np.full((height, width, 3), value, np.uint8)


def entries(count, name="thing"):
  return [
    pictures.Entry(i, f"{name} {i}", (10 * i, 0, 200), 1 / count)
    for i in range(count)
  ]


def test_index_image_keeps_ids_and_colours():
  labels = np.array([[0, 1], [2, 255]], np.uint8)
  image = pictures.index_image(labels, PALETTE)
  assert image.mode == "P"
  np.testing.assert_array_equal(np.asarray(image), labels)
  assert image.convert("RGB").getpixel((1, 0)) == (200, 100, 0)


def test_tint_by_hand():
  """0.75 * 100 + 0.25 * (200, 100, 0) = (125, 100, 75)."""
  labels = np.ones((2, 3), np.uint8)
  found = np.asarray(pictures.tint(flat(2, 3, 100), labels, PALETTE, 0.25))
  np.testing.assert_array_equal(found, np.full((2, 3, 3), (125, 100, 75)))


def test_tint_draws_an_outline_on_both_sides_of_a_border():
  labels = np.array([[1, 1, 2, 2]], np.uint8)
  found = np.asarray(pictures.tint(flat(1, 4, 100), labels, PALETTE, 0.5))
  assert found[0].tolist() == [
    [150, 100, 50],
    [200, 100, 0],
    [0, 0, 255],
    [50, 50, 177],
  ]


def test_an_untinted_class_shows_the_image_up_to_its_border():
  labels = np.array([[0, 0, 1, 1], [0, 0, 1, 1]], np.uint8)
  image = flat(2, 4, 100)
  found = np.asarray(pictures.tint(image, labels, PALETTE, 0.5, untinted=[0]))
  np.testing.assert_array_equal(found[:, :2], image[:, :2])
  assert found[0, 2].tolist() == [200, 100, 0]


def test_opacity_from_nothing_to_all():
  labels = np.array([[0, 1], [1, 2]], np.uint8)
  image = flat(2, 2, 77)
  np.testing.assert_array_equal(
    np.asarray(pictures.tint(image, labels, PALETTE, 0)), image
  )
  np.testing.assert_array_equal(
    np.asarray(pictures.tint(image, labels, PALETTE, 1)), PALETTE[labels]
  )


@pytest.mark.parametrize("opacity", [-0.1, 1.5, 60])
def test_an_opacity_out_of_range_is_refused(opacity):
  with pytest.raises(ValueError, match="from 0 to 1"):
    pictures.tint(flat(1, 1, 0), np.zeros((1, 1), "u1"), PALETTE, opacity)


@pytest.mark.parametrize(
  ("share", "text"),
  [(0.1234, "12.3 %"), (0, "0.0 %"), (0.0009, "< 0.1 %"), (1, "100.0 %")],
)
def test_percent(share, text):
  assert percent(share) == text


@pytest.mark.parametrize(
  ("name", "text"),
  [
    ("dog", "dog  50.0 %"),
    ("vélo", "velo  50.0 %"),
    ("建筑", "class 7  50.0 %"),
    ("n" * 50, "n" * 37 + "...  50.0 %"),
  ],
)
def test_entries_are_written_in_letters_the_font_has(name, text):
  assert pictures.Entry(7, name, (0, 0, 0), 0.5).text == text


@pytest.mark.parametrize("size", [(1, 1), (100, 80), (60, 400), (900, 300)])
@pytest.mark.parametrize("count", [1, 5, 21])
def test_a_legend_is_whole_and_the_picture_untouched(size, count):
  picture = Image.new("RGB", size, (9, 90, 9))
  sheet = pictures.add_legend(picture, entries(count))
  corner = sheet.crop((0, 0, *size))
  assert ImageChops.difference(corner, picture).getbbox() is None
  strip = sheet.crop((0, picture.height, sheet.width, sheet.height))
  inked = ImageChops.invert(strip).getbbox()
  assert inked[0] > 0
  assert inked[1] > 0
  assert inked[2] < strip.width
  assert inked[3] < strip.height
  colors = {color for _, color in strip.getcolors(1 << 20)}
  assert colors >= {entry.color for entry in entries(count)}


def test_entries_stand_in_columns_where_there_is_room():
  wide = pictures.add_legend(Image.new("RGB", (600, 80)), entries(4))
  narrow = pictures.add_legend(Image.new("RGB", (80, 80)), entries(4))
  assert wide.size[0] == 600
  assert wide.height < narrow.height


def test_text_grows_with_the_picture():
  small = pictures.add_legend(Image.new("RGB", (432, 432)), entries(1))
  large = pictures.add_legend(Image.new("RGB", (4320, 4320)), entries(1))
  strips = (large.height - 4320) / (small.height - 432)
  assert 8 < strips < 12


def test_a_class_without_colour_has_an_empty_box():
  entry = pictures.Entry(0, "background", None, 1.0)
  sheet = pictures.add_legend(Image.new("RGB", (100, 10), "red"), [entry])
  strip = np.asarray(sheet)[10:, :20]
  assert (strip == strip[..., :1]).all()
