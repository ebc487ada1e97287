"""One page that leads to others.

  python -m fcn_jax.reports.index OUTPUT HEADING < LINES

makes one of lines 'PAGE<TAB>what it shows', where PAGE is a file that lies
beside OUTPUT or below it; scripts/quickstart.sh ends with it.
"""

import html
import os
import pathlib
import re
import sys
from collections.abc import Sequence
from typing import NamedTuple

from fcn_jax.files import DataError, local_path
from fcn_jax.reports import page

_TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)


class Entry(NamedTuple):
  """A page that is led to.

  Attributes:
    path: of the page.
    text: what it shows, a sentence.
  """

  path: pathlib.Path
  text: str


def write_index(
  path: str | os.PathLike, heading: str, entries: Sequence[Entry]
) -> pathlib.Path:
  """Writes a page with a link to each of others, under its own title.

  Links are relative: the folder can be moved.

  Returns:
    The path, absolute.

  Raises:
    DataError: a page is not there, has no title, or does not lie in the
      folder of the index; or the path is refused, see `page.claim`.
  """
  folder = local_path(path).absolute().parent
  links = []
  for entry in entries:
    file = pathlib.Path(entry.path).expanduser().absolute()
    if not file.is_relative_to(folder):
      raise DataError(
        f"{entry.path}: lies outside {folder}; write the index above it"
      )
    if not file.is_file():
      raise DataError(f"{entry.path}: no such page; make it first")
    title = _TITLE.search(file.read_text(encoding="utf-8", errors="replace"))
    if not title:
      raise DataError(f"{entry.path}: has no <title>, so it is no page")
    links.append(
      {
        "address": file.relative_to(folder).as_posix(),
        "title": html.unescape(title[1]).strip(),
        "text": entry.text,
      }
    )
  return page.write(path, "index.html.j2", heading=heading, links=links)


def main(output: str, heading: str) -> None:
  lines = [line.rstrip("\n").partition("\t") for line in sys.stdin]
  entries = [Entry(pathlib.Path(where), text) for where, _, text in lines]
  print(write_index(output, heading, entries))


if __name__ == "__main__":
  try:
    main(*sys.argv[1:])
  except (DataError, OSError) as error:
    sys.exit(f"error: {error}")
