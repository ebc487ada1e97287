"""Devices: processes, one mesh axis, 'data', and how much memory there is.

A run may be one process or several, on one machine or many: this file alone
knows how they find each other and what they tell each other. What is called
between processes is called by all of them, in the same order.
"""

import dataclasses
import json
import logging
import pathlib
import platform
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Shaped

T = TypeVar("T")

_HEARTBEAT = 30  # seconds after which a lost process ends the others


def start(
  distributed: bool = False,
  coordinator: str | None = None,
  processes: int | None = None,
  process_id: int | None = None,
  preemption: bool = False,
) -> None:
  """Joins the processes of a run, before any device is asked for.

  Without arguments it does nothing: there is one process. Of several, all
  ignore Ctrl-C, which whoever has started them sees to, and only the first
  logs more than errors.

  Args:
    distributed: several, which find each other: on SLURM, Open MPI, Kubernetes
      and TPUs.
    coordinator: HOST:PORT of the first, elsewhere.
    processes: how many there are.
    process_id: of this one, from 0.
    preemption: whether SIGTERM is a question to `preempted`, and ends nothing.

  Raises:
    ValueError: they do not find each other, or differ in their number of
      devices.
  """
  named = [x is not None for x in (coordinator, processes, process_id)]
  if any(named) and not all(named):
    raise ValueError(
      "give --coordinator=HOST:PORT, --processes=N and --process_id=I together"
    )
  if not (distributed or all(named)):
    return
  jax.config.update("jax_enable_preemption_service", preemption)
  try:
    jax.distributed.initialize(
      coordinator,
      processes,
      process_id,
      cluster_detection_method="deactivate" if all(named) else None,
      heartbeat_timeout_seconds=_HEARTBEAT,
    )
  except (RuntimeError, ValueError) as error:
    raise ValueError(
      f"the processes do not find each other [{error}]; outside of SLURM, Open "
      "MPI, Kubernetes and TPUs give --coordinator=HOST:PORT, --processes=N "
      "and --process_id=I, from 0 to N - 1"
    ) from None
  if process_count() == 1:
    return
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  if not is_first():
    logging.getLogger("fcn_jax").setLevel(logging.ERROR)
  # CPUs' first exchange fails where one comes half a minute later than another:
  # it is made before anything is compiled.
  barrier("all processes are there")
  here = [device.process_index for device in jax.devices()]
  numbers = np.bincount(here, minlength=process_count())
  if len({*numbers.tolist()}) > 1:
    raise ValueError(
      f"the processes have {numbers.tolist()} devices: give each as many"
    )


def process_count() -> int:
  """How many processes there are."""
  return jax.process_count()


def process_index() -> int:
  """Which of the processes this is, from 0."""
  return jax.process_index()


def is_first() -> bool:
  """Whether this is the process that writes what all have found."""
  return process_index() == 0


def of_all(
  array: Shaped[np.ndarray, "n *rest"],
) -> list[Shaped[np.ndarray, "_ *rest"]]:
  """The array that each process has, in their order, bit for bit.

  Args:
    array: of the same type and shape in all, but for the first axis.
  """
  if process_count() == 1:
    return [array]
  # As bytes: JAX would make 64-bit numbers shorter.
  own = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
  lengths = multihost_utils.process_allgather(np.array([own.size], np.int32))
  longest = max(1, int(lengths.max()))
  padded = np.pad(own, (0, longest - own.size))
  rows = np.asarray(multihost_utils.process_allgather(padded))
  return [
    np.frombuffer(row[:length].tobytes(), array.dtype).reshape(
      -1, *array.shape[1:]
    )
    for row, length in zip(rows, lengths.ravel().tolist(), strict=True)
  ]


def of_all_json(value: T) -> list[T]:
  """The value that each process has, in their order, as JSON has it."""
  if process_count() == 1:
    return [value]
  own = np.frombuffer(json.dumps(value).encode(), np.uint8)
  return [json.loads(array.tobytes()) for array in of_all(own)]


def on_first(act: Callable[[], T]) -> T:
  """What the first process's act() returns, in all, once it is done.

  Args:
    act: called in the first alone; of several processes its value is JSON's.

  Raises:
    What act raises, in the first; in the others ValueError.
  """
  if process_count() == 1:
    return act()
  value = error = None
  if is_first():
    try:
      value = act()
    except Exception as raised:
      error = raised
  value, why = of_all_json([value, None if error is None else str(error)])[0]
  if error is not None:
    raise error
  if why is not None:
    raise ValueError(f"of the first process: {why}")
  return value


def processes_here() -> int:
  """How many of the processes share this machine and its memory."""
  return of_all_json(platform.node()).count(platform.node())


def barrier(name: str) -> None:
  """Waits for all processes, which call it by the same name."""
  if process_count() > 1:
    multihost_utils.sync_global_devices(name)


def preempted(step: int) -> bool:
  """Whether the processes, one of which got a SIGTERM, stop at this step.

  Args:
    step: asked for one after the other, by all processes from the same one on.
  """
  return multihost_utils.reached_preemption_sync_point(step)


def data_mesh() -> Mesh:
  """All devices in a row, those of a process beside each other."""
  return _row(sorted(jax.devices(), key=lambda device: device.process_index))


def local_mesh() -> Mesh:
  """The devices of this process in a row."""
  return _row(jax.local_devices())


def _row(devices: Sequence[jax.Device]) -> Mesh:
  return Mesh(np.array(devices), ("data",), axis_types=(AxisType.Auto,))


def everywhere(mesh: Mesh) -> NamedSharding:
  """How arrays lie of which every device has a copy."""
  return NamedSharding(mesh, PartitionSpec())


def replicate(tree, mesh: Mesh):
  """A copy of the tree on every device; each process has the same tree."""
  return _placed(tree, everywhere(mesh), lambda shape: shape)


def shard(batch, mesh: Mesh):
  """Arrays divided over the devices by their first axis.

  Each process gives its own rows of them, see `own_rows`.
  """
  rows = process_count() if mesh.is_multi_process else 1
  return _placed(
    batch,
    NamedSharding(mesh, PartitionSpec("data")),
    lambda shape: (rows * shape[0], *shape[1:]),
  )


def _placed(tree, sharding: NamedSharding, whole: Callable):
  """Arrays on the devices, of shape whole(own shape) over all processes."""
  if not sharding.mesh.is_multi_process:
    return jax.device_put(tree, sharding)

  def place(array):
    own = np.asarray(array)
    return jax.make_array_from_process_local_data(
      sharding, own, whole(own.shape)
    )

  return jax.tree.map(place, tree)


def own_rows(part_size: int, mesh: Mesh) -> slice | None:
  """The rows of a part that this process gives to `shard`; None: all.

  Args:
    part_size: `divisible` by the devices.
    mesh: of these.
  """
  if not mesh.is_multi_process:
    return None
  each = part_size // process_count()
  return slice(process_index() * each, (process_index() + 1) * each)


def local(tree, mesh: Mesh):
  """What `replicate` made for all processes, on the devices of this one.

  Args:
    tree: other arrays are left as they are.
    mesh: of this process's devices.
  """

  def take(array):
    if array.is_fully_addressable:
      return array
    return jax.make_array_from_single_device_arrays(
      array.shape,
      everywhere(mesh),
      [part.data for part in array.addressable_shards],
    )

  return jax.tree.map(take, tree)


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
  device = jax.local_devices()[0]
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
