"""AlexNet as torchvision has it: without groups and normalisation.

Krizhevsky, "One weird trick for parallelizing convolutional neural networks",
2014, single tower; layers under the names of `alexnet`.
"""

from fcn_jax.models import layers as d
from fcn_jax.models.layers import scaled, score

# conv1 .. conv5, fc6, fc7
FEATURES = (64, 192, 384, 256, 256, 4096, 4096)
# torchvision's, in 0..255.
MEAN_BGR = (103.53, 116.28, 123.675)


def trunk(
  width: float | tuple[int, ...],
  mean_bgr: tuple[float, float, float],
  conv1_pad: int,
  size: int | None = None,
) -> d.Layers:
  """data .. fc7, the fully connected layers as convolutions.

  torchvision's pooling rounds down, this one up: at 224 pixels both give 55,
  27, 13 and 6 cells.

  Args:
    width: share of the published features in every layer, or the features of
      conv1 .. conv5, fc6, fc7.
    mean_bgr: the mean that is subtracted from blue, green and red.
    conv1_pad: 100 in an FCN, 2 in the classifier.
    size: side of the classifier's images; None in an FCN.

  Raises:
    ValueError: not as many features as there are layers.
  """
  features = scaled(FEATURES, width, "conv1 .. conv5, fc6, fc7")
  conv1, conv2, conv3, conv4, conv5, fc6, fc7 = features
  return (
    d.Data("data", mean_bgr=tuple(mean_bgr), size=size),
    d.Conv("conv1", features=conv1, kernel=11, stride=4, pad=conv1_pad),
    d.MaxPool("pool1", kernel=3, stride=2),
    d.Conv("conv2", features=conv2, kernel=5, pad=2),
    d.MaxPool("pool2", kernel=3, stride=2),
    d.Conv("conv3", features=conv3, kernel=3, pad=1),
    d.Conv("conv4", features=conv4, kernel=3, pad=1),
    d.Conv("conv5", features=conv5, kernel=3, pad=1),
    d.MaxPool("pool5", kernel=3, stride=2),
    d.Conv("fc6", features=fc6, kernel=6),
    d.Dropout("drop6"),
    d.Conv("fc7", features=fc7, kernel=1),
    d.Dropout("drop7"),
  )


def classifier(
  classes: int,
  width: float | tuple[int, ...] = 1.0,
  mean_bgr: tuple[float, float, float] = MEAN_BGR,
) -> d.Layers:
  """AlexNet for images of 224 x 224; fc8 is [b, 1, 1, classes]."""
  return (
    *trunk(width, mean_bgr, conv1_pad=2, size=224),
    score("fc8", classes),
  )
