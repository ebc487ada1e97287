"""Fully convolutional networks: a classifier's trunk, scores, upscore, crop.

Shelhamer, Long and Darrell, PAMI 2017; layers and names as in their code.
Scores are [b, h, w, classes], at the image's own size.
"""

from fcn_jax.models import alexnet, alexnet_owt, vgg16
from fcn_jax.models import layers as d
from fcn_jax.models.layers import score

# Of the ILSVRC images, as the FCN authors subtract it.
MEAN_BGR = (104.00699, 116.66877, 122.67892)


def fcn_alexnet(
  classes: int,
  width: float | tuple[int, ...] = 1.0,
  order: str = "pool_norm",
  mean_bgr: tuple[float, float, float] = (116.0, 116.0, 116.0),
) -> d.Layers:
  """FCN-AlexNet, of stride 32; the mean is DIGITS'."""
  return (
    *alexnet.trunk(width, order, mean_bgr, conv1_pad=100),
    score("score_fr", classes),
    d.Upscore("upscore", kernel=63, stride=32),
    d.Crop("score", like="data"),
  )


def fcn_alexnet_owt(
  classes: int,
  width: float | tuple[int, ...] = 1.0,
  mean_bgr: tuple[float, float, float] = alexnet_owt.MEAN_BGR,
) -> d.Layers:
  """FCN-AlexNet on torchvision's AlexNet, of stride 32."""
  return (
    *alexnet_owt.trunk(width, mean_bgr, conv1_pad=100),
    score("score_fr", classes),
    d.Upscore("upscore", kernel=63, stride=32),
    d.Crop("score", like="data"),
  )


def fcn_alexnet8s(
  classes: int,
  width: float | tuple[int, ...] = 1.0,
  order: str = "pool_norm",
  mean_bgr: tuple[float, float, float] = (116.0, 116.0, 116.0),
) -> d.Layers:
  """FCN-AlexNet with scores of pool2 and pool1: its stride is 8, as FCN-8s'.

  What is added is scaled down: pool1's values are some forty times fc7's, and
  a head that reads them would learn so much faster.  With zero scores of pool2
  and pool1 it is FCN-AlexNet to rounding: kernels 3, 3 and 15 in a row are its
  kernel of 63.
  """
  return (
    *alexnet.trunk(width, order, mean_bgr, conv1_pad=100),
    score("score_fr", classes),
    d.Upscore("upscore2", kernel=3, stride=2),
    *_skip("pool2", "upscore2", classes, 0.1),
    d.Upscore("upscore_pool2", kernel=3, stride=2),
    *_skip("pool1", "upscore_pool2", classes, 0.1),
    d.Upscore("upscore8", kernel=15, stride=8),
    d.Crop("score", like="data"),
  )


def fcn32s(
  classes: int,
  width: float | tuple[int, ...] = 1.0,
  mean_bgr: tuple[float, float, float] = MEAN_BGR,
) -> d.Layers:
  """FCN-32s on VGG-16: one stream."""
  return (
    *vgg16.trunk(width, mean_bgr, conv1_1_pad=100),
    score("score_fr", classes),
    d.Upscore("upscore", kernel=64, stride=32),
    d.Crop("score", like="data"),
  )


def fcn16s(
  classes: int,
  width: float | tuple[int, ...] = 1.0,
  mean_bgr: tuple[float, float, float] = MEAN_BGR,
) -> d.Layers:
  """FCN-16s on VGG-16: scores of pool4 are added."""
  return (
    *vgg16.trunk(width, mean_bgr, conv1_1_pad=100),
    score("score_fr", classes),
    d.Upscore("upscore2", kernel=4, stride=2),
    *_skip("pool4", "upscore2", classes),
    d.Upscore("upscore16", kernel=32, stride=16),
    d.Crop("score", like="data"),
  )


def fcn8s(
  classes: int,
  width: float | tuple[int, ...] = 1.0,
  mean_bgr: tuple[float, float, float] = MEAN_BGR,
) -> d.Layers:
  """FCN-8s on VGG-16: scores of pool4, then of pool3, are added."""
  return _three_streams(classes, width, mean_bgr, {})


def fcn8s_atonce(
  classes: int,
  width: float | tuple[int, ...] = 1.0,
  mean_bgr: tuple[float, float, float] = MEAN_BGR,
) -> d.Layers:
  """FCN-8s that is trained without stages: what is added is scaled down."""
  scales = {"pool4": 0.01, "pool3": 0.0001}
  return _three_streams(classes, width, mean_bgr, scales)


def _three_streams(classes, width, mean_bgr, scales: dict) -> d.Layers:
  return (
    *vgg16.trunk(width, mean_bgr, conv1_1_pad=100),
    score("score_fr", classes),
    d.Upscore("upscore2", kernel=4, stride=2),
    *_skip("pool4", "upscore2", classes, scales.get("pool4")),
    d.Upscore("upscore_pool4", kernel=4, stride=2),
    *_skip("pool3", "upscore_pool4", classes, scales.get("pool3")),
    d.Upscore("upscore8", kernel=16, stride=8),
    d.Crop("score", like="data"),
  )


def _skip(
  pool: str, upscored: str, classes: int, scale: float | None = None
) -> d.Layers:
  """Scores of a pooling layer, cropped and added to the upscored ones."""
  scaled: d.Layers = ()
  if scale is not None:
    scaled = (d.Scale(f"scale_{pool}", bottom=pool, factor=scale),)
  return (
    *scaled,
    score(f"score_{pool}", classes, bottom=f"scale_{pool}" if scaled else pool),
    d.Crop(f"score_{pool}c", like=upscored),
    d.Sum(f"fuse_{pool}", bottom=upscored, other=f"score_{pool}c"),
  )
