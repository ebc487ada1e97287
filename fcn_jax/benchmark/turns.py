"""Measuring several pieces of work that take turns."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping


@dataclasses.dataclass(frozen=True)
class Timing:
  """Seconds of each repeat."""

  seconds: tuple[float, ...]

  @property
  def median(self) -> float:
    return statistics.median(self.seconds)

  @property
  def least(self) -> float:
    return min(self.seconds)

  @property
  def most(self) -> float:
    return max(self.seconds)


def take_turns(
  works: Mapping[str, Callable[[], float | None]],
  repeats: int,
  warm_up: int = 2,
) -> dict[str, Timing]:
  """Runs A B C A B C ..., so that what disturbs the machine disturbs all.

  Args:
    works: by name.  Each waits for its own end; what it returns, if anything,
      are the seconds it took, by its own clock.
    repeats: of each, that are counted.
    warm_up: of each, before.
  """
  for work in works.values():
    for _ in range(warm_up):
      work()
  seconds: dict[str, list[float]] = {name: [] for name in works}
  for _ in range(repeats):
    for name, work in works.items():
      began = time.perf_counter()
      own = work()
      took = time.perf_counter() - began
      seconds[name].append(took if own is None else own)
  return {name: Timing(tuple(each)) for name, each in seconds.items()}
