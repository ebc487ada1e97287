"""A prepared data set shown: as a page, as text, or as JSON."""

import dataclasses
import itertools
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from fcn_jax import files
from fcn_jax.data import Dataset
from fcn_jax.data.files import Pair
from fcn_jax.data.findings import Finding, report, verdict
from fcn_jax.data.inspection import inspect_prepared
from fcn_jax.data.statistics import SplitStatistics, count_split, describe
from fcn_jax.reports import dataset as dataset_page
from fcn_jax.reports import page, thumbnails

_REST = 1_000_000  # bytes of the page without its images


@dataclasses.dataclass(frozen=True)
class Exploration:
  """What was found in the splits of a data set.

  Attributes:
    dataset: which one.
    pairs: the sound images by split.
    statistics: of the sound images, by split.
    findings: errors and warnings.
    left_out: how many images have errors, and are in no figure.
  """

  dataset: Dataset
  pairs: Mapping[str, Sequence[Pair]]
  statistics: Mapping[str, SplitStatistics]
  findings: Sequence[Finding]
  left_out: int

  def text(self) -> str:
    """For a terminal."""
    found = report(self.findings)
    return (
      f"{self.dataset.name}, {len(self.dataset.class_names)} classes\n\n"
      f"{describe(self.statistics)}\n\n"
      + f"images with errors, in no figure: {self.left_out}\n"
      * (self.left_out > 0)
      + f"{found}\n" * bool(found)
      + verdict(self.findings)
    )

  def figures(self) -> dict[str, Any]:
    """All of it by name, for JSON."""
    return {
      "data": self.dataset.name,
      "class_names": self.dataset.class_names,
      "images_left_out": self.left_out,
      "splits": {s: one.figures() for s, one in self.statistics.items()},
      "findings": [dataclasses.asdict(one) for one in self.findings],
    }

  def write(self, path: str | os.PathLike, max_megabytes: int = 48) -> str:
    """Writes the page; what was written, in words.

    Raises:
      DataError, OSError: as `page.write`.
    """
    made = thumbnails.make(
      list(itertools.chain(*self.pairs.values())),
      max_megabytes * 1_000_000 - _REST,
    )
    path = dataset_page.write_dataset(
      path,
      self.dataset,
      self.pairs,
      self.statistics,
      self.findings,
      made,
      self.left_out,
    )
    return (
      f"{verdict(self.findings)}\n{path}: {len(made.shown)} of {made.images} "
      f"images, of at most {made.longest} pixels, "
      f"{path.stat().st_size / 1e6:.1f} MB"
    )


def explore(dataset: Dataset, splits: Sequence[str]) -> Exploration:
  """Looks at every image of some splits.

  Raises:
    DataError: no split is named, or there is no such split.
  """
  splits = list(dict.fromkeys(splits))
  if not splits:
    raise files.DataError(f"--split: name some of {', '.join(dataset.splits)}")
  pairs, facts, findings = inspect_prepared(dataset, splits)
  statistics = {
    split: count_split(pairs[split], facts, dataset.class_names)
    for split in splits
  }
  known = {
    split: [pair for pair in group if pair in facts]
    for split, group in pairs.items()
  }
  left_out = sum(len(pairs[split]) - len(known[split]) for split in splits)
  return Exploration(dataset, known, statistics, findings, left_out)


def show(
  dataset: Dataset,
  splits: Sequence[str],
  kind: str = "html",
  output: str | os.PathLike | None = None,
  max_megabytes: int = 48,
) -> str:
  """Makes a page, a text or JSON of a data set.

  Args:
    dataset: the data set.
    splits: those that are looked at.
    kind: 'html', 'text' or 'json'.
    output: the file to write; None: text and JSON are returned.
    max_megabytes: html: the file is smaller than that.

  Returns:
    What is to be printed; '': nothing.

  Raises:
    DataError: a page without a file, a file that is none of ours, or no such
      split. Nothing has been looked at then.
    OSError: the file cannot be written.
  """
  if output is None and kind == "html":
    raise files.DataError("give --output=FILE.html, or --format=text")
  path = output and _CLAIMS[kind](output)
  found = explore(dataset, splits)
  match kind:
    case "html":
      return found.write(path, max_megabytes)
    case "json":
      text = json.dumps(files.without_nan(found.figures()), indent=2)
    case _:
      text = found.text()
  if path is None:
    return text
  with files.replacing(path) as temporary:
    temporary.write_text(text + "\n")
  return ""


def _claim_text(path: str | os.PathLike) -> pathlib.Path:
  return files.claim(path, " classes\n\n", "description of a data set")


def _claim_json(path: str | os.PathLike) -> pathlib.Path:
  keys = {"images_left_out", "findings"}
  return files.claim_json(path, keys, "description of a data set")


_CLAIMS = {"html": page.claim, "text": _claim_text, "json": _claim_json}
