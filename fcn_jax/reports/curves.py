"""Curves of training runs over their steps: of one, or of several at once."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fcn_jax.reports import charts
from fcn_jax.runs.run import Run
from fcn_jax.text import score

_WIDE = 20  # a larger ratio of positive values asks for a logarithmic axis


@dataclasses.dataclass(frozen=True)
class Quantity:
  """A figure that the records of a run hold.

  Attributes:
    name: of its curve: 'Mean IoU on val'.
    kind: of the records that hold it: 'train' or 'val'.
    key: its name in them.
    text: how a number of it is written.
    may_be_log: whether a wide range is shown on a logarithmic axis.
    of_average: whether it is of the averaged weights, which have a dict of
      their own in a record.
  """

  name: str
  kind: str
  key: str
  text: Callable[[float], str] = score
  may_be_log: bool = False
  of_average: bool = False

  @property
  def averaged(self) -> "Quantity":
    """The same of the averaged weights (config.ema_decay)."""
    name = f"{self.name}, averaged weights"
    return dataclasses.replace(self, name=name, of_average=True)


_three_digits = "{:.3g}".format

TRAIN_LOSS = Quantity("Training loss", "train", "loss", may_be_log=True)
VAL_LOSS = Quantity("Validation loss", "val", "loss", may_be_log=True)
MEAN_IU = Quantity("Mean IoU", "val", "mean_iu")
PIXEL_ACCURACY = Quantity("Pixel accuracy", "val", "pixel_accuracy")
RATE = Quantity("Learning rate", "train", "lr", _three_digits, may_be_log=True)
SPEED = Quantity(
  "Images per second", "train", "images_per_second", _three_digits
)


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
  """Values of a quantity in one run, under the name of its curve."""

  name: str
  quantity: Quantity
  steps: np.ndarray
  values: np.ndarray

  @property
  def description(self) -> str:
    """Its ends, in words."""
    known = np.flatnonzero(~np.isnan(self.values))
    if not known.size:
      return f"{self.name}: no values"
    first, last = known[0], known[-1]
    text = self.quantity.text
    start = (
      f"{self.name} {text(self.values[first])} at step {self.steps[first]}"
    )
    if first == last:
      return start
    return f"{start}, {text(self.values[last])} at step {self.steps[last]}"


@dataclasses.dataclass(frozen=True, eq=False)
class Figure:
  """A chart, its heading, its file name without ending, and it in words."""

  title: str
  file: str
  chart: charts.Chart
  description: str


def curve(name: str, run: Run, quantity: Quantity) -> Curve:
  """A quantity of a run; records that lack it are left out."""
  records: Sequence[Mapping[str, Any]] = getattr(run, quantity.kind)
  found = [
    (record["step"], figures[quantity.key])
    for record in records
    for figures in [record.get("ema", {}) if quantity.of_average else record]
    if quantity.key in figures
  ]
  return Curve(
    name,
    quantity,
    np.array([step for step, _ in found], int),
    np.array([value for _, value in found], float),
  )


def draw(
  title: str,
  file: str,
  curves: Sequence[Curve],
  baseline: tuple[str, float] | None = None,
) -> Figure:
  """Curves over a common axis of steps.

  Args:
    title: of the chart, and of its vertical axis.
    file: its name as a file, without ending.
    curves: at least one.
    baseline: name and height of a horizontal line.
  """
  known = np.concatenate([c.values for c in curves])
  known = known[np.isfinite(known)]
  log = (
    curves[0].quantity.may_be_log
    and known.size > 0
    and known.min() > 0
    and known.max() > _WIDE * known.min()
  )
  words = [c.description for c in curves]
  if baseline:
    words.append(f"{baseline[0]} {curves[0].quantity.text(baseline[1])}")
  return Figure(
    title,
    file,
    charts.curves(
      [charts.Series(c.name, c.steps, c.values) for c in curves],
      "Step",
      title,
      baseline=baseline,
      log=bool(log),
    ),
    "; ".join(words),
  )
