"""Files that Caffe wrote, and what we write."""

import dataclasses
import pathlib
import tempfile
from collections.abc import Iterator

from fcn_jax import models
from fcn_jax.parity.comparison import Comparison, equal
from fcn_jax.parity.golden import Golden, declare, fill
from fcn_jax.weights import caffemodel, export, surgery


def compare(golden: Golden) -> Iterator[Comparison]:
  """Weights read, copied, exported and read again: all to the bit."""
  described, arrays = golden.load("alexnet")
  for file in described["files"].values():
    yield from _compare_file(golden.folder / file, arrays)
  yield from _compare_export("alexnet", golden)
  if golden.has("fcn_alexnet"):
    file = golden.folder / "fcn_alexnet.caffemodel"
    if file.exists():
      yield from _compare_file(file, golden.load("fcn_alexnet")[1])
    yield from _compare_export("fcn_alexnet", golden)


def _compare_file(path: pathlib.Path, arrays) -> Iterator[Comparison]:
  """Every stored tensor, V1 shapes being padded with ones."""
  found = {
    f"w/{layer.name}_{i}": blob
    for layer in caffemodel.read_caffemodel(path).layers
    for i, blob in enumerate(layer.blobs)
  }
  for key, theirs in arrays.items():
    if key.startswith("w/"):
      ours = found.get(key)
      ours = ours if ours is None else ours.reshape(theirs.shape)
      yield equal("weights read", f"{path.name}, {key}", ours, theirs)


def _compare_export(name: str, golden: Golden) -> Iterator[Comparison]:
  """Exported, read back, and put into another network."""
  described, arrays = golden.load(name)
  layers = declare(name, described["net"], described["preprocessing"])
  net = fill(models.build(layers), lambda key: arrays[f"w/{key}"])
  inner = [x["name"] for x in described["net"] if x["type"] == "InnerProduct"]
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / f"{name}.caffemodel"
    caffemodel.write_caffemodel(path, export.to_caffe(net, name, inner))
    for one in _compare_file(path, arrays):
      yield dataclasses.replace(one, what="weights exported and read")
    other = models.build(layers)
    surgery.surgery(caffemodel.read_caffemodel(path), other)
  for layer in layers:
    ours, theirs = (getattr(n, layer.name, None) for n in (other, net))
    for part in ("kernel", "bias"):
      if hasattr(theirs, part):
        yield equal(
          "weights exported, read and copied",
          f"{name}, {layer.name}.{part}",
          getattr(ours, part)[...],
          getattr(theirs, part)[...],
        )
