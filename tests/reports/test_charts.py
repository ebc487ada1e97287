"""Charts say their numbers, follow the page's colours, and repeat exactly."""

import io
import re
import xml.etree.ElementTree

import numpy as np
import pytest
from PIL import Image

from fcn_jax.reports import charts, page


def two_curves(**options):
  x = np.arange(4)
  return charts.curves(
    [
      charts.Series("train & <val>", x, np.array([4.0, 2, 1, np.nan])),
      charts.Series("costs $1_2$", x, np.array([3.0, 2, 2, 1])),
    ],
    "step",
    "loss per pixel",
    **options,
  )


ALL = {
  "curves": lambda: two_curves(baseline=("ln 21", 3.0445)),
  "bars": lambda: charts.bars(
    ["cat", "dog", "\u732b"],
    [0.5, 0.25, np.nan],
    "IU",
    baseline=("mean", 0.375),
  ),
  "histogram": lambda: charts.histogram(
    np.array([0.0, 1, 2, 4]), np.array([3, 5, 2]), "objects", "images"
  ),
}


def tree(chart, prefix="a"):
  return xml.etree.ElementTree.fromstring(chart.svg(prefix))


def texts(chart):
  found = tree(chart).iter("{http://www.w3.org/2000/svg}text")
  return ["".join(text.itertext()).strip() for text in found]


def test_text_is_text():
  found = texts(two_curves(baseline=("ln 21", 3.0445)))
  for text in (
    "step",
    "loss per pixel",
    "train & <val>",
    "costs $1_2$",
    "ln 21",
  ):
    assert text in found
  found = texts(ALL["bars"]())
  assert {"cat", "dog", "\u732b", "0.5", "0.25", "none", "mean"} <= set(found)
  assert {"objects", "images"} <= set(texts(ALL["histogram"]()))


@pytest.mark.parametrize("name", ALL)
def test_no_colour_but_the_page_s_own(name):
  svg = ALL[name]().svg("a")
  assert "currentColor" in svg
  assert "var(--series-1" in svg
  left = re.sub(r"var\(--series-\d, #\w{6}\)", "", svg)
  assert set(re.findall(r"#[0-9a-f]{6}\b", left)) <= {"#ffffff"}
  assert "DejaVu" not in svg


@pytest.mark.parametrize("name", ALL)
def test_ids_are_the_prefix_s_and_are_there(name):
  svg = ALL[name]().svg("chart-7")
  ids = re.findall(r'\bid="([^"]*)"', svg)
  assert len(set(ids)) == len(ids)
  assert all(i.startswith("chart-7-") for i in ids)
  referred = set(re.findall(r'(?:href="|url\()#([^")]*)', svg))
  assert referred
  assert referred <= set(ids)


@pytest.mark.parametrize("name", ALL)
def test_the_same_figures_give_the_same_text(name):
  assert ALL[name]().svg("a") == ALL[name]().svg("a")
  chart = ALL[name]()
  assert chart.svg("a") == chart.svg("a")


def test_a_curve_passes_through_its_points():
  """y = 4, 2, 1 at even steps: the first falls by twice as much."""
  chart = charts.curves(
    [charts.Series("a", np.arange(3), np.array([4.0, 2, 1]))], "step", "loss"
  )
  path = next(
    e.get("d")
    for e in tree(chart).iter("{http://www.w3.org/2000/svg}path")
    if "--series-1" in (e.get("style") or "")
    and "L" in e.get("d", "")
    and e.get("clip-path")
  )
  points = np.array(re.findall(r"-?[\d.]+", path), float).reshape(-1, 2)
  (x0, y0), (x1, y1), (x2, y2) = points
  assert x1 - x0 == pytest.approx(x2 - x1, abs=1e-3)
  assert y1 - y0 == pytest.approx(2 * (y2 - y1), abs=1e-3)
  assert y1 > y0  # SVG counts from the top


def test_curves_differ_in_line_and_marker():
  axes = two_curves().figure.axes[0]
  first, second = axes.get_lines()
  assert first.get_linestyle() != second.get_linestyle()
  assert first.get_marker() != second.get_marker()


def test_bars_have_their_lengths():
  axes = ALL["bars"]().figure.axes[0]
  assert [bar.get_width() for bar in axes.patches] == [0.5, 0.25, 0]
  tall = ALL["histogram"]().figure.axes[0].patches
  assert [(p.get_x(), p.get_width(), p.get_height()) for p in tall] == [
    (0, 1, 3),
    (1, 1, 5),
    (2, 2, 2),
  ]


def test_whiskers_reach_from_end_to_end():
  """Also where a bar ends beyond its whisker, or there is neither."""
  intervals = np.array([[0.4, 0.75], [0.3, 0.5], [np.nan, np.nan]])
  chart = charts.bars(
    ["cat", "dog", "cow"], [0.5, 0.25, np.nan], "IU", intervals=intervals
  )
  axes = chart.figure.axes[0]
  whiskers = axes.collections[0].get_segments()
  for number, whisker in enumerate(whiskers[:2]):
    expected = [[end, number] for end in intervals[number]]
    np.testing.assert_allclose(whisker, expected)
  # Numbers stand right of whatever reaches further.
  assert [text.xy[0] for text in axes.texts] == [0.75, 0.5, 0]
  assert [text.get_text() for text in axes.texts] == ["0.5", "0.25", "none"]


def test_a_png_is_white_behind():
  with Image.open(io.BytesIO(two_curves().png(dots_per_inch=50))) as image:
    assert image.format == "PNG"
    assert image.size == (320, 160)
    assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


TEMPLATE = """
{% extends "page.html.j2" %}
{% from "macros/figures.html.j2" import chart as drawing %}
{% block title %}Charts{% endblock %}
{% block content %}
{% for chart in charts %}{{ drawing(chart, "A chart", "Of it") }}{% endfor %}
{% endblock %}
"""


@pytest.mark.parametrize("dark", [False, True])
def test_a_chart_in_a_page(tmp_path, open_page, monkeypatch, dark):
  (tmp_path / "charts.html.j2").write_text(TEMPLATE)
  monkeypatch.setattr(page, "TEMPLATES", [tmp_path, *page.TEMPLATES])
  drawn = [two_curves(), two_curves()]
  page.write(tmp_path / "page.html", "charts.html.j2", charts=drawn)
  opened = open_page(tmp_path / "page.html", dark=dark)
  ink = opened.evaluate("getComputedStyle(document.body).color")
  label = opened.get_by_text("loss per pixel").first
  assert label.evaluate("e => getComputedStyle(e).fill") == ink
  assert opened.evaluate(
    "[...document.querySelectorAll('[id]')].map(e => e.id)"
    ".every((id, i, all) => all.indexOf(id) === i)"
  )
  assert opened.get_by_role("img", name="A chart").count() == 2


def test_a_logarithmic_axis_has_plain_numbers():
  """Powers of ten; where there are not two of them, 2 and 5 times as much."""
  x = np.arange(2)
  wide = charts.Series("a", x, np.array([1e-6, 1e-2]))
  found = texts(charts.curves([wide], "step", "rate", log=True))
  assert {"1e-06", "0.0001", "0.01"} <= set(found)
  narrow = charts.Series("a", x, np.array([0.0003, 0.005]))
  found = texts(charts.curves([narrow], "step", "rate", log=True))
  assert {"0.0005", "0.001", "0.002", "0.005"} <= set(found)
  assert not [text for text in found if "$" in text]


def test_sizes_and_the_frames_that_hold_them():
  chart = charts.sizes(
    np.array([[300, 500], [400, 200]]),
    np.array([9, 1]),
    [("wide", (300, 500)), ("tall", (400, 300))],
  )
  (axes,) = chart.figure.axes
  (discs,) = axes.collections
  assert discs.get_offsets().tolist() == [[500, 300], [200, 400]]
  assert discs.get_sizes().tolist() == [900, 16]
  assert [line.get_xydata().tolist() for line in axes.lines] == [
    [[500, 0], [500, 300], [0, 300]],
    [[300, 0], [300, 400], [0, 400]],
  ]
  assert {"wide", "tall", "width, pixels"} <= set(texts(chart))
