"""AlexNet: the trunk of FCN-AlexNet, and the classifier it comes from.

Krizhevsky, Sutskever and Hinton, NIPS 2012; layers and names as in BVLC Caffe.
"""

from fcn_jax.models import layers as d
from fcn_jax.models.layers import scaled, score

# conv1 .. conv5, fc6, fc7
FEATURES = (96, 256, 384, 384, 256, 4096, 4096)


def trunk(
  width: float | tuple[int, ...],
  order: str,
  mean_bgr: tuple[float, float, float],
  conv1_pad: int,
  size: int | None = None,
) -> d.Layers:
  """data .. fc7, the fully connected layers as convolutions.

  Args:
    width: share of the published features in every layer, or the features of
      conv1 .. conv5, fc6, fc7.
    order: 'pool_norm' (CaffeNet, and FCN-AlexNet as DIGITS and the FCN authors
      train it) or 'norm_pool' (BVLC AlexNet).
    mean_bgr: the mean that is subtracted from blue, green and red.
    conv1_pad: 100 in an FCN, 0 in the classifier.
    size: side of the classifier's images; None in an FCN.

  Raises:
    ValueError: an unknown order, or features that the groups do not divide.
  """
  features = scaled(FEATURES, width, "conv1 .. conv5, fc6, fc7")
  if any(n % 2 for n in features[:5]):
    raise ValueError(
      f"width {width!r} gives the features {features}; AlexNet needs those of "
      "conv1 .. conv5 even"
    )
  conv1, conv2, conv3, conv4, conv5, fc6, fc7 = features
  return (
    d.Data("data", mean_bgr=tuple(mean_bgr), size=size),
    d.Conv("conv1", features=conv1, kernel=11, stride=4, pad=conv1_pad),
    *_pool_and_norm(1, order),
    d.Conv("conv2", features=conv2, kernel=5, pad=2, groups=2),
    *_pool_and_norm(2, order),
    d.Conv("conv3", features=conv3, kernel=3, pad=1),
    d.Conv("conv4", features=conv4, kernel=3, pad=1, groups=2),
    d.Conv("conv5", features=conv5, kernel=3, pad=1, groups=2),
    d.MaxPool("pool5", kernel=3, stride=2),
    d.Conv("fc6", features=fc6, kernel=6),
    d.Dropout("drop6"),
    d.Conv("fc7", features=fc7, kernel=1),
    d.Dropout("drop7"),
  )


def classifier(
  classes: int,
  width: float | tuple[int, ...] = 1.0,
  order: str = "norm_pool",
  mean_bgr: tuple[float, float, float] = (104.0, 117.0, 123.0),
) -> d.Layers:
  """AlexNet for images of 227 x 227; fc8 is [b, 1, 1, classes]."""
  return (
    *trunk(width, order, mean_bgr, conv1_pad=0, size=227),
    score("fc8", classes),
  )


def _pool_and_norm(n: int, order: str) -> d.Layers:
  pool = d.MaxPool(f"pool{n}", kernel=3, stride=2)
  norm = d.LRN(f"norm{n}")
  if order == "pool_norm":
    return (pool, norm)
  if order == "norm_pool":
    return (norm, pool)
  raise ValueError(f"order {order!r}: there is pool_norm and norm_pool")
