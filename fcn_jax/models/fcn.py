"""Fully convolutional networks: a classifier's trunk, scores, upscore, crop.

Shelhamer, Long and Darrell, PAMI 2017; layers and names as in their code.
"""

from fcn_jax import declaration as d
from fcn_jax.models import alexnet


def fcn_alexnet(
  classes: int,
  width: float | tuple[int, ...] = 1.0,
  order: str = "pool_norm",
  mean_bgr: tuple[float, float, float] = (116.0, 116.0, 116.0),
) -> d.Layers:
  """FCN-AlexNet: scores [b, h, w, classes] at the image's own size."""
  return (
    *alexnet.trunk(width, order, mean_bgr, conv1_pad=100),
    d.Conv(
      "score_fr",
      features=classes,
      kernel=1,
      relu=False,
      head=True,
      lr_mult=(1.0, 2.0),
      decay_mult=(1.0, 0.0),
    ),
    d.Upscore("upscore", kernel=63, stride=32),
    d.Crop("score", like="data"),
  )
