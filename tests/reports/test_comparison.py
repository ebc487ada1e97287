"""reports.comparison: the page of several runs."""

import browser
import pytest
from made_up_runs import CLASSES, TRAIN, VAL, make_run, train, val
from made_up_runs import changed_config as config

from fcn_jax import text
from fcn_jax.reports import comparison as reports
from fcn_jax.runs import comparison


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
  root = tmp_path_factory.mktemp("runs")
  make_run(root / "one")
  changed = {"base_lr": 1e-3, "log_every": "3 steps"}
  records = [VAL[0], train(10, 4.0, 2.0), *TRAIN[1:], val(40, 0.375)]
  make_run(root / "<two>", records, config(**changed))
  return comparison.compare([root / "one", root / "<two>"])


@pytest.fixture(scope="module")
def written(compared, tmp_path_factory):
  path = tmp_path_factory.mktemp("page") / "new/comparison.html"
  return reports.write_comparison(path, compared)


def tables(page) -> dict[str, list[list[str]]]:
  """Bodies by caption."""
  return page.evaluate(
    """() => Object.fromEntries([...document.querySelectorAll("table")].map(
      table => [table.caption.textContent, [...table.tBodies[0].rows].map(
        row => [...row.cells].map(cell => cell.textContent))]))"""
  )


def test_figures_are_those_of_the_records(compared, written, open_page):
  page = open_page(written)
  found = tables(page)
  keys = tuple(comparison.titles())
  for caption, records in (
    ("At the last validation", [run.latest for run in compared.runs]),
    (
      "At the best validation by mean IoU",
      [run.best for run in compared.runs],
    ),
  ):
    expected = [
      [
        name,
        str(record["step"]),
        *(text.score(record.get(key)) for key in keys),
      ]
      for name, record in zip(("one", "<two>"), records, strict=True)
    ]
    assert found[caption][:2] == expected
    assert found[caption][2][:3] == ["only background", "–", "0.1875"]
  (classes,) = (rows for title, rows in found.items() if "each class" in title)
  assert [row[0] for row in classes] == list(CLASSES)
  assert classes[1][1:] == ["0.2188", "0.1875"]
  assert "0.4375, of one at step 20" in page.locator("header").inner_text()


def test_exactly_the_fields_that_differ(written, open_page):
  page = open_page(written)
  (rows,) = (r for title, r in tables(page).items() if "Fields" in title)
  assert rows == [
    ["base_lr", "0.005", "0.001", "yes"],
    ["log_every", "20 steps", "3 steps", "no"],
  ]


def test_every_chart_has_a_curve_of_each_run(compared, written, open_page):
  page = open_page(written)
  titles = page.locator(".charts h3").all_inner_texts()
  said = page.locator(".charts [role=img]").evaluate_all(
    "all => all.map(one => one.getAttribute('aria-label'))"
  )
  assert titles == [
    "Training loss",
    "Validation loss",
    "Mean IoU",
    "Pixel accuracy",
    "Learning rate",
  ]
  assert said[0] == (
    "one 1.5000 at step 10, 0.5000 at step 30; "
    "<two> 4.0000 at step 10, 0.5000 at step 30"
  )
  assert said[2] == (
    "one 0.1250 at step 0, 0.4375 at step 20; "
    "<two> 0.1250 at step 0, 0.3750 at step 40; only background 0.1875"
  )
  for svg in page.locator(".charts svg").all():
    assert {"one", "<two>"} <= set(svg.locator("text").all_text_contents())
  files = [drawing.file for drawing in reports.drawings(compared)]
  assert files[:2] == ["training_loss", "validation_loss"]


def test_runs_that_are_alike_and_unfinished(tmp_path, open_page, monkeypatch):
  monkeypatch.setattr(reports, "drawings", lambda compared: [])
  for name in "ab":
    make_run(tmp_path / name)
  compared = comparison.compare([tmp_path / "a", tmp_path / "b"])
  page = open_page(reports.write_comparison(tmp_path / "c.html", compared))
  assert "The configs are the same." in page.locator("main").inner_text()
  assert "Not at the end" in page.locator(".warning").inner_text()


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_telephone(written, open_page, dark):
  assert not browser.scrolls_sideways(
    open_page(written, browser.PHONE, dark=dark)
  )
