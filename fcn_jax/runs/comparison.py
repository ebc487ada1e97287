"""Training runs side by side: their scores, and how their configs differ."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Any

from fcn_jax import files
from fcn_jax.evaluation import bootstrap, stored_counts
from fcn_jax.evaluation.metrics import METRICS
from fcn_jax.runs import config as config_lib
from fcn_jax.runs import run as run_lib
from fcn_jax.text import table

_DATA = ("data.name", "data.val_split")


@dataclasses.dataclass(frozen=True)
class Paired:
  """How runs differ on the images of one split, by a paired bootstrap.

  Attributes:
    name: of the data set and the split.
    images: number of them.
    score: a name of METRICS.
    best: the run with the highest score.
    scores: of the runs that were evaluated there, by their names.
    steps: of the checkpoints that were evaluated.
    below: what the others are below the best by.
  """

  name: str
  images: int
  score: str
  best: str
  scores: dict[str, float]
  steps: dict[str, int]
  below: dict[str, bootstrap.Difference]

  @property
  def said(self) -> str:
    """What the table is of, in a sentence."""
    first = next(iter(self.below.values()))
    return (
      f"{METRICS[self.score].heading} on the {self.images} images of "
      f"{self.name}; differences with {bootstrap.PERCENT} intervals of "
      f"{first.resamples} paired bootstrap resamples of the images (seed "
      f"{first.seed})."
    )

  def rows(self) -> list[list[str]]:
    """A row a run: step, score, below the best by, interval, verdict."""
    found = []
    for name, value in sorted(self.scores.items(), key=lambda x: -x[1]):
      row = [name, str(self.steps[name]), _number(value)]
      if name in self.below:
        one = self.below[name]
        low, high = one.interval
        verdict = "differs" if one.is_clear else "may be chance"
        ends = f"{low:.4f} to {high:.4f}"
        found.append([*row, f"{one.difference:.4f}", ends, verdict])
      else:
        found.append([*row, "–", "–", "best"])
    return found

  def figures(self) -> dict[str, Any]:
    """All of it by name, for JSON."""
    return {
      "name": self.name,
      "images": self.images,
      "score": self.score,
      "best_run": self.best,
      "runs": {
        name: {"step": self.steps[name], self.score: value}
        | (
          {
            "below_best": self.below[name].difference,
            "interval": list(self.below[name].interval),
            "differs": self.below[name].is_clear,
          }
          if name in self.below
          else {}
        )
        for name, value in self.scores.items()
      },
    }


PAIRED_COLUMNS = ("run", "step", "score", "below best", "interval", "verdict")


@dataclasses.dataclass(frozen=True)
class Comparison:
  """Several runs, each under a name of its own.

  Attributes:
    names: of the runs.
    runs: with at least one validation each.
  """

  names: tuple[str, ...]
  runs: tuple[run_lib.Run, ...]

  @functools.cached_property
  def differing_fields(self) -> dict[str, list[Any]]:
    """See `runs.differing_fields`."""
    return run_lib.differing_fields(self.runs)

  @property
  def best(self) -> int:
    """Place of the run with the best `measure`; of equals the first."""
    scores = [run_lib.score(run.best, self.measure) for run in self.runs]
    return scores.index(max(scores))

  @property
  def measure(self) -> str:
    """What the runs' best validations are told by; the first's, if by two."""
    return self.runs[0].measure

  @property
  def baselines(self) -> list[dict[str, Any]]:
    """Class and scores of predicting only the commonest, each once.

    Two are the same if the scores that both have are; a run of an older
    version has fewer.
    """
    found: list[dict[str, Any]] = []
    for run in self.runs:
      majority = run.latest["majority_baseline"]
      for place, other in enumerate(found):
        both = majority.keys() & other.keys()
        if all(_alike(majority[key], other[key]) for key in both):
          found[place] = other | majority
          break
      else:
        found.append(majority)
    return found

  @functools.cached_property
  def paired(self) -> list[Paired]:
    """Of each split on which two runs or more were evaluated.

    Of those that were evaluated on the images of the first of them.

    Raises:
      stored_counts.CountsError: a file of counts is damaged.
    """
    files_of: dict[str, dict[str, pathlib.Path]] = {}
    for name, run in zip(self.names, self.runs, strict=True):
      for path in sorted((run.workdir / stored_counts.FOLDER).glob("*.npz")):
        files_of.setdefault(path.stem, {})[name] = path
    found = []
    for split, paths in sorted(files_of.items()):
      counts = {name: stored_counts.read(path) for name, path in paths.items()}
      first = next(iter(counts.values()))
      counts = {
        name: one
        for name, one in counts.items()
        if (one.image_ids, one.class_names)
        == (first.image_ids, first.class_names)
      }
      if len(counts) > 1:
        found.append(_paired(split, counts, self.measure))
    return found

  @property
  def warnings(self) -> list[str]:
    """Why the figures may say something else than they seem to."""
    found = []
    named_alike = not any(name in self.differing_fields for name in _DATA)
    classes = {tuple(run.latest["per_class_iu"]) for run in self.runs}
    # A data set may have been prepared anew under its name.
    if not named_alike or len(classes) > 1 or len(self.baselines) > 1:
      found.append(
        "The runs are scored on different data, so their scores cannot be "
        "compared."
      )
    losses = [run.config.get("loss.name", "cross_entropy") for run in self.runs]
    if len(set(losses)) > 1:
      found.append(
        "The losses are not the same quantity, so they cannot be compared: "
        + ", ".join(
          f"{loss} in {name}"
          for name, loss in zip(self.names, losses, strict=True)
        )
        + "."
      )
    images = [run.images_per_step for run in self.runs]
    if len(set(images)) > 1:
      found.append(
        "A step is not the same in all runs: it sees "
        + ", ".join(
          f"{number} image{'s' * (number != 1)} in {name}"
          for name, number in zip(self.names, images, strict=True)
        )
        + "."
      )
    short = [
      name
      for name, run in zip(self.names, self.runs, strict=True)
      if run.total_steps is not None and run.step < run.total_steps
    ]
    if short:
      found.append(f"Not at the end of their steps: {', '.join(short)}.")
    return found

  def figures(self) -> dict[str, Any]:
    """All of it by name, as JSON has it; what is not known is NaN or None."""
    return {
      "runs": [
        {
          "name": name,
          "workdir": str(run.workdir),
          "outcome": run.outcome,
          "step": run.step,
          "total_steps": run.total_steps,
          "seconds_spent": run.seconds_spent,
          "last": run.latest,
          "best": run.best,
        }
        for name, run in zip(self.names, self.runs, strict=True)
      ],
      "best_run": self.names[self.best],
      "differing_fields": {
        field: dict(zip(self.names, values, strict=True))
        for field, values in self.differing_fields.items()
      },
      "paired": [one.figures() for one in self.paired],
      "warnings": self.warnings,
    }

  def text(self) -> str:
    """For a terminal."""
    best = f"best {METRICS[self.measure].title}"
    shown = titles()
    rows = [["run", "step", best, "at step", *shown.values()]]
    for name, run in zip(self.names, self.runs, strict=True):
      rows.append(
        [
          name,
          str(run.latest["step"]),
          _number(run.best.get(self.measure)),
          str(run.best["step"]),
          *(_number(run.latest.get(key)) for key in shown),
        ]
      )
    for majority in self.baselines:
      scores = [_number(majority.get(key)) for key in shown]
      only = f"(only {majority['class']})"
      best = _number(majority.get(self.measure))
      rows.append([only, "", best, "", *scores])
    parts = [table(rows)]
    if self.differing_fields:
      fields = [["field", *self.names]] + [
        [field, *map(written, values)]
        for field, values in self.differing_fields.items()
      ]
      parts.append(table(fields))
    else:
      parts.append("The configs are the same.")
    for one in self.paired:
      parts.append(f"{one.said}\n{table([PAIRED_COLUMNS, *one.rows()])}")
    return "\n\n".join([*parts, *self.warnings])


def compare(
  workdirs: Sequence[str | pathlib.Path],
  complete: config_lib.Complete = dict,
) -> Comparison:
  """Reads runs, to be compared.

  Args:
    workdirs: of the runs.
    complete: see `run.read_run`.

  Raises:
    ValueError: fewer than two, one of them twice, or folders that are no
      workdirs, all of which are named.
  """
  if len(workdirs) < 2:
    raise ValueError(
      f"{len(workdirs)} workdirs to compare; name two or more of them"
    )
  names = run_lib.names([pathlib.Path(workdir) for workdir in workdirs])
  found, problems = [], []
  for workdir in workdirs:
    try:
      run = run_lib.read_run(workdir, complete)
      if run.latest is None:
        raise ValueError(
          f"{workdir}: no validation is recorded there yet, so there is "
          "nothing to compare"
        )
      found.append(run)
    except ValueError as error:
      problems.append(str(error))
  if problems:
    raise ValueError("\n  ".join(["these cannot be compared:", *problems]))
  return Comparison(tuple(names), tuple(found))


def _paired(
  name: str, counts: dict[str, stored_counts.StoredCounts], score: str
) -> Paired:
  """Each run against the best."""
  scores = {run: METRICS[score].of(one.counts()) for run, one in counts.items()}
  best = max(scores, key=lambda run: scores[run])
  return Paired(
    name,
    len(counts[best].image_ids),
    score,
    best,
    scores,
    {run: one.step for run, one in counts.items()},
    {
      run: bootstrap.paired(counts[best], one, score)
      for run, one in counts.items()
      if run != best
    },
  )


def titles() -> dict[str, str]:
  """What people read of a validation: titles by the names in its record."""
  scores = {name: metric.title for name, metric in METRICS.items()}
  return scores | {"loss": "loss"}


def enters_results(field: str) -> bool:
  """Whether a field of a config can change what a run computes."""
  return field not in config_lib.FREE


def written(value: Any) -> str:
  """A value of a config as text; a dash for none."""
  if isinstance(value, list | tuple):
    return ", ".join(map(str, value)) or "–"
  return "–" if value is None or value == "" else str(value)


def _alike(one: Any, other: Any) -> bool:
  """Equal, or both not a number."""
  return files.without_nan([one]) == files.without_nan([other])


def _number(value: float | None) -> str:
  return "–" if files.without_nan(value) is None else f"{value:.4f}"
