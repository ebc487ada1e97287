"""Images in one folder per class, as a classifier's batches.

DIR/train/CLASS/*.jpg and DIR/val/CLASS/*.jpg; the classes are the names of
the folders under train, in order.
"""

import dataclasses
import pathlib
from collections.abc import Iterator

import grain.python as grain
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from fcn_jax.data.classes import VOID
from fcn_jax.data.images import decode_image
from fcn_jax.data.pipeline import Batch, Part
from fcn_jax.data.sampling import Sampler
from fcn_jax.files import DataError


@dataclasses.dataclass(frozen=True)
class ClassFolders:
  """The images of a split, and the class of each.

  Attributes:
    class_names: in the order of their ids.
    files: of all images.
    classes: id of each image's class.
  """

  class_names: tuple[str, ...]
  files: tuple[pathlib.Path, ...]
  classes: tuple[int, ...]


def find_classes(directory: str | pathlib.Path) -> dict[str, ClassFolders]:
  """The splits train and val of a directory.

  Raises:
    DataError: a folder is missing or empty, there are more than 255 classes,
      or val has a class train has not.
  """
  root = pathlib.Path(directory).expanduser()
  names = _folders(root / "train")
  if len(names) > VOID:
    raise DataError(
      f"{root / 'train'} holds {len(names)} class folders; labels have room "
      f"for {VOID}: take some out"
    )
  splits = {}
  for split in ("train", "val"):
    found = _folders(root / split)
    if strange := sorted(set(found) - set(names)):
      raise DataError(
        f"{root / split} has the classes {', '.join(strange)}, which "
        f"{root / 'train'} has not"
      )
    pairs = [
      (path, names.index(name))
      for name in found
      for path in sorted((root / split / name).iterdir())
      if path.is_file() and not path.name.startswith(".")
    ]
    if not pairs:
      raise DataError(f"{root / split}: no images in its class folders")
    files, classes = zip(*pairs, strict=True)
    splits[split] = ClassFolders(tuple(names), files, classes)
  return splits


def _folders(parent: pathlib.Path) -> list[str]:
  if not parent.is_dir():
    raise DataError(
      f"{parent} is not a folder; images are expected in "
      f"{parent}/CLASS/, one folder per class"
    )
  names = sorted(
    p.name for p in parent.iterdir() if p.is_dir() and p.name[0] != "."
  )
  if not names:
    raise DataError(f"{parent} holds no folder per class")
  return names


def fit(
  image: UInt8[np.ndarray, "h w 3"],
  side: int,
  fill: tuple[int, int, int],
  place: tuple[float, float] = (0.5, 0.5),
) -> UInt8[np.ndarray, "side side 3"]:
  """Cuts or pads an image to side x side pixels, without scaling.

  Args:
    image: RGB.
    side: of the square.
    fill: RGB of what lies outside the image.
    place: where the image lies in the square, or the square in the image, down
      and across: 0 at the start, 1 at the end.
  """
  square = np.empty((side, side, 3), np.uint8)
  square[:] = fill
  into, out_of = [], []
  for size, share in zip(image.shape[:2], place, strict=True):
    start = round(share * abs(side - size))
    inside = slice(start, start + min(side, size))
    whole = slice(0, min(side, size))
    into.append(inside if size < side else whole)
    out_of.append(whole if size < side else inside)
  square[tuple(into)] = image[tuple(out_of)]
  return square


@dataclasses.dataclass(frozen=True)
class CropLoader:
  """Batches of a split, every image cut or padded to one size.

  Attributes:
    folders: the images.
    sampler: which of them each step sees.
    side: of the square images.
    fill: RGB of what lies outside an image; the mean, so that it becomes 0.
    resize: pixels that an image's shorter side is scaled to; 0: not scaled.
    augment: place and mirror images at random; else centre them.
    num_threads: that read ahead.
  """

  folders: ClassFolders
  sampler: Sampler
  side: int
  fill: tuple[int, int, int]
  resize: int = 0
  augment: bool = False
  num_threads: int = 2

  def steps(self, start: int, stop: int) -> Iterator[Batch]:
    """The batches of steps start .. stop - 1, read ahead in threads."""
    numbered = grain.MapDataset.range(start, stop).map(
      lambda step: self.batch(int(step))
    )
    options = grain.ReadOptions(
      num_threads=self.num_threads, prefetch_buffer_size=8
    )
    return iter(numbered.to_iter_dataset(options))

  def batch(self, step: int) -> Batch:
    """The batch of one step; its label is [b, 1, 1], like the scores."""
    indices = self.sampler.indices(step)
    draw = np.random.default_rng((self.sampler.seed, step, 3)).random
    images = []
    for index in indices:
      path = self.folders.files[index]
      image = self._scaled(decode_image(path, str(path)))
      down, across, mirror = draw(3) if self.augment else (0.5, 0.5, 1.0)
      square = fit(image, self.side, self.fill, (down, across))
      images.append(square[:, ::-1] if mirror < 0.5 else square)
    count = len(indices)
    classes = np.array([self.folders.classes[i] for i in indices], np.uint8)
    part = Part(
      image=np.stack(images),
      label=classes[:, None, None],
      extent=np.full((count, 2), self.side, np.int32),
      position=np.arange(count, dtype=np.int32),
    )
    return Batch(indices, (part,))

  def _scaled(self, image: UInt8[np.ndarray, "h w 3"]):
    if not self.resize:
      return image
    height, width = image.shape[:2]
    scale = self.resize / min(height, width)
    size = (round(width * scale), round(height * scale))
    scaled = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(scaled)
