"""How much memory there is for a process: of a device, or of the machine."""

import dataclasses
import pathlib
import re
from collections.abc import Iterator

import jax

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Room:
  """Memory that a training process may fill.

  Attributes:
    bytes: of one device, or of the machine; what other processes hold now is
      taken off.
    of: what sets the limit, for people to read.
    shared: whether all devices share it, and the process too: CPUs.
  """

  bytes: int
  of: str
  shared: bool


def room(root: str | pathlib.Path = "/") -> Room | None:
  """The memory of the first device; where it is a CPU, of the machine.

  What this process holds counts as free: it is, or makes place for, the one
  that trains.

  Args:
    root: of the file system, where Linux tells of its memory.

  Returns:
    None: nothing here knows (not Linux, and no figures of the device).
  """
  device = jax.devices()[0]
  statistics = device.memory_stats() or {}
  if limit := statistics.get("bytes_limit"):
    return Room(limit, f"memory of the device ({device.device_kind})", False)
  if jax.default_backend() != "cpu":
    return None
  found = list(_limits(pathlib.Path(root)))
  if not found:
    return None
  free, of = min(found)
  return Room(free + of_process(root), of, True)


def of_process(root: str | pathlib.Path = "/") -> int:
  """Bytes that this process holds now."""
  status = (pathlib.Path(root) / "proc/self/status").read_text()
  return 1024 * int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])


def _limits(root: pathlib.Path) -> Iterator[tuple[int, str]]:
  """(free bytes, what sets the limit)."""
  machine = root / "proc/meminfo"
  if machine.is_file():
    free = re.search(r"MemAvailable:\s+(\d+) kB", machine.read_text())
    if free:
      yield 1024 * int(free[1]), "memory of this machine"
  groups = root / "proc/self/cgroup"
  if not groups.is_file():
    return
  for line in groups.read_text().splitlines():
    number, kinds, path = line.split(":", 2)
    if number == "0":
      mounted, names = root / "sys/fs/cgroup", _NAMES_V2
    elif "memory" in kinds.split(","):
      mounted, names = root / "sys/fs/cgroup/memory", _NAMES_V1
    else:
      continue
    # A container sees its own group as the root of them.
    group = mounted / path.strip("/")
    for folder in {mounted, group, *group.parents}:
      if folder == mounted or mounted in folder.parents:
        free = _free_in_group(folder, *names)
        if free is not None:
          yield free, "memory limit of this container"


_NAMES_V2 = ("memory.max", "memory.current", "inactive_file")
_NAMES_V1 = (
  "memory.limit_in_bytes",
  "memory.usage_in_bytes",
  "total_inactive_file",
)


def _free_in_group(
  folder: pathlib.Path, limit: str, used: str, cache: str
) -> int | None:
  """Bytes left of a group's limit; cached files make place."""
  try:
    most = int((folder / limit).read_text())
    held = int((folder / used).read_text())
  except (OSError, ValueError):  # no such group, or 'max'
    return None
  try:
    statistics = (folder / "memory.stat").read_text()
  except OSError:
    statistics = ""
  files = re.search(rf"^{cache} (\d+)$", statistics, re.MULTILINE)
  return max(0, most - held + (int(files[1]) if files else 0))
