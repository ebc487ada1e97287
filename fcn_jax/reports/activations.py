"""A page of what every layer holds and makes of one image."""

import base64
import dataclasses
import io
import math
import os
import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from fcn_jax.prediction.activations import (
  Distribution,
  LayerActivity,
  dead_channels,
)
from fcn_jax.prediction.result import Result
from fcn_jax.reports import page, viewer

LONGEST = 128  # pixels on the longer side of a map's picture
_LEVELS = 64  # that a map's picture tells apart, so that pages stay small

# cividis at nine places, dark blue to yellow: its lightness rises evenly, also
# for the colour-blind. Nuñez, Anderton and Renslow, PLOS ONE 2018.
SCALE = (
  (0, 34, 78),
  (26, 56, 111),
  (67, 78, 108),
  (97, 101, 111),
  (125, 124, 120),
  (155, 148, 118),
  (188, 174, 108),
  (222, 201, 88),
  (254, 232, 56),
)


def colors(count: int) -> UInt8[np.ndarray, "count 3"]:
  """RGB of so many steps of the scale, from its dark to its light end."""
  places = np.linspace(0, len(SCALE) - 1, count)
  channels = np.array(SCALE, np.float64).T
  mixed = [np.interp(places, np.arange(len(SCALE)), c) for c in channels]
  return np.rint(np.stack(mixed, -1)).astype(np.uint8)


def thumbnail(values: Float[np.ndarray, "y x"]) -> Float[np.ndarray, "v u"]:
  """A map, reduced to `LONGEST` pixels by the mean of what becomes one."""
  image = Image.fromarray(values.astype(np.float32))
  scale = LONGEST / max(image.size)
  if scale < 1:
    width, height = (max(1, round(n * scale)) for n in image.size)
    image = image.resize((width, height), Image.Resampling.BOX)
  return np.asarray(image)


def map_picture(
  values: Float[np.ndarray, "y x"], low: float, high: float
) -> str:
  """A data URI of one channel, coloured from `low` to `high`."""
  share = (values - low) / ((high - low) or 1)
  levels = np.rint(np.clip(share, 0, 1) * (_LEVELS - 1)).astype(np.uint8)
  picture = Image.fromarray(levels)
  picture.putpalette(colors(_LEVELS).tobytes())
  return _map_uri(picture)


def filter_picture(weights: Float[np.ndarray, "y x 3"]) -> str:
  """A data URI of one filter of the image's channels, in its own colours.

  Each filter is scaled by its own largest weight, so that 0 is grey, weights
  that ask for light are lighter, and weights against it darker.

  Args:
    weights: of blue, green and red, as networks here have them.
  """
  largest = float(np.abs(weights).max()) or 1.0
  rgb = weights[..., ::-1].astype(np.float64) / largest
  shades = np.floor(127.5 + 127.5 * rgb + 0.5)
  return _map_uri(Image.fromarray(np.clip(shades, 0, 255).astype(np.uint8)))


def _map_uri(picture: Image.Image) -> str:
  stream = io.BytesIO()
  picture.save(stream, "PNG", optimize=True)
  coded = base64.b64encode(stream.getvalue()).decode()
  return f"data:image/png;base64,{coded}"


def heights(counts: np.ndarray) -> list[float]:
  """Bars of a histogram, 0..1: log(1 + count) as a share of the largest."""
  most = math.log1p(int(counts.max()))
  return (np.log1p(counts) / most).tolist()


MAPS = 24  # shown of a layer


@dataclasses.dataclass(frozen=True)
class Tile:
  """One small picture: data URI, description, and what stands below it."""

  uri: str
  alt: str
  caption: str
  notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Histogram:
  """Bars, 0..1, and where zero lies between them, 0..1, if it does."""

  bars: list[float]
  zero: float | None


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
  """An array as the template needs it.

  Attributes:
    name: of a layer, or 'conv1.kernel'.
    figures: name and text of each figure, in the order of the table.
    histogram: of its values.
    dead: the channels that are 0 throughout, in words; '': none.
  """

  name: str
  figures: dict[str, str]
  histogram: Histogram
  dead: str


@dataclasses.dataclass(frozen=True, eq=False)
class Section:
  """A layer as the template needs it.

  Attributes:
    scale: what the ends of the maps' colour scale stand for.
    common: whether all maps have one scale, so that they can be compared.
    reduced: whether maps are averaged to thumbnails.
  """

  name: str
  kind: str
  parameters: int
  place: str
  blob: Shown
  weights: list[Shown]
  tiles: list[Tile]
  scale: tuple[str, str]
  common: bool
  channels: int
  reduced: bool
  filters: list[Tile]


@dataclasses.dataclass(frozen=True)
class Subject:
  """What was looked at, in words.

  Attributes:
    network: its registered name.
    checkpoint: directory and step.
    image: name of the image.
    note: how the image was made to fit; '': it was not.
  """

  network: str
  checkpoint: str
  image: str
  note: str = ""


def write_activations(
  path: str | os.PathLike,
  subject: Subject,
  layers: Sequence[LayerActivity],
  image: UInt8[np.ndarray, "h w 3"],
  result: Result | Sequence[tuple[str, float]],
) -> pathlib.Path:
  """Writes the page.

  Args:
    path: of the HTML file, see `page.claim`.
    subject: what the page is of.
    layers: those to be shown.
    image: RGB, as the network saw it.
    result: the segmentation; of a classifier the likeliest classes and their
      probabilities.

  Raises:
    DataError: the path is refused.
    OSError: the page cannot be written.
  """
  shown, likeliest = [], result
  if isinstance(result, Result):
    entries = viewer.entries(result.labels, result.class_names, result.palette)
    shown = [viewer.Layer("Prediction", result.labels, entries)]
    likeliest = []
  return page.write(
    path,
    "activations.html.j2",
    subject=subject,
    size=f"{image.shape[1]} × {image.shape[0]}",
    view=viewer.view(subject.image, image, shown),
    likeliest=likeliest,
    sections=[_section(layer) for layer in layers],
    scale=[page.color(rgb) for rgb in SCALE],
  )


def _section(layer: LayerActivity) -> Section:
  found, blob = layer.activation, layer.blob
  strongest = layer.strongest(MAPS) if layer.layer.acts else []
  # Scores of classes are compared, other channels mean something each.
  common = bool(layer.channel_names)
  thumbnails = [thumbnail(blob[..., i]) for i in strongest]
  low = min((float(x.min()) for x in thumbnails), default=0.0)
  high = max((float(x.max()) for x in thumbnails), default=0.0)
  own = ("smallest value of the map", "largest value")
  return Section(
    name=layer.name,
    kind=layer.kind,
    parameters=layer.parameters,
    place=_place(layer),
    blob=_shown(layer.name, found),
    weights=[
      _shown(f"{layer.name}.{name}", one)
      for name, one in layer.distributions.items()
    ],
    tiles=[
      _map_tile(layer, i, x, (low, high) if common else _span(x))
      for i, x in zip(strongest, thumbnails, strict=True)
    ],
    scale=(number(low), number(high)) if common else own,
    common=common,
    channels=found.shape[-1],
    reduced=max(blob.shape[:2]) > LONGEST,
    filters=_filters(layer),
  )


def number(value: float) -> str:
  """A figure with four digits, as in the table of `activations`."""
  return f"{value:.4g}"


def _span(values: np.ndarray) -> tuple[float, float]:
  return float(values.min()), float(values.max())


def _shown(name: str, found: Distribution) -> Shown:
  low, high = float(found.edges[0]), float(found.edges[-1])
  inside = low < 0 < high
  return Shown(
    name=name,
    figures={
      "Shape": " × ".join(map(str, found.shape)),
      "Mean": number(found.mean),
      "Std": number(found.std),
      "Min": number(found.minimum),
      "Max": number(found.maximum),
      "Zeros": f"{found.zeros:.1%}",
    },
    histogram=Histogram(
      heights(found.counts), -low / (high - low) if inside else None
    ),
    dead=dead_channels(found) if len(found.shape) > 1 else "",
  )


def _place(layer: LayerActivity) -> str:
  place = layer.place
  if place.stride == 1 and place.field == 1:
    return "each value is of one pixel"
  apart = "pixel" if place.stride == 1 else f"{place.stride} pixels"
  return f"a value every {apart}, each sees {place.field} pixels on an axis"


def _map_tile(
  layer: LayerActivity,
  channel: int,
  thumbnail: np.ndarray,
  ends: tuple[float, float],
) -> Tile:
  values = layer.blob[..., channel]
  name = str(channel)
  if layer.channel_names:
    name += f" {layer.channel_names[channel]}"
  mean = number(layer.activation.channel_means[channel])
  span = " to ".join(map(number, _span(values)))
  return Tile(
    uri=map_picture(thumbnail, *ends),
    alt=f"{layer.name}, channel {name}: mean {mean}, from {span}",
    caption=name,
    notes=(f"mean {mean}", span),
  )


def _filters(layer: LayerActivity) -> list[Tile]:
  if not layer.sees_image:
    return []
  kernel = layer.weights["kernel"]
  largest = np.abs(kernel).max((0, 1, 2)).tolist()
  return [
    Tile(
      uri=filter_picture(kernel[..., i]),
      alt=f"Filter {i}, largest weight {number(one)}",
      caption=str(i),
    )
    for i, one in enumerate(largest)
  ]
