"""What a network says of one image, in the forms people ask for."""

import dataclasses
import functools
import io
import os
import pathlib
from collections.abc import Callable

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from fcn_jax import text
from fcn_jax.data import pictures
from fcn_jax.data.classes import background_classes
from fcn_jax.files import local_path, replacing

_LARGEST_SHOWN = 1600  # pixels on the longer side of what a notebook shows


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Result:
  """The segmentation of one image; a notebook shows it as a picture.

  >>> import fcn_jax
  >>> net = fcn_jax.load("runs/quickstart/fcn_alexnet")
  >>> result = net("runs/quickstart/new_images/new_01.jpg")
  >>> result.labels.shape == result.image.shape[:2]
  True
  >>> round(sum(result.shares.values()), 6)
  1.0
  >>> first = result.class_names[0]
  >>> where = result.labels == result.class_names.index(first)
  >>> bool(abs(where.mean() - result.shares[first]) < 1e-6)
  True
  >>> result.save("labels.png")
  >>> result.overlay(opacity=0.4).save("overlay.png")

  Attributes:
    image: RGB, 0..255, turned as its EXIF orientation says.
    labels: the class id of every pixel, the one of the highest score.
    class_names: the name of class id i at place i.
    palette: RGB, 0..255, of each class id.
    compute_probabilities: makes `probabilities`.
  """

  image: UInt8[np.ndarray, "h w 3"]
  labels: UInt8[np.ndarray, "h w"]
  class_names: tuple[str, ...]
  palette: UInt8[np.ndarray, "256 3"]
  compute_probabilities: Callable[[], np.ndarray]

  @functools.cached_property
  def probabilities(self) -> Float32[np.ndarray, "h w classes"]:
    """Softmax of the scores, 0..1: [y, x, class id], 1 in sum over classes.

    Computed when first asked for, by running the network once more, and kept.
    """
    return self.compute_probabilities()

  @functools.cached_property
  def shares(self) -> dict[str, float]:
    """The share of the pixels that is of each class, 0..1, by class name."""
    counts = np.bincount(self.labels.ravel(), minlength=len(self.class_names))
    return {
      name: int(count) / self.labels.size
      for name, count in zip(self.class_names, counts, strict=True)
    }

  def mask(self) -> Image.Image:
    """The labels as an image of mode P: class ids, with the class colours.

    `np.asarray(result.mask())` is `result.labels`.
    """
    return pictures.index_image(self.labels, self.palette)

  def overlay(self, opacity: float = 0.6, legend: bool = True) -> Image.Image:
    """The image under the class colours, as an RGB image.

    A class named 'background' is not coloured. The legend names the classes
    that were found, with their colour and share of the pixels, most frequent
    first; it is a strip below the image, which stays as large as it is.

    Args:
      opacity: of the colours; 0 shows the image alone, 1 the colours alone.
      legend: whether to add the legend.

    Raises:
      ValueError: opacity is not in 0..1.
    """
    picture = pictures.tint(
      self.image, self.labels, self.palette, opacity, self._background
    )
    return pictures.add_legend(picture, self._entries) if legend else picture

  def save(self, path: str | os.PathLike) -> None:
    """Writes `mask()` as a PNG: an image whose pixel values are class ids.

    For pictures: `result.overlay().save(path)`; for numbers:
    `np.save(path, result.probabilities)`.

    Raises:
      ValueError: the path does not end in .png; other formats lose class ids.
    """
    path = local_path(path)
    if path.suffix.lower() != ".png":
      raise ValueError(
        f"{path}: labels are saved as .png, which keeps class ids; for a "
        "picture in another format use result.overlay().save(...)"
      )
    write_image(path, self.mask())

  @property
  def _background(self) -> tuple[int, ...]:
    return background_classes(self.class_names)

  @property
  def _entries(self) -> list[pictures.Entry]:
    colors = [tuple(color) for color in self.palette.tolist()]
    for label in self._background:
      colors[label] = None
    found = [
      pictures.Entry(label, name, colors[label], share)
      for label, (name, share) in enumerate(self.shares.items())
      if share
    ]
    return sorted(found, key=lambda entry: -entry.share)

  def _repr_png_(self) -> bytes:
    picture = self.overlay()
    picture.thumbnail((_LARGEST_SHOWN, _LARGEST_SHOWN))
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()

  def __repr__(self) -> str:
    height, width = self.labels.shape
    found = ", ".join(
      f"{entry.name} {text.percent(entry.share)}" for entry in self._entries
    )
    return f"<Result {height} x {width}: {found}>"


def write_image(
  path: pathlib.Path, image: Image.Image, compress_level: int = 6
) -> None:
  """Writes a PNG, complete or not at all."""
  with replacing(path) as temporary:
    image.save(temporary, "PNG", compress_level=compress_level)
