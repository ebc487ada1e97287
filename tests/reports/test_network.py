"""fcn_jax.reports.network: the page in Chromium, against the figures."""

import re
import xml.etree.ElementTree as ElementTree

import browser
import pytest

from fcn_jax import models
from fcn_jax.devices import MemoryLimit
from fcn_jax.models import layers as d
from fcn_jax.models.describe import cells, describe
from fcn_jax.reports import network
from fcn_jax.training import memory
from fcn_jax.training.memory import MemoryNeed

MIB = 2**20
NEEDS = [
  MemoryNeed((375, 500), 2, 200 * MIB, 200 * MIB, 0, MIB, 100 * MIB),
  MemoryNeed((500, 500), 2, 200 * MIB, 200 * MIB, 0, MIB, 623 * MIB),
]


@pytest.fixture(scope="module")
def fcn8s():
  return describe("fcn8s", models.declare("fcn8s", 21), 375, 500)


@pytest.fixture(scope="module")
def path(fcn8s, tmp_path_factory):
  room = MemoryLimit(1000 * MIB, "memory of the device (<X>)", shared=False)
  return network.write_network(
    tmp_path_factory.mktemp("network") / "fcn8s.html",
    fcn8s,
    memory.rows(NEEDS),
    "2 images at a time: 1.00 GiB of 1000 MiB.",
    memory.warning(NEEDS[-1], room),
  )


def table(page, caption: str) -> list[list[str]]:
  """The rows of a table, heading first."""
  return page.evaluate(
    """caption => [...document.querySelectorAll("table")]
      .find(table => table.caption.textContent === caption)
      .querySelectorAll("tr").values()
      .map(row => [...row.cells].map(cell => cell.textContent)).toArray()""",
    caption,
  )


def test_the_table_is_that_of_the_figures(open_page, path, fcn8s):
  rows = table(open_page(path), "Layer by layer")
  assert rows[0][:5] == [
    "Layer",
    "What",
    "Output (h × w × c)",
    "Parameters",
    "FLOPs",
  ]
  assert [tuple(row) for row in rows[1:]] == [cells(row) for row in fcn8s.rows]


def test_offsets_are_derived(open_page, path):
  page = open_page(path)
  assert "5, 9, 31" in page.locator(".key-figures").inner_text()
  sums = page.locator(".sums li").all_inner_texts()
  assert sums[0] == (
    "score_pool4c: 8 (pool5) + 96 (fc6) − 24 (upscore2) = 80 pixels, "
    "16 a cell: 5 cells"
  )
  rows = table(page, "Layers that move or scale")
  assert rows[-1] == ["score", "(0 − (−31)) / 1 = 31", "", "cut to data"]


def test_memory_and_what_would_help(open_page, path):
  """200 + 200 + 1 + 100 and 623 MiB; there are 1000."""
  page = open_page(path)
  rows = table(page, "By canvas")
  assert rows[0] == ["For", "375x500", "500x500"]
  assert rows[-1] == ["Total", "501 MiB", "1.00 GiB"]
  assert [row[0] for row in rows[1:3]] == ["Parameters", "Momentum"]
  alarm = page.get_by_role("alert").inner_text()
  assert "will not fit: on the canvas 500x500, 2 at a time" in alarm
  assert "memory of the device (<X>)" in alarm
  assert page.get_by_role("alert").locator("li").count() == 4


def test_without_memory_there_is_no_word_of_it(open_page, fcn8s, tmp_path):
  page = open_page(network.write_network(tmp_path / "net.html", fcn8s))
  assert page.get_by_text("Memory").count() == 0
  assert page.get_by_role("alert").count() == 0


@pytest.mark.parametrize("size", [browser.LAPTOP, browser.PHONE])
def test_it_fits_both_screens(open_page, path, size):
  page = open_page(path, size, dark=size == browser.PHONE)
  assert not browser.scrolls_sideways(page)
  picture = page.get_by_role("img")
  assert picture.get_attribute("aria-label").startswith("The layers of fcn8s")
  box = picture.bounding_box()
  assert 330 < box["width"] <= min(size[0], 24 * 16)


SVG = "{http://www.w3.org/2000/svg}"


def describe_named(name: str):
  return describe(name, models.declare(name, 21), 375, 500)


def test_a_chain_has_no_lines_at_its_side():
  assert network.lanes(describe_named("fcn_alexnet").rows) == []


def test_the_lines_of_fcn_8s():
  """What skips layers: pool3 and pool4 to their scores, upscores to sums.

  Lines from pool4 and of the first sum meet, as do those from pool3 with all
  others; the two short ones do not, and share the lane next to the layers.
  """
  rows = describe_named("fcn8s").rows
  names = [row.name for row in rows]
  found = [
    (names[begin], names[end], lane) for begin, end, lane in network.lanes(rows)
  ]
  assert found == [
    ("pool3", "score_pool3", 2),
    ("pool4", "score_pool4", 1),
    ("upscore2", "fuse_pool4", 0),
    ("upscore_pool4", "fuse_pool3", 0),
  ]


def test_every_layer_is_there_with_its_size():
  description = describe_named("fcn8s")
  text = network.picture(description)
  root = ElementTree.fromstring(text)
  boxes = [
    [t.text for t in g.findall(f"{SVG}text")] for g in root.findall(f"{SVG}g")
  ]
  assert [box[0] for box in boxes] == [row.name for row in description.rows]
  assert boxes[1] == ["conv1_1", "conv 3 × 3, pad 100", "573 × 698", "× 64"]
  assert boxes[-1] == ["score", "cut to data", "375 × 500", "× 21"]
  # An arrow for each pair that follows, and the four lines.
  arrows = root.findall(f"{SVG}path")
  assert len(arrows) == len(boxes) - 1 - 2 + 4


def test_bars_by_hand():
  """conv1 is half as wide as the image, with 7 channels: 2 + 2 * 3 thick."""
  layers = (
    d.Data("data", mean_bgr=(0.0, 0.0, 0.0)),
    d.Conv("conv1", features=7, kernel=2, stride=2),
  )
  text = network.picture(describe("two", layers, 10, 20))
  bars = re.findall(r'width="([\d.]+)" height="([\d.]+)" rx="1.5"', text)
  assert bars == [("76.0", "6.0"), ("38.0", "8.0")]


def test_names_are_escaped():
  layers = (
    d.Data("<data>", mean_bgr=(0.0, 0.0, 0.0)),
    d.Conv("a&b", features=4, kernel=1),
  )
  root = ElementTree.fromstring(
    network.picture(describe('"<net>"', layers, 8, 8))
  )
  names = [g.find(f"{SVG}text").text for g in root.findall(f"{SVG}g")]
  assert names == ["<data>", "a&b"]
  assert '"<net>"' in root.get("aria-label")
