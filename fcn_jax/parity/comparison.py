"""One comparison of ours with theirs, and a table of many."""

import dataclasses
from collections.abc import Iterable, Sequence

import jax
import numpy as np

from fcn_jax import text


@dataclasses.dataclass(frozen=True)
class Comparison:
  """An array of ours beside the same one of Caffe's.

  Attributes:
    what: the kind of array, such as 'pooling, gradient'.
    case: which one of them.
    error: largest absolute difference; of a count, how many differ.
    largest: largest absolute value of theirs; of a count, how many there are.
    tolerance: allowed share of `largest`; 0: nothing may differ.
    left_out: why it is not compared; '' if it is.
    group: a key of `parity.GROUPS`.
  """

  what: str
  case: str
  error: float = 0.0
  largest: float = 0.0
  tolerance: float = 0.0
  left_out: str = ""
  group: str = ""

  @property
  def relative(self) -> float:
    """The error as a share of `largest`."""
    if self.error == 0:
      return 0.0
    return self.error / self.largest if self.largest > 0 else float("inf")

  @property
  def holds(self) -> bool:
    """Whether the error is within the tolerance; NaN never is."""
    return self.relative <= self.tolerance

  def of(self, group: str) -> "Comparison":
    """The same, in a group."""
    return dataclasses.replace(self, group=group)


def near(
  what: str, case: str, ours, theirs, tolerance: float, scale=None
) -> Comparison:
  """Compares values.

  Args:
    what, case: see `Comparison`.
    ours, theirs: arrays of one shape; NaN is only near NaN.
    tolerance: share of the largest value of theirs, or of `scale`.
    scale: None: the largest absolute value of theirs.
  """
  ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
  if ours.shape != theirs.shape:
    return _another_shape(what, f"{case}: {ours.shape}, Caffe {theirs.shape}")
  both_nan = np.isnan(ours) & np.isnan(theirs)
  difference = np.where(both_nan, 0, np.abs(ours - theirs))
  if scale is None:
    scale = np.abs(theirs[~both_nan]).max(initial=0)
  return Comparison(
    what, case, float(difference.max(initial=0)), float(scale), tolerance
  )


def equal(what: str, case: str, ours, theirs) -> Comparison:
  """Counts the values that are not the same to the last bit."""
  ours, theirs = np.asarray(ours), np.asarray(theirs)
  if ours.shape != theirs.shape:
    return _another_shape(what, f"{case}: {ours.shape}, Caffe {theirs.shape}")
  differ = int((ours != theirs).sum())
  return Comparison(what, case, differ, max(1, ours.size), 0.0)


def _another_shape(what: str, case: str) -> Comparison:
  return Comparison(what, case, float("inf"), 1.0)


_HEAD = ("what", "cases", "max error", "relative", "tolerance", "verdict")


def table(comparisons: Iterable[Comparison]) -> str:
  """Comparisons of one kind in a line, with the worst of them.

  Each that is beyond its tolerance has a line of its own besides, and so has
  each that is left out.
  """
  kinds: dict[tuple[str, str], list[Comparison]] = {}
  for one in comparisons:
    kinds.setdefault((one.group, one.what), []).append(one)
  lines = [_HEAD]
  for (group, what), members in kinds.items():
    compared = [one for one in members if not one.left_out]
    if compared:
      verdict = "ok" if all(x.holds for x in compared) else "BEYOND"
      lines.append(
        _line(f"{group}: {what}", len(compared), _worst(compared), verdict)
      )
    for one in compared:
      if not one.holds:
        lines.append(_line(f"  {one.case}", 1, one, "BEYOND"))
    for one in members:
      if one.left_out:
        lines.append((f"{group}: {what}, {one.case}", *[""] * 4, one.left_out))
  columns = text.table([line[:5] for line in lines]).splitlines()
  width = max(map(len, columns))
  return "\n".join(
    f"{cells.ljust(width)}  {line[5]}"
    for cells, line in zip(columns, lines, strict=True)
  )


def beyond(comparisons: Iterable[Comparison]) -> int:
  """How many of them are beyond their tolerance."""
  return sum(not (one.left_out or one.holds) for one in comparisons)


def verdict(comparisons: Sequence[Comparison]) -> str:
  """One line: how many were compared, where, and whether all are near."""
  compared = sum(not one.left_out for one in comparisons)
  said = "all within tolerance"
  if number := beyond(comparisons):
    said = f"{number} BEYOND tolerance"
  return f"{compared} comparisons on {jax.devices()[0].device_kind}: {said}"


def _worst(members: list[Comparison]) -> Comparison:
  """That with the largest share, NaN above all; of counts, their sum."""
  worst = max(members, key=lambda x: (np.isnan(x.relative), x.relative))
  if worst.tolerance > 0:
    return worst
  return dataclasses.replace(
    worst,
    error=sum(x.error for x in members),
    largest=sum(x.largest for x in members),
  )


def _line(what: str, cases: int, worst: Comparison, verdict: str):
  if worst.tolerance == 0:
    counts = f"{worst.error:.0f} of {worst.largest:.0f}"
    return (what, str(cases), counts, "", "0", verdict)
  return (
    what,
    str(cases),
    f"{worst.error:.1e}",
    f"{worst.relative:.1e}",
    f"{worst.tolerance:.0e}",
    verdict,
  )
