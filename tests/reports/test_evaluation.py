"""The page of an evaluation in Chromium, against the arrays it is made of."""

import base64
import io

import browser
import numpy as np
import pytest
from made_up_evaluation import NAMES, made_up
from PIL import Image

from fcn_jax.evaluation import metrics
from fcn_jax.evaluation.errors import (
  COLORS,
  MEASURES,
  Kind,
  confusions,
  error_map,
)
from fcn_jax.evaluation.metrics import METRICS
from fcn_jax.reports import evaluation as report
from fcn_jax.reports.evaluation import show_worst

NUMBER = 4  # of the worst images, by each score
DATASET, EVALUATION = made_up()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
  return report.write_evaluation(
    tmp_path_factory.mktemp("page") / "deep/page.html",
    EVALUATION,
    DATASET,
    "train",
    name="runs/<voc>, step 7",
    intervals=EVALUATION.intervals(200, seed=3),
    worst=NUMBER,
  )


def shown_cells(page) -> list[list[str]]:
  """What a reader sees in the confusion matrix."""
  return page.evaluate(
    """() => [...document.querySelectorAll(".confusion tbody tr")].map((row) =>
      [...row.querySelectorAll("td")].map((cell) => cell.innerText.trim()))"""
  )


def table(page, caption: str) -> list[list[str]]:
  """The cells of a table whose caption begins so."""
  return page.evaluate(
    """caption => {
      const found = [...document.querySelectorAll("table")].find((table) =>
        table.caption && table.caption.textContent.startsWith(caption));
      return [...found.tBodies[0].rows].map((row) =>
        [...row.cells].map((cell) => cell.innerText.trim()));
    }""",
    caption,
  )


def test_the_matrix_holds_the_counts_and_the_shares(open_page, path):
  page = open_page(path)
  histogram = EVALUATION.histogram
  assert shown_cells(page) == [[f"{n:,}" for n in row] for row in histogram]
  page.get_by_label("Shares of the label's pixels").check()
  for row, shares in zip(
    shown_cells(page), metrics.row_shares(histogram), strict=True
  ):
    for text, share in zip(row, shares, strict=True):
      if np.isnan(share):
        assert text == "–"
      elif 0 < share < 0.001:
        assert text == "<0.1"
      else:
        assert float(text) == pytest.approx(100 * share, abs=0.0501)
  page.get_by_label("Pixels", exact=True).check()
  assert shown_cells(page)[0][0] == f"{histogram[0, 0]:,}"


def test_cells_are_told_in_words_from_the_keyboard(open_page, path):
  page = open_page(path)
  cells = page.locator(".confusion td")
  told = page.locator(".confusion .told")
  page.get_by_label("Pixels", exact=True).focus()
  page.keyboard.press("Tab")
  page.keyboard.press("ArrowDown")
  page.keyboard.press("ArrowRight")
  histogram, shares = (
    EVALUATION.histogram,
    metrics.row_shares(EVALUATION.histogram),
  )
  assert told.text_content() == (
    f"cat & <dog> predicted rightly: {histogram[1, 1]:,} pixels, "
    f"{100 * shares[1, 1]:.1f} % of all cat & <dog> pixels."
  )
  page.keyboard.press("ArrowRight")
  assert told.text_content() == (
    f"cat & <dog> predicted as tree: {histogram[1, 2]:,} pixels, "
    f"{100 * shares[1, 2]:.1f} % of all cat & <dog> pixels."
  )
  page.keyboard.press("PageDown")
  assert told.text_content().endswith("0 pixels, there are none.")
  page.keyboard.press("ArrowDown")  # there is nothing below
  page.keyboard.press("End")
  assert cells.nth(15).evaluate("cell => cell === document.activeElement")
  # One stop of the Tab key.
  assert page.locator(".confusion td[tabindex='0']").count() == 1
  cells.nth(4).hover()
  assert told.text_content().startswith("cat & <dog> predicted as background")


def test_scores_are_those_of_the_evaluation(open_page, path):
  page = open_page(path)
  figures = EVALUATION.figures()
  intervals = EVALUATION.intervals(200, seed=3)
  rows = table(page, "Over all images")
  assert [row[0] for row in rows][:5] == [
    "Mean IoU",
    "Pixel accuracy",
    "Mean accuracy",
    "Frequency-weighted IoU",
    "DIGITS' accuracy",
  ]
  for row, key in zip(rows, METRICS, strict=True):
    low, high = intervals.scores[key]
    if key == "boundary_iou":  # no bands were counted
      assert row[1:] == ["–"] * 3
      continue
    assert row[1:] == [
      f"{figures[key]:.4f}",
      f"{low:.4f} – {high:.4f}",
      f"{figures['majority_baseline'][key]:.4f}",
    ]
  classes = table(page, "Scores and pixels")
  assert classes[3][1:] == ["–", "–", "–", "0", "0", "0"]
  histogram = EVALUATION.histogram
  for number, row in enumerate(classes[:3]):
    low, high = intervals.class_iu[number]
    images = sum(each[number].any() for each in EVALUATION.confusions)
    assert row[1:] == [
      f"{EVALUATION.counts.class_iu[number]:.4f}",
      f"{low:.4f} – {high:.4f}",
      f"{EVALUATION.counts.class_accuracy[number]:.4f}",
      f"{histogram[number].sum():,}",
      f"{histogram[:, number].sum():,}",
      f"{images}",
    ]
  assert "percentiles of 200 bootstrap resamples" in page.content()
  said = page.locator(".confusions li").first.text_content()
  off = histogram - np.diag(np.diag(histogram))
  label, prediction = np.unravel_index(off.argmax(), off.shape)
  assert said.startswith(
    f"{NAMES[label]} predicted as {NAMES[prediction]}: {off.max():,} pixels"
  )
  assert page.locator(".meanings dd").count() == len(METRICS)


def test_the_worst_images_come_in_the_order_of_the_arrays(open_page, path):
  page = open_page(path)

  def shown():
    headings = page.locator(".worst article:not([hidden]) h3")
    return [text.strip() for text in headings.all_text_contents()]

  def expected(measure):
    order = EVALUATION.ranking.worst(measure, NUMBER)
    return [f"{rank}. id{place}" for rank, place in enumerate(order, 1)]

  assert "id1" in expected("mean_iu")[1]
  assert not any("id1" in text for text in expected("pixel_accuracy"))
  assert shown() == expected("mean_iu")
  page.get_by_label("Pixel accuracy").check()
  assert shown() == expected("pixel_accuracy")
  page.get_by_label("Mean IoU").check()
  assert shown() == expected("mean_iu")
  place = EVALUATION.ranking.worst("mean_iu", 1)[0]
  iu, accuracy = (
    EVALUATION.ranking.scores[measure][place] for measure in MEASURES
  )
  said = page.locator(".worst article p").first.text_content()
  assert said.startswith(f"Mean IoU {iu:.4f}, pixel accuracy {accuracy:.4f}.")
  sides = page.locator(".worst article").first.locator("img[loading]")
  assert [s.get_attribute("alt") for s in sides.all()] == [
    f"{side} of id{place}"
    for side in ("Image", "Label", "Prediction", "Errors")
  ]


def test_a_closer_look_shows_the_errors(open_page, path):
  page = open_page(path)
  place = EVALUATION.ranking.worst("mean_iu", 1)[0]
  article = page.locator(".worst article").first
  article.locator("summary").click()
  article.locator("section.viewer").scroll_into_view_if_needed()
  page.wait_for_selector(".worst article section.viewer[data-painted]")
  canvas = browser.pixels(page, ".worst article canvas")
  label = DATASET.samples[place].label
  right = EVALUATION.predictions[f"id{place}"] == label
  assert (canvas[right & (label != 255)] == 0).all()
  assert (canvas[~right, 3] > 0).all()


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_telephone(open_page, path, dark):
  page = open_page(path, browser.PHONE, dark=dark)
  page.locator("summary").first.click()
  assert not browser.scrolls_sideways(page)


def test_without_intervals_and_without_images(open_page, tmp_path):
  path = report.write_evaluation(
    tmp_path / "page.html", EVALUATION, DATASET, "train", name="net", worst=0
  )
  page = open_page(path)
  assert page.locator(".worst").count() == 0
  assert "interval" not in page.locator("main").text_content()
  assert len(table(page, "Over all images")[0]) == 3


def test_names_are_text(path):
  text = path.read_text()
  assert "<dog>" not in text
  assert "<voc>" not in text


def test_another_score_sorts_the_same_images_anew(open_page, tmp_path):
  path = report.write_evaluation(
    tmp_path / "page.html", EVALUATION, DATASET, "train", name="net", worst=9
  )
  page = open_page(path)
  for name, measure in (
    ("Pixel accuracy", "pixel_accuracy"),
    ("Mean IoU", "mean_iu"),
  ):
    page.get_by_label(name).check()
    found = page.locator(".worst article h3").all_text_contents()
    order = EVALUATION.ranking.worst(measure, 9)
    assert len(order) == 8  # all but the one of void alone
    assert [text.strip() for text in found] == [
      f"{rank}. id{place}" for rank, place in enumerate(order, 1)
    ]


WORST_DATASET, WORST_EVALUATION = made_up()


def decoded(uri: str) -> np.ndarray:
  data = base64.b64decode(uri.partition(",")[2])
  with Image.open(io.BytesIO(data)) as image:
    return np.array(image)


def test_each_image_once_with_its_ranks():
  shown = show_worst(WORST_EVALUATION, WORST_DATASET, "train", 3)
  first, second = (
    WORST_EVALUATION.ranking.worst(measure, 3) for measure in MEASURES
  )
  more = [place for place in second if place not in first]
  assert more  # image 1 is among the worst by mean IoU alone
  places = [*first, *more]
  assert [one.view.name for one in shown] == [f"id{place}" for place in places]
  for place, one in zip(places, shown, strict=True):
    assert one.ranks == {
      measure: order.index(place) + 1
      for measure, order in zip(MEASURES, (first, second), strict=True)
      if place in order
    }
    for measure in MEASURES:
      scores = WORST_EVALUATION.ranking.scores[measure]
      assert one.scores[measure] == scores[place]
    largest = confusions(WORST_EVALUATION.confusions[place], NAMES, 1)[0]
    assert one.mistake == largest


def test_an_image_that_is_all_right_has_no_mistake():
  everything = show_worst(WORST_EVALUATION, WORST_DATASET, "train", 99)
  assert len(everything) == 8  # one is void alone
  assert [one.view.name for one in everything if not one.mistake] == ["id0"]


def test_the_small_pictures():
  one = show_worst(WORST_EVALUATION, WORST_DATASET, "train", 1)[0]
  place = WORST_EVALUATION.image_ids.index(one.view.name)
  image, label = WORST_DATASET.samples[place]
  prediction = WORST_EVALUATION.predictions[one.view.name]
  assert [side.name for side in one.sides] == [
    "Image",
    "Label",
    "Prediction",
    "Errors",
  ]
  assert not one.sides[0].entries
  for side, ids in zip(one.sides[1:3], (label, prediction), strict=True):
    shares = {entry.label: entry.share for entry in side.entries}
    for class_id, share in shares.items():
      assert share == pytest.approx((ids == class_id).mean())
    assert sum(shares.values()) == pytest.approx(1)
  # Colours on average, since JPEG keeps them no better.
  kinds = error_map(label, prediction, (0,))
  grey = image.mean(-1, keepdims=True)
  errors = decoded(one.sides[3].uri)
  assert errors.shape == (*label.shape, 3)
  mixed = 0.35 * grey + 0.65 * COLORS[kinds]
  mixed[kinds == Kind.RIGHT] = grey.repeat(3, -1)[kinds == Kind.RIGHT]
  edge = np.zeros(kinds.shape, bool)
  edge[:, 1:] |= kinds[:, 1:] != kinds[:, :-1]
  edge[1:] |= kinds[1:] != kinds[:-1]
  edge |= np.roll(edge, -1, 0) | np.roll(edge, -1, 1)
  for kind in (Kind.RIGHT, Kind.WRONG):
    inside = (kinds == kind) & ~edge
    np.testing.assert_allclose(
      errors[inside].mean(0), mixed[inside].mean(0), atol=12
    )
