"""Data augmentation: random changes of an image and its label.

To add one, write a function of options, each with a default, that returns an
`Augmentation`, and give it a line in AUGMENTATIONS.  A config then names it in
config.data.augment, and sets an option as config.augment.NAME.OPTION.

Where the geometry changes, image and label change together: the image is
interpolated, of the label the nearest pixel is taken, and pixels that come from
nowhere are void.  Pillow does both, by the centres of the pixels, so that a
label stays within half a pixel of what it labels.
"""

import io
import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image, ImageEnhance, ImageFilter

from fcn_jax.data.classes import VOID

# RGB where there is no image: the mean of ILSVRC's, which becomes about 0.
_MEAN = (123, 117, 104)


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
    smallest: the smallest that each may get.
    first_draw: only for `mirror` and `random_crop`, which share a stream of
      random numbers: the first of an image's five numbers that it reads.
  """

  apply: Callable[[Sample, np.random.Generator], Sample]
  sizes: Callable[[Int[np.ndarray, "n 2"]], Int[np.ndarray, "n 2"]] = _same
  smallest: Callable[[Int[np.ndarray, "n 2"]], Int[np.ndarray, "n 2"]] = _same
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

  def smallest(sizes):
    return np.maximum(sizes - 2 * np.minimum(pixels, (sizes - 1) // 2), 1)

  return Augmentation(apply, smallest=smallest, first_draw=1)


def random_scale(low: float = 0.5, high: float = 2.0) -> Augmentation:
  """Enlarges image and label by a factor, uniform in low to high.

  Both sides are rounded to whole pixels.  Where images get larger than the
  memory allows, let `fixed_crop` follow.

  Raises:
    ValueError: not 0 < low <= high <= 8.
  """
  if not 0 < low <= high <= 8:
    raise ValueError(
      f"random_scale: low = {low}, high = {high}: give 0 < low <= high <= 8"
    )

  def scaled(sizes, factor):
    return np.maximum(np.rint(np.asarray(sizes) * factor), 1).astype(int)

  def apply(sample: Sample, rng: np.random.Generator) -> Sample:
    factor = low + (high - low) * rng.random()
    height, width = scaled(sample.size, factor).tolist()
    return resized(sample, (height, width))

  return Augmentation(
    apply,
    lambda sizes: scaled(sizes, high),
    lambda sizes: scaled(sizes, low),
  )


def resized(sample: Sample, size: tuple[int, int]) -> Sample:
  """The whole sample at another (height, width)."""
  if size == sample.size:
    return sample
  image = Image.fromarray(sample.image)
  image = image.resize(size[::-1], Image.Resampling.BILINEAR)
  label = Image.fromarray(sample.label)
  label = label.resize(size[::-1], Image.Resampling.NEAREST)
  return Sample(np.asarray(image), np.asarray(label))


_TRIES = 10  # crops among which one without a class that fills it is sought


def fixed_crop(
  height: int = 320, width: int = 320, cat_max_ratio: float = 1.0
) -> Augmentation:
  """Cuts out height x width pixels, each place as likely.

  A side that is shorter stays as it is: the canvas pads it, and what is padded
  has no effect.  So all images get canvases of at most this size.

  Args:
    height, width: in pixels.
    cat_max_ratio: largest share of one class among the pixels that are not
      void; of 10 crops the first that keeps to it is taken, else the last.  1:
      the first crop is taken, whatever it shows.

  Raises:
    ValueError: a side below 1, or cat_max_ratio outside 0 to 1.
  """
  for name, side in (("height", height), ("width", width)):
    if side < 1:
      raise ValueError(f"fixed_crop: {name} = {side}: must be at least 1")
  _check("fixed_crop", 1, cat_max_ratio=cat_max_ratio)

  def apply(sample: Sample, rng: np.random.Generator) -> Sample:
    for _ in range(_TRIES):
      kept = []
      for length, wanted in zip(sample.size, (height, width), strict=True):
        start = int(rng.random() * (max(length - wanted, 0) + 1))
        kept.append(slice(start, start + wanted))
      label = sample.label[*kept]
      if cat_max_ratio >= 1 or _largest_share(label) <= cat_max_ratio:
        break
    return Sample(sample.image[*kept], label)

  def cut(sizes):
    return np.minimum(sizes, (height, width))

  return Augmentation(apply, cut, cut)


def _largest_share(label: UInt8[np.ndarray, "h w"]) -> float:
  """Of the pixels that are not void, that of the commonest class; 1: none."""
  counts = np.bincount(label.ravel(), minlength=256)[:VOID]
  return counts.max() / counts.sum() if counts.any() else 1.0


def affine(
  degrees: float = 10.0,
  shear: float = 0.0,
  shift: float = 0.0,
  probability: float = 0.5,
) -> Augmentation:
  """Turns, shears and shifts about the middle; the size stays.

  What comes from outside the image is void, and of ILSVRC's mean colour.

  Args:
    degrees: the angle is uniform in -degrees to degrees, at most 180.
    shear: degrees by which columns lean, uniform in -shear to shear, below 45.
    shift: share of the sides, uniform in -shift to shift.
    probability: of a change; else the image stays as it is.

  Raises:
    ValueError: an option out of its range.
  """
  _check("affine", 180, degrees=degrees)
  _check("affine", 45, shear=shear)
  _check("affine", 1, shift=shift, probability=probability)

  def apply(sample: Sample, rng: np.random.Generator) -> Sample:
    if rng.random() >= probability:
      return sample
    turn, lean, down, right = rng.uniform(-1, 1, 4).tolist()
    height, width = sample.size
    return moved(
      sample,
      math.radians(degrees * turn),
      math.radians(shear * lean),
      (shift * down * height, shift * right * width),
    )

  return Augmentation(apply)


def moved(
  sample: Sample, turn: float, lean: float, shift: tuple[float, float]
) -> Sample:
  """The sample turned, sheared and shifted about its middle.

  Args:
    sample: image and label.
    turn: radians, clockwise.
    lean: radians by which columns lean.
    shift: pixels down and to the right.
  """
  height, width = sample.size
  middle = np.array([width / 2, height / 2])
  cos, sin = math.cos(turn), math.sin(turn)
  forward = np.array([[cos, -sin], [sin, cos]]) @ [[1, math.tan(lean)], [0, 1]]
  # Pillow asks where each pixel comes from.
  back = np.linalg.inv(forward)
  offset = middle - back @ (middle + shift[::-1])
  numbers = [*back[0], offset[0], *back[1], offset[1]]

  def transform(array, resampling, fill):
    picture = Image.fromarray(array).transform(
      (width, height),
      Image.Transform.AFFINE,
      [float(number) for number in numbers],
      resampling,
      fillcolor=fill,
    )
    return np.asarray(picture)

  return Sample(
    transform(sample.image, Image.Resampling.BILINEAR, _MEAN),
    transform(sample.label, Image.Resampling.NEAREST, VOID),
  )


def blur(radius: float = 1.5, probability: float = 0.5) -> Augmentation:
  """Blurs the image with a Gaussian; the label stays.

  Args:
    radius: the standard deviation in pixels is uniform in 0 to radius.
    probability: of a change.

  Raises:
    ValueError: a radius outside 0 to 100, or a probability outside 0 to 1.
  """
  _check("blur", 100, radius=radius)
  _check("blur", 1, probability=probability)

  def apply(sample: Sample, rng: np.random.Generator) -> Sample:
    if rng.random() >= probability:
      return sample
    picture = Image.fromarray(sample.image)
    blurred = picture.filter(ImageFilter.GaussianBlur(radius * rng.random()))
    return sample._replace(image=np.asarray(blurred))

  return Augmentation(apply)


def noise(deviation: float = 10.0, probability: float = 0.5) -> Augmentation:
  """Adds Gaussian noise to every value of the image; the label stays.

  Args:
    deviation: the standard deviation in levels (of 255) is uniform in 0 to
      deviation.
    probability: of a change.

  Raises:
    ValueError: a deviation outside 0 to 255, a probability outside 0 to 1.
  """
  _check("noise", 255, deviation=deviation)
  _check("noise", 1, probability=probability)

  def apply(sample: Sample, rng: np.random.Generator) -> Sample:
    if rng.random() >= probability:
      return sample
    spread = np.float32(deviation * rng.random())
    added = rng.standard_normal(sample.image.shape, np.float32)
    added *= spread
    added += sample.image
    np.rint(added, added)
    return sample._replace(image=np.clip(added, 0, 255).astype(np.uint8))

  return Augmentation(apply)


def jpeg(
  lowest: int = 40, highest: int = 90, probability: float = 0.5
) -> Augmentation:
  """Packs the image as a JPEG and unpacks it; the label stays.

  Args:
    lowest, highest: quality, each whole number between them as likely.
    probability: of a change.

  Raises:
    ValueError: not 1 <= lowest <= highest <= 95, or a probability outside 0
      to 1.
  """
  if not 1 <= lowest <= highest <= 95:
    raise ValueError(
      f"jpeg: lowest = {lowest}, highest = {highest}: give 1 <= lowest <= "
      "highest <= 95"
    )
  _check("jpeg", 1, probability=probability)

  def apply(sample: Sample, rng: np.random.Generator) -> Sample:
    if rng.random() >= probability:
      return sample
    quality = lowest + int(rng.random() * (highest - lowest + 1))
    stream = io.BytesIO()
    Image.fromarray(sample.image).save(stream, "JPEG", quality=quality)
    return sample._replace(image=np.asarray(Image.open(stream)))

  return Augmentation(apply)


def coarse_dropout(
  holes: int = 8,
  side: float = 0.15,
  void: bool = True,
  probability: float = 0.5,
) -> Augmentation:
  """Covers rectangles of the image with ILSVRC's mean colour.

  DeVries and Taylor, "Improved regularization of convolutional neural networks
  with cutout", 2017, with several rectangles.

  Args:
    holes: 1 to so many, each number as likely.
    side: height and width of each are uniform in 0 to this share of the
      image's.
    void: whether the label is void there; else it has to be told from what
      lies around.
    probability: of a change.

  Raises:
    ValueError: holes outside 1 to 1000, or a share outside 0 to 1.
  """
  if not 1 <= holes <= 1000:
    raise ValueError(f"coarse_dropout: holes = {holes}: give 1 to 1000")
  _check("coarse_dropout", 1, side=side, probability=probability)

  def apply(sample: Sample, rng: np.random.Generator) -> Sample:
    if rng.random() >= probability:
      return sample
    image, label = sample.image.copy(), sample.label
    hidden = void and label.shape == sample.size  # not one class an image
    if hidden:
      label = label.copy()
    for _ in range(1 + int(rng.random() * holes)):
      hole = []
      for length, share in zip(sample.size, rng.random((2, 2)), strict=True):
        covered = math.ceil(share[0] * side * length)
        start = int(share[1] * (length - covered + 1))
        hole.append(slice(start, start + covered))
      image[*hole] = _MEAN
      if hidden:
        label[*hole] = VOID
    return Sample(image, label)

  return Augmentation(apply)


def _check(augmentation: str, most: float, **options: float) -> None:
  """Raises ValueError: an option is not in 0 to `most`."""
  for name, value in options.items():
    if not 0 <= value <= most:
      raise ValueError(f"{augmentation}: {name} = {value}: give 0 to {most}")


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
  changes = {
    "brightness": brightness,
    "contrast": contrast,
    "saturation": saturation,
  }
  _check("photometric", 1, **changes)
  _check("photometric", 0.5, hue=hue)

  def apply(sample: Sample, rng: np.random.Generator) -> Sample:
    drawn = rng.uniform(-1, 1, 4) * [*changes.values(), hue]
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
  "random_scale": random_scale,
  "fixed_crop": fixed_crop,
  "affine": affine,
  "photometric": photometric,
  "blur": blur,
  "noise": noise,
  "jpeg": jpeg,
  "coarse_dropout": coarse_dropout,
}

# Those that move pixels: they need a label of every pixel.
MOVING = ("random_scale", "fixed_crop", "affine")


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


def smallest_sizes(
  augmentations: Iterable[Augmentation], sizes: Int[np.ndarray, "n 2"]
) -> Int[np.ndarray, "n 2"]:
  """The smallest (height, width) that images of these sizes may get."""
  for augmentation in augmentations:
    sizes = augmentation.smallest(sizes)
  return sizes
