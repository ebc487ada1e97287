"""Whether cost follows work: batches, sizes and numbers of classes."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from fcn_jax.benchmark import compute
from fcn_jax.benchmark.machine import take_turns
from fcn_jax.models import describe

_BATCHES = (1, 2, 4, 8, 16)
_SIDES = (250, 500, 1000, 2000)
_CLASSES = (2, 21, 150)
_REPEATS = 3  # at most


@dataclasses.dataclass(frozen=True)
class _Case:
  name: str
  images: int
  size: tuple[int, int]
  classes: int = compute.CLASSES


def measure(setting) -> Iterator[dict[str, Any]]:
  """Rows of forward passes and steps, group by group.

  'times_best' is seconds per floating-point operation, of the least of the
  group's: where it is far above 1, something else than the work takes time.
  """
  groups = [
    [_Case(f"batch {n}", n, setting.size) for n in _BATCHES],
    [_Case(f"{n} x {n} pixels", 1, (n, n)) for n in _SIDES],
    [_Case(f"{n} classes", 1, setting.size, n) for n in _CLASSES],
  ]
  for group in groups:
    for work in ("forward", "step"):
      rows = [_row(setting, work, case) for case in group]
      best = min(row["seconds_per_operation"] for row in rows)
      for row in rows:
        row["times_best"] = row.pop("seconds_per_operation") / best
        yield row


def _row(setting, work: str, case: _Case) -> dict[str, Any]:
  net = compute.network(
    setting.model, setting.precision, setting.width, case.classes
  )
  given = compute.batch(*case.size, case.images, case.classes)
  run = {"forward": compute.forward, "step": compute.step}[work](net, given)
  repeats = min(setting.repeats, _REPEATS)
  timing = take_turns({"": run}, repeats, warm_up=1)[""]
  if work == "forward":
    flops = sum(describe.forward_flops(net.layers, *case.size).values())
  else:
    flops = describe.step_flops(net.layers, *case.size)
  return {
    "what": "scaling",
    "name": f"{work}, {case.name}",
    "seconds": timing.median,
    "least": timing.least,
    "most": timing.most,
    "images_per_second": case.images / timing.median,
    "seconds_per_operation": timing.median / (case.images * flops),
  }
