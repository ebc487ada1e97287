"""Narrow classifiers, as others store them."""

import functools

import jax.numpy as jnp
import numpy as np

from fcn_jax import models
from fcn_jax.models import layers as d
from fcn_jax.weights import export, named, surgery

VGG = {"name": "vgg16", "classes": 3, "width": (4, 4, 6, 6, 8, 10, 12)}
FCN = VGG | {"name": "fcn32s"}
OWT = {
  "name": "alexnet_owt",
  "classes": 3,
  "width": (4, 6, 6, 4, 6, 10, 12),
}
ALEX = {"name": "alexnet", "classes": 3, "width": (4, 8, 8, 8, 8, 10, 12)}
INNER = ("fc6", "fc7", "fc8")


def filled(model) -> models.Network:
  net = models.build(models.declare(**model))
  surgery.initialise(net, 0, "gaussian")
  for layer in net.layers:
    if isinstance(layer, d.Conv):
      bias = getattr(net, layer.name).bias
      bias[...] = jnp.linspace(0.1, 1, bias.size)
  return net


@functools.cache
def blobs(name: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """{layer: (OIHW or (O, C * H * W), bias)} of a network in Caffe's layout."""
  model = {"vgg16": VGG, "alexnet_owt": OWT, "alexnet": ALEX}[name]
  stored = export.to_caffe(filled(model), inner_products=INNER)
  return {layer.name: layer.blobs for layer in stored.layers if layer.blobs}


def torch_names(name: str) -> dict[str, str]:
  """torchvision's name of each layer."""
  names = list(blobs(name))
  places = next(p for p, n in named._FEATURES.items() if list(n) == names)
  heads = {"vgg16": (0, 3, 6), "alexnet_owt": (1, 4, 6)}[name]
  theirs = [f"features.{i}" for i in places]
  theirs += [f"classifier.{i}" for i in heads]
  return dict(zip(names, theirs, strict=True))


def state_dict(name: str) -> dict[str, np.ndarray]:
  """As torchvision has it: its first kernel takes RGB in 0..1, standardised."""
  found = {}
  for layer, (weight, bias) in blobs(name).items():
    if layer in ("conv1", "conv1_1"):
      std = np.array(named.IMAGENET_STD)[:, None, None]
      weight = (weight[:, ::-1] * 255 * std).astype(np.float32)
    theirs = torch_names(name)[layer]
    found[f"{theirs}.weight"], found[f"{theirs}.bias"] = weight, bias
  return found
