"""Pages are whole, escaped, strict and need nothing else."""

import base64
import io
import tomllib

import browser
import jinja2
import numpy as np
import pytest
from PIL import Image
from places import ROOT

from fcn_jax import text
from fcn_jax.data.pictures import Entry
from fcn_jax.files import DataError
from fcn_jax.reports import page
from fcn_jax.reports.page import write_png, write_svg

TEMPLATE = """
{% extends "page.html.j2" %}
{% from "macros/figures.html.j2" import key_figures, picture %}
{% from "macros/tables.html.j2" import table %}
{% from "macros/classes.html.j2" import legend %}
{% block title %}Scores of {{ name }}{% endblock %}
{% block content %}
{{ key_figures([("Mean IU", 0.48123 | score, (1449 | count) ~ " images")]) }}
<p id="{{ unique('p') }}">a</p><p id="{{ unique('p') }}">b</p>
{{ table("By class", columns, rows) }}
{{ legend(entries) }}
{{ picture(photo, "Noise") }}
{% endblock %}
"""


@pytest.fixture
def template(tmp_path, monkeypatch):
  folder = tmp_path / "templates"
  folder.mkdir()
  monkeypatch.setattr(page, "TEMPLATES", [folder, *page.TEMPLATES])
  return folder / "test.html.j2"


def context(name="a <b>name</b> & more"):
  return {
    "name": name,
    "columns": ["Class", *[f"Number {i}" for i in range(8)]],
    "rows": [[f"class {i}", *[f"{i / 7:.4f}"] * 8] for i in range(3)],
    "entries": [
      Entry(0, "background", None, 0.75),
      Entry(1, "<i>dog</i>", (192, 128, 0), 0.2),
      Entry(255, "void", (1, 2, 3), 0.05),
    ],
    "photo": page.png(np.eye(40, dtype=np.uint8) * 255),
  }


@pytest.mark.parametrize("size", [browser.LAPTOP, browser.PHONE])
@pytest.mark.parametrize("dark", [False, True])
def test_a_page_in_chromium(template, tmp_path, open_page, size, dark):
  template.write_text(TEMPLATE)
  page.write(tmp_path / "a/b/page.html", "test.html.j2", **context())
  opened = open_page(tmp_path / "a/b/page.html", size, dark)
  assert opened.title() == "Scores of a <b>name</b> & more"
  assert opened.inner_text("h1") == opened.title()
  assert "0.4812 1,449 images" in opened.inner_text("dl")
  legend = " ".join(opened.inner_text(".legend").split())
  assert legend == "0 background 75.0 % 1 <i>dog</i> 20.0 % 255 void 5.0 %"
  swatch = opened.locator(".swatch").nth(1)
  shown = "e => getComputedStyle(e).backgroundColor"
  assert swatch.evaluate(shown) == "rgb(192, 128, 0)"
  paper = [
    int(n)
    for n in opened.evaluate(
      "getComputedStyle(document.body).backgroundColor.match(/\\d+/g)"
    )
  ]
  assert (max(paper) < 64) == dark
  assert not browser.scrolls_sideways(opened)
  box = opened.get_by_role("region", name="By class")
  inner, outer = box.evaluate("e => [e.scrollWidth, e.clientWidth]")
  assert (inner > outer) == (size == browser.PHONE)
  assert opened.locator("p").nth(0).get_attribute("id") == "p-1"
  assert opened.locator("p").nth(1).get_attribute("id") == "p-2"


def test_a_name_that_was_not_given_is_an_error_and_nothing_is_written(
  template, tmp_path
):
  template.write_text(TEMPLATE)
  path = page.write(tmp_path / "page.html", "test.html.j2", **context())
  before = path.read_text()
  template.write_text("{{ name }} {{ other }}")
  with pytest.raises(jinja2.UndefinedError, match="other"):
    page.write(path, "test.html.j2", name="a")
  assert path.read_text() == before
  assert {p.name for p in tmp_path.iterdir()} == {"page.html", "templates"}


def test_a_page_is_replaced_and_equal_the_second_time(template, tmp_path):
  template.write_text(TEMPLATE)
  path = page.write(
    tmp_path / "page.html", "test.html.j2", **context("the first name")
  )
  page.write(path, "test.html.j2", **context())
  first = path.read_bytes()
  page.write(path, "test.html.j2", **context())
  assert path.read_bytes() == first
  assert b"the first name" not in first


def test_nothing_but_a_page_of_ours_is_overwritten(template, tmp_path):
  template.write_text(TEMPLATE)
  path = tmp_path / "page.html"
  path.write_text("<html>mine</html>")
  with pytest.raises(DataError, match="no page that fcn_jax has written"):
    page.write(path, "test.html.j2", **context())
  assert path.read_text() == "<html>mine</html>"
  with pytest.raises(
    DataError, match=r"notes.txt: a page's name ends in \.html"
  ):
    page.claim(tmp_path / "notes.txt")
  (tmp_path / "folder.html").mkdir()
  with pytest.raises(DataError, match="no page that"):
    page.claim(tmp_path / "folder.html")


def test_an_installation_has_all_files_of_the_templates():
  """The globs of pyproject.toml find each of them, and packages are named."""
  project = tomllib.loads((ROOT / "pyproject.toml").read_text())
  named = project["tool"]["setuptools"]
  package = ROOT / "fcn_jax/reports"
  found = {
    path
    for pattern in named["package-data"]["fcn_jax.reports"]
    for path in package.glob(pattern)
    if path.is_file()
  }
  there = {p for p in (package / "templates").rglob("*") if p.is_file()}
  assert found == there
  assert {"page.html.j2", "page.css", "viewer.js"} <= {p.name for p in found}
  folders = {path.parent for path in (ROOT / "fcn_jax").rglob("*.py")}
  assert all((folder / "__init__.py").is_file() for folder in folders)
  assert named["packages"]["find"]["include"] == ["fcn_jax*"]


def decoded(uri):
  data = base64.b64decode(uri.partition(",")[2])
  return np.asarray(Image.open(io.BytesIO(data)))


def test_a_png_keeps_every_pixel_and_a_jpeg_is_near():
  rng = np.random.default_rng(0)
  ids = rng.integers(0, 256, (5, 7), np.uint8)
  assert page.png(ids).startswith("data:image/png;base64,")
  np.testing.assert_array_equal(decoded(page.png(ids)), ids)
  photo = np.full((16, 16, 3), (200, 100, 50), np.uint8)
  assert page.jpeg(photo).startswith("data:image/jpeg;base64,")
  assert np.abs(decoded(page.jpeg(photo)).astype(int) - photo).max() <= 3


def test_numbers_as_they_are_written():
  assert text.score(0.48126) == "0.4813"
  assert text.score(float("nan")) == text.score(None) == "–"
  assert text.count(1234567) == "1,234,567"
  assert page.color((192, 128, 0)) == "#c08000"


SVG = (
  '<svg viewBox="0 0 20 10"><rect id="box" width="20" height="10"'
  ' fill="var(--series-1)"/></svg>'
)


def png() -> bytes:
  stream = io.BytesIO()
  Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)).save(
    stream, "PNG"
  )
  return stream.getvalue()


@pytest.mark.parametrize(
  ("dark", "series", "paper"),
  [
    (False, "rgb(0, 114, 178)", "rgb(255, 255, 255)"),
    (True, "rgb(86, 168, 224)", "rgb(22, 24, 27)"),
  ],
)
def test_an_svg_has_the_pages_colours(open_page, tmp_path, dark, series, paper):
  """#0072b2 and #56a8e0, on white and on #16181b, of templates/page.css."""
  path = write_svg(tmp_path / "a" / "box.svg", SVG)
  page = open_page(path, dark=dark)
  style = "selector => getComputedStyle(document.querySelector(selector))"
  assert page.evaluate(f"({style})('#box').fill") == series
  assert page.evaluate(f"({style})('svg').backgroundColor") == paper


def test_a_png_keeps_its_pixels(tmp_path):
  path = write_png(tmp_path / "a.png", png())
  with Image.open(path) as image:
    assert np.asarray(image).tolist() == np.arange(12).reshape(3, 4).tolist()


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_ours_is_replaced_and_others_are_not(tmp_path, suffix):
  path = tmp_path / f"picture.{suffix}"

  def write():
    if suffix == "svg":
      return write_svg(path, SVG)
    return write_png(path, png())

  for _ in range(2):
    assert write() == path
  path.write_bytes(SVG.encode() if suffix == "svg" else png())
  before = path.read_bytes()
  with pytest.raises(DataError, match="no picture that fcn_jax has written"):
    write()
  assert path.read_bytes() == before
  assert [p.name for p in tmp_path.iterdir()] == [path.name]
