"""A declared network in figures: every layer, the totals, where it lies.

Nothing is computed here a second time: sizes and places come from `geometry`,
operations and parameters from `flops`, multipliers from `optimizers`.
"""

import dataclasses
from fractions import Fraction
from typing import Any

from fcn_jax.models import crop_derivation, flops, geometry
from fcn_jax.models import layers as d
from fcn_jax.text import number, operations
from fcn_jax.training import optimizers


@dataclasses.dataclass(frozen=True)
class Row:
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
  rows: tuple[Row, ...]
  parameters: int
  forward_flops: int
  step_flops: int
  steps: tuple[crop_derivation.Step, ...]
  offsets: tuple[crop_derivation.Offset, ...]

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
      *_aligned([COLUMNS, *(cells(row) for row in self.rows)], text=2),
    ]
    if self.steps:
      lines += ["", "Where the cells lie, in pixels (centre of cell 0; stride)"]
      lines += _aligned(
        [(x.layer, x.operation, x.centre, x.stride) for x in self.steps],
        text=4,
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


def cells(row: Row) -> tuple[str, ...]:
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


def _aligned(rows, text: int) -> list[str]:
  """Columns side by side, the first `text` of them to the left."""
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  lines = []
  for row in rows:
    sides = [
      cell.ljust(width) if i < text else cell.rjust(width)
      for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    lines.append(f"  {'  '.join(sides)}".rstrip())
  return lines


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
  counted = flops.forward(layers, height, width)
  learned = [layer for layer in layers if isinstance(layer, d.Conv)]
  pairs = {x.name: {"kernel": 0, "bias": 0} for x in learned}
  mult = optimizers.multipliers(layers, pairs)

  def of_both(tree, layer):
    pair = tree.get(layer.name)
    return pair and (pair["kernel"], pair["bias"])

  found: list[Row] = []
  for layer, bottom in d.with_bottoms(layers):
    place = places[layer.name]
    sum_other = (layer.other,) if isinstance(layer, d.Sum) else ()
    elsewhere = (found and bottom != found[-1].name) or sum_other
    found.append(
      Row(
        name=layer.name,
        kind=type(layer).__name__.lower(),
        operation=crop_derivation.operation(
          layer, bottom if elsewhere else None
        ),
        bottoms=((bottom,) if bottom else ()) + sum_other,
        channels=channels[layer.name],
        height=rows[layer.name],
        width=columns[layer.name],
        **{
          key: getattr(layer, key, None)
          for key in ("kernel", "stride", "pad", "groups")
        },
        parameters=flops.parameters_of(layer, channels[bottom])
        if bottom
        else 0,
        flops=counted.get(layer.name, 0),
        field=place.field,
        cell=place.stride,
        centre=place.start,
        lr_mult=of_both(mult.lr, layer),
        decay_mult=of_both(mult.decay, layer),
      )
    )
  return Description(
    name=name,
    height=height,
    width=width,
    rows=tuple(found),
    parameters=flops.parameters(layers),
    forward_flops=sum(counted.values()),
    step_flops=flops.train_step(layers, height, width),
    steps=tuple(crop_derivation.steps(layers)),
    offsets=tuple(crop_derivation.offsets(layers)),
  )
