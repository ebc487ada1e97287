"""What is wrong with the user's files, gathered and told at once."""

import dataclasses
from collections.abc import Iterable

_SHOWN = 10


@dataclasses.dataclass(frozen=True)
class Finding:
  """One thing found.

  Attributes:
    kind: heading under which such findings are gathered.
    file: the file it is about.
    value: what was found there.
    remedy: what to do about it.
    warning: it is told, but does not stop the preparation.
  """

  kind: str
  file: str
  value: str
  remedy: str
  warning: bool = False


def report(findings: Iterable[Finding]) -> str:
  """All kinds, errors before warnings; ten findings of each, then a count."""
  kinds: dict[tuple[bool, str], list[Finding]] = {}
  for finding in findings:
    kinds.setdefault((finding.warning, finding.kind), []).append(finding)
  lines = []
  for (warning, kind), group in sorted(
    kinds.items(), key=lambda item: item[0][0]
  ):
    level = "warning" if warning else "error"
    lines.append(f"{level}: {kind} ({len(group)})")
    lines += [
      f"  {finding.file}: {finding.value}; {finding.remedy}"
      for finding in group[:_SHOWN]
    ]
    if len(group) > _SHOWN:
      lines.append(f"  ... and {len(group) - _SHOWN} more of this kind")
  return "\n".join(lines)


def verdict(findings: Iterable[Finding]) -> str:
  """How many there are: '2 errors, 1 warning'."""
  warnings = [finding.warning for finding in findings]
  errors = warnings.count(False)
  return (
    f"{_number(errors, 'error')}, {_number(warnings.count(True), 'warning')}"
  )


def _number(count: int, what: str) -> str:
  return f"{count or 'no'} {what}{'' if count == 1 else 's'}"
