"""The page of predictions in Chromium, against the arrays it was made of."""

import dataclasses
import pathlib
import re

import browser
import jax.numpy as jnp
import numpy as np
import painted
import pytest

from fcn_jax.evaluation import metrics
from fcn_jax.evaluation.errors import rank
from fcn_jax.evaluation.per_image import PerImage
from fcn_jax.files import DataError
from fcn_jax.prediction.files import Segmented
from fcn_jax.prediction.inputs import ImageFile
from fcn_jax.prediction.result import Result
from fcn_jax.reports.predictions import PredictionsReport

NAMES = ("background", "cat <&>", "dog")
PALETTE = np.zeros((256, 3), np.uint8)
PALETTE[1], PALETTE[2] = (128, 0, 0), (0, 128, 0)
COLORS = {1: (128, 0, 0), 2: (0, 128, 0)}
SIZE = (18, 24)
FILES = [
  ImageFile(f"a/{i}", pathlib.Path(f"/photos/a/{i}.jpg")) for i in range(5)
]


def seen(number: int, labelled: bool = True) -> Segmented:
  """Image `number`: stripes of classes, and labels the less like them."""
  rng = np.random.default_rng(number)
  prediction = np.repeat(np.arange(24, dtype=np.uint8)[None] // 6 % 3, 18, 0)
  prediction[:6] = 0
  scores = rng.random((*SIZE, 3), np.float32)
  rows, columns = np.indices(SIZE)
  scores[rows, columns, prediction] += 1
  probabilities = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
  order = np.argsort(-scores, -1, kind="stable").astype(np.uint8)
  label = confusion = None
  if labelled:
    label = prediction.copy()
    # Of images 0 to 3 a growing part is wrong; image 4 is void alone.
    label[rng.random(SIZE) < (0.05, 0.5, 0.2, 0.8, 0)[number]] = 2
    label[:, -2:] = 255
    if number == 4:
      label[:] = 255
    confusion = np.asarray(
      metrics.confusion(
        jnp.asarray(label[None]), jnp.asarray(prediction[None]), 3
      )
    )[0]
  result = Result(
    rng.integers(0, 256, (*SIZE, 3), np.uint8),
    prediction,
    NAMES,
    PALETTE,
    lambda: probabilities,
  )
  return Segmented(
    FILES[number],
    result,
    order,
    np.take_along_axis(probabilities, order.astype(int), -1),
    label,
    confusion,
  )


def make(path, order, *, labelled=True, failed=None, number=50):
  report = PredictionsReport(
    path,
    FILES,
    checkpoint="runs/x, step 7",
    class_names=NAMES,
    palette=PALETTE,
    label_of=(lambda file: seen(int(file.id[2:])).label) if labelled else None,
    number=number,
  )
  for i in order:
    report.see(seen(i, labelled))
  return report.write(failed or {})


@pytest.fixture(scope="module")
def labelled_page(tmp_path_factory):
  return make(tmp_path_factory.mktemp("page") / "page.html", [2, 4, 0, 3, 1])


def open_first(open_page, path, **options):
  opened = open_page(path, **options)
  opened.locator(".viewer").first.scroll_into_view_if_needed()
  opened.wait_for_selector("#viewer-1[data-painted]")
  return opened


def test_the_worst_come_first_with_their_own_scores(labelled_page, open_page):
  opened = open_page(labelled_page)
  all_seen = [seen(i) for i in range(5)]
  confusions = np.stack([one.confusion for one in all_seen])
  worst = rank(PerImage.of(confusions)).worst("mean_iu", 5)
  assert worst == [3, 1, 2, 0]  # without the one that is void alone
  names = opened.locator("h3").all_inner_texts()
  assert names == ["a/3", "a/1", "a/2", "a/0", "a/4"]
  rows = opened.locator("tbody tr").all_inner_texts()
  for row, i in zip(rows, worst, strict=False):
    scores = metrics.figures(metrics.Counts(confusions[i]))
    wrong = confusions[i].sum() - np.trace(confusions[i])
    assert row.split() == [
      f"a/{i}",
      f"{scores['mean_iu']:.4f}",
      f"{scores['pixel_accuracy']:.4f}",
      str(wrong),
    ]
  assert rows[-1].split() == ["a/4", "–", "–", "0"]
  opened.get_by_role("link", name="a/2").click()
  assert opened.url.endswith("#image-3")


def test_figures_are_those_of_all_pixels(labelled_page, open_page):
  opened = open_page(labelled_page)
  histogram = sum(seen(i).confusion for i in range(5))
  scores = metrics.figures(metrics.Counts(histogram))
  baseline = metrics.figures(metrics.majority_counts(histogram))
  figures = " ".join(opened.inner_text(".key-figures").split())
  assert figures == (
    f"Images 5 Mean IoU {scores['mean_iu']:.4f} "
    f"only dog: {baseline['mean_iu']:.4f} "
    f"Pixel accuracy {scores['pixel_accuracy']:.4f} "
    f"only dog: {baseline['pixel_accuracy']:.4f}"
  )
  # 24 columns of 18 rows: 6 of class 1, 6 of class 2, without 6 rows.
  found = " ".join(opened.locator(".legend:not(.buttons)").inner_text().split())
  assert found == "0 background 66.7 % 1 cat <&> 16.7 % 2 dog 16.7 %"


def test_sliders_hiding_and_layers_paint_what_numpy_computes(
  labelled_page, open_page
):
  opened = open_first(open_page, labelled_page)
  one = seen(3)
  first = opened.locator("#viewer-1")
  ids = one.result.labels
  painted.check(opened, painted.painted(ids, COLORS))
  first.get_by_label("Opacity").fill("35")
  first.get_by_label("Outline").fill("2")
  expected = painted.painted(ids, COLORS, opacity=35, outline=2)
  painted.check(opened, expected)
  first.get_by_role("button", name="cat <&>").first.click()
  opened.mouse.move(0, 0)
  expected = painted.painted(ids, COLORS, 35, 2, hidden=[1])
  painted.check(opened, expected)
  assert not browser.pixels(opened)[ids == 1].any()
  first.get_by_role("radio", name="Errors").check()
  kinds = np.where(one.label == ids, 0, np.where(ids == 0, 2, 1))
  kinds = np.where(one.label == 255, 255, kinds)
  assert set(np.unique(kinds)) == {0, 1, 2, 255}
  wrong = {1: (213, 94, 0), 2: (86, 180, 233)}
  painted.check(opened, painted.painted(kinds, wrong, 35, 2))
  first.get_by_role("radio", name="Label").check()
  painted.check(opened, painted.painted(one.label, COLORS, 35, 2))


@pytest.mark.parametrize("dark", [False, True])
def test_what_the_cursor_says_equals_the_arrays(labelled_page, open_page, dark):
  opened = open_first(open_page, labelled_page, dark=dark)
  one = seen(3)
  box = opened.locator("#viewer-1 canvas").bounding_box()
  rng = np.random.default_rng(1)
  for _ in range(6):
    row, column = (int(rng.integers(side)) for side in SIZE)
    opened.mouse.move(
      box["x"] + (column + 0.5) * box["width"] / SIZE[1],
      box["y"] + (row + 0.5) * box["height"] / SIZE[0],
    )
    likely = ", ".join(
      f"{NAMES[i]} ({i}) {round(100 * float(p))} %"
      for i, p in zip(
        one.top_ids[row, column],
        one.top_probabilities[row, column],
        strict=True,
      )
    )
    prediction, label = one.result.labels[row, column], one.label[row, column]
    error = "right" if prediction == label else "wrong"
    if prediction != label and prediction == 0:
      error = "missed"
    if label == 255:
      error = "void"
    found = opened.locator("#viewer-1 .readout span").all_inner_texts()
    assert [line.replace("\u00a0", " ") for line in found] == [
      f"Column {column}, row {row}",
      f"Prediction: {NAMES[prediction]} ({prediction})",
      f"Label: {'void' if label == 255 else NAMES[label]} ({label})",
      f"Errors: {error}",
      f"Most likely: {likely}",
    ]


def test_only_the_worst_are_kept_and_the_page_says_so(tmp_path, open_page):
  path = make(tmp_path / "page.html", [0, 1, 2, 3, 4], number=2)
  opened = open_page(path, browser.PHONE)
  assert opened.locator("h3").all_inner_texts() == ["a/3", "a/1"]
  text = opened.inner_text("main")
  assert "Shown: the worst 2 of 5 images. Left out: 3;" in text
  assert not browser.scrolls_sideways(opened)


def test_classes_without_a_pixel_are_not_among_the_predicted(tmp_path):
  report = PredictionsReport(
    tmp_path / "page.html",
    FILES,
    checkpoint="runs/x, step 7",
    class_names=NAMES,
    palette=PALETTE,
  )
  one = seen(0, labelled=False)
  labels = np.full(SIZE, 2, np.uint8)
  labels[:9, :12] = 1  # a quarter
  result = dataclasses.replace(one.result, labels=labels)
  report.see(dataclasses.replace(one, result=result))
  text = report.write({}).read_text()
  predicted = text.split("Classes that were predicted")[1].split("</ul>")[0]
  assert ">background<" not in predicted
  assert re.findall(r"[\d.]+ %", predicted) == ["75.0 %", "25.0 %"]


def test_without_labels_the_first_are_shown_in_their_order(tmp_path, open_page):
  path = make(
    tmp_path / "page.html",
    [4, 2, 0, 1, 3],
    labelled=False,
    number=3,
    failed={"/photos/b.jpg": "/photos/b.jpg: not an <image>"},
  )
  opened = open_first(open_page, path)
  assert opened.locator("h3").all_inner_texts() == ["a/0", "a/1", "a/2"]
  text = opened.inner_text("main")
  assert "Shown: the first 3 of 5 images. Left out: 2;" in text
  assert "/photos/b.jpg: not an <image>" in text
  assert "Mean IoU" not in text
  assert opened.get_by_role("radio").count() == 0
  painted.check(opened, painted.painted(seen(0).result.labels, COLORS))


def test_no_more_images_are_held_than_are_shown(tmp_path):
  report = PredictionsReport(
    tmp_path / "page.html",
    FILES,
    checkpoint="x",
    class_names=NAMES,
    palette=PALETTE,
    label_of=lambda file: None,
    number=1,
  )
  for i in (0, 1, 3, 2):
    report.see(seen(i))
    assert len(report._shown) == 1
  report.write({})
  text = (tmp_path / "page.html").read_text()
  assert "a/3" in text
  assert "a/0" not in text


def test_a_page_without_any_image(tmp_path, open_page):
  path = make(tmp_path / "page.html", [], failed={"a": "a: broken"})
  assert "a: broken" in open_page(path).inner_text("main")


def test_the_path_is_refused_before_anything_is_predicted(tmp_path):
  with pytest.raises(DataError, match=r"ends in \.html"):
    make(tmp_path / "page.txt", [])


def test_the_page_asks_for_nothing_from_elsewhere(labelled_page):
  text = labelled_page.read_text()
  assert "http" not in text.replace("http-equiv", "")
