"""A declared network in figures: every layer, the totals, where it lies.

Nothing is computed here a second time: sizes and places come from `geometry`,
multipliers from the declaration.
"""

import dataclasses
from fractions import Fraction
from typing import Any

from fcn_jax.models import geometry
from fcn_jax.models import layers as d
from fcn_jax.text import number, operations, table


def forward_flops(layers: d.Layers, height: int, width: int) -> dict[str, int]:
  """FLOPs of every convolution and upscore for one image, by layer name."""
  channels = d.channels(layers)
  rows, columns = (geometry.sizes(layers, n) for n in (height, width))
  found = {}
  for layer, bottom in d.with_bottoms(layers):
    match layer:
      case d.Conv():
        cells = rows[layer.name] * columns[layer.name]
        inputs = layer.kernel**2 * channels[bottom] // layer.groups
        found[layer.name] = 2 * cells * inputs * layer.features
      case d.Upscore():
        cells = rows[bottom] * columns[bottom]
        found[layer.name] = 2 * cells * layer.kernel**2 * channels[bottom]
  return found


def step_flops(layers: d.Layers, height: int, width: int) -> int:
  """FLOPs of forward and backward passes for one image.

  Backward, a convolution costs as much again for its kernel and for its input;
  the image needs no gradient, and an upscore's kernel none.
  """
  counted = forward_flops(layers, height, width)
  total = 0
  for layer, bottom in d.with_bottoms(layers):
    if layer.name in counted:
      of_input = bottom != layers[0].name
      of_kernel = isinstance(layer, d.Conv)
      total += counted[layer.name] * (1 + of_input + of_kernel)
  return total


def parameters_of(layer: d.Layer, channels: int) -> int:
  """Learnable numbers of one layer that reads so many channels."""
  if not isinstance(layer, d.Conv):
    return 0
  return layer.features * (layer.kernel**2 * channels // layer.groups + 1)


def count_parameters(layers: d.Layers) -> int:
  """Learnable numbers of all layers."""
  channels = d.channels(layers)
  return sum(
    parameters_of(layer, channels[bottom])
    for layer, bottom in d.with_bottoms(layers)
    if bottom
  )


@dataclasses.dataclass(frozen=True)
class DerivationStep:
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
class DerivedOffset:
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


def derivation(layers: d.Layers) -> list[DerivationStep]:
  """Every layer that moves or scales what it reads, and every Crop."""
  places = geometry.placements(layers)
  derived_offsets = geometry.crop_offsets(layers)
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
          f"{number(below.stride)} = {derived_offsets[layer.name]}"
        )
    if (below.start, below.stride) != (here.start, here.stride) or isinstance(
      layer, d.Crop
    ):
      found.append(DerivationStep(layer.name, operation(layer), centre, stride))
  return found


def derived_offsets(layers: d.Layers) -> list[DerivedOffset]:
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
      DerivedOffset(
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


@dataclasses.dataclass(frozen=True)
class LayerRow:
  """One layer.

  Attributes:
    name: of the layer.
    kind: of its declaration, in lower case: 'conv', 'maxpool', 'upscore' ...
    operation: what it does, in words.
    bottoms: names of the layers it reads.
    channels, height, width: of its output.
    kernel, stride, pad, groups: None where it has none.
    parameters: learnable numbers.
    flops: operations of a forward pass for one image.
    field, cell, centre: pixels that a cell sees; from one cell to the next;
      where the centre of cell 0 lies. See `geometry.Placement`.
    lr_mult, decay_mult: of (weight, bias); None where nothing is learned.
  """

  name: str
  kind: str
  operation: str
  bottoms: tuple[str, ...]
  channels: int
  height: int
  width: int
  kernel: int | None
  stride: int | None
  pad: int | None
  groups: int | None
  parameters: int
  flops: int
  field: int
  cell: Fraction
  centre: Fraction
  lr_mult: tuple[float, float] | None
  decay_mult: tuple[float, float] | None


@dataclasses.dataclass(frozen=True)
class Description:
  """A network at one size of image.

  Attributes:
    name: what it is called.
    height, width: of the image.
    rows: one a layer, in order of execution.
    parameters: learnable numbers of all.
    forward_flops, step_flops: of a forward pass and a train step, one image.
    steps: how the crop offsets come about, layer by layer.
    offsets: the same as one sum for each crop.
  """

  name: str
  height: int
  width: int
  rows: tuple[LayerRow, ...]
  parameters: int
  forward_flops: int
  step_flops: int
  steps: tuple[DerivationStep, ...]
  offsets: tuple[DerivedOffset, ...]

  @property
  def field(self) -> int:
    """Pixels, on each axis, that a score depends on before upscoring."""
    return max(row.field for row in self.rows)

  @property
  def coarsest(self) -> Fraction:
    """Largest stride of a blob, in pixels."""
    return max(row.cell for row in self.rows)

  def table(self) -> str:
    """All of it as text."""
    lines = [
      f"{self.name} on {self.height}x{self.width}: "
      f"{self.parameters:,} parameters, {operations(self.forward_flops)} "
      f"forward, {operations(self.step_flops)} a train step; receptive field "
      f"{self.field} pixels, stride {number(self.coarsest)}",
      "",
      *_indented([COLUMNS, *(cells(row) for row in self.rows)], left=2),
    ]
    if self.steps:
      lines += ["", "Where the cells lie, in pixels (centre of cell 0; stride)"]
      lines += _indented(
        [(x.layer, x.operation, x.centre, x.stride) for x in self.steps],
        left=4,
      )
    if self.offsets:
      lines += ["", "Crop offsets"]
      lines += [f"  {offset}" for offset in self.offsets]
    return "\n".join(lines)

  def figures(self) -> dict[str, Any]:
    """The same for JSON; fractions are floats."""

    def plain(value):
      return float(value) if isinstance(value, Fraction) else value

    return {
      "network": self.name,
      "height": self.height,
      "width": self.width,
      "parameters": self.parameters,
      "forward_flops": self.forward_flops,
      "step_flops": self.step_flops,
      "receptive_field": self.field,
      "stride": plain(self.coarsest),
      "layers": [
        {key: plain(value) for key, value in vars(row).items()}
        for row in self.rows
      ],
      "crops": [
        {
          "crop": offset.crop,
          "offset": offset.cells,
          "stride": plain(offset.stride),
          "terms": [[name, plain(pixels)] for name, pixels in offset.terms],
        }
        for offset in self.offsets
      ],
      "derivation": [dataclasses.asdict(step) for step in self.steps],
    }


COLUMNS = (
  "layer",
  "what",
  "output (h × w × c)",
  "parameters",
  "FLOPs",
  "sees",
  "stride",
  "cell 0",
  "lr mult",
  "decay mult",
)


def cells(row: LayerRow) -> tuple[str, ...]:
  """A row as text, in the order of COLUMNS."""
  return (
    row.name,
    row.operation,
    f"{row.height} × {row.width} × {row.channels}",
    f"{row.parameters:,}" if row.parameters else "",
    operations(row.flops) if row.flops else "",
    f"{row.field}",
    number(row.cell),
    number(row.centre),
    *(
      "fixed"
      if row.kind == "upscore"
      else ""
      if pair is None
      else f"{pair[0]:g}, {pair[1]:g}"
      for pair in (row.lr_mult, row.decay_mult)
    ),
  )


def _indented(rows, left: int) -> list[str]:
  return [f"  {line}" for line in table(rows, left).splitlines()]


def describe(
  name: str, layers: d.Layers, height: int, width: int
) -> Description:
  """The figures of a declared network.

  Args:
    name: what it is called.
    layers: the declaration.
    height, width: of the image, in pixels.

  Raises:
    ValueError: an image of this size does not fit, or the layers do not.
  """
  rows, columns = (geometry.sizes(layers, n) for n in (height, width))
  channels = d.channels(layers)
  places = geometry.placements(layers)
  counted = forward_flops(layers, height, width)
  found: list[LayerRow] = []
  for layer, bottom in d.with_bottoms(layers):
    place = places[layer.name]
    sum_other = (layer.other,) if isinstance(layer, d.Sum) else ()
    elsewhere = (found and bottom != found[-1].name) or sum_other
    found.append(
      LayerRow(
        name=layer.name,
        kind=type(layer).__name__.lower(),
        operation=operation(layer, bottom if elsewhere else None),
        bottoms=((bottom,) if bottom else ()) + sum_other,
        channels=channels[layer.name],
        height=rows[layer.name],
        width=columns[layer.name],
        **{
          key: getattr(layer, key, None)
          for key in ("kernel", "stride", "pad", "groups")
        },
        parameters=parameters_of(layer, channels[bottom]) if bottom else 0,
        flops=counted.get(layer.name, 0),
        field=place.field,
        cell=place.stride,
        centre=place.start,
        lr_mult=getattr(layer, "lr_mult", None),
        decay_mult=getattr(layer, "decay_mult", None),
      )
    )
  return Description(
    name=name,
    height=height,
    width=width,
    rows=tuple(found),
    parameters=count_parameters(layers),
    forward_flops=sum(counted.values()),
    step_flops=step_flops(layers, height, width),
    steps=tuple(derivation(layers)),
    offsets=tuple(derived_offsets(layers)),
  )
