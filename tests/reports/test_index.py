import subprocess
import sys

import browser
import pytest

from fcn_jax.files import DataError
from fcn_jax.reports import index, page


@pytest.fixture
def folder(tmp_path):
  for name, heading in (("a b.html", "First <one>"), ("runs/2.html", "Second")):
    page.write(tmp_path / name, "index.html.j2", heading=heading, links=[])
  return tmp_path


def entries(folder):
  return [
    index.Entry(folder / "a b.html", "What is <there>."),
    index.Entry(folder / "runs/2.html", "What came next."),
  ]


def test_it_leads_to_pages_under_their_titles(folder, open_page):
  path = index.write_index(folder / "index.html", "A look", entries(folder))
  opened = open_page(path)
  assert opened.locator("h1").text_content() == "A look"
  links = opened.locator("main a")
  assert links.all_text_contents() == ["First <one>", "Second"]
  assert opened.locator("main li p").all_text_contents() == [
    "What is <there>.",
    "What came next.",
  ]
  links.first.click()
  assert opened.locator("h1").text_content() == "First <one>"


def test_it_fits_a_telephone(folder, open_page):
  path = index.write_index(folder / "index.html", "A look", entries(folder))
  assert not browser.scrolls_sideways(open_page(path, browser.PHONE))


def test_what_cannot_be_led_to(folder, tmp_path_factory):
  elsewhere = tmp_path_factory.mktemp("elsewhere") / "a.html"
  elsewhere.write_text("<title>a</title>")
  plain = folder / "plain.html"
  plain.write_text("text")
  for path, said in (
    (folder / "gone.html", "no such page"),
    (elsewhere, "lies outside"),
    (plain, "has no <title>"),
  ):
    with pytest.raises(DataError, match=said):
      index.write_index(folder / "index.html", "x", [index.Entry(path, "")])
  assert not (folder / "index.html").exists()


def test_from_a_shell(folder):
  command = [sys.executable, "-m", "fcn_jax.reports.index"]
  command += [str(folder / "index.html"), "A look"]
  lines = f"{folder / 'runs/2.html'}\tWhat came next.\n"
  done = subprocess.run(command, input=lines, capture_output=True, text=True)
  assert done.stdout == f"{folder / 'index.html'}\n"
  assert 'href="runs/2.html"' in (folder / "index.html").read_text()
  done = subprocess.run(
    command, input="gone.html\tx\n", capture_output=True, text=True
  )
  assert done.returncode == 1
  assert done.stderr.startswith("error: gone.html")
