"""Images, labels and VOC trees of a few pixels, for tests of data sets."""

import io
import os
import pathlib
import tarfile

import numpy as np
from PIL import Image

from fcn_jax.data.builder import DatasetPlan
from fcn_jax.data.classes import voc_palette
from fcn_jax.data.files import File, Pair
from fcn_jax.data.formats import Folder
from fcn_jax.data.labels import LabelReader
from fcn_jax.data.prepare import Output, prepare_dataset


def png(array) -> bytes:
  stream = io.BytesIO()
  Image.fromarray(np.asarray(array, np.uint8)).save(stream, "PNG")
  return stream.getvalue()


def photo(seed: int, height: int = 6, width: int = 8) -> bytes:
  """A JPEG of noise."""
  rng = np.random.default_rng(seed)
  image = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
  stream = io.BytesIO()
  image.save(stream, "JPEG")
  return stream.getvalue()


def label(*values: int, height: int = 6, width: int = 8) -> bytes:
  """A PNG whose rows repeat the values."""
  return png(np.resize(np.array(values, np.uint8), (height, width)))


def write(root: pathlib.Path, files: dict[str, bytes | str]) -> pathlib.Path:
  for name, data in files.items():
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
  return root


def voc_files(root: str = "VOCdevkit/VOC2012/") -> dict[str, bytes | str]:
  """A tree of five images: train b, a; val c; trainval all; test unlabelled.

  Sizes (height, width): a 6x8, b 5x9, c 6x8.
  """
  lists = root + "ImageSets/Segmentation/"
  return {
    lists + "train.txt": "b\na\n",
    lists + "val.txt": "c\r\n",
    lists + "trainval.txt": "a\nb\nc\n\n",
    lists + "test.txt": "d\ne\n",
    root + "JPEGImages/a.jpg": photo(1),
    root + "JPEGImages/b.jpg": photo(2, 5, 9),
    root + "JPEGImages/c.jpg": photo(3),
    root + "JPEGImages/d.jpg": photo(4),
    root + "SegmentationClass/a.png": label(0, 1, 255),
    root + "SegmentationClass/b.png": label(0, 2, height=5, width=9),
    root + "SegmentationClass/c.png": label(0, 20),
    root + "SegmentationObject/a.png": label(0, 1),
  }


def folder_files() -> dict[str, bytes | str]:
  """train (a, b) and val (c) folders, and classes.txt with two names."""
  return {
    "classes.txt": "ground\nthing\n",
    "train/images/a.jpg": photo(1),
    "train/images/b.jpg": photo(2),
    "train/labels/a.png": label(0, 1),
    "train/labels/b.png": label(0, 1, 1, 255),
    "val/images/c.jpg": photo(3),
    "val/labels/c.png": label(1, 0),
  }


def prepared(
  root: pathlib.Path, files: dict[str, bytes | str], name: str
) -> str:
  """The data directory below root, of files laid out as `folder_files`."""
  prepare_dataset(
    folder_format(write(root / "files", files)),
    Output(name=name, data_dir=str(root / "data")),
    say=lambda *_: None,
  )
  return str(root / "data")


def tar_of(folder: pathlib.Path, path: pathlib.Path) -> str:
  with tarfile.open(path, "w") as tar:
    tar.add(folder, ".")
  return os.fspath(path)


def folder_format(root, **changes) -> Folder:
  """The format of files laid out as `folder_files`."""
  files = {
    "class_names": str(root / "classes.txt"),
    "train_images": str(root / "train/images"),
    "train_labels": str(root / "train/labels"),
    "val_images": str(root / "val/images"),
    "val_labels": str(root / "val/labels"),
  }
  return Folder(**(files | changes))


def tiny_output(root, **changes) -> Output:
  """A data set 'tiny' in root/sets."""
  return Output(**({"name": "tiny", "data_dir": str(root / "sets")} | changes))


def make_plan(folder, count=5, name="tiny"):
  pairs = []
  for i in reversed(range(count)):
    write(folder, {f"{i}.jpg": photo(i), f"{i}.png": label(0, i, 255)})
    files = (str(folder / f"{i}.jpg"), str(folder / f"{i}.png"))
    pairs.append(Pair(f"{i}", *(File(path, path) for path in files)))
  splits = {"train": pairs[:-1], "val": pairs[-1:]}
  sizes = {split: [(6, 8)] * len(group) for split, group in splits.items()}
  names = tuple("abcdefgh")
  return DatasetPlan(name, splits, sizes, LabelReader(), names, voc_palette())


def row(*pixels: int) -> np.ndarray:
  """Pixels of classes 0, 1, ... and, last, of void."""
  table = np.zeros(256, np.int64)
  table[: len(pixels) - 1] = pixels[:-1]
  table[255] = pixels[-1]
  return table


def soft_scene(seed: int, height: int = 120, width: int = 160) -> Image.Image:
  """Soft patches of light, as photographs have."""
  rng = np.random.default_rng(seed)
  coarse = rng.integers(0, 256, (7, 9, 3), np.uint8)
  return Image.fromarray(coarse).resize(
    (width, height), Image.Resampling.BICUBIC
  )
