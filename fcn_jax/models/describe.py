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
  cells = {name: rows[name] * columns[name] for name in rows}
  every = {
    layer.name: layer.flops(channels[bottom], cells[bottom], cells[layer.name])
    for layer, bottom in d.with_bottoms(layers)
    if bottom
  }
  return {name: flops for name, flops in every.items() if flops}


def step_flops(layers: d.Layers, height: int, width: int) -> int:
  """FLOPs of forward and backward passes for one image.

  Backward, a convolution costs as much again for its kernel and for its input;
  the image needs no gradient, and an upscore's kernel none.
  """
  counted = forward_flops(layers, height, width)
  arrays = d.weights(layers)
  total = 0
  for layer, bottom in d.with_bottoms(layers):
    if layer.name in counted:
      of_input = bottom != layers[0].name
      of_kernel = any(
        weight.fixed is None for weight in arrays.get(layer.name, {}).values()
      )
      total += counted[layer.name] * (1 + of_input + of_kernel)
  return total


def count_parameters(layers: d.Layers) -> int:
  """Learnable numbers of all layers."""
  channels = d.channels(layers)
  return sum(
    layer.parameters(channels[bottom])
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


def derivation(layers: d.Layers) -> list[DerivationStep]:
  """Every layer that moves or scales what it reads, and every Crop."""
  places = geometry.placements(layers)
  found = []
  for layer, bottom in d.with_bottoms(layers):
    if bottom is None:
      continue
    here, below = places[layer.name], places[bottom]
    moved = (below.start, below.stride) != (here.start, here.stride)
    if moved or isinstance(layer, d.Crop):
      others = (places[name] for name in layer.others)
      sums = layer.derivation(here, below, *others)
      found.append(DerivationStep(layer.name, layer.words, *sums))
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
    lr_mult, decay_mult: of what is learned (weight, bias); None: nothing.
    fixed: it has weights that are never learned.
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
  lr_mult: tuple[float, ...] | None
  decay_mult: tuple[float, ...] | None
  fixed: bool


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
      if row.fixed
      else ", ".join(f"{multiplier:g}" for multiplier in multipliers or ())
      for multipliers in (row.lr_mult, row.decay_mult)
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
    added = layer.others if layer.adds_others else ()
    branches = found and bottom != found[-1].name and not added
    arrays = layer.weights(channels[bottom]) if bottom else {}
    learned = [weight for weight in arrays.values() if weight.fixed is None]
    found.append(
      LayerRow(
        name=layer.name,
        kind=type(layer).__name__.lower(),
        operation=layer.words + (f", of {bottom}" if branches else ""),
        bottoms=((bottom,) if bottom else ()) + added,
        channels=channels[layer.name],
        height=rows[layer.name],
        width=columns[layer.name],
        **{
          key: getattr(layer, key, None)
          for key in ("kernel", "stride", "pad", "groups")
        },
        parameters=layer.parameters(channels[bottom]) if bottom else 0,
        flops=counted.get(layer.name, 0),
        field=place.field,
        cell=place.stride,
        centre=place.start,
        lr_mult=tuple(weight.lr_mult for weight in learned) or None,
        decay_mult=tuple(weight.decay_mult for weight in learned) or None,
        fixed=len(learned) < len(arrays),
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
