"""Images in one folder per class, as a data set.

DIR/train/CLASS/*.jpg and DIR/val/CLASS/*.jpg; the classes are the names of
the folders under train, in order.  A network sees a square of each image, and
the label of an image is one pixel.
"""

import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from fcn_jax.data.augment import Augmentation, Sample
from fcn_jax.data.classes import VOID, voc_palette
from fcn_jax.data.dataset import Dataset, Example
from fcn_jax.data.files import File, list_folder
from fcn_jax.data.images import encode_label
from fcn_jax.data.readings import pages
from fcn_jax.files import DataError


class Folders(NamedTuple):
  """The images of a split, and the class of each.

  Attributes:
    class_names: in the order of their ids.
    files: of all images, each page of those of several.
    classes: id of each image's class.
  """

  class_names: tuple[str, ...]
  files: tuple[File, ...]
  classes: tuple[int, ...]


def find_classes(directory: str | pathlib.Path) -> dict[str, Folders]:
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
      (page, names.index(name))
      for name in found
      for file in list_folder(root / split / name).values()
      for page in pages(File(file.path, file.path))
    ]
    if not pairs:
      raise DataError(f"{root / split}: no images in its class folders")
    files, classes = zip(*pairs, strict=True)
    splits[split] = Folders(tuple(names), files, classes)
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
  # A row at a time: pixel by pixel it takes ten times as long.
  row = np.tile(np.array(fill, np.uint8), side)
  square = np.tile(row, side).reshape(side, side, 3)
  into, out_of = [], []
  for size, share in zip(image.shape[:2], place, strict=True):
    start = round(share * abs(side - size))
    inside = slice(start, start + min(side, size))
    whole = slice(0, min(side, size))
    into.append(inside if size < side else whole)
    out_of.append(whole if size < side else inside)
  square[tuple(into)] = image[tuple(out_of)]
  return square


def scaled(
  image: UInt8[np.ndarray, "h w 3"], shorter: int
) -> UInt8[np.ndarray, "h2 w2 3"]:
  """An image whose shorter side has so many pixels; 0: as it is."""
  if not shorter:
    return image
  height, width = image.shape[:2]
  scale = shorter / min(height, width)
  size = (round(width * scale), round(height * scale))
  small = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
  return np.asarray(small)


def square(
  side: int, fill: tuple[int, int, int], resize: int = 0
) -> Augmentation:
  """An image on a square of side x side, at a random place.

  Without a generator the image lies in the middle, for evaluation.

  Args:
    side: of the square, in pixels.
    fill: RGB of what lies outside the image.
    resize: pixels that the image's shorter side is scaled to; 0: not scaled.
  """

  def apply(sample: Sample, rng: np.random.Generator | None) -> Sample:
    place = (0.5, 0.5) if rng is None else tuple(rng.random(2))
    image = fit(scaled(sample.image, resize), side, fill, place)
    return sample._replace(image=image)

  def sizes(sizes):
    return np.full_like(sizes, side)

  return Augmentation(apply, sizes, sizes)


class ClassFolders(Dataset):
  """A data set of class folders; a record's label is one pixel, its class.

  Ids are the paths of the images below the folder of their split; of a file of
  several pages each is an image, PATH#001 and so on.
  """

  def source(self, split: str) -> "ClassSource":
    """The images of a split, in random access."""
    return ClassSource(self.folders[self._known(split)], self.ids(split))


class ClassSource(Sequence):
  """Images of a split: source[i] -> Example, read when asked for."""

  def __init__(self, folders: Folders, ids: tuple[str, ...]):
    self._folders, self._ids = folders, ids

  def __len__(self) -> int:
    return len(self._folders.files)

  def __getitem__(self, index: int) -> Example:
    label = np.array([[self._folders.classes[index]]], np.uint8)
    data = self._folders.files[index].read()
    return Example(self._ids[index], data, encode_label(label))


def load_class_folders(
  directory: str | os.PathLike,
  side: int,
  fill: tuple[int, int, int],
  resize: int = 0,
) -> ClassFolders:
  """The data set of a folder with train/CLASS and val/CLASS.

  Args:
    directory: of the two splits.
    side, fill, resize: see `square`.

  Raises:
    DataError: see `find_classes`.
  """
  root = pathlib.Path(directory).expanduser()
  folders = find_classes(root)
  found = ClassFolders(
    name=root.name or str(root),
    directory=str(root),
    class_names=folders["train"].class_names,
    palette=voc_palette(),
    void=VOID,
    _ids={
      split: tuple(
        pathlib.Path(file.name).relative_to(root / split).as_posix()
        for file in each.files
      )
      for split, each in folders.items()
    },
    _sizes={
      split: np.full((len(each.files), 2), side, np.int32)
      for split, each in folders.items()
    },
    square=square(side, fill, resize),
  )
  object.__setattr__(found, "folders", folders)
  return found
