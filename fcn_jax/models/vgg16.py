"""VGG-16: the trunk of FCN-32s, 16s and 8s, and the classifier it comes from.

Simonyan and Zisserman, ICLR 2015 (configuration D); layers and names as in the
authors' Caffe model.
"""

from fcn_jax.models import layers as d
from fcn_jax.models.layers import scaled, score

# Of the convolutions of blocks 1 .. 5, then fc6, fc7.
FEATURES = (64, 128, 256, 512, 512, 4096, 4096)
CONVOLUTIONS = (2, 2, 3, 3, 3)  # in each block, before its pooling


def trunk(
  width: float | tuple[int, ...],
  mean_bgr: tuple[float, float, float],
  conv1_1_pad: int,
  size: int | None = None,
) -> d.Layers:
  """data .. fc7, the fully connected layers as convolutions.

  Args:
    width: share of the published features in every layer, or the features of
      blocks 1 .. 5, fc6, fc7.
    mean_bgr: the mean that is subtracted from blue, green and red.
    conv1_1_pad: 100 in an FCN, 1 in the classifier.
    size: side of the classifier's images; None in an FCN.

  Raises:
    ValueError: not as many features as there are blocks and layers.
  """
  *blocks, fc6, fc7 = scaled(FEATURES, width, "conv1_ .. conv5_, fc6, fc7")
  layers: list[d.Layer] = [d.Data("data", mean_bgr=tuple(mean_bgr), size=size)]
  for block, (features, count) in enumerate(
    zip(blocks, CONVOLUTIONS, strict=True), 1
  ):
    for i in range(1, count + 1):
      pad = conv1_1_pad if (block, i) == (1, 1) else 1
      layers.append(_conv(f"conv{block}_{i}", features, 3, pad))
    layers.append(d.MaxPool(f"pool{block}", kernel=2, stride=2))
  return (
    *layers,
    _conv("fc6", fc6, 7),
    d.Dropout("drop6"),
    _conv("fc7", fc7, 1),
    d.Dropout("drop7"),
  )


def classifier(
  classes: int,
  width: float | tuple[int, ...] = 1.0,
  mean_bgr: tuple[float, float, float] = (103.939, 116.779, 123.68),
) -> d.Layers:
  """VGG-16 for images of 224 x 224; fc8 is [b, 1, 1, classes]."""
  return (
    *trunk(width, mean_bgr, conv1_1_pad=1, size=224),
    score("fc8", classes),
  )


def _conv(name: str, features: int, kernel: int, pad: int = 0) -> d.Conv:
  """Every bias learns twice as fast as its kernel, and is not decayed."""
  return d.Conv(
    name,
    features=features,
    kernel=kernel,
    pad=pad,
    lr_mult=(1.0, 2.0),
    decay_mult=(1.0, 0.0),
  )
