"""Made-up photographs with the sizes of PASCAL VOC's, as files and prepared."""

import io
import pathlib

import numpy as np
from PIL import Image

from fcn_jax.data import Dataset, load_dataset
from fcn_jax.data.classes import voc_palette
from fcn_jax.data.formats.voc import CLASS_NAMES
from fcn_jax.data.prepare import Options, prepare_dataset

NAME = "voc_like"


def draw_sizes(counts: list[list[int]], images: int) -> list[tuple[int, int]]:
  """As many sizes as asked for, each as often as its share says.

  Args:
    counts: [height, width, images of that size].
    images: how many.
  """
  sizes = np.repeat(
    [row[:2] for row in counts], [row[2] for row in counts], axis=0
  )
  places = (np.arange(images) + 0.5) * len(sizes) / images
  drawn = sizes[places.astype(int)]
  order = np.random.default_rng(0).permutation(images)
  return [(int(h), int(w)) for h, w in drawn[order]]


def write(
  folder: pathlib.Path, counts: list[list[int]], images: int
) -> list[str]:
  """Writes train/{images,labels} and one image for val; returns train's stems.

  A JPEG of quality 90 has about as many bytes as one of VOC's; labels have
  three objects with void borders.
  """
  draw = np.random.default_rng(1)
  (folder / "classes.txt").write_text("\n".join(CLASS_NAMES) + "\n")
  sizes = draw_sizes(counts, images)
  stems = [f"{i:05d}" for i in range(images)]
  for split in ("train", "val"):
    for kind in ("images", "labels"):
      (folder / split / kind).mkdir(parents=True)
  pairs = [("train", *pair) for pair in zip(stems, sizes, strict=True)]
  for split, stem, (height, width) in [*pairs, ("val", "last", sizes[0])]:
    coarse = draw.integers(0, 256, (9, 12, 3)).astype(np.uint8)
    smooth = Image.fromarray(coarse).resize((width, height), Image.BICUBIC)
    noisy = np.asarray(smooth) + draw.normal(0, 12, (height, width, 3))
    image = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    image.save(folder / split / f"images/{stem}.jpg", quality=90)
    label = np.zeros((height, width), np.uint8)
    for index in draw.integers(1, len(CLASS_NAMES), 3):
      top, left = draw.integers(0, (height // 2, width // 2))
      label[top : top + height // 3, left : left + width // 3] = 255
      inside = label[top + 3 : top + height // 3 - 3, left + 3 :]
      inside[:, : width // 3 - 6] = index
    paletted = Image.fromarray(label)
    paletted.putpalette(voc_palette().tobytes())
    paletted.save(folder / split / f"labels/{stem}.png")
  return stems


def prepare(folder: pathlib.Path) -> Dataset:
  """The files of `write` as a data set below `folder`/data."""
  prepare_dataset(
    Options(
      dataset="folder",
      name=NAME,
      data_dir=str(folder / "data"),
      train_images=str(folder / "train/images"),
      train_labels=str(folder / "train/labels"),
      val_images=str(folder / "val/images"),
      val_labels=str(folder / "val/labels"),
      class_names=str(folder / "classes.txt"),
    ),
    say=lambda *_: None,
  )
  return load_dataset(NAME, str(folder / "data"))


def read_plainly(
  folder: pathlib.Path, stem: str, canvas: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
  """Image and label of one pair on a canvas, as one would first write it."""
  data = (folder / f"train/images/{stem}.jpg").read_bytes()
  image = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
  data = (folder / f"train/labels/{stem}.png").read_bytes()
  label = np.asarray(Image.open(io.BytesIO(data)))
  height, width = label.shape
  on_canvas = np.zeros((*canvas, 3), np.uint8)
  on_canvas[:height, :width] = image
  labels = np.full(canvas, 255, np.uint8)
  labels[:height, :width] = label
  return on_canvas, labels
