import io

import numpy as np
import pytest
from PIL import Image

from fcn_jax.data.classes import voc_palette
from fcn_jax.prediction.result import Result

LABELS = np.array([[0, 0, 0, 2], [0, 1, 2, 2]], np.uint8)
NAMES = ("background", "cat", "dog", "cow")


def result(labels=LABELS, names=NAMES, compute=lambda: None):
  image = np.full((*labels.shape, 3), 100, np.uint8)
  return Result(image, labels, names, voc_palette(), compute)


def test_shares_by_hand():
  """4, 1, 3 and 0 of 8 pixels."""
  assert result().shares == {
    "background": 0.5,
    "cat": 0.125,
    "dog": 0.375,
    "cow": 0.0,
  }


def test_probabilities_are_computed_once_and_only_when_asked():
  calls = []

  def compute():
    calls.append(1)
    return np.zeros((2, 4, 4), np.float32)

  found = result(compute=compute)
  found.overlay()
  assert calls == []
  assert found.probabilities is found.probabilities
  assert calls == [1]


def test_mask_holds_the_labels_and_the_palette():
  mask = result().mask()
  assert mask.mode == "P"
  np.testing.assert_array_equal(np.asarray(mask), LABELS)
  assert mask.getpalette() == voc_palette().ravel().tolist()


def test_overlay_without_legend_is_as_large_as_the_image():
  picture = np.asarray(result().overlay(legend=False))
  assert picture.shape == (2, 4, 3)
  assert picture[0, 0].tolist() == [100, 100, 100]
  assert picture[1, 1].tolist() == [128, 0, 0]


def test_overlay_of_one_class_by_hand():
  """0.4 * 100 + 0.6 * (128, 0, 0) = (116.8, 40, 40), to one level."""
  picture = np.asarray(result(np.ones((3, 3), "u1")).overlay(legend=False))
  np.testing.assert_allclose(picture[1, 1], [116.8, 40, 40], atol=1)


@pytest.mark.parametrize(
  ("name", "untouched"),
  [("background", True), ("_Background_", True), ("sky", False)],
)
def test_only_a_background_stays_uncoloured(name, untouched):
  found = result(np.zeros((2, 2), "u1"), (name, "cat"))
  picture = np.asarray(found.overlay(legend=False))
  assert (picture == 100).all() == untouched


def test_the_legend_names_what_was_found_commonest_first():
  assert repr(result()) == (
    "<Result 2 x 4: background 50.0 %, dog 37.5 %, cat 12.5 %>"
  )
  few = result().overlay()
  all_four = result(np.array([[0, 0, 0, 2], [0, 1, 2, 3]], "u1")).overlay()
  assert few.height < all_four.height


def test_a_notebook_shows_the_overlay_and_its_legend():
  shown = Image.open(io.BytesIO(result()._repr_png_()))
  overlay = result().overlay()
  np.testing.assert_array_equal(np.asarray(shown), np.asarray(overlay))


def test_a_notebook_is_spared_huge_pictures():
  found = result(np.zeros((10, 4000), np.uint8))
  assert max(Image.open(io.BytesIO(found._repr_png_())).size) == 1600
  assert found.overlay(legend=False).size == (4000, 10)


def test_save_writes_the_mask(tmp_path):
  result().save(tmp_path / "a.png")
  saved = Image.open(tmp_path / "a.png")
  assert saved.mode == "P"
  np.testing.assert_array_equal(np.asarray(saved), LABELS)
  assert saved.convert("RGB").getpixel((1, 1)) == (128, 0, 0)
  assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_save_refuses_a_format_that_loses_ids(tmp_path):
  with pytest.raises(ValueError, match=r"a\.jpg.*overlay\(\)\.save"):
    result().save(tmp_path / "a.jpg")


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
  (tmp_path / "a.png").write_bytes(b"old")

  def full(self, path, *_, **__):
    path.write_bytes(b"half")
    raise OSError("no space left")

  monkeypatch.setattr(Image.Image, "save", full)
  with pytest.raises(OSError, match="no space"):
    result().save(tmp_path / "a.png")
  assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
  assert (tmp_path / "a.png").read_bytes() == b"old"
