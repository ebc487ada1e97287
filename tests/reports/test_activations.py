"""fcn_jax.reports.activations: the page, in Chromium."""

import browser
import numpy as np
import pytest
import small_network
from painted import png_pixels as pixels

from fcn_jax.prediction.activations import activity
from fcn_jax.prediction.result import Result
from fcn_jax.reports import activations
from fcn_jax.reports import activations as report
from fcn_jax.reports.activations import Subject, write_activations


@pytest.fixture(scope="module")
def image():
  """60 x 80: red is 200 at the left, 50 at the right."""
  image = np.zeros((60, 80, 3), np.uint8)
  image[..., 0] = 50
  image[:, :40, 0] = 200
  return image


@pytest.fixture(scope="module")
def layers(image):
  net = small_network.sees_light()
  return activity(net, image, small_network.CLASS_NAMES)


@pytest.fixture(scope="module")
def path(layers, image, tmp_path_factory):
  result = Result(
    image=image,
    labels=layers[-1].blob.argmax(-1).astype(np.uint8),
    class_names=small_network.CLASS_NAMES,
    palette=np.array(small_network.about().palette, np.uint8),
    compute_probabilities=lambda: np.zeros(0),
  )
  subject = Subject("fcn_alexnet", "runs/<i>voc, step 7", "a & b.jpg")
  path = tmp_path_factory.mktemp("page") / "page.html"
  assert write_activations(path, subject, layers, image, result) == path
  return path


def test_the_table_shows_the_figures(path, layers, open_page):
  page = open_page(path)
  assert page.title() == "Activations of fcn_alexnet on a & b.jpg"
  assert page.locator("header .note").inner_text() == "runs/<i>voc, step 7"
  assert "1,019" in page.locator(".key-figures").inner_text()
  rows = page.locator("main > .scroll tbody tr")
  assert rows.count() == len(layers)
  for number, layer in enumerate(layers):
    found = layer.activation
    cells = rows.nth(number).locator("th, td").all_inner_texts()
    assert cells == [
      layer.name,
      layer.kind,
      f"{layer.parameters:,}" if layer.parameters else "",
      " × ".join(map(str, found.shape)),
      f"{found.mean:.4g}",
      f"{found.std:.4g}",
      f"{found.minimum:.4g}",
      f"{found.maximum:.4g}",
      f"{found.zeros:.1%}",
      str(len(found.dead)) if found.dead else "",
    ]


def test_layers_open_by_link_and_button(path, open_page):
  page = open_page(path)
  conv2 = page.locator("details#conv2")
  assert conv2.get_attribute("open") is None
  assert not conv2.locator("h3").first.is_visible()
  page.get_by_role("link", name="conv2").click()
  # A browser tells of the new address after the click.
  conv2.locator("h3").first.wait_for()
  assert page.evaluate("document.activeElement.localName") == "summary"
  page.keyboard.press("Enter")
  assert conv2.get_attribute("open") is None
  page.get_by_role("button", name="Open all").click()
  assert page.locator("details:not([open])").count() == 0
  page.get_by_role("button", name="Close all").click()
  assert page.locator("details[open]").count() == 0
  assert page.locator("details").count() == 18


def test_a_layer_shows_what_it_holds(path, layers, open_page):
  page = open_page(path)
  conv1 = page.locator("details#conv1")
  kernel = conv1.get_by_label("conv1.kernel", exact=True)
  assert "11 × 11 × 3 × 2" in kernel.inner_text()
  assert "0 throughout: channels 1 of 2: 1" in kernel.inner_text()
  assert kernel.get_by_role("img").get_attribute("aria-label") == (
    "Histogram of conv1.kernel: from 0 to 1, mean 0.001377"
  )
  # 725 weights are 0, one is 1: log(2) / log(726) of the height.
  bars = kernel.locator("rect")
  assert bars.count() == 2
  heights = [float(bars.nth(i).get_attribute("height")) for i in (0, 1)]
  assert heights == [100, round(100 * np.log(2) / np.log(726), 1)]
  assert conv1.locator(".filters figure").count() == 2
  assert page.locator(".filters").count() == 1
  assert page.get_by_text("dropout passes on what it gets").count() == 2


def test_maps_are_the_blobs(path, layers, open_page):
  """norm1's map is scaled on its own, the scores of classes together."""
  page = open_page(path)
  (norm1,) = (layer for layer in layers if layer.name == "norm1")
  tile = page.locator("details#norm1 .maps img").first
  picture = pixels(tile.get_attribute("src"))
  assert picture.shape[:2] == norm1.blob.shape[:2]
  lit = norm1.blob[..., 0]
  assert (picture[lit == lit.max()] == report.SCALE[-1]).all()
  assert (picture[lit == 0] == report.SCALE[0]).all()
  assert tile.get_attribute("alt") == (
    f"norm1, channel 0: mean {lit.mean(dtype=float):.4g}, from 0 to "
    f"{lit.max():.4g}"
  )
  score = page.locator("details#score")
  names = score.locator(".maps b").all_inner_texts()
  assert names == ["1 light", "0 background", "2 none"]
  blob = layers[-1].blob
  ends = score.locator(".scale span").all_inner_texts()
  assert ends == [f"{blob.min():.4g}", f"{blob.max():.4g}"]
  # The background's score is 1 at most, far below that of light.
  least = pixels(score.locator("img").nth(1).get_attribute("src"))
  assert (least[..., 0] < report.SCALE[1][0] + 5).all()


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone(path, open_page, dark):
  page = open_page(path, browser.PHONE, dark=dark)
  page.get_by_role("button", name="Open all").click()
  assert not browser.scrolls_sideways(page)
  missing = page.evaluate(
    "[...document.images].filter(i => !i.alt || !i.naturalWidth).length"
  )
  assert missing == 0


def test_a_classifier_shows_its_likeliest_classes(
  layers, image, tmp_path, open_page
):
  path = tmp_path / "page.html"
  likeliest = [("mug", 0.75), ("<b>fish", 0.25)]
  subject = Subject("alexnet", "runs/classifier", "x.jpg", "The middle square.")
  write_activations(path, subject, layers[:2], image, likeliest)
  page = open_page(path)
  found = page.locator(".likeliest li").all_inner_texts()
  assert found == ["mug 75.0 %", "<b>fish 25.0 %"]
  assert page.get_by_text("The middle square.").is_visible()
  assert page.locator(".viewer").count() == 0


def test_a_file_of_yours_is_not_overwritten(layers, image, tmp_path):
  path = tmp_path / "page.html"
  path.write_text("mine")
  with pytest.raises(ValueError, match="no page that fcn_jax has written"):
    write_activations(path, Subject("a", "b", "c"), layers[:1], image, [])
  assert path.read_text() == "mine"


def test_the_scale_goes_from_dark_blue_to_yellow():
  """Nine places; half way between the first two is (13, 45, 94.5)."""
  assert activations.colors(9).tolist() == [
    list(rgb) for rgb in activations.SCALE
  ]
  assert activations.colors(17)[1].tolist() == [13, 45, 94]
  light = activations.colors(64) @ [0.2126, 0.7152, 0.0722]
  assert (np.diff(light) >= 0).all()


def test_a_map_is_coloured_from_low_to_high():
  values = np.array([[-1.0, 3.0], [1.0, 9.0]], np.float32)
  found = pixels(activations.map_picture(values, -1, 3))
  steps = activations.colors(64)
  assert found[0].tolist() == [steps[0].tolist(), steps[63].tolist()]
  # A half of 63 is rounded to the even 32; beyond the scale is its end.
  assert found[1].tolist() == [steps[32].tolist(), steps[63].tolist()]


def test_a_flat_map_is_dark():
  found = pixels(
    activations.map_picture(np.full((2, 3), 7.0, np.float32), 7, 7)
  )
  assert (found == activations.SCALE[0]).all()


def test_large_maps_are_averaged():
  """256 x 128 with one value of 4: a quarter of it in one pixel."""
  values = np.zeros((256, 128), np.float32)
  values[10, 20] = 4
  found = activations.thumbnail(values)
  assert found.shape == (128, 64)
  assert found[5, 10] == 1
  assert found.sum() == 1
  small = np.arange(6, dtype=np.float32).reshape(2, 3)
  np.testing.assert_array_equal(activations.thumbnail(small), small)


def test_a_filter_shows_its_weights_as_rgb():
  """In blue, green, red: zero is 128, the largest 255, half against it 64."""
  weights = np.zeros((2, 2, 3), np.float32)
  weights[0, 0] = (0.2, 0, -0.1)
  weights[1, 1] = (0, 0, 0.2)
  found = pixels(activations.filter_picture(weights))
  assert found[0, 0].tolist() == [64, 128, 255]
  assert found[1, 1].tolist() == [255, 128, 128]
  assert found[0, 1].tolist() == [128, 128, 128]
  empty = pixels(activations.filter_picture(np.zeros((1, 1, 3), np.float32)))
  assert empty.tolist() == [[[128, 128, 128]]]


def test_heights_are_logarithms():
  assert activations.heights(np.array([0, 1, 3])) == [0, 0.5, 1]
