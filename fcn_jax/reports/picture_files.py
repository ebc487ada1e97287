"""Charts and drawings as files of their own: SVG and PNG.

An SVG has light and dark with it, and the page's colours. Both carry a mark, so
that a file which something else has written is never overwritten.
"""

import io
import os
import pathlib
import re

from markupsafe import Markup
from PIL import Image, PngImagePlugin

from fcn_jax import files
from fcn_jax.files import replacing
from fcn_jax.reports.page import TEMPLATES

_MARK = "made by fcn_jax"


def claim(path: str | os.PathLike) -> pathlib.Path:
  """The absolute path of a picture to come; folders above it are made.

  Raises:
    DataError: it holds something that is no picture of ours.
    OSError: its folder cannot be made.
  """
  return files.claim(path, _MARK, "picture")


def write_svg(path: str | os.PathLike, element: Markup | str) -> pathlib.Path:
  """Writes an SVG element of a page as a file; returns its absolute path.

  Raises:
    DataError: the path is refused, see `claim`.
    OSError: the file cannot be written.
  """
  colors = (TEMPLATES[0] / "page.css").read_text()
  # The rules of the root alone, in light and in dark.
  roots = re.findall(r"(?:@media[^{]*\{\s*)?:root \{[^}]*\}(?:\s*\})?", colors)
  style = "\n".join(roots) + (
    "\nsvg { background: var(--paper); color: var(--ink);"
    " font-family: system-ui, sans-serif; }"
  )
  begin, rest = str(element).split(">", 1)
  if "xmlns=" not in begin:
    begin = begin.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
  text = f"{begin}>\n<!-- {_MARK} -->\n<style>\n{style}\n</style>{rest}\n"
  path = claim(path)
  with replacing(path) as temporary:
    temporary.write_text(text, encoding="utf-8")
  return path


def write_png(path: str | os.PathLike, data: bytes) -> pathlib.Path:
  """Writes a PNG with our mark; returns its absolute path.

  Raises:
    DataError: the path is refused, see `claim`.
    OSError: the file cannot be written.
  """
  notes = PngImagePlugin.PngInfo()
  notes.add_text("Software", _MARK)
  stream = io.BytesIO()
  Image.open(io.BytesIO(data)).save(stream, "PNG", pnginfo=notes)
  path = claim(path)
  with replacing(path) as temporary:
    temporary.write_bytes(stream.getvalue())
  return path
