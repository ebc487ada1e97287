"""The arithmetic that leads to each crop offset, step by step, in words.

The numbers are those of `geometry.placements`; here is written how each of them
follows from the ones before.
"""

import dataclasses
from fractions import Fraction

from fcn_jax.models import geometry
from fcn_jax.models import layers as d
from fcn_jax.text import number


@dataclasses.dataclass(frozen=True)
class Step:
  """How one layer moves or scales what it reads.

  Attributes:
    layer: its name.
    operation: what it does, as 'convolution 11 × 11, stride 4, pad 100'.
    centre: the sum that gives the centre of its cell 0, in pixels; or, of a
      Crop, the one that gives its offset in cells.
    stride: the product that gives the pixels from one cell to the next; ''
      where it stays.
  """

  layer: str
  operation: str
  centre: str
  stride: str


@dataclasses.dataclass(frozen=True)
class Offset:
  """Where a crop begins, as a sum over the layers that move its blobs.

  Attributes:
    crop: name of the Crop.
    cells: its offset.
    stride: pixels from one cell to the next.
    terms: (layer, pixels) that add up to cells * stride.
  """

  crop: str
  cells: int
  stride: Fraction
  terms: tuple[tuple[str, Fraction], ...]

  def __str__(self):
    text = ""
    for name, pixels in self.terms:
      sign = "−" if pixels < 0 else "+" if text else ""
      text += f" {sign} {number(abs(pixels))} ({name})"
    text = text.strip() or "0"
    result = f"{self.crop}: {text} = {number(self.cells * self.stride)} pixels"
    if self.stride != 1:
      result += f", {number(self.stride)} a cell: {self.cells} cells"
    return result


def _bracketed(value: Fraction) -> str:
  return f"({number(value)})" if value < 0 else number(value)


def operation(layer: d.Layer, bottom: str | None = None) -> str:
  """What a layer does, in words; `bottom` is named where it is given."""
  if isinstance(layer, d.Sum):
    return f"sum of {bottom or layer.bottom} and {layer.other}"
  return _operation(layer) + (f", of {bottom}" if bottom else "")


def _operation(layer: d.Layer) -> str:
  match layer:
    case d.Conv() | d.MaxPool() | d.Upscore():
      kind = {d.Conv: "convolution", d.MaxPool: "max pooling"}
      text = f"{kind.get(type(layer), 'upscore')} "
      text += f"{layer.kernel} × {layer.kernel}"
      text += f", stride {layer.stride}" if layer.stride > 1 else ""
      text += f", pad {layer.pad}" if layer.pad else ""
      groups = getattr(layer, "groups", 1)
      return text + (f", {groups} groups" if groups > 1 else "")
    case d.Data():
      return "image, mean subtracted"
    case d.LRN():
      return f"normalisation over {layer.size} channels"
    case d.Dropout():
      return f"dropout {layer.rate:g}"
    case d.Scale():
      return f"× {layer.factor:g}"
    case d.Crop():
      return f"cut to {layer.like}"
  raise TypeError(f"{layer.name}: no words for a {type(layer)}")


def steps(layers: d.Layers) -> list[Step]:
  """Every layer that moves or scales what it reads, and every Crop."""
  places = geometry.placements(layers)
  offsets = geometry.crop_offsets(layers)
  found = []
  for layer, bottom in d.with_bottoms(layers):
    if bottom is None:
      continue
    below, here = places[bottom], places[layer.name]
    centre = stride = ""
    match layer:
      case d.Conv() | d.MaxPool():
        pad = f" − {layer.pad}" if layer.pad else ""
        centre = (
          f"{number(below.start)} + {number(below.stride)} × "
          f"(({layer.kernel} − 1) / 2{pad}) = {number(here.start)}"
        )
        if layer.stride > 1:
          stride = (
            f"{number(below.stride)} × {layer.stride} = {number(here.stride)}"
          )
      case d.Upscore():
        centre = (
          f"{number(below.start)} − {number(here.stride)} × "
          f"({layer.kernel} − 1) / 2 = {number(here.start)}"
        )
        stride = (
          f"{number(below.stride)} / {layer.stride} = {number(here.stride)}"
        )
      case d.Crop():
        like = places[layer.like]
        centre = (
          f"({number(like.start)} − {_bracketed(below.start)}) / "
          f"{number(below.stride)} = {offsets[layer.name]}"
        )
    if (below.start, below.stride) != (here.start, here.stride) or isinstance(
      layer, d.Crop
    ):
      found.append(Step(layer.name, operation(layer), centre, stride))
  return found


def offsets(layers: d.Layers) -> list[Offset]:
  """Every Crop's offset, as a sum of what each layer adds to it."""
  bottoms = {layer.name: bottom for layer, bottom in d.with_bottoms(layers)}
  by_name = {layer.name: layer for layer in layers}
  places = geometry.placements(layers)

  def way(name: str | None) -> list[str]:
    """From a layer up to the image."""
    names = []
    while name is not None:
      names.append(name)
      name = bottoms[name]
    return names

  def terms(names: list[str], sign: int) -> list[tuple[str, Fraction]]:
    """What the layers move, from the image down."""
    found = []
    for name in reversed(names):
      layer, bottom = by_name[name], bottoms[name]
      pad = getattr(layer, "pad", 0)
      moved = places[name].start - places[bottom].start if bottom else 0
      if moved and pad:
        padded = places[bottom].stride * pad
        found.append((f"pad of {name}", -sign * padded))
        moved += padded
      if moved:
        found.append((name, sign * moved))
    return found

  result = []
  for name, cells in geometry.crop_offsets(layers).items():
    of_blob, of_like = way(bottoms[name]), way(by_name[name].like)
    shared = set(of_blob) & set(of_like)
    result.append(
      Offset(
        name,
        cells,
        places[name].stride,
        tuple(
          terms([n for n in of_like if n not in shared], 1)
          + terms([n for n in of_blob if n not in shared], -1)
        ),
      )
    )
  return result
