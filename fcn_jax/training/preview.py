"""The learning rate of every step of a recipe, without training.

The rates are those of the schedule that training itself uses,
`train_step.make_schedule`.
"""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, Int
from ml_collections import ConfigDict

from fcn_jax.training import optimizers
from fcn_jax.training.step import make_schedule

_MOST_CHANGES = 20  # that are listed one by one
_MANY_FOLD = 50  # from which steps are drawn on a logarithmic axis
_BLOCKS = " ▁▂▃▄▅▆▇█"


@dataclasses.dataclass(frozen=True, eq=False)
class Preview:
  """What the learning rate will be.

  Attributes:
    policy: of the recipe.
    rates: of each step, from step 0 on.
    epoch: steps in an epoch; None: not known, and not needed.
  """

  policy: str
  rates: Float32[np.ndarray, " steps"]
  epoch: int | None

  @property
  def changes(self) -> Int[np.ndarray, " n"]:
    """Steps whose rate differs from the one before; step 0 is the first."""
    different = np.flatnonzero(np.diff(self.rates)) + 1
    return np.concatenate([[0], different])

  @property
  def in_steps(self) -> bool:
    """Whether the rate stays the same for long, and then changes at once."""
    return len(self.changes) <= _MOST_CHANGES

  @property
  def logarithmic(self) -> bool:
    """Whether the curve is better drawn on a logarithmic axis."""
    least = self.rates.min()
    return bool(
      self.in_steps and least > 0 and self.rates.max() > _MANY_FOLD * least
    )

  def told(self) -> list[tuple[int, float]]:
    """(step, rate) where it changes; else at every tenth of the run."""
    steps = self.changes
    if not self.in_steps:
      tenths = np.round(np.arange(11) * len(self.rates) / 10).astype(int)
      steps = np.unique(np.minimum(tenths, len(self.rates) - 1))
    return [(int(step), float(self.rates[step])) for step in steps]

  def points(self, most: int = 500) -> Int[np.ndarray, " n"]:
    """Steps between which the curve is straight, or nearly so."""
    last = len(self.rates) - 1
    steps = np.linspace(0, last, min(most, last + 1)).astype(int)
    if self.in_steps:
      changes = self.changes[1:]
      steps = np.concatenate([[0, last], changes - 1, changes])
    return np.unique(steps)

  def text(self, width: int = 64, height: int = 10) -> str:
    """A table and a plot for a terminal.

    Args:
      width, height: of the plot, in characters.
    """
    heading = ["step", "learning rate"]
    rows = [[f"{step:,}", f"{rate:.4g}"] for step, rate in self.told()]
    if self.epoch:
      heading.insert(1, "epoch")
      for row, (step, _) in zip(rows, self.told(), strict=True):
        row.insert(1, f"{step / self.epoch:.4g}")
    table = [heading, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
      "  ".join(cell.rjust(n) for cell, n in zip(row, widths, strict=True))
      for row in table
    ]
    return "\n".join(
      [
        f"{self.policy}, {len(self.rates):,} steps",
        "",
        *lines,
        "",
        *self._plot(width, height),
      ]
    )

  def _plot(self, width: int, height: int) -> list[str]:
    """Columns of blocks; an eighth of a character is the finest step."""
    steps = np.linspace(0, len(self.rates) - 1, width).round().astype(int)
    values, low = self.rates[steps].astype(float), 0.0
    top = float(self.rates.max())
    scale = "linear"
    if self.logarithmic:
      scale = "logarithmic"
      low = float(np.log10(self.rates.min() / 2))
      values, top = np.log10(values), float(np.log10(top))
    eighths = np.round(8 * height * (values - low) / (top - low)).astype(int)
    labels = {0: top, height // 2: (top + low) / 2, height: low}
    if self.logarithmic:
      labels = {row: 10**value for row, value in labels.items()}
    names = {row: f"{value:.3g}" for row, value in labels.items()}
    left = max(map(len, names.values()))
    lines = []
    for row in range(height):
      filled = np.clip(eighths - 8 * (height - 1 - row), 0, 8)
      blocks = "".join(_BLOCKS[n] for n in filled).rstrip()
      lines.append(f"{names.get(row, ''):>{left}} ┤{blocks}".rstrip())
    end = f"{len(self.rates) - 1:,}"
    lines.append(f"{names[height]:>{left}} ┼{'─' * width}")
    lines.append(f"{'':{left}}  0{end:>{width - 1}}  step ({scale} axis)")
    return lines


def needs_epochs(config: ConfigDict) -> list[str]:
  """Fields of the learning rate that are given in epochs."""
  fields = {
    "duration": (config.duration,),
    "lr_stepsize": (config.lr_stepsize,),
    "lr_stepvalues": config.lr_stepvalues,
  }
  used = {
    "step": "lr_stepsize",
    "sigmoid": "lr_stepsize",
    "multistep": "lr_stepvalues",
  }
  known = ("duration", used.get(config.lr_policy))
  return [
    name
    for name, values in fields.items()
    if name in known and any(re.search("epoch", str(v)) for v in values)
  ]


def preview(config: ConfigDict, epoch: int | None) -> Preview:
  """The learning rate of every step.

  Args:
    config: the recipe.
    epoch: steps in an epoch; None only where no duration is in epochs.

  Raises:
    ValueError: a duration is not understood, or is of no step; a rate is NaN
      or infinite.
  """
  steps = epoch or 1
  total = optimizers.steps_in(config.duration, None, steps)
  if total < 1:
    raise ValueError(f"config.duration = {config.duration!r}: no step at all")
  schedule = make_schedule(config, total, steps)
  rates = np.asarray(jax.vmap(schedule)(jnp.arange(total)), np.float32)
  wrong = np.flatnonzero(~np.isfinite(rates))
  if wrong.size:
    raise ValueError(
      f"the learning rate of step {wrong[0]} is {rates[wrong[0]]}: "
      f"config.lr_gamma = {config.lr_gamma} and config.lr_power = "
      f"{config.lr_power} make no sense for lr_policy = {config.lr_policy!r}"
    )
  return Preview(config.lr_policy, rates, epoch)
