"""The page of a data set, driven in Chromium and held against its arrays."""

import dataclasses
import itertools

import browser
import numpy as np
import pytest
from made_up_dataset import NAMES, MadeUpDataset, made_up_label

from fcn_jax.data.findings import Finding
from fcn_jax.data.inspection import inspect_prepared
from fcn_jax.data.statistics import count_split
from fcn_jax.reports import thumbnails
from fcn_jax.reports.dataset import write_dataset

PER_PAGE = 48
NUMBERS = {f"pic{n}": n for n in (*range(53), *range(100, 104))}
LABELS = {name: made_up_label(number) for name, number in NUMBERS.items()}


def share(name: str, label: int) -> float:
  return float((LABELS[name] == label).mean())


@pytest.fixture(scope="module")
def made():
  """The data set and all that is counted on it."""
  dataset = MadeUpDataset()
  pairs, facts, findings = inspect_prepared(dataset, ("train", "val"))
  statistics = {
    split: count_split(pairs[split], facts, dataset.class_names)
    for split in pairs
  }
  findings = [
    *findings,
    *(
      Finding("odd <thing>", f"train/pic{n}", f"like train/pic{n + 1}", "look")
      for n in (5, 7)
    ),
  ]
  return dataset, pairs, statistics, findings


def write(path, made, **changes):
  dataset, pairs, statistics, findings = made
  small = thumbnails.make(
    list(itertools.chain(*pairs.values())), changes.get("most_bytes", 10**7)
  )
  return write_dataset(path, dataset, pairs, statistics, findings, small)


@pytest.fixture(scope="module")
def path(made, tmp_path_factory):
  return write(tmp_path_factory.mktemp("page") / "page.html", made)


@pytest.fixture
def show(path, open_page):
  def show(*args, **kwargs):
    opened = open_page(path, *args, **kwargs)
    opened.wait_for_selector(".gallery canvas[data-painted]")
    return opened

  return show


def names(opened) -> list[str]:
  return opened.eval_on_selector_all(
    ".gallery li", "items => items.map(item => item.dataset.name)"
  )


def choose(opened, **values) -> list[str]:
  """Sets parts of the form; the names of the images that are then shown."""
  for name, value in values.items():
    field = opened.locator(f".choice [name={name}]")
    if isinstance(value, bool):
      field.set_checked(value)
    elif name == "name":
      field.fill(value)
    else:
      field.select_option(value)
  return names(opened)


def told(opened) -> str:
  return opened.locator(".shown").inner_text()


def test_tables_hold_the_counted_figures(show, made):
  _, _, statistics, _ = made
  opened = show()
  rows = opened.locator(".classes tbody tr")
  assert rows.count() == len(NAMES) + 1
  for row, label in enumerate((*range(len(NAMES)), 255)):
    cells = rows.nth(row).locator("td").all_inner_texts()
    expected = []
    for one in statistics.values():
      weight = np.nan if label == 255 else one.weights[label]
      expected += [
        f"{one.pixels[label]:,}",
        f"{100 * one.share_of_pixels[label]:.2f} %",
        str(one.images[label]),
        f"{100 * one.share_of_images[label]:.1f} %",
        "–" if np.isnan(weight) else f"{weight:.3f}",
      ]
    assert cells == expected
  head = rows.nth(1).locator("th").inner_text()
  assert head.split() == ["1", "cat", "&", "<dog>"]
  canvases = opened.locator(".canvases").first.locator("tbody tr")
  assert canvases.count() == 3
  # Heights 12, 13 and 14 in turn, all 20 wide.
  assert canvases.nth(2).inner_text().split("\t")[0].strip() == "3"
  assert "0.00 %" in canvases.nth(2).inner_text()
  assert "20 × 12 (18), 20 × 13 (18), 20 × 14 (17)" in (
    canvases.nth(2).inner_text()
  )
  one = 1 - sum(12 + n % 3 for n in range(53)) / (53 * 14)
  assert f"{100 * one:.2f} %" in canvases.nth(0).inner_text()
  assert opened.locator("h1").inner_text() == "Data set made <up>"


def test_paging_by_keyboard(show):
  opened = show()
  assert names(opened) == list(NUMBERS)[:PER_PAGE]
  assert told(opened) == "1 to 48 of 57 images"
  following = opened.locator(".pages .next").first
  assert opened.locator(".pages .previous").first.is_disabled()
  following.focus()
  opened.keyboard.press("Enter")
  assert names(opened) == list(NUMBERS)[PER_PAGE:]
  assert told(opened) == "49 to 57 of 57 images"
  assert following.is_disabled()
  # The button that is disabled now does not swallow the focus.
  assert opened.evaluate("document.activeElement.className") == "page"
  opened.get_by_label("Page", exact=True).fill("1")
  opened.keyboard.press("Tab")
  assert names(opened)[0] == "pic0"
  opened.get_by_label("Page", exact=True).fill("99")
  opened.keyboard.press("Tab")
  assert told(opened) == "49 to 57 of 57 images"


def test_filters(show):
  opened = show()
  with_tree = [name for name in NUMBERS if share(name, 2)]
  assert choose(opened, **{"class": "2"}) == with_tree
  assert told(opened) == f"1 to {len(with_tree)} of {len(with_tree)} images"
  option = opened.locator("[name=class] option[value='2']")
  assert option.inner_text() == f"2 tree ({len(with_tree)})"
  of_val = [name for name in with_tree if NUMBERS[name] >= 100]
  assert choose(opened, split="val") == of_val
  assert choose(opened, split="", name="PIC4") == [
    name for name in with_tree if name.startswith("pic4")
  ]
  assert choose(opened, name="", **{"class": "3"}) == []
  assert told(opened) == "No image is like that."
  void = [name for name in NUMBERS if share(name, 255)]
  assert choose(opened, **{"class": "255"}) == void[:PER_PAGE]
  assert choose(opened, found=True, **{"class": ""}) == ["pic5", "pic7"]


def ordered(key, chosen=NUMBERS) -> list[str]:
  """Largest first, in the order of the splits where they are equal."""
  return sorted(chosen, key=key, reverse=True)


def test_sorting(show):
  opened = show()
  assert (
    choose(opened, sort="void") == (ordered(lambda n: share(n, 255))[:PER_PAGE])
  )
  first = opened.locator(".gallery .facts").first.inner_text()
  assert first.startswith("3.3 % void, train, 20 × 12")
  assert (
    choose(opened, sort="size")
    == (ordered(lambda n: LABELS[n].size)[:PER_PAGE])
  )
  assert (
    choose(opened, sort="number")
    == (ordered(lambda n: len(set(LABELS[n].flat) - {255}))[:PER_PAGE])
  )
  share_option = opened.locator("[name=sort] option[value=share]")
  assert share_option.is_disabled()
  some = [name for name in NUMBERS if share(name, 1)]
  expected = ordered(lambda n: share(n, 1), some)
  assert choose(opened, sort="order", **{"class": "1"}) == some[:PER_PAGE]
  assert choose(opened, sort="share") == expected[:PER_PAGE]
  largest = 100 * share(expected[0], 1)
  assert opened.locator(".gallery .facts").first.inner_text() == (
    f"{largest:.1f} %, train, 20 × 12"
  )
  assert choose(opened, reverse=True) == expected[::-1][:PER_PAGE]
  # Without a class there is no share of it to sort by.
  assert choose(opened, reverse=False, **{"class": ""})[0] == "pic0"
  assert opened.locator("[name=sort]").input_value() == "order"
  # As people count: pic2 before pic10.
  assert choose(opened, sort="name", split="train")[:3] == (
    ["pic0", "pic1", "pic2"]
  )
  assert choose(opened, reverse=True)[:2] == ["pic52", "pic51"]


def picture(opened, name):
  return opened.locator(f".gallery [data-name={name}] .picture")


@pytest.mark.parametrize("dark", [False, True])
def test_the_class_under_the_cursor(show, dark):
  opened = show(dark=dark)
  for name, (row, column), text in (
    ("pic8", (0, 3), "cat & <dog> (1)"),
    ("pic8", (5, 19), "background (0)"),
    ("pic8", (13, 2), "void (255)"),
    ("pic8", (10, 10), "tree (2)"),
  ):
    label = LABELS[name]
    place = picture(opened, name)
    place.scroll_into_view_if_needed()
    opened.wait_for_selector(f"[data-name={name}] canvas[data-painted]")
    box = place.bounding_box()
    opened.mouse.move(
      box["x"] + (column + 0.5) / label.shape[1] * box["width"],
      box["y"] + (row + 0.5) / label.shape[0] * box["height"],
    )
    under = opened.locator(f"[data-name={name}] .under")
    assert under.inner_text().strip() == text
    assert f"({label[row, column]})" in text
  opened.mouse.move(0, 0)
  assert under.inner_text() == ""


def canvas(opened, name):
  return browser.pixels(opened, f"[data-name={name}] canvas").astype(int)


def seen(pixels):
  """Colours times alpha, which is all that a browser keeps exactly."""
  return pixels[..., :3] * pixels[..., 3:] / 255


def test_overlay_labels_and_image(show, made):
  opened = show()
  palette = made[0].palette.astype(int)
  label = LABELS["pic8"]
  opened.wait_for_selector("[data-name=pic8] canvas[data-painted]")
  rows, columns = np.indices(label.shape)
  stripes = np.where((rows + columns) // 4 % 2, 200, 96)
  colors = palette[label]
  colors[label == 255] = stripes[label == 255][:, None]

  def check(alpha):
    found = canvas(opened, "pic8")
    np.testing.assert_array_equal(found[..., 3], alpha)
    np.testing.assert_allclose(
      seen(found), colors * alpha[..., None] / 255, atol=1
    )

  check(np.where(label == 0, 0, 153))  # 60 % of 255, but background
  opened.get_by_label("Opacity").first.fill("20")
  check(np.where(label == 0, 0, 51))
  opened.get_by_label("Labels", exact=True).check()
  check(np.full(label.shape, 255))
  assert opened.get_by_label("Opacity").first.is_disabled()
  opened.get_by_label("Image", exact=True).check()
  check(np.zeros(label.shape, int))


def test_an_image_opened_by_keyboard(show):
  opened = show()
  choose(opened, **{"class": "2"})
  with_tree = [name for name in NUMBERS if share(name, 2)]
  opened.locator(".gallery button").first.focus()
  opened.keyboard.press("Tab")
  opened.keyboard.press("Enter")
  dialog = opened.locator("dialog")
  opened.wait_for_selector("#opened-viewer[data-painted]")
  assert dialog.locator("h2").inner_text() == with_tree[1]
  assert "20 × 13 pixels" in dialog.locator(".about").inner_text()
  shares = dialog.locator(".legend li").all_inner_texts()
  label = LABELS[with_tree[1]]
  ids = sorted(set(label.flat), key=lambda i: (i == 255, -(label == i).mean()))
  assert [line.split()[0] for line in shares] == [str(i) for i in ids]
  assert shares[0].endswith(f"{100 * (label == ids[0]).mean():.1f} %")
  # The viewer of all pages, on this image.
  dialog.locator(".stage").focus()
  opened.keyboard.press("ArrowUp")
  row, column = label.shape[0] // 2 - 1, label.shape[1] // 2
  assert f"Column {column}, row {row}" in (
    dialog.locator(".readout").inner_text()
  )
  assert f"({label[row, column]})" in dialog.locator(".readout").inner_text()
  dialog.get_by_label("Next image").focus()
  opened.keyboard.press("Enter")
  assert dialog.locator("h2").inner_text() == with_tree[2]
  opened.wait_for_selector("#opened-viewer[data-painted]")
  dialog.get_by_label("Previous image").click()
  dialog.get_by_label("Previous image").click()
  assert dialog.locator("h2").inner_text() == with_tree[0]
  assert dialog.get_by_label("Previous image").is_disabled()
  opened.keyboard.press("Escape")
  assert not dialog.is_visible()
  number = list(NUMBERS).index(with_tree[0])
  # Not wait_for_function: the page's policy forbids it to ask a second time.
  opened.locator(f"[data-image='{number}']:focus").wait_for()


def test_a_page_follows_the_dialog(show):
  opened = show()
  opened.locator(".gallery button").nth(PER_PAGE - 1).click()
  opened.get_by_label("Next image").click()
  opened.get_by_text("Close", exact=True).click()
  opened.wait_for_selector("[data-name=pic48]")
  assert names(opened)[0] == "pic48"


def test_findings_lead_to_their_images(show):
  opened = show()
  group = opened.locator(".finding").first
  assert group.locator("summary").inner_text() == "Error: odd <thing> (2)"
  assert (
    "2 errors, 1 warning" in opened.locator("#findings p").first.inner_text()
  )
  shown = group.get_by_role("button").all_inner_texts()
  assert shown == [f"Show train/pic{n}" for n in (5, 6, 7, 8)]
  group.get_by_role("button").nth(1).click()
  assert opened.locator("dialog h2").inner_text() == "pic6"
  opened.keyboard.press("Escape")
  group.get_by_role("button").nth(0).click()
  assert opened.locator(".about-findings li").all_inner_texts() == (
    ["odd <thing>: like train/pic6"]
  )


@pytest.mark.parametrize("size", [browser.LAPTOP, browser.PHONE])
def test_nothing_is_wider_than_the_window(show, size):
  opened = show(size, touch=size == browser.PHONE)
  assert not browser.scrolls_sideways(opened)
  opened.locator(".gallery button").first.click()
  opened.wait_for_selector("#opened-viewer[data-painted]")
  assert not browser.scrolls_sideways(opened)
  box = opened.locator("dialog").bounding_box()
  assert box["x"] >= 0
  assert box["x"] + box["width"] <= size[0]
  inside = opened.evaluate(
    "(d => d.scrollWidth <= d.clientWidth)(document.querySelector('dialog'))"
  )
  assert inside


def test_a_sample_is_said_to_be_one(made, tmp_path, open_page):
  path = write(tmp_path / "few.html", made, most_bytes=30_000)
  opened = open_page(path)
  opened.wait_for_selector(".gallery canvas[data-painted]")
  shown = len(names(opened))
  assert 5 < shown < PER_PAGE
  text = opened.locator(".sample").inner_text()
  assert text.startswith(f"Shown are {shown} of the 57 images")
  # Figures are of all of them.
  assert "53" in opened.locator(".key-figures").inner_text()
  assert opened.locator("[name=class] option[value='255']").inner_text() == (
    f"255 void ({sum(share(name, 255) > 0 for name in NUMBERS)})"
  )


def test_one_size_needs_no_chart_and_errors_are_told(made, tmp_path, open_page):
  dataset, pairs, statistics, findings = made
  same = [0, 3, 6]
  one = dataclasses.replace(
    statistics["train"],
    image_ids=tuple(f"pic{n}" for n in same),
    sizes=statistics["train"].sizes[same],
    counts=statistics["train"].counts[same],
  )
  chosen = [pairs["train"][n] for n in same]
  path = write_dataset(
    tmp_path / "one.html",
    dataset,
    {"train": chosen},
    {"train": one},
    findings,
    thumbnails.make(chosen, 10**6),
    left_out=54,
  )
  opened = open_page(path)
  assert opened.locator("#sizes svg").count() == 0
  assert "54 of them, are in none" in opened.locator(".left-out").inner_text()
  assert "All of 20 × 12." in opened.locator("#sizes").inner_text()
