"""The page of a network: its picture, where its cells lie, its memory."""

import math
import os
import pathlib
from collections.abc import Sequence

from markupsafe import Markup, escape

from fcn_jax import text
from fcn_jax.files import DataError
from fcn_jax.models import describe
from fcn_jax.models.describe import Description, LayerRow
from fcn_jax.reports import page
from fcn_jax.text import number


def write_network(
  path: str | os.PathLike,
  description: Description,
  memory: Sequence[Sequence[str]] = (),
  verdict: str = "",
  warning: str = "",
) -> pathlib.Path:
  """Writes the page, or its picture alone; returns the absolute path.

  Args:
    path: of the HTML file, or of the picture where it ends in .svg.
    description: the network in figures.
    memory: of a train step, a table: its headings, then its rows.
    verdict: whether it fits, in a sentence.
    warning: what is wrong and what would help, the remedies in lines of their
      own; '' where it fits.

  Raises:
    DataError: the path is refused, see `claim`.
    OSError: the file cannot be written.
  """
  if pathlib.Path(path).suffix.lower() == ".svg":
    return page.write_svg(path, picture(description))
  problem, *remedies = warning.splitlines() or [""]
  offsets = ", ".join(str(offset.cells) for offset in description.offsets)
  return page.write(
    path,
    "network.html.j2",
    net=description,
    forward=text.operations(description.forward_flops),
    step=text.operations(description.step_flops),
    stride=number(description.coarsest),
    offsets=offsets,
    picture=picture(description),
    columns=[*map(_capital, describe.COLUMNS)],
    steps=[
      (x.layer, x.centre, x.stride, x.operation) for x in description.steps
    ],
    rows=[describe.cells(row) for row in description.rows],
    memory_columns=["For", *memory[0][1:]] if memory else [],
    memory_rows=[(_capital(words), *sizes) for words, *sizes in memory[1:]],
    verdict=verdict,
    problem=problem and _capital(problem),
    remedies=[line.strip() for line in remedies],
  )


def claim(path: str | os.PathLike) -> pathlib.Path:
  """The path of a page or picture to come; see `page.claim`.

  Raises:
    DataError: another ending than .html and .svg, or a file of someone else.
    OSError: its folder cannot be made.
  """
  suffix = pathlib.Path(path).suffix.lower()
  if suffix not in (".html", ".svg"):
    raise DataError(f"--output={path}: end it in .html or .svg")
  return (page.claim if suffix == ".html" else page.claim_picture)(path)


def _capital(words: str) -> str:
  return words[0].upper() + words[1:]


WIDTH = 360
ROW, GAP = 38, 12
_LANE = 9  # between lines at the side
_MIDDLE, _WIDEST = 236, 76  # of the bars
_COLORS = {
  "conv": "var(--series-1)",
  "maxpool": "var(--series-3)",
  "upscore": "var(--series-2)",
  "sum": "var(--series-4)",
  "crop": "var(--series-5)",
}
_OTHER = "var(--quiet)"


def lanes(rows: tuple[LayerRow, ...]) -> list[tuple[int, int, int]]:
  """(from row, to row, lane) of what does not come from the row above.

  Lane 0 is next to the layers; lines in one lane do not meet.
  """
  place = {row.name: i for i, row in enumerate(rows)}
  edges = [
    (place[bottom], i)
    for i, row in enumerate(rows)
    for bottom in row.bottoms
    if place[bottom] != i - 1
  ]
  taken: list[list[tuple[int, int]]] = []
  found = []
  for begin, end in sorted(edges, key=lambda edge: (edge[1] - edge[0], edge)):
    lane = 0
    while lane < len(taken) and any(
      begin <= other_end and other_begin <= end
      for other_begin, other_end in taken[lane]
    ):
      lane += 1
    taken += [[]] * (lane == len(taken))
    taken[lane] = [*taken[lane], (begin, end)]
    found.append((begin, end, lane))
  return sorted(found)


def picture(description: Description) -> Markup:
  """An SVG element in the colours of a page; see `picture_files.write_svg`."""
  rows = description.rows
  edges = lanes(rows)
  left = 4 + _LANE * (1 + max((lane for _, _, lane in edges), default=-1))
  height = len(rows) * (ROW + GAP) - GAP + 2
  widest = max(row.width for row in rows)
  parts = []
  for i, row in enumerate(rows):
    parts.append(_box(row, left, _top(i), widest))
    if i and rows[i - 1].name in row.bottoms:
      parts.append(_arrow(_MIDDLE, _top(i) - GAP, _MIDDLE, _top(i)))
  parts += [_line(edge, left) for edge in edges]
  name = f"The layers of {description.name}, from the image to the scores"
  return Markup(
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
    f' role="img" aria-label="{escape(name)}" font-size="12"'
    ' fill="var(--ink)">\n'
    '<defs><marker id="network-tip" viewBox="0 0 8 8" refX="7" refY="4"'
    ' markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0.5 L8 4 L0 7.5 z" fill="var(--quiet)"/></marker></defs>\n'
    + "\n".join(parts)
    + "\n</svg>"
  )


def _top(i: int) -> int:
  return 1 + i * (ROW + GAP)


def _box(row: LayerRow, left: float, top: float, widest: int) -> str:
  color = _COLORS.get(row.kind, _OTHER)
  wide = max(2.0, _WIDEST * row.width / widest)
  thick = 2 + 2 * math.log2(row.channels + 1)
  return (
    f'<g><rect x="{left}" y="{top}" width="{WIDTH - left - 1}" height="{ROW}"'
    ' rx="4" fill="var(--box)" stroke="var(--line)"/>'
    f'<rect x="{left}" y="{top}" width="5" height="{ROW}" rx="2"'
    f' fill="{color}"/>'
    f'<rect x="{_MIDDLE - wide / 2:.1f}" y="{top + (ROW - thick) / 2:.1f}"'
    f' width="{wide:.1f}" height="{thick:.1f}" rx="1.5" fill="{color}"/>'
    f'<text x="{left + 12}" y="{top + 16}" font-weight="600">'
    f"{escape(row.name)}</text>"
    f'<text x="{left + 12}" y="{top + 30}" font-size="10"'
    f' fill="var(--quiet)">{escape(_brief(row))}</text>'
    f'<text x="{WIDTH - 7}" y="{top + 16}" text-anchor="end">'
    f"{row.height} × {row.width}</text>"
    f'<text x="{WIDTH - 7}" y="{top + 30}" text-anchor="end" font-size="10"'
    f' fill="var(--quiet)">× {row.channels}</text></g>'
  )


def _brief(row: LayerRow) -> str:
  """What a layer does, in as many letters as there is room for."""
  if row.kind in ("conv", "maxpool", "upscore"):
    kind = {"conv": "conv", "maxpool": "max pool", "upscore": "upscore"}
    text = f"{kind[row.kind]} {row.kernel} × {row.kernel}"
    text += f", stride {row.stride}" if row.stride > 1 else ""
    text += f", pad {row.pad}" if row.pad else ""
    return text + (f", {row.groups} groups" if (row.groups or 1) > 1 else "")
  return {
    "data": "image less the mean",
    "lrn": "normalisation",
    "sum": "sum of the two",
  }.get(row.kind, row.operation.split(", of ")[0])


def _arrow(*ends: float) -> str:
  x1, y1, x2, y2 = ends
  return (
    f'<path d="M{x1} {y1} L{x2} {y2}" fill="none" stroke="var(--quiet)"'
    ' stroke-width="1.5" marker-end="url(#network-tip)"/>'
  )


def _line(edge: tuple[int, int, int], left: float) -> str:
  begin, end, lane = edge
  x = left - _LANE * (lane + 1) + 1
  y1, y2 = _top(begin) + ROW * 0.65, _top(end) + ROW * 0.35
  return (
    f'<path d="M{left} {y1:.1f} H{x + 4} Q{x} {y1:.1f} {x} {y1 + 4:.1f}'
    f' V{y2 - 4:.1f} Q{x} {y2:.1f} {x + 4} {y2:.1f} H{left}" fill="none"'
    ' stroke="var(--series-4)" stroke-width="1.5"'
    ' marker-end="url(#network-tip)"/>'
  )
