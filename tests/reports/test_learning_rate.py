"""fcn_jax.reports.learning_rate: a page, an SVG and a PNG of one curve."""

import browser
import numpy as np
import pytest
from PIL import Image

from fcn_jax.files import DataError
from fcn_jax.reports import learning_rate
from fcn_jax.reports.learning_rate import Preview

STEPS = Preview("step", np.array([1.0] * 6 + [0.01] * 4, np.float32), 5)
CURVE = Preview("poly", np.linspace(1, 0.1, 40, dtype=np.float32), None)


def points(preview: Preview) -> list:
  """What the curve of a chart goes through."""
  (line,) = learning_rate.chart(preview).figure.axes[0].lines
  return np.column_stack(line.get_data()).tolist()


def test_steps_are_upright():
  axes = learning_rate.chart(STEPS).figure.axes[0]
  assert points(STEPS) == [
    [0, 1],
    [5, 1],
    [6, pytest.approx(0.01)],
    [9, pytest.approx(0.01)],
  ]
  assert axes.get_yscale() == "log"


def test_a_curve_begins_at_zero():
  axes = learning_rate.chart(CURVE).figure.axes[0]
  assert len(points(CURVE)) == 40
  assert axes.get_ylim() == pytest.approx((0, 1.05))


def test_the_page(open_page, tmp_path):
  path = learning_rate.write_learning_rate(tmp_path / "r.html", STEPS, "<toy>")
  page = open_page(path, browser.PHONE, dark=True)
  assert page.locator("h1").inner_text() == "Learning rate of <toy>"
  rows = page.locator("tbody tr").all_inner_texts()
  assert [row.split() for row in rows] == [
    ["0", "0", "1"],
    ["6", "1.2", "0.01"],
  ]
  assert page.locator(".chart [role=img]").get_attribute("aria-label") == (
    "Learning rate over 10 steps, policy step: from 1 to 0.01"
  )
  assert not browser.scrolls_sideways(page)


def test_without_epochs_there_is_no_column_of_them(open_page, tmp_path):
  path = learning_rate.write_learning_rate(tmp_path / "r.html", CURVE, "toy")
  page = open_page(path)
  assert page.locator("thead th").all_inner_texts() == ["Step", "Rate"]
  assert page.locator("tbody tr").count() == 11


def test_pictures(open_page, tmp_path):
  svg = learning_rate.write_learning_rate(tmp_path / "r.svg", STEPS, "toy")
  assert open_page(svg).get_by_text("learning rate").count() == 1
  png = learning_rate.write_learning_rate(tmp_path / "r.png", STEPS, "toy")
  with Image.open(png) as image:
    assert image.size == (960, 480)  # 6.4 x 3.2 inches of 150 dots


def test_another_ending_is_refused(tmp_path):
  with pytest.raises(DataError, match=r"\.html, \.svg, \.png"):
    learning_rate.claim(tmp_path / "rate.gif")
