"""The learning rate of a recipe as a page, an SVG or a PNG."""

import dataclasses
import os
import pathlib

import numpy as np
from jaxtyping import Float32, Int

from fcn_jax.files import DataError
from fcn_jax.reports import charts, page
from fcn_jax.text import table

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
    return "\n".join(
      [
        f"{self.policy}, {len(self.rates):,} steps",
        "",
        table([heading, *rows], left=0),
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


SUFFIXES = (".html", ".svg", ".png")


def chart(preview: Preview) -> charts.Chart:
  """The curve, over steps."""
  steps = preview.points()
  rates = preview.rates[steps].astype(np.float64)
  return charts.curves(
    [charts.Series(preview.policy, steps, rates)],
    "step",
    "learning rate",
    limits=None if preview.logarithmic else (0, 1.05 * float(rates.max())),
    log=preview.logarithmic,
  )


def write_learning_rate(
  path: str | os.PathLike, preview: Preview, name: str
) -> pathlib.Path:
  """Writes what the path's ending asks for; returns the absolute path.

  Args:
    path: ends in .html, .svg or .png.
    preview: the rates.
    name: of the recipe.

  Raises:
    DataError: another ending, or a file there that is none of ours.
    OSError: the file cannot be written.
  """
  path = claim(path)
  drawn = chart(preview)
  match path.suffix.lower():
    case ".svg":
      return page.write_svg(path, drawn.svg("rate"))
    case ".png":
      return page.write_png(path, drawn.png())
  told = preview.told()
  by_epoch = [preview.epoch and f"{s / preview.epoch:.4g}" for s, _ in told]
  first, last = told[0][1], float(preview.rates[-1])
  return page.write(
    path,
    "learning_rate.html.j2",
    name=name,
    preview=preview,
    steps=len(preview.rates),
    chart=drawn,
    spoken=(
      f"Learning rate over {len(preview.rates)} steps, policy "
      f"{preview.policy}: from {first:.4g} to {last:.4g}"
    ),
    first=f"{first:.4g}",
    last=f"{last:.4g}",
    rows=[
      [f"{step:,}", *([epoch] if epoch else []), f"{rate:.4g}"]
      for (step, rate), epoch in zip(told, by_epoch, strict=True)
    ],
  )


def show(
  preview: Preview, name: str, path: str | os.PathLike | None = None
) -> str:
  """What is printed: the text, and where the curve was written.

  Args:
    preview: the rates.
    name: of the recipe.
    path: see `write_learning_rate`; None: nothing is written.
  """
  if path is None:
    return preview.text()
  written = write_learning_rate(path, preview, name)
  return f"{preview.text()}\n\nwritten to {written}"


def claim(path: str | os.PathLike) -> pathlib.Path:
  """Refuses a path before work begins, as `write_learning_rate` would."""
  suffix = pathlib.Path(path).suffix.lower()
  if suffix not in SUFFIXES:
    raise DataError(
      f"{path}: a curve is written as {', '.join(SUFFIXES)}; end the name in "
      "one of them"
    )
  return page.claim(path) if suffix == ".html" else page.claim_picture(path)
