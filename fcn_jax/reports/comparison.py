"""The page of several training runs: curves over each other, differences."""

import math
import os
import pathlib
from typing import Any

from fcn_jax import text
from fcn_jax.evaluation.metrics import METRICS
from fcn_jax.reports import curves as curves_lib
from fcn_jax.reports import page, training
from fcn_jax.runs import comparison
from fcn_jax.runs.record import Session

_QUANTITIES = (
  curves_lib.TRAIN_LOSS,
  curves_lib.VAL_LOSS,
  curves_lib.MEAN_IU,
  curves_lib.PIXEL_ACCURACY,
  curves_lib.RATE,
)


def write_comparison(
  path: str | os.PathLike, compared: comparison.Comparison
) -> pathlib.Path:
  """Writes the page.

  Args:
    path: of the page.
    compared: the runs.
  """
  titles = comparison.titles().values()
  best = compared.runs[compared.best].best
  measure = compared.measure
  return page.write(
    path,
    "comparison.html.j2",
    compared=compared,
    best=best,
    measure=measure,
    title=METRICS[measure].title,
    drawings=drawings(compared),
    score_names=[training.heading(title) for title in titles],
    last=_rows(compared, "latest"),
    bests=_rows(compared, "best"),
    runs=[
      [
        name,
        run.outcome or ("training" if run.sessions else "–"),
        text.count(run.step),
        "–" if run.total_steps is None else text.count(run.total_steps),
        text.duration(run.seconds_spent),
        _device(run),
        str(run.workdir),
      ]
      for name, run in zip(compared.names, compared.runs, strict=True)
    ],
    differences=[
      [
        field,
        *map(comparison.written, values),
        "yes" if comparison.enters_results(field) else "no",
      ]
      for field, values in compared.differing_fields.items()
    ],
    classes=_classes(compared),
    paired_columns=[name.capitalize() for name in comparison.PAIRED_COLUMNS],
  )


def drawings(compared: comparison.Comparison) -> list[curves_lib.Figure]:
  """A chart of each quantity that a run has recorded, of all runs at once."""
  found = []
  for quantity in _QUANTITIES:
    curves = [
      curves_lib.curve(name, run, quantity)
      for name, run in zip(compared.names, compared.runs, strict=True)
    ]
    curves = [curve for curve in curves if curve.steps.size]
    if curves:
      words = quantity.name.lower().replace(" ", "_")
      file = quantity.key if quantity.key in METRICS else words
      baseline = _baseline(compared, quantity)
      found.append(curves_lib.draw(quantity.name, file, curves, baseline))
  return found


def _baseline(compared, quantity) -> tuple[str, float] | None:
  """The line of a majority class that all runs have in common."""
  if len(compared.baselines) > 1:
    return None
  (majority,) = compared.baselines
  if quantity.kind != "val" or quantity.key not in majority:
    return None
  return f"only {majority['class']}", majority[quantity.key]


def _rows(compared: comparison.Comparison, which: str) -> list[list[str]]:
  """Run, step and scores of one validation of each; then the baselines."""
  rows = []
  for name, run in zip(compared.names, compared.runs, strict=True):
    record = getattr(run, which)
    scores = [text.score(record.get(key)) for key in comparison.titles()]
    rows.append([name, text.count(record["step"]), *scores])
  for majority in compared.baselines:
    scores = [text.score(majority.get(key)) for key in comparison.titles()]
    rows.append([f"only {majority['class']}", "–", *scores])
  return rows


def _classes(compared: comparison.Comparison) -> list[list[str]]:
  """IoU of each class at the best validation of each run."""
  found: dict[str, list[Any]] = {}
  for place, run in enumerate(compared.runs):
    for name, iu in run.best["per_class_iu"].items():
      row = found.setdefault(name, [math.nan] * len(compared.runs))
      row[place] = iu
  return [[name, *map(text.score, row)] for name, row in found.items()]


def _device(run) -> str:
  noted: tuple[Session, ...] = run.sessions
  return noted[-1].environment.get("device", "–") if noted else "–"
