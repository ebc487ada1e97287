"""What the segmentation viewer of a page shows: a photograph under layers.

templates/macros/viewer.html.j2 draws a `View`, templates/viewer.js brings it to
life. Layers are class ids, which the browser colours. They travel as the bytes
of the array, deflated: some browsers add noise to the pixels that a script
reads back from a picture, and a class id must not be off by one.
"""

import base64
import dataclasses
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from fcn_jax.data.classes import VOID, background_classes
from fcn_jax.data.pictures import Entry
from fcn_jax.evaluation.errors import COLORS, Kind, error_map
from fcn_jax.reports import page

LONGEST = 1000  # pixels on the longer side of what is shown


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
  """Class ids over an image.

  Attributes:
    name: what the reader calls it: 'Prediction'.
    ids: of every pixel, as large as the image; 255 is void.
    entries: id, name, colour and share of every id that occurs, in the order
      of the legend. Void is hatched, whatever its colour.
    has_class_ids: whether ids are those of classes, and told to the reader.
  """

  name: str
  ids: UInt8[np.ndarray, "h w"]
  entries: Sequence[Entry]
  has_class_ids: bool = True


@dataclasses.dataclass(frozen=True, eq=False)
class Top:
  """The most likely classes of every pixel, most likely first.

  Attributes:
    names: of all class ids.
    ids: class ids, as large as the image.
    percents: the probabilities of these, 0..100.
  """

  names: Sequence[str]
  ids: UInt8[np.ndarray, "h w k"]
  percents: UInt8[np.ndarray, "h w k"]


@dataclasses.dataclass(frozen=True)
class ShownLayer:
  """A layer as the template needs it; `ids` are deflated, in base64."""

  name: str
  ids: str
  entries: tuple[Entry, ...]
  has_class_ids: bool


@dataclasses.dataclass(frozen=True)
class ShownTop:
  """`Top` as the template needs it; arrays are deflated, in base64."""

  names: tuple[str, ...]
  ids: str
  percents: str


@dataclasses.dataclass(frozen=True)
class View:
  """A photograph and its layers, as the template needs them.

  Attributes:
    name: of the image.
    photo: data URI.
    size: (height, width) of the image.
    shown: (height, width) of the photograph and the layers on the page.
    layers, top: the same pixels of each.
  """

  name: str
  photo: str
  size: tuple[int, int]
  shown: tuple[int, int]
  layers: tuple[ShownLayer, ...]
  top: ShownTop | None

  @property
  def is_reduced(self) -> bool:
    """Whether the page shows fewer pixels than the image has."""
    return self.shown != self.size


def view_of(fields: Mapping[str, Any]) -> View:
  """The view whose dataclasses.asdict() was stored as JSON."""
  layers = [
    ShownLayer(
      **{**layer, "entries": tuple(_entry_of(e) for e in layer["entries"])}
    )
    for layer in fields["layers"]
  ]
  top = fields["top"]
  return View(
    fields["name"],
    fields["photo"],
    tuple(fields["size"]),
    tuple(fields["shown"]),
    tuple(layers),
    top and ShownTop(**{**top, "names": tuple(top["names"])}),
  )


def _entry_of(fields: Mapping[str, Any]) -> Entry:
  color = fields["color"]
  return Entry(**{**fields, "color": color and tuple(color)})


def view(
  name: str,
  image: UInt8[np.ndarray, "h w 3"],
  layers: Sequence[Layer],
  top: Top | None = None,
  longest: int = LONGEST,
) -> View:
  """Makes a `View`; larger images are reduced, and the page says so.

  Args:
    name: of the image.
    image: RGB.
    layers: the first is the one that is shown at first.
    top: what the cursor tells besides.
    longest: pixels on the longer side of what is shown. The image is reduced
      by area; of layers the pixels in the middle of these areas are taken.

  Raises:
    ValueError: a layer of another size, or an id without an entry.
  """
  size = image.shape[:2]
  for layer in layers:
    if layer.ids.shape != size:
      raise ValueError(
        f"{name}: the layer {layer.name} is {_size(layer.ids)}, the image "
        f"{_size(image)}"
      )
    unknown = set(np.unique(layer.ids).tolist()) - {
      entry.label for entry in layer.entries
    }
    if unknown:
      raise ValueError(
        f"{name}: the layer {layer.name} has no entry for id {min(unknown)}"
      )
  shown = shown_size(size, longest)
  photo = image
  if shown != size:
    photo = np.asarray(
      Image.fromarray(image).resize(shown[::-1], Image.Resampling.BOX)
    )
  return View(
    name=name,
    photo=page.jpeg(photo),
    size=size,
    shown=shown,
    layers=tuple(
      ShownLayer(
        layer.name,
        packed(layer.ids, shown),
        tuple(layer.entries),
        layer.has_class_ids,
      )
      for layer in layers
    ),
    top=top
    and ShownTop(
      names=tuple(top.names),
      ids=packed(top.ids, shown),
      percents=packed(top.percents, shown),
    ),
  )


def shown_size(size: tuple[int, int], longest: int) -> tuple[int, int]:
  """(height, width), reduced where the longer side has more than `longest`.

  >>> shown_size((1500, 2000), 1000)
  (750, 1000)
  """
  scale = min(1, longest / max(size))
  height, width = (max(1, round(side * scale)) for side in size)
  return height, width


def nearest(side: int, shown: int) -> Int[np.ndarray, " shown"]:
  """Which of `side` pixels are shown: those in the middle of each share.

  >>> nearest(5, 2).tolist()
  [1, 3]
  """
  return (2 * np.arange(shown) + 1) * side // (2 * shown)


def entries(
  ids: UInt8[np.ndarray, "h w"],
  names: Sequence[str],
  palette: UInt8[np.ndarray, "256 3"],
) -> list[Entry]:
  """The legend of labels: what occurs, most frequent first, void last.

  Args:
    ids: class ids and void.
    names: of the class ids.
    palette: RGB of each class id. Under a class named 'background' the image
      stays as it is.

  Raises:
    ValueError: an id without a name.
  """
  counts = np.bincount(ids.ravel(), minlength=256)
  unknown = np.flatnonzero(counts[len(names) : VOID])
  if unknown.size:
    raise ValueError(
      f"id {len(names) + unknown[0]} is no class: there are {len(names)}"
    )
  found, plain = [], (*background_classes(names), VOID)
  for label in np.flatnonzero(counts).tolist():
    name = "void" if label == VOID else names[label]
    rgb = None if label in plain else tuple(palette[label].tolist())
    found.append(Entry(label, name, rgb, int(counts[label]) / ids.size))
  return sorted(found, key=lambda entry: (entry.label == VOID, -entry.share))


def error_layer(
  label: UInt8[np.ndarray, "h w"],
  prediction: UInt8[np.ndarray, "h w"],
  class_names: Sequence[str],
) -> Layer:
  """The layer 'Errors', `error_map.error_map`; right pixels are not coloured.

  Args:
    label: class ids and void.
    prediction: class ids.
    class_names: of the class ids.
  """
  kinds = error_map(label, prediction, background_classes(class_names))
  kinds[kinds == Kind.VOID] = VOID
  names = [kind.text for kind in Kind if kind != Kind.VOID]
  colors = np.zeros((256, 3), np.uint8)
  colors[: len(COLORS)] = COLORS
  legend = [
    dataclasses.replace(entry, color=None)
    if entry.label == Kind.RIGHT
    else entry
    for entry in entries(kinds, names, colors)
  ]
  return Layer("Errors", kinds, legend, has_class_ids=False)


def packed(array: UInt8[np.ndarray, "h w *k"], shown: tuple[int, int]) -> str:
  """The pixels of the array that are shown, deflated, in base64.

  Those of a last axis come plane by plane, which takes less room.
  """
  rows, columns = map(nearest, array.shape[:2], shown)
  chosen = array[rows[:, None], columns]
  if chosen.ndim > 2:
    chosen = np.moveaxis(chosen, -1, 0)
  return base64.b64encode(zlib.compress(chosen.tobytes(), 9)).decode()


def _size(array: np.ndarray) -> str:
  return f"{array.shape[1]} x {array.shape[0]}"
