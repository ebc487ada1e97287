"""fcn_jax.devices: four devices give what one gives."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.sharding import Mesh
from places import ROOT
from small_data import write

from fcn_jax import devices

PROGRAM = """
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
from small_nets import random_image, short_net, split

jax.config.update("jax_disable_most_optimizations", True)

from fcn_jax import devices
from fcn_jax.training import optimizers
from fcn_jax.training import step
from fcn_jax.data import augment
from fcn_jax.data import pipeline
from fcn_jax.models import losses

net = short_net(seed=2)
graphdef, params, frozen = split(net)
mult = optimizers.multipliers(net.layers, params)
rate = optimizers.fixed(1e-3, total=1, steps=int)
solver = functools.partial(optimizers.caffe_sgd, multipliers=mult, images=3)
training = step.Training(
  graphdef, solver, rate, losses.cross_entropy(), jax.random.key(1)
)

samples = []
for seed, size in enumerate([(33, 40), (40, 31), (21, 22)]):
  image = random_image(np.random.default_rng(seed), *size)
  samples.append(augment.Sample(image, image[..., 0] % 5))

whole = devices.data_mesh()
one = jax.sharding.Mesh(
  np.array(jax.devices()[:1]), ("data",), axis_types=whole.axis_types
)
found = []
for mesh in (one, whole):
  parts = pipeline.divide(samples, ((40, 40),), devices.divisible(3, whole))
  copy = jax.tree.map(jnp.copy, (params, frozen))
  state = step.TrainState(
    jnp.zeros((), jnp.int32), *copy, solver(rate).init(copy[0])
  )
  state = devices.replicate(state, mesh)
  stepper = step.Stepper(training, mesh, one_part=True)
  state, losses = stepper(state, pipeline.Batch((0, 1, 2), parts))
  history = jax.tree.leaves(state.opt_state.history)
  assert {len(x.sharding.device_set) for x in history} == {mesh.size}
  found.append((jax.device_get(history), np.asarray(losses[0])))

(one_history, one_losses), (history, losses) = found
print(json.dumps({
  "devices": whole.size,
  "part_size": parts[0].image.shape[0],
  "losses": [one_losses.tolist(), losses.tolist()],
  "worst": max(
    float(np.abs(a - b).max() / np.abs(a).max())
    for a, b in zip(one_history, history)
  ),
  "largest": float(max(np.abs(a).max() for a in one_history)),
}))
"""


def test_four_devices_make_the_same_update_as_one():
  """Three images and an empty place, one a device; dropout and all."""
  here = ROOT / "tests/helpers"
  environment = os.environ | {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": os.environ["XLA_FLAGS"]
    + " --xla_force_host_platform_device_count=4",
    "PYTHONPATH": os.pathsep.join([str(here), str(ROOT)]),
  }
  done = subprocess.run(
    [sys.executable, "-c", PROGRAM],
    env=environment,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  found = json.loads(done.stdout.splitlines()[-1])
  assert (found["devices"], found["part_size"]) == (4, 4)
  one, four = found["losses"]
  assert one[3] == four[3] == 0
  assert min(one[:3]) > 0
  np.testing.assert_allclose(four, one, rtol=1e-5)
  assert found["largest"] > 0
  assert found["worst"] <= 2e-5


def test_the_mesh_is_a_row_of_all_devices():
  mesh = devices.data_mesh()
  assert mesh.axis_names == ("data",)
  assert mesh.devices.tolist() == jax.devices()


@pytest.mark.parametrize(
  ("part_size", "size", "expected"),
  [(1, 4, 4), (4, 4, 4), (5, 4, 8), (3, 1, 3)],
)
def test_parts_are_divisible_by_the_devices(part_size, size, expected):
  row = np.array(jax.devices()[:1] * size)
  assert devices.divisible(part_size, Mesh(row, ("data",))) == expected


STATUS = "VmPeak:\t 9000 kB\nVmRSS:\t    1000 kB\n"
MEMINFO = "MemTotal: 90000 kB\nMemFree: 10 kB\nMemAvailable:  20000 kB\n"
KB = 1024


@pytest.fixture(autouse=True)
def on_a_cpu():
  if jax.default_backend() != "cpu":
    pytest.skip("of CPUs")


def room(tmp_path, **files) -> devices.MemoryLimit | None:
  tree = {"proc/self/status": STATUS} | {
    name.replace("__", "/"): text for name, text in files.items()
  }
  return devices.memory_limit(write(tmp_path, tree))


def test_of_the_machine(tmp_path):
  """What is free, and what this process holds."""
  found = room(tmp_path, proc__meminfo=MEMINFO)
  assert found == devices.MemoryLimit(
    21000 * KB, "memory of this machine", shared=True
  )
  assert devices.host_memory(tmp_path) == found


def test_beside_another_kind_of_device(tmp_path, monkeypatch):
  """Its own memory is unknown here; the machine's is known as before."""
  monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
  assert room(tmp_path, proc__meminfo=MEMINFO) is None
  assert devices.host_memory(tmp_path).bytes == 21000 * KB


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
  found = devices.memory_limit()
  assert 50 * 2**20 < devices.bytes_of_process() < found.bytes
