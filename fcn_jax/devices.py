"""One mesh axis, 'data': the same program on one device or on many."""

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
