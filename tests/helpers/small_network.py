"""Networks of two features a layer, whose scores are worked out by hand."""

import numpy as np
from flax import nnx

from fcn_jax import models
from fcn_jax.data.classes import voc_palette
from fcn_jax.prediction.predictor import Predictor
from fcn_jax.weights import checkpoints

CLASS_NAMES = ("background", "light", "none")


def declared(name: str = "fcn_alexnet"):
  return {
    "name": name,
    "classes": 3,
    "width": [2] * 7,
    "order": "pool_norm",
    "mean_bgr": [0.0, 0.0, 0.0],
  }


def about(name: str = "fcn_alexnet") -> checkpoints.ModelCard:
  return checkpoints.ModelCard(
    model=declared(name),
    class_names=list(CLASS_NAMES),
    palette=voc_palette().tolist(),
  )


def constant(scores) -> models.Network:
  """Gives these scores, whatever the image, where one cell counts fully.

  All else being zero, score_fr is its bias. Its first cell is upscored to
  pixel 31 by the bilinear kernel, and 18 of these pixels are cropped: beside
  the first cell pixel y has 1 - |y - 13| / 32 of the scores, on each axis.
  """
  net = models.build(about().declaration())
  net.score_fr.bias[...] = np.asarray(scores, np.float32)
  return net


def sees_light() -> models.Network:
  """Class 1 where red is bright, class 0 where it is dark.

  Every kernel passes feature 0 on from its middle, so fc7 is red at conv1,
  somewhat less after two LRNs. The scores are 1, fc7 and -1.
  """
  net = models.build(about().declaration())
  for name in ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"):
    kernel = np.zeros(getattr(net, name).kernel.shape, np.float32)
    middle = kernel.shape[0] // 2
    channel = 2 if name == "conv1" else 0
    kernel[middle, middle, channel, 0] = 1
    getattr(net, name).kernel[...] = kernel
  net.score_fr.kernel[...] = np.array([[[[0, 1, 0], [0, 0, 0]]]], np.float32)
  net.score_fr.bias[...] = np.array([1, 0, -1], np.float32)
  return net


def random(seed: int) -> models.Network:
  """Kernels that keep the size of the signal, and biases beside them."""
  net = models.build(about().declaration())
  draw = np.random.default_rng(seed)
  _, params, _ = nnx.split(net, nnx.Param, ...)
  for layer in nnx.to_pure_dict(params):
    weights = getattr(net, layer)
    fan_in = np.prod(weights.kernel.shape[:3])
    weights.kernel[...] = draw.normal(
      0, (2 / fan_in) ** 0.5, weights.kernel.shape
    ).astype(np.float32)
    weights.bias[...] = draw.normal(0, 1, weights.bias.shape).astype(np.float32)
  return net


def predictor(net: models.Network) -> Predictor:
  return Predictor(net, about(), step=7)
