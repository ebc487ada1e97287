"""fcn_jax.reports.picture_files: files of ours, and none of others'."""

import io

import numpy as np
import pytest
from PIL import Image

from fcn_jax.files import DataError
from fcn_jax.reports import picture_files

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
  path = picture_files.write_svg(tmp_path / "a" / "box.svg", SVG)
  page = open_page(path, dark=dark)
  style = "selector => getComputedStyle(document.querySelector(selector))"
  assert page.evaluate(f"({style})('#box').fill") == series
  assert page.evaluate(f"({style})('svg').backgroundColor") == paper


def test_a_png_keeps_its_pixels(tmp_path):
  path = picture_files.write_png(tmp_path / "a.png", png())
  with Image.open(path) as image:
    assert np.asarray(image).tolist() == np.arange(12).reshape(3, 4).tolist()


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_ours_is_replaced_and_others_are_not(tmp_path, suffix):
  path = tmp_path / f"picture.{suffix}"

  def write():
    if suffix == "svg":
      return picture_files.write_svg(path, SVG)
    return picture_files.write_png(path, png())

  for _ in range(2):
    assert write() == path
  path.write_bytes(SVG.encode() if suffix == "svg" else png())
  before = path.read_bytes()
  with pytest.raises(DataError, match="no picture that fcn_jax has written"):
    write()
  assert path.read_bytes() == before
  assert [p.name for p in tmp_path.iterdir()] == [path.name]
