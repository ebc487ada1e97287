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

from fcn_jax import devices

PROGRAM = """
import json

import jax
import jax.numpy as jnp
import numpy as np
from small_nets import random_image, short_net, split

jax.config.update("jax_disable_most_optimizations", True)

from stored_data import StoredDataset

from fcn_jax import devices
from fcn_jax.training import input
from fcn_jax.training import optimizers
from fcn_jax.training import step
from fcn_jax.data import pipeline

net = short_net(seed=2)
graphdef, params, frozen = split(net)
mult = optimizers.multipliers(net.layers, params)
solver = optimizers.caffe_sgd(lambda _: jnp.float32(1e-3), mult, iter_size=3)
training = step.Training(graphdef, solver, True, jax.random.key(1))

samples = []
for seed, size in enumerate([(33, 40), (40, 31), (21, 22)]):
  image = random_image(np.random.default_rng(seed), *size)
  samples.append(pipeline.Sample(image, image[..., 0] % 5))

whole = devices.data_mesh()
one = jax.sharding.Mesh(
  np.array(jax.devices()[:1]), ("data",), axis_types=whole.axis_types
)
found = []
for mesh in (one, whole):
  parts = pipeline.divide(samples, ((40, 40),), devices.divisible(3, whole))
  copy = jax.tree.map(jnp.copy, (params, frozen))
  state = step.TrainState(
    jnp.zeros((), jnp.int32), *copy, solver.init(copy[0])
  )
  state = devices.replicate(state, mesh)
  stepper = step.Stepper(training, mesh, one_part=True)
  state, losses = stepper(state, pipeline.Drawn((0, 1, 2), parts))
  history = jax.tree.leaves(state.opt_state.history)
  assert {len(x.sharding.device_set) for x in history} == {mesh.size}
  found.append((jax.device_get(history), np.asarray(losses[0])))

loader = pipeline.Loader(
  dataset=StoredDataset(samples, "abcde"),
  split="train",
  drawing=pipeline.Drawing(3, 3, "shuffle", seed=4),
  canvases=((40, 40),),
  part_size=4,
  mirror=True,
)
(gathered,) = input.OnDevice(loader, whole).batch(5).parts
(placed,) = loader.batch(5).parts

(one_history, one_losses), (history, losses) = found
print(json.dumps({
  "devices": whole.size,
  "part_size": parts[0].image.shape[0],
  "losses": [one_losses.tolist(), losses.tolist()],
  "worst": max(
    float(np.abs(a - b).max() / np.abs(a).max())
    for a, b in zip(one_history, history)
  ),
  "gathered_on": len(gathered.image.sharding.device_set),
  "gathered_as_placed": all(
    np.array_equal(a, b) for a, b in zip(gathered, placed)
  ),
  "largest": float(max(np.abs(a).max() for a in one_history)),
}))
"""


def test_four_devices_make_the_same_update_as_one():
  """Three images and an empty place, one a device; dropout and all."""
  here = ROOT / "tests/helpers"
  environment = os.environ | {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
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
  assert found["gathered_on"] == 4
  assert found["gathered_as_placed"]


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
