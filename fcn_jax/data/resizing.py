"""All images at one size, as DIGITS' "Enforce Same Shape" has it.

A network learns, and sees later, images at the scale of the mode.  Only
training cuts off what is beyond the size: a network takes images of any size,
so prediction sees the whole image at that scale, and every pixel has a score.
"""

import dataclasses

import numpy as np
from jaxtyping import Int

from fcn_jax.data.augment import Augmentation, Sample, resized

# By which of the ratios (image / wanted) of height and width both sides are
# divided.
_RATIO = {
  "crop": min,  # the image covers the size; what is beyond is cut off
  "fill": max,  # the whole image fits in
  "half_crop": lambda ratios: sum(ratios) / 2,
}
MODES = ("squash", *_RATIO)


@dataclasses.dataclass(frozen=True)
class Resize:
  """How images get one size.

  DIGITS, digits/utils/image.py, resize_image; but where an image is smaller
  than the size, DIGITS fills up with noise.  Here it stays smaller: the canvas
  holds it, and what lies beyond an image has no effect.

  Attributes:
    mode: 'squash': to height x width, whatever the proportions were; 'crop':
      by the ratio at which the image covers that; 'fill': by that at which it
      fits in; 'half_crop': by the mean of these two.
    height, width: in pixels.

  Raises:
    ValueError: another mode, or a side below 1.
  """

  mode: str
  height: int
  width: int

  def __post_init__(self):
    if self.mode not in MODES:
      raise ValueError(f"resize {self.mode!r}: there is {', '.join(MODES)}")
    if min(self.height, self.width) < 1:
      raise ValueError(
        f"resize to {self.height} x {self.width}: must be at least 1 x 1"
      )

  def scaled(self, size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a whole image at the scale that the network sees."""
    wanted = (self.height, self.width)
    if self.mode == "squash":
      return wanted
    ratio = _RATIO[self.mode](
      [n / side for n, side in zip(size, wanted, strict=True)]
    )
    height, width = (max(1, round(n / ratio)) for n in size)
    return height, width

  def all_scaled(self, sizes: Int[np.ndarray, "n 2"]) -> Int[np.ndarray, "n 2"]:
    """`scaled` of each."""
    return np.array([self.scaled(tuple(size)) for size in sizes.tolist()])

  def augmentation(self) -> Augmentation:
    """What training does: scales an image, and cuts its middle out."""

    def apply(sample: Sample, rng: np.random.Generator) -> Sample:
      whole = resized(sample, self.scaled(sample.size))
      kept = []
      for n, side in zip(whole.size, (self.height, self.width), strict=True):
        start = (max(n - side, 0) + 1) // 2  # as Python 2 rounds a half
        kept.append(slice(start, start + side))
      return Sample(whole.image[*kept], whole.label[*kept])

    def cut(sizes):
      return np.minimum(self.all_scaled(sizes), (self.height, self.width))

    return Augmentation(apply, cut, cut)

  def __str__(self) -> str:
    return f"{self.mode} to {self.height} x {self.width}"
