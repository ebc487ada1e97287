"""Devices: one mesh axis, 'data', and how much memory there is."""

import dataclasses
import pathlib
import re
from collections.abc import Iterator

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec


def data_mesh() -> Mesh:
  """All devices in a row."""
  devices = np.array(jax.devices())
  return Mesh(devices, ("data",), axis_types=(AxisType.Auto,))


def replicate(tree, mesh: Mesh):
  """A copy of the tree on every device."""
  return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def shard(batch, mesh: Mesh):
  """Arrays divided over the devices by their first axis."""
  return jax.device_put(batch, NamedSharding(mesh, PartitionSpec("data")))


def divisible(part_size: int, mesh: Mesh) -> int:
  """The smallest multiple of the number of devices that holds part_size."""
  return -(-part_size // mesh.size) * mesh.size


@dataclasses.dataclass(frozen=True)
class MemoryLimit:
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


def memory_limit(root: str | pathlib.Path = "/") -> MemoryLimit | None:
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
    return MemoryLimit(
      limit, f"memory of the device ({device.device_kind})", False
    )
  return host_memory(root) if jax.default_backend() == "cpu" else None


def host_memory(root: str | pathlib.Path = "/") -> MemoryLimit | None:
  """The memory of the machine that this process may fill.

  What this process holds counts as free, see `memory_limit`.

  Args:
    root: of the file system, where Linux tells of its memory.

  Returns:
    None: nothing here knows (not Linux).
  """
  found = list(_limits(pathlib.Path(root)))
  if not found:
    return None
  free, of = min(found)
  return MemoryLimit(free + bytes_of_process(root), of, True)


def bytes_of_process(root: str | pathlib.Path = "/") -> int:
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
