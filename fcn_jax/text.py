"""Tables, numbers, sizes and bytes for people."""

import math
from collections.abc import Sequence
from fractions import Fraction

GIB = 2**30


def percent(share: float) -> str:
  """A share of pixels for people: '12.3 %', and '< 0.1 %' for a trace."""
  return "< 0.1 %" if 0 < share < 0.001 else f"{100 * share:.1f} %"


def number(value: Fraction | int) -> str:
  """12.5 as '12.5', -3 as '−3', a third as '1/3'."""
  value = Fraction(value)
  sign = "−" if value < 0 else ""
  if value.denominator == 1:
    return f"{sign}{abs(value.numerator)}"
  if value.denominator & (value.denominator - 1) == 0:
    return f"{sign}{float(abs(value))}"
  return f"{sign}{abs(value)}"


def operations(flops: int) -> str:
  """FLOPs as '14.5 G'."""
  for size, letter in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
    if flops >= size:
      return f"{flops / size:.3g} {letter}FLOP"
  return f"{flops} FLOP"


def byte_size(size: int) -> str:
  """Bytes as '382 MiB' or '1.86 GiB'."""
  if size >= GIB:
    return f"{size / GIB:.2f} GiB"
  if size >= 2**20:
    return f"{size / 2**20:.0f} MiB"
  return f"{size / 2**10:.0f} KiB"


def duration(seconds: float) -> str:
  """'45 s', '3 min 20 s', '2 h 5 min', '3 d 4 h'."""
  whole = round(seconds)
  minutes, seconds = divmod(whole, 60)
  hours, minutes = divmod(minutes, 60)
  days, hours = divmod(hours, 24)
  if days:
    return f"{days} d {hours} h"
  if hours:
    return f"{hours} h {minutes} min"
  return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def score(value: float | None) -> str:
  """A score in 0..1 or a loss: '0.4812'; a dash where there is none."""
  return "–" if value is None or math.isnan(value) else f"{value:.4f}"


def count(value: int) -> str:
  """A number of things, in groups of three digits: '1,449'."""
  return f"{value:,}"


def table(rows: Sequence[Sequence[str]], left: int = 1, gap: str = "  ") -> str:
  """Rows of cells in columns.

  Args:
    rows: of one length.
    left: so many columns are aligned to the left, the others to the right.
    gap: between two columns.
  """
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  return "\n".join(
    gap.join(
      cell.ljust(width) if place < left else cell.rjust(width)
      for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    ).rstrip()
    for row in rows
  )
