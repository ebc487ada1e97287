"""The segmentation viewer: what is packed, and what Chromium makes of it."""

import base64
import zlib

import browser
import numpy as np
import painted
import pytest

from fcn_jax.data.pictures import Entry
from fcn_jax.reports import page, viewer

TEMPLATE = """
{% extends "page.html.j2" %}
{% from "macros/viewer.html.j2" import viewer, script %}
{% block title %}Viewers{% endblock %}
{% block content %}
{% for view in views %}{{ viewer(view) }}{% endfor %}
{% endblock %}
{% block script %}{{ script() }}{% endblock %}
"""
NAMES = ("background", "cat & <dog>", "tree")
RED, GREEN = (200, 0, 0), (0, 160, 80)
COLORS = {1: RED, 2: GREEN}
GREY = np.full((12, 20, 3), 90, np.uint8)


def labels() -> np.ndarray:
  """Background, a block of class 1, class 2 on the right, void below."""
  ids = np.zeros((12, 20), np.uint8)
  ids[2:8, 3:10] = 1
  ids[:, 14:] = 2
  ids[10:] = 255
  return ids


def entries(ids):
  palette = np.zeros((256, 3), np.uint8)
  palette[1], palette[2] = RED, GREEN
  return viewer.entries(ids, NAMES, palette)


def layer(name="Prediction", ids=None):
  ids = labels() if ids is None else ids
  return viewer.Layer(name, ids, entries(ids))


@pytest.fixture
def show(tmp_path, open_page, monkeypatch):
  """show(views, ...) opens a page of viewers, the first one painted."""
  folder = tmp_path / "templates"
  folder.mkdir()
  (folder / "viewers.html.j2").write_text(TEMPLATE)
  monkeypatch.setattr(page, "TEMPLATES", [folder, *page.TEMPLATES])

  def show(*views, **options):
    page.write(tmp_path / "page.html", "viewers.html.j2", views=views)
    opened = open_page(tmp_path / "page.html", **options)
    opened.wait_for_selector("#viewer-1[data-painted]")
    return opened

  return show


def paint(ids, colors=COLORS, **options):
  return painted.painted(ids, colors, **options)


def test_reduced_sizes_and_positions_by_hand():
  assert viewer.shown_size((1500, 2000), 1000) == (750, 1000)
  assert viewer.shown_size((300, 200), 1000) == (300, 200)
  assert viewer.shown_size((1, 5000), 1000) == (1, 1000)
  assert viewer.nearest(5, 2).tolist() == [1, 3]
  assert viewer.nearest(4, 4).tolist() == [0, 1, 2, 3]


def test_a_large_image_is_reduced_image_by_area_labels_by_nearest():
  image = np.zeros((4, 6, 3), np.uint8)
  image[:, ::2] = 200  # pairs of 200 and 0: 100 by area
  ids = np.arange(24, dtype=np.uint8).reshape(4, 6)
  layer = viewer.Layer("a", ids, [Entry(i, str(i), None, 0) for i in range(24)])
  view = viewer.view("x", image, [layer], longest=3)
  assert view.is_reduced
  assert (view.size, view.shown) == ((4, 6), (2, 3))
  shown = zlib.decompress(base64.b64decode(view.layers[0].ids))
  assert list(shown) == [7, 9, 11, 19, 21, 23]
  expected = page.jpeg(np.full((2, 3, 3), 100, np.uint8))
  assert view.photo == expected


def test_entries_by_hand():
  found = entries(labels())
  # 240 pixels: 40 void; class 2 has 6 x 10, class 1 6 x 7, the rest is 98.
  assert [(e.label, e.name, e.color) for e in found] == [
    (0, "background", None),
    (2, "tree", GREEN),
    (1, "cat & <dog>", RED),
    (255, "void", None),
  ]
  assert [e.share * 240 for e in found] == pytest.approx([98, 60, 42, 40])


def test_errors_by_hand():
  label = np.array([[0, 1, 1, 2, 255]], np.uint8)
  prediction = np.array([[0, 1, 0, 1, 1]], np.uint8)
  found = viewer.error_layer(label, prediction, NAMES)
  assert found.ids.tolist() == [[0, 0, 2, 1, 255]]
  assert [(e.label, e.name, e.color, e.share) for e in found.entries] == [
    (0, "right", None, 0.4),
    (1, "wrong", (213, 94, 0), 0.2),
    (2, "missed", (86, 180, 233), 0.2),
    (255, "void", None, 0.2),
  ]


def test_what_does_not_fit_is_refused():
  small = viewer.Layer("Error", np.zeros((3, 5), np.uint8), [])
  with pytest.raises(ValueError, match="layer Error is 5 x 3, the image 20 x"):
    viewer.view("x", GREY, [small])
  nameless = viewer.Layer("P", labels(), entries(labels())[:1])
  with pytest.raises(ValueError, match="layer P has no entry for id 1"):
    viewer.view("x", GREY, [nameless])
  with pytest.raises(ValueError, match="id 3 is no class: there are 3"):
    viewer.entries(
      np.full((1, 1), 3, np.uint8), NAMES, np.zeros((256, 3), "u1")
    )


def test_sliders(show):
  opened = show(viewer.view("x", GREY, [layer()]))
  painted.check(opened, paint(labels()))
  opened.get_by_label("Opacity").fill("25")
  painted.check(opened, paint(labels(), opacity=25))
  opened.get_by_label("Outline").fill("3")
  painted.check(opened, paint(labels(), opacity=25, outline=3))
  opened.get_by_label("Outline").fill("0")
  opened.get_by_label("Opacity").fill("0")
  assert not browser.pixels(opened).any()


def test_a_legend_lights_up_and_hides(show):
  opened = show(viewer.view("x", GREY, [layer()]))
  button = opened.get_by_role("button", name="cat & <dog>")
  assert button.inner_text().split() == ["1", "cat", "&", "<dog>", "17.5", "%"]
  button.hover()
  painted.check(opened, paint(labels(), lit=1))
  button.click()
  assert button.get_attribute("aria-pressed") == "false"
  opened.mouse.move(0, 0)
  painted.check(opened, paint(labels(), hidden=[1]))
  button.focus()
  opened.keyboard.press("Tab")  # on to void, now by keyboard
  painted.check(opened, paint(labels(), hidden=[1], lit=255))
  opened.keyboard.press("Shift+Tab")
  opened.keyboard.press("Enter")
  assert button.get_attribute("aria-pressed") == "true"
  opened.get_by_label("Opacity").focus()
  painted.check(opened, paint(labels()))


def lines(opened):
  found = opened.locator(".readout span").all_inner_texts()
  return [line.replace("\u00a0", " ") for line in found]


def test_the_cursor_by_mouse_touch_and_keyboard(show):
  ids = np.array(labels())
  top = viewer.Top(
    NAMES,
    np.stack([np.minimum(ids, 2), (ids + 1) % 3], -1).astype(np.uint8),
    np.stack([np.full(ids.shape, 80), np.full(ids.shape, 0)], -1).astype("u1"),
  )
  view = viewer.view(
    "x", GREY, [layer(), layer("Label", ids[::-1].copy())], top
  )
  opened = show(view, touch=True)
  box = opened.locator("canvas").bounding_box()

  def middle(column, row):
    return (
      box["x"] + (column + 0.5) * box["width"] / 20,
      box["y"] + (row + 0.5) * box["height"] / 12,
    )

  def said(k, row, column):
    return f"{NAMES[top.ids[row, column, k]]} ({top.ids[row, column, k]})"

  rng = np.random.default_rng(0)
  for _ in range(8):
    row, column = rng.integers(12), rng.integers(20)
    opened.mouse.move(*middle(column, row))
    name = (*NAMES, "void")[min(ids[row, column], 3)]
    other = ids[11 - row, column]
    assert lines(opened) == [
      f"Column {column}, row {row}",
      f"Prediction: {name} ({ids[row, column]})",
      f"Label: {(*NAMES, 'void')[min(other, 3)]} ({other})",
      f"Most likely: {said(0, row, column)} 80 %, {said(1, row, column)} < 1 %",
    ]
  opened.mouse.move(0, 0)
  assert lines(opened) == []
  opened.touchscreen.tap(*middle(4, 3))
  assert lines(opened)[:2] == ["Column 4, row 3", "Prediction: cat & <dog> (1)"]
  for key in ("ArrowLeft", "ArrowUp", "ArrowLeft", "Shift+ArrowRight"):
    opened.keyboard.press(key)
  assert lines(opened)[:2] == ["Column 12, row 2", "Prediction: background (0)"]
  for _ in range(2):
    opened.keyboard.press("Shift+ArrowDown")
  assert lines(opened)[:2] == ["Column 12, row 11", "Prediction: void (255)"]


def test_errors_are_told_without_ids(show):
  prediction = np.minimum(labels()[:, ::-1], 2)
  errors = viewer.error_layer(labels(), prediction, NAMES)
  opened = show(viewer.view("x", GREY, [errors]))
  opened.locator(".stage").focus()
  assert lines(opened) == ["Column 10, row 6", "Errors: wrong"]
  painted.check(opened, paint(errors.ids, {1: (213, 94, 0), 2: (86, 180, 233)}))
  button = opened.get_by_role("button", name="missed")
  assert button.inner_text().split()[0] == "missed"


def test_columns_and_rows_are_those_of_the_whole_image(show):
  image = np.zeros((8, 40, 3), np.uint8)
  ids = np.zeros((8, 40), np.uint8)
  ids[3, 31] = 1
  opened = show(viewer.view("x", image, [layer(ids=ids)], longest=8))
  # 8 x 2 pixels are shown; pixel (6, 0) is the image's (32, 2), (6, 1) (32, 6).
  opened.locator(".stage").focus()
  opened.keyboard.press("ArrowRight")
  opened.keyboard.press("ArrowRight")
  assert lines(opened)[0] == "Column 32, row 6"
  assert "Shown with 8 × 2 of 40 × 8 pixels" in opened.inner_text("main")


def test_layers_are_chosen_by_name_and_have_their_own_legend(show):
  flipped = np.ascontiguousarray(labels()[:, ::-1])
  view = viewer.view("x", GREY, [layer(), layer("Label", flipped)])
  opened = show(view)
  opened.get_by_label("Label", exact=True).check()
  painted.check(opened, paint(flipped))
  opened.get_by_role("button", name="tree").click()
  opened.mouse.move(0, 0)
  painted.check(opened, paint(flipped, hidden=[2]))
  opened.get_by_label("Prediction", exact=True).check()
  painted.check(opened, paint(labels()))


def test_a_page_that_is_loaded_again_begins_anew(show):
  flipped = np.ascontiguousarray(labels()[:, ::-1])
  opened = show(viewer.view("x", GREY, [layer(), layer("Label", flipped)]))
  opened.get_by_label("Label", exact=True).check()
  opened.get_by_label("Opacity").fill("30")
  opened.goto("about:blank")
  opened.go_back()  # as browsers do it: with what was chosen
  opened.wait_for_selector("[data-painted]")
  painted.check(opened, paint(labels()))
  assert opened.get_by_label("Prediction", exact=True).is_checked()
  assert opened.locator(".legend").first.is_visible()


def test_of_several_changes_at_once_the_last_one_holds(show):
  """A busy browser tells that a viewer was away, and is here, in one call."""
  opened = show(viewer.view("x", GREY, [layer()]))
  opened.evaluate(
    """() => {
      const old = document.querySelector("section.viewer");
      const fresh = old.cloneNode(true);
      delete fresh.dataset.painted;
      old.replaceWith(fresh);
      const Observer = window.IntersectionObserver;
      window.IntersectionObserver = class {
        constructor(callback) { window.tell = callback; }
        observe() {}
      };
      window.viewers.bring(fresh);
      window.IntersectionObserver = Observer;
    }"""
  )
  told = "(seen) => window.tell(seen.map((s) => ({isIntersecting: s})))"
  opened.evaluate(told, [False, True])
  opened.wait_for_selector("[data-painted]")
  painted.check(opened, paint(labels()))
  opened.evaluate(told, [True, False])
  opened.wait_for_selector("section.viewer:not([data-painted])")


def test_many_viewers_are_apart_and_opened_when_near(show):
  views = [viewer.view(f"image {i}", GREY, [layer()]) for i in range(12)]
  opened = show(*views, size=browser.PHONE)
  last = opened.locator("#viewer-12")
  assert last.get_attribute("data-painted") is None
  last.scroll_into_view_if_needed()
  opened.wait_for_selector("#viewer-12[data-painted]")
  opened.wait_for_selector("#viewer-1:not([data-painted])")
  last.get_by_label("Opacity").fill("100")
  opened.locator("#viewer-1").scroll_into_view_if_needed()
  opened.wait_for_selector("#viewer-1[data-painted]")
  painted.check(opened, paint(labels()))
  assert not browser.scrolls_sideways(opened)
