"""report.html of a workdir: how a training goes, or went."""

import dataclasses
import datetime
import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from fcn_jax import text as text_lib
from fcn_jax.data.pictures import Entry
from fcn_jax.evaluation.metrics import METRICS
from fcn_jax.reports import curves as curves_lib
from fcn_jax.reports import page, viewer
from fcn_jax.runs import comparison, record
from fcn_jax.runs.album import Album, read
from fcn_jax.runs.record import Session
from fcn_jax.runs.run import Run, names, read_run, since_best
from fcn_jax.text import duration, percent

FILE = "report.html"


def write_training(
  workdir: str | os.PathLike, path: str | os.PathLike | None = None
) -> pathlib.Path:
  """Draws the report of a run, finished or not, from its workdir alone.

  Args:
    workdir: of the run.
    path: of the page; None: report.html in the workdir.

  Raises:
    ValueError: it is no workdir.
  """
  run = read_run(workdir)
  album = read(run.workdir)
  return page.write(
    path or run.workdir / FILE,
    "training.html.j2",
    name=names([run.workdir])[0],
    run=run,
    state=state(run),
    drawn=_moment(datetime.datetime.now().timestamp()),
    recorded=run.recorded and _moment(run.recorded),
    going_on=bool(run.sessions) and run.outcome is None,
    key_figures=_key_figures(run),
    drawings=drawings(run),
    scores=_scores(run),
    score_names=[heading(title) for title in comparison.titles().values()],
    measure=METRICS[run.measure].title,
    classes=_classes(run),
    validations=_validations(run),
    pictures=show_album(album) if album else None,
    split=run.config["data.val_split"],
    config=[
      (name, comparison.written(value)) for name, value in run.config.items()
    ],
    sessions=_sessions(run.sessions),
    environment=list(run.sessions[-1].environment.items())
    if run.sessions
    else [],
  )


def write_charts(
  workdir: str | os.PathLike, folder: str | os.PathLike
) -> list[pathlib.Path]:
  """Writes each chart of the report as a PNG, and returns their paths.

  Raises:
    ValueError: it is no workdir, or it has no records yet.
  """
  run = read_run(workdir)
  found = drawings(run)
  if not found:
    raise ValueError(f"{workdir}: there are no records to draw yet")
  return save_charts(found, folder)


def save_charts(
  found: Sequence[curves_lib.Figure], folder: str | os.PathLike
) -> list[pathlib.Path]:
  """Writes charts as PNGs, and returns their paths.

  Raises:
    DataError: a path holds something that is no picture of ours.
  """
  folder = pathlib.Path(folder)
  return [
    page.write_png(folder / f"{drawing.file}.png", drawing.chart.png())
    for drawing in found
  ]


def drawings(run: Run) -> list[curves_lib.Figure]:
  """The charts of a run that have something to show."""
  majority = run.latest["majority_baseline"] if run.latest else None

  def only(key: str) -> tuple[str, float] | None:
    if not majority or key not in majority:
      return None
    return f"only {majority['class']}", majority[key]

  alike = None
  if run.latest and run.config.get("loss.name") in (None, "cross_entropy"):
    classes = len(run.latest["per_class_iu"])
    alike = (f"all classes alike: ln {classes}", math.log(classes))
  wanted = (
    (
      "Loss of a valid pixel",
      "loss",
      (
        curves_lib.TRAIN_LOSS,
        curves_lib.VAL_LOSS,
        curves_lib.VAL_LOSS.averaged,
      ),
      alike,
    ),
    (
      "Mean IoU",
      "mean_iu",
      (curves_lib.MEAN_IU, curves_lib.MEAN_IU.averaged),
      only("mean_iu"),
    ),
    (
      "Pixel accuracy",
      "pixel_accuracy",
      (curves_lib.PIXEL_ACCURACY, curves_lib.PIXEL_ACCURACY.averaged),
      only("pixel_accuracy"),
    ),
    ("Learning rate", "learning_rate", (curves_lib.RATE,), None),
    ("Images per second", "images_per_second", (curves_lib.SPEED,), None),
  )
  found = []
  for title, file, quantities, baseline in wanted:
    curves = [curves_lib.curve(q.name, run, q) for q in quantities]
    curves = [curve for curve in curves if curve.steps.size]
    if curves:
      found.append(curves_lib.draw(title, file, curves, baseline))
  return found


def state(run: Run) -> str:
  """Where the run stands, in a sentence or two."""
  step, total = run.step, run.total_steps
  at = f"step {step:,}"
  if total is not None:
    at += f" of {total:,}"
    at += f" ({100 * step / total:.0f} %)" if total else ""
  spent = duration(run.seconds_spent)
  match run.outcome:
    case record.FINISHED if run.val and total is not None and step < total:
      best, later = since_best(run.val, run.measure)
      return (
        f"Ended at {at} after {spent}: {later} validations since step {best:,} "
        "were no better."
      )
    case record.FINISHED:
      return f"Finished at {at} after {spent}."
    case record.STOPPED:
      return (
        f"Stopped at {at} after {spent}; the same command resumes from the "
        "last checkpoint."
      )
    case record.FAILED:
      return f"Failed at {at}: {run.sessions[-1].message}"
  if not run.sessions:
    return f"At {at} after {spent}."
  left = run.seconds_left
  text = f"Training: at {at} after {spent}"
  return f"{text}; about {duration(left)} left." if left else f"{text}."


def _key_figures(run: Run) -> list[tuple[str, str, str]]:
  if not run.latest:
    return []
  latest, best, score = run.latest, run.best, text_lib.score
  majority = latest["majority_baseline"]
  only = f"only {majority['class']}"
  found = [
    (
      "Mean IoU",
      score(latest["mean_iu"]),
      f"{only} {score(majority['mean_iu'])}",
    ),
    (
      f"Best {METRICS[run.measure].title}",
      score(best[run.measure]),
      f"step {best['step']:,}",
    ),
    (
      "Pixel accuracy",
      score(latest["pixel_accuracy"]),
      f"{only} {score(majority['pixel_accuracy'])}",
    ),
    ("Validation loss", score(latest["loss"]), ""),
  ]
  if run.train:
    last = run.train[-1]
    found.append(("Training loss", score(last["loss"]), ""))
    found.append(("Images per second", f"{last['images_per_second']:.3g}", ""))
  return found


def _scores(run: Run) -> list[list[str]]:
  """Rows of name, latest, best and baseline."""
  if not run.latest:
    return []
  majority = run.latest["majority_baseline"]
  return [
    [
      heading(name),
      text_lib.score(run.latest.get(key)),
      text_lib.score(run.best.get(key)),
      text_lib.score(majority.get(key)),
    ]
    for key, name in comparison.titles().items()
  ]


def _classes(run: Run) -> list[list[Any]]:
  """Rows of class, latest IoU, best validation's IoU, its highest, curve."""
  if not run.latest:
    return []
  rows = []
  for name, latest in run.latest["per_class_iu"].items():
    values = [record["per_class_iu"].get(name) for record in run.val]
    values = np.array([math.nan if v is None else v for v in values], float)
    known = values[~np.isnan(values)]
    rows.append(
      [
        name,
        text_lib.score(latest),
        text_lib.score(run.best["per_class_iu"].get(name)),
        text_lib.score(known.max() if known.size else None),
        sparkline(values, [record["step"] for record in run.val]),
      ]
    )
  return rows


def sparkline(values: np.ndarray, steps: Sequence[int]) -> Markup:
  """A small curve of scores, from 0 at its lower edge to 1 at its upper."""
  width, height, last = 120, 24, max(1, max(steps, default=1))
  points = [
    f"{width * step / last:.1f},{height * (1 - value):.1f}"
    for step, value in zip(steps, values, strict=True)
    if not math.isnan(value)
  ]
  return Markup(
    '<svg class="sparkline" viewBox="-2 -2 {} {}" width="{}" height="{}" '
    'aria-hidden="true"><path d="M0 {}H{}"/><polyline points="{}"/></svg>'
  ).format(
    width + 4,
    height + 4,
    width + 4,
    height + 4,
    height,
    width,
    " ".join(points),
  )


def _validations(run: Run) -> list[list[str]]:
  return [
    [
      f"{record['step']:,}",
      *(text_lib.score(record.get(key)) for key in comparison.titles()),
      duration(record.get("seconds", 0.0)),
    ]
    for record in run.val
  ]


def _sessions(noted: Sequence[Session]) -> list[list[str]]:
  return [
    [
      _moment(session.began),
      _moment(session.ended) if session.ended else "–",
      session.outcome or "–",
      f"{session.from_step:,}",
      "–" if session.last_step is None else f"{session.last_step:,}",
      session.environment.get("device", "–"),
      session.environment.get("host", "–"),
    ]
    for session in noted
  ]


def _moment(seconds: float) -> str:
  return f"{datetime.datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"


def heading(name: str) -> str:
  """'Mean IoU' of 'mean IoU'."""
  return name[0].upper() + name[1:]


@dataclasses.dataclass(frozen=True)
class ShownPicture:
  """A validation image: its label first, then its predictions by step.

  Attributes:
    view: of the label and the predictions.
    size: (height, width) of the image in the data set.
    words: classes and shares of each layer of the view.
  """

  view: viewer.View
  size: tuple[int, int]
  words: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class ShownPictures:
  """What the slider of the page moves through.

  Attributes:
    steps: of the validations whose predictions are there.
    pictures: of each image.
    entries: every class that occurs in one of them, and void.
  """

  steps: tuple[int, ...]
  pictures: tuple[ShownPicture, ...]
  entries: tuple[Entry, ...]


def show_album(album: Album) -> ShownPictures | None:
  """What a page shows of the pictures; None before the first prediction."""
  of_each = [set(picture.predictions) for picture in album.pictures]
  steps = sorted(set.intersection(*of_each)) if of_each else []
  if not steps:
    return None
  found, entries = [], {}
  for picture in album.pictures:
    layers = []
    for name, ids in [
      ("Label", picture.truth),
      *((f"Step {step}", picture.predictions[step]) for step in steps),
    ]:
      there = viewer.entries(ids, album.class_names, album.palette)
      layers.append(viewer.Layer(name, ids, there))
      entries |= {entry.label: entry for entry in there}
    view = viewer.view(picture.image_id, picture.image, layers)
    words = tuple(
      ", ".join(f"{e.name} {percent(e.share)}" for e in layer.entries)
      for layer in layers
    )
    found.append(ShownPicture(view, picture.size, words))
  return ShownPictures(
    tuple(steps),
    tuple(found),
    tuple(entries[label] for label in sorted(entries)),
  )
