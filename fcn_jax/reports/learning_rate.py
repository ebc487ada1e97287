"""The learning rate of a recipe as a page, an SVG or a PNG."""

import os
import pathlib

import numpy as np

from fcn_jax.files import DataError
from fcn_jax.reports import charts, page, picture_files
from fcn_jax.training.preview import Preview

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
      return picture_files.write_svg(path, drawn.svg("rate"))
    case ".png":
      return picture_files.write_png(path, drawn.png())
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


def claim(path: str | os.PathLike) -> pathlib.Path:
  """Refuses a path before work begins, as `write_learning_rate` would."""
  suffix = pathlib.Path(path).suffix.lower()
  if suffix not in SUFFIXES:
    raise DataError(
      f"{path}: a curve is written as {', '.join(SUFFIXES)}; end the name in "
      "one of them"
    )
  return page.claim(path) if suffix == ".html" else picture_files.claim(path)
