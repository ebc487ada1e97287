"""Data augmentation: random changes of an image and its label.

To add one, write a function of options, each with a default, that returns an
`Augmentation`, and give it a line in AUGMENTATIONS.  A config then names it in
config.data.augment, and sets an option as config.augment.NAME.OPTION.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image, ImageEnhance


class Sample(NamedTuple):
  """One decoded image and its label.

  Attributes:
    image: RGB.
    label: class ids, 255 = void; None where there are no labels.
  """

  image: UInt8[np.ndarray, "h w 3"]
  label: UInt8[np.ndarray, "h w"] | None

  @property
  def size(self) -> tuple[int, int]:
    """Height and width."""
    return self.image.shape[:2]


def _same(sizes: Int[np.ndarray, "n 2"]) -> Int[np.ndarray, "n 2"]:
  return sizes


class Augmentation(NamedTuple):
  """A random change of a labelled image.

  Attributes:
    apply: the changed sample; all randomness comes from the generator.  The
      sample's arrays may be read-only and must stay as they are.
    sizes: from the (height, width) of images, the largest that each may get;
      canvases are chosen to hold these.
    first_draw: only for `mirror` and `random_crop`, which share a stream of
      random numbers: the first of an image's five numbers that it reads.
  """

  apply: Callable[[Sample, np.random.Generator], Sample]
  sizes: Callable[[Int[np.ndarray, "n 2"]], Int[np.ndarray, "n 2"]] = _same
  first_draw: int | None = None


def mirror() -> Augmentation:
  """Flips image and label left to right with probability 1/2."""

  def apply(sample: Sample, rng: np.random.Generator) -> Sample:
    if rng.random() >= 0.5:
      return sample
    return Sample(sample.image[:, ::-1], sample.label[:, ::-1])

  return Augmentation(apply, first_draw=0)


def random_crop(pixels: int = 32) -> Augmentation:
  """Cuts 0 to `pixels` pixels off each side, each number as likely.

  Of a side of n pixels at most (n - 1) // 2 are cut off at either end, so that
  a pixel is left.

  Raises:
    ValueError: fewer than 0 pixels.
  """
  if pixels < 0:
    raise ValueError(f"random_crop: pixels = {pixels}: must be at least 0")

  def apply(sample: Sample, rng: np.random.Generator) -> Sample:
    kept = []
    for length, shares in zip(sample.size, rng.random((2, 2)), strict=True):
      most = min(pixels, (length - 1) // 2)
      start, end = (int(share * (most + 1)) for share in shares)
      kept.append(slice(start, length - end))
    return Sample(sample.image[*kept], sample.label[*kept])

  return Augmentation(apply, first_draw=1)


def photometric(
  brightness: float = 0.2,
  contrast: float = 0.2,
  saturation: float = 0.2,
  hue: float = 0.05,
) -> Augmentation:
  """Changes the colours of the image, see `jitter`; the label stays.

  Factors are uniform in 1 - x to 1 + x, x being `brightness`, `contrast` and
  `saturation`; the shift of the hue is uniform in -hue to hue.

  Raises:
    ValueError: an option below 0, a hue above 0.5, or another one above 1.
  """
  widths = {
    "brightness": brightness,
    "contrast": contrast,
    "saturation": saturation,
    "hue": hue,
  }
  for name, width in widths.items():
    most = 0.5 if name == "hue" else 1
    if not 0 <= width <= most:
      raise ValueError(f"photometric: {name} = {width}: give 0 to {most}")

  def apply(sample: Sample, rng: np.random.Generator) -> Sample:
    drawn = rng.uniform(-1, 1, 4) * list(widths.values())
    factors = np.add(drawn, (1, 1, 1, 0))
    return sample._replace(image=jitter(sample.image, *factors.tolist()))

  return Augmentation(apply)


def jitter(
  image: UInt8[np.ndarray, "h w 3"],
  brightness: float,
  contrast: float,
  saturation: float,
  hue: float,
) -> UInt8[np.ndarray, "h w 3"]:
  """An image of other colours; 1, 1, 1, 0 leaves it as it is.

  In this order, each rounded down and limited to 0..255:

    brightness  x' = brightness * x
    contrast    x' = m + contrast * (x - m), m the mean grey of the image
    saturation  x' = g + saturation * (x - g), g the grey of the pixel
    hue         the angle of the colour in HSV, of 8 bits, moves by `hue` turns

  Grey is 0.299 R + 0.587 G + 0.114 B (ITU-R 601-2), g and m are rounded to
  whole numbers.  These are the operations of torchvision's ColorJitter on
  Pillow's images, which does them in a random order.
  """
  picture = Image.fromarray(image)
  for enhance, factor in (
    (ImageEnhance.Brightness, brightness),
    (ImageEnhance.Contrast, contrast),
    (ImageEnhance.Color, saturation),
  ):
    if factor != 1:
      picture = enhance(picture).enhance(factor)
  shift = round(255 * hue)  # Pillow's hue goes round in 255 steps
  if shift:
    angle, *others = picture.convert("HSV").split()
    angle = angle.point([(i + shift) % 255 for i in range(256)])
    picture = Image.merge("HSV", (angle, *others)).convert("RGB")
  return np.asarray(picture)


# The function of each name, from its options.
AUGMENTATIONS: dict[str, Callable[..., Augmentation]] = {
  "mirror": mirror,
  "random_crop": random_crop,
  "photometric": photometric,
}


def make(name: str, **options) -> Augmentation:
  """The augmentation of that name.

  Raises:
    ValueError: there is none, or an option is out of its range.
  """
  if name not in AUGMENTATIONS:
    raise ValueError(
      f"no augmentation is called {name!r}: there is {', '.join(AUGMENTATIONS)}"
    )
  return AUGMENTATIONS[name](**options)


def augmented(
  sample: Sample,
  augmentations: Iterable[Augmentation],
  seed: int,
  step: int,
  position: int,
) -> Sample:
  """What a step sees of a sample: all augmentations, one after the other.

  The random numbers are a pure function of the arguments.  An augmentation has
  a stream of its own, of (seed, step, 3 + place in the list, position).
  `mirror` and `random_crop` read from that of (seed, step, 2), five numbers an
  image, and do not count in the list.

  Args:
    sample: as stored.
    augmentations: in order.
    seed: of the run.
    step: from 0.
    position: of the image in the batch as drawn, from 0.
  """
  place = 0
  for augmentation in augmentations:
    if augmentation.first_draw is None:
      stream = np.random.PCG64((seed, step, 3 + place, position))
      place += 1
    else:
      stream = np.random.PCG64((seed, step, 2))
      stream.advance(5 * position + augmentation.first_draw)
    sample = augmentation.apply(sample, np.random.Generator(stream))
  return sample


def largest_sizes(
  augmentations: Iterable[Augmentation], sizes: Int[np.ndarray, "n 2"]
) -> Int[np.ndarray, "n 2"]:
  """The largest (height, width) that images of these sizes may get."""
  for augmentation in augmentations:
    sizes = augmentation.sizes(sizes)
  return sizes
