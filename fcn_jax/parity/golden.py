"""A folder of Caffe's figures: its files, nets and weights in our terms."""

import json
import os
import pathlib
import zipfile
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from fcn_jax import models
from fcn_jax.models import layers as d

# What a float32 implementation with another order of summation shows, with a
# margin; shares of an array's largest value.
BLOB = 1e-5
LOSS = 1e-5
GRADIENT = 2e-5
WEIGHT = 5e-6  # after some updates
HISTORY = 5e-5
LEARNING_RATE = 1e-6
NORM = 1e-6
FIGURE = 1e-12  # float64
# The highest score has to lead by this share of the largest score, else
# rounding may decide between two classes.
LEAD = 1e-4

# Layers that give the features of a trunk.
_WIDTH_OF = {
  "alexnet": ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"),
  "vgg16": (*(f"conv{block}_1" for block in range(1, 6)), "fc6", "fc7"),
}


class GoldenError(ValueError):
  """A folder that cannot be compared with; the text names the file."""


class Golden:
  """A folder of Caffe's figures."""

  def __init__(self, folder: str | os.PathLike):
    self.folder = pathlib.Path(folder).expanduser()
    self._loaded: dict[str, Any] = {}

  def has(self, name: str) -> bool:
    """Whether it holds NAME.json; caffemodels are those of alexnet.json."""
    name = "alexnet" if name == "caffemodels" else name
    return (self.folder / f"{name}.json").is_file()

  def load(self, name: str) -> tuple[dict, dict[str, np.ndarray]]:
    """NAME.json and the arrays of NAME.npz (none where there is no such file).

    Raises:
      GoldenError: a file is damaged.
    """
    if name not in self._loaded:
      try:
        described = json.loads((self.folder / f"{name}.json").read_text())
        arrays = {}
        if (self.folder / f"{name}.npz").exists():
          with np.load(self.folder / f"{name}.npz", allow_pickle=False) as npz:
            arrays = dict(npz)
      except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise GoldenError(f"{self.folder}/{name}: {error}") from None
      self._loaded[name] = described, arrays
    return self._loaded[name]


def nhwc(blob: Float[np.ndarray, "b c h w"]) -> Float[np.ndarray, "b h w c"]:
  """From Caffe's order of axes."""
  return np.asarray(blob).transpose(0, 2, 3, 1)


def hwio(
  weight: Float[np.ndarray, "o i h w"],
) -> Float[np.ndarray, "h w i o"]:
  """From Caffe's order of axes."""
  return np.asarray(weight).transpose(2, 3, 1, 0)


def size_name(size) -> str:
  """37x29 of (37, 29)."""
  return "x".join(map(str, size))


def declare(name: str, net: list[dict], preprocessing: dict) -> d.Layers:
  """Our declaration of a net that a folder describes.

  Args:
    name: of the network here.
    net: the net's layers, as described; they give features, classes, order,
      and whether there is dropout.
    preprocessing: gives the mean.
  """
  features = {x["name"]: x["num_output"] for x in net if "num_output" in x}
  trunk = models.NETWORKS[name].classifier or name
  options = {
    "width": tuple(features[layer] for layer in _WIDTH_OF[trunk]),
    "mean_bgr": tuple(float(mean) for mean in preprocessing["subtract"]),
  }
  names = [layer["name"] for layer in net]
  if "norm1" in names:
    first = names.index("norm1") < names.index("pool1")
    options["order"] = "norm_pool" if first else "pool_norm"
  head = "score_fr" if "score_fr" in features else "fc8"
  layers = models.declare(name, features[head], **options)
  if any(layer["type"] == "Dropout" for layer in net):
    return layers
  return tuple(x for x in layers if not isinstance(x, d.Dropout))


def fill(network: models.Network, array) -> models.Network:
  """Puts Caffe's weights into a network.

  Args:
    network: receives them.
    array: 'conv1_0' (weight) or 'conv1_1' (bias) to Caffe's array.
  """
  for layer in network.layers:
    if isinstance(layer, d.Conv):
      weights = getattr(network, layer.name)
      h, w, i, o = weights.kernel.shape
      kernel = array(f"{layer.name}_0").reshape(o, i, h, w)
      weights.kernel[...] = jnp.asarray(hwio(kernel))
      weights.bias[...] = jnp.asarray(array(f"{layer.name}_1").reshape(o))
  return network
