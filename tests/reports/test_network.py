"""fcn_jax.reports.network: the page in Chromium, against the figures."""

import browser
import pytest

from fcn_jax import models
from fcn_jax.devices import MemoryLimit
from fcn_jax.models.describe import cells, describe
from fcn_jax.reports import network
from fcn_jax.training import memory
from fcn_jax.training.memory import Need

MIB = 2**20
NEEDS = [
  Need((375, 500), 2, 200 * MIB, 200 * MIB, 0, MIB, 100 * MIB),
  Need((500, 500), 2, 200 * MIB, 200 * MIB, 0, MIB, 623 * MIB),
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
    NEEDS,
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
