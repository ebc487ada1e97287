"""fcn_jax.reports.augmentation: images as stored, and as steps see them."""

import browser
import pytest
from small_data import folder_files, prepared

from fcn_jax.data import load_dataset
from fcn_jax.data.augment import make
from fcn_jax.reports import augmentation


@pytest.fixture
def dataset(tmp_path):
  return load_dataset("tiny", prepared(tmp_path, folder_files(), "tiny"))


def test_the_page(open_page, tmp_path, dataset):
  """Two images of 6 x 8, doubled: the first as stored, then in two steps."""
  path = augmentation.write_augmentation(
    tmp_path / "seen.html",
    dataset,
    "train",
    [make("random_scale", low=2.0, high=2.0)],
    {"random_scale": "low = 2.0, high = 2.0"},
    images=9,
    times=2,
  )
  page = open_page(path, browser.PHONE)
  assert page.locator("h1").inner_text() == "What training sees of tiny"
  captions = page.locator("figcaption").all_inner_texts()
  assert captions == ["stored, 6x8", "step 1, 12x16", "step 2, 12x16"] * 2
  assert page.locator("img").count() == 2 * 3 * 2
  assert "low = 2.0" in page.locator("tbody").inner_text()
  assert not browser.scrolls_sideways(page)


def test_a_recipe_may_change_nothing(tmp_path, dataset):
  path = augmentation.write_augmentation(
    tmp_path / "seen.html", dataset, "val", [], {}
  )
  assert "The recipe changes nothing." in path.read_text()
