"""fcn_jax.machine_memory: made-up trees of Linux's own files."""

import jax
import pytest
from small_data import write

from fcn_jax import machine_memory

STATUS = "VmPeak:\t 9000 kB\nVmRSS:\t    1000 kB\n"
MEMINFO = "MemTotal: 90000 kB\nMemFree: 10 kB\nMemAvailable:  20000 kB\n"
KB = 1024


@pytest.fixture(autouse=True)
def on_a_cpu():
  if jax.default_backend() != "cpu":
    pytest.skip("of CPUs")


def room(tmp_path, **files) -> machine_memory.Room | None:
  tree = {"proc/self/status": STATUS} | {
    name.replace("__", "/"): text for name, text in files.items()
  }
  return machine_memory.room(write(tmp_path, tree))


def test_of_the_machine(tmp_path):
  """What is free, and what this process holds."""
  found = room(tmp_path, proc__meminfo=MEMINFO)
  assert found == machine_memory.Room(
    21000 * KB, "memory of this machine", shared=True
  )


def test_of_a_container(tmp_path):
  """Version 2: 8000 less 5000 in use, of which 2000 are cached files."""
  write(
    tmp_path,
    {
      "sys/fs/cgroup/memory.max": f"{8000 * KB}\n",
      "sys/fs/cgroup/memory.current": f"{5000 * KB}\n",
      "sys/fs/cgroup/memory.stat": f"anon 7\ninactive_file {2000 * KB}\n",
      "proc/self/cgroup": "0::/\n",
    },
  )
  found = room(tmp_path, proc__meminfo=MEMINFO)
  assert found.bytes == (8000 - 5000 + 2000 + 1000) * KB
  assert found.of == "memory limit of this container"


def test_the_tightest_group_counts(tmp_path):
  """A group within a group; 'max' is no limit."""
  write(
    tmp_path,
    {
      "sys/fs/cgroup/a/b/memory.max": "max\n",
      "sys/fs/cgroup/a/b/memory.current": "5\n",
      "sys/fs/cgroup/a/memory.max": f"{3000 * KB}\n",
      "sys/fs/cgroup/a/memory.current": f"{1000 * KB}\n",
      "proc/self/cgroup": "0::/a/b\n",
    },
  )
  assert room(tmp_path, proc__meminfo=MEMINFO).bytes == 3000 * KB


def test_version_1(tmp_path):
  """No limit there is a number larger than any memory."""
  write(
    tmp_path,
    {
      "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{6000 * KB}\n",
      "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{4000 * KB}\n",
      "sys/fs/cgroup/memory/memory.stat": f"total_inactive_file {500 * KB}\n",
      "proc/self/cgroup": "7:cpu:/x\n4:memory,hugetlb:/docker/abc\n",
    },
  )
  found = room(tmp_path, proc__meminfo=MEMINFO)
  assert found.bytes == (6000 - 4000 + 500 + 1000) * KB


def test_nothing_known(tmp_path):
  assert room(tmp_path) is None


def test_this_process_holds_some_memory():
  """No less than 50 MiB, with JAX in it, and no more than the machine's."""
  found = machine_memory.room()
  assert 50 * 2**20 < machine_memory.of_process() < found.bytes
