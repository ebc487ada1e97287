"""Where a prediction is right, and in which way it is wrong elsewhere."""

import enum
from collections.abc import Collection

import numpy as np
from jaxtyping import UInt8

from fcn_jax.data.classes import VOID


class Kind(enum.IntEnum):
  """What an error map says of a pixel."""

  RIGHT = 0
  WRONG = 1  # a class is predicted that is not there
  MISSED = 2  # background is predicted where a class is
  VOID = 3  # the label counts for nothing

  @property
  def text(self) -> str:
    """For legends."""
    return self.name.lower()


# RGB by kind. Of rising lightness, and told apart by the colour-blind (orange
# and blue are from Okabe and Ito's set).
COLORS = np.array(
  [(70, 70, 70), (213, 94, 0), (86, 180, 233), (225, 225, 225)], np.uint8
)


def error_map(
  label: UInt8[np.ndarray, "h w"],
  prediction: UInt8[np.ndarray, "h w"],
  background: Collection[int] = (),
) -> UInt8[np.ndarray, "h w"]:
  """The `Kind` of every pixel.

  RIGHT are the pixels on the diagonal of the confusion matrix, WRONG and MISSED
  those beside it, VOID those that are not in it.

  Args:
    label: class ids, 255 = void.
    prediction: class ids.
    background: class ids that mean 'nothing here'
      (`data.palette.background_classes`); without one nothing is MISSED.
  """
  kinds = np.full(label.shape, Kind.WRONG, np.uint8)
  kinds[np.isin(prediction, list(background))] = Kind.MISSED
  kinds[label == prediction] = Kind.RIGHT
  kinds[label == VOID] = Kind.VOID
  return kinds
