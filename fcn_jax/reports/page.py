"""Self-contained HTML pages from templates, written whole or not at all."""

import base64
import io
import itertools
import os
import pathlib
import re
from typing import Any

import jinja2
import numpy as np
from jaxtyping import UInt8
from markupsafe import Markup
from PIL import Image, PngImagePlugin

from fcn_jax import files
from fcn_jax.files import DataError, replacing
from fcn_jax.text import count, percent, score

_PAGE_MARK = '<meta name="generator" content="fcn_jax">'  # in page.html.j2
TEMPLATES = [pathlib.Path(__file__).parent / "templates"]  # searched in turn


def write(
  path: str | os.PathLike, template: str, **context: Any
) -> pathlib.Path:
  """Writes a page; folders above it are made, and an older one is replaced.

  Args:
    path: of the HTML file; '~' stands for the home folder.
    template: its name in reports/templates, as 'metrics.html.j2'.
    **context: what the template names. All of it is escaped but Markup.

  Returns:
    The path, absolute.

  Raises:
    jinja2.UndefinedError: the template names something that was not given.
    DataError: the path is refused, see `claim`.
    OSError: the page cannot be written.
  """
  text = render(template, **context)
  path = claim(path)
  with replacing(path) as temporary:
    temporary.write_text(text, encoding="utf-8")
  return path


def claim(path: str | os.PathLike) -> pathlib.Path:
  """The absolute path of a page to come; to be asked before long work begins.

  Folders above it are made.

  Raises:
    DataError: it does not end in .html, or holds something that is no page of
      ours, which is not overwritten.
    OSError: its folder cannot be made.
  """
  if pathlib.Path(path).suffix.lower() not in (".html", ".htm"):
    raise DataError(f"{path}: a page's name ends in .html; add that")
  return files.claim(path, _PAGE_MARK, "page")


def render(template: str, **context: Any) -> str:
  """The text of a page; the same context gives the same text."""
  # One environment a page: `unique` counts from 1 in each.
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  numbers = itertools.count(1)

  def inline(name: str) -> Markup:
    """The text of a file of ours: shared CSS or script."""
    return Markup(environment.loader.get_source(environment, name)[0])

  environment.globals.update(
    unique=lambda kind: f"{kind}-{next(numbers)}", inline=inline
  )
  environment.filters.update(
    percent=percent, score=score, count=count, color=color
  )
  return environment.get_template(template).render(context)


def color(rgb: tuple[int, int, int]) -> str:
  """RGB, 0..255, as CSS writes it: '#c08000'."""
  return "#{:02x}{:02x}{:02x}".format(*(int(c) for c in rgb))


def png(image: UInt8[np.ndarray, "h w"] | UInt8[np.ndarray, "h w 3"]) -> str:
  """A data URI of a PNG, which keeps every pixel: labels and graphics."""
  return _data_uri(image, "PNG", optimize=True)


def jpeg(
  image: UInt8[np.ndarray, "h w"] | UInt8[np.ndarray, "h w 3"],
  quality: int = 88,
) -> str:
  """A data URI of a JPEG, a tenth of the size: photographs."""
  return _data_uri(image, "JPEG", quality=quality)


def _data_uri(image: np.ndarray, kind: str, **options: Any) -> str:
  stream = io.BytesIO()
  Image.fromarray(image).save(stream, kind, **options)
  coded = base64.b64encode(stream.getvalue()).decode()
  return f"data:image/{kind.lower()};base64,{coded}"


_PICTURE_MARK = "made by fcn_jax"


def claim_picture(path: str | os.PathLike) -> pathlib.Path:
  """The absolute path of a picture to come; folders above it are made.

  Raises:
    DataError: it holds something that is no picture of ours.
    OSError: its folder cannot be made.
  """
  return files.claim(path, _PICTURE_MARK, "picture")


def write_svg(path: str | os.PathLike, element: Markup | str) -> pathlib.Path:
  """Writes an SVG element of a page as a file; returns its absolute path.

  Raises:
    DataError: the path is refused, see `claim_picture`.
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
  text = (
    f"{begin}>\n<!-- {_PICTURE_MARK} -->\n<style>\n{style}\n</style>{rest}\n"
  )
  path = claim_picture(path)
  with replacing(path) as temporary:
    temporary.write_text(text, encoding="utf-8")
  return path


def write_png(path: str | os.PathLike, data: bytes) -> pathlib.Path:
  """Writes a PNG with our mark; returns its absolute path.

  Raises:
    DataError: the path is refused, see `claim_picture`.
    OSError: the file cannot be written.
  """
  notes = PngImagePlugin.PngInfo()
  notes.add_text("Software", _PICTURE_MARK)
  stream = io.BytesIO()
  Image.open(io.BytesIO(data)).save(stream, "PNG", pnginfo=notes)
  path = claim_picture(path)
  with replacing(path) as temporary:
    temporary.write_bytes(stream.getvalue())
  return path
