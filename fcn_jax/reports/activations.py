"""A page of what every layer holds and makes of one image."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from fcn_jax.models import layers as d
from fcn_jax.prediction.activations import (
  Distribution,
  LayerActivity,
  dead_channels,
)
from fcn_jax.prediction.result import Result
from fcn_jax.reports import maps, page, viewer

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
    scale=[page.color(rgb) for rgb in maps.SCALE],
  )


def _section(layer: LayerActivity) -> Section:
  found, blob = layer.activation, layer.blob
  dropout = isinstance(layer.layer, d.Dropout)
  strongest = [] if dropout else layer.strongest(MAPS)
  # Scores of classes are compared, other channels mean something each.
  common = bool(layer.channel_names)
  thumbnails = [maps.thumbnail(blob[..., i]) for i in strongest]
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
    reduced=max(blob.shape[:2]) > maps.LONGEST,
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
      maps.heights(found.counts), -low / (high - low) if inside else None
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
    uri=maps.map_picture(thumbnail, *ends),
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
      uri=maps.filter_picture(kernel[..., i]),
      alt=f"Filter {i}, largest weight {number(one)}",
      caption=str(i),
    )
    for i, one in enumerate(largest)
  ]
