"""The page of scripts/predict.py: images, what was predicted, and how wrong."""

import bisect
import dataclasses
import math
import os
import pathlib
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from fcn_jax import text
from fcn_jax.data.classes import background_classes
from fcn_jax.data.pictures import Entry
from fcn_jax.evaluation import metrics
from fcn_jax.evaluation.errors import MEASURES
from fcn_jax.prediction.files import Segmented
from fcn_jax.prediction.inputs import ImageFile, LabelOf
from fcn_jax.prediction.job import Job
from fcn_jax.reports import page, viewer

# What orders images: see `_Shown.rank`.
_Rank = tuple[bool, float, int, int]


@dataclasses.dataclass(frozen=True, eq=False)
class _Shown:
  """An image on the page.

  Attributes:
    rank: pages begin with the lowest. With labels that is the worst mean IoU,
      at equal ones the most wrong pixels, void alone at the end; then the order
      of the files.
    name: of the image.
    view: of the image.
    scores: of the image, by `METRICS`; None without labels.
    wrong: number of wrong pixels; None without labels.
  """

  rank: _Rank
  name: str
  view: viewer.View
  scores: Mapping[str, float] | None
  wrong: int | None


class PredictionsReport:
  """Looks on at `predict_files`, and writes a page of what it saw.

  It holds no more images than the page shows.

  Args:
    path: of the page.
    files: the images, in order.
    checkpoint: where the network comes from, for the title.
    class_names: of the class ids.
    palette: RGB of each class id.
    label_of: the label of an image; None: there are no labels.
    number: how many images to show at most: the worst ones where there are
      labels, else the first ones.

  Raises:
    DataError: the path is refused, see `page.claim`.
  """

  def __init__(
    self,
    path: str | os.PathLike,
    files: Sequence[ImageFile],
    *,
    checkpoint: str,
    class_names: Sequence[str],
    palette: UInt8[np.ndarray, "256 3"],
    label_of: LabelOf | None = None,
    number: int = 50,
  ):
    self.path = page.claim(path)
    self._places = {file.id: place for place, file in enumerate(files)}
    self._checkpoint = checkpoint
    self._class_names = tuple(class_names)
    self._palette = palette
    self._label_of = label_of
    self._number = number
    self._lock = threading.Lock()
    self._shown: list[_Shown] = []  # by rank
    self._seen = 0
    classes = len(self._class_names)
    self._pixels = np.zeros(classes, np.int64)
    self._histogram = np.zeros((classes, classes), np.int64)

  @classmethod
  def of_job(
    cls, path: str | os.PathLike, job: Job, number: int = 50
  ) -> "PredictionsReport":
    """The page of what `Job.run` is going to segment."""
    palette = job.net.palette if job.palette is None else job.palette
    return cls(
      path,
      job.files,
      checkpoint=job.title,
      class_names=job.net.class_names,
      palette=palette,
      label_of=job.label_of,
      number=number,
    )

  def label_of(self, file: ImageFile) -> UInt8[np.ndarray, "h w"] | None:
    """The label of an image; None where there are none."""
    return self._label_of(file) if self._label_of else None

  def see(self, seen: Segmented) -> None:
    """Counts an image, and keeps a picture of it if the page will show it."""
    scores = wrong = None
    rank = (False, 0.0, 0, self._places[seen.file.id])
    if seen.confusion is not None:
      scores = metrics.figures(metrics.Counts(seen.confusion))
      wrong = int(seen.confusion.sum() - np.trace(seen.confusion))
      mean_iu = scores["mean_iu"]
      none = math.isnan(mean_iu)
      rank = (none, 0.0 if none else mean_iu, -wrong, rank[-1])
    counts = np.bincount(
      seen.result.labels.ravel(), minlength=len(self._class_names)
    )
    with self._lock:
      self._seen += 1
      self._pixels += counts
      if seen.confusion is not None:
        self._histogram += seen.confusion
      if not self._is_wanted(rank):
        return
    shown = _Shown(rank, seen.file.id, self._view(seen), scores, wrong)
    with self._lock:
      bisect.insort(self._shown, shown, key=lambda one: one.rank)
      del self._shown[self._number :]

  def found(self) -> dict[str, Any]:
    """What it has seen in this process, as JSON has it, for `join`."""
    with self._lock:
      return {
        "shown": [dataclasses.asdict(shown) for shown in self._shown],
        "seen": self._seen,
        "pixels": self._pixels.tolist(),
        "histogram": self._histogram.tolist(),
      }

  def join(self, others: Sequence[Mapping[str, Any]]) -> None:
    """Adds what has been `found` in other processes."""
    for other in others:
      self._seen += other["seen"]
      self._pixels += np.array(other["pixels"])
      self._histogram += np.array(other["histogram"])
      for shown in other["shown"]:
        view = viewer.view_of(shown["view"])
        rank = tuple(shown["rank"])
        self._shown.append(_Shown(**{**shown, "rank": rank, "view": view}))
    self._shown.sort(key=lambda one: one.rank)
    del self._shown[self._number :]

  def write(self, failed: Mapping[str, str]) -> pathlib.Path:
    """Writes the page; `failed` is what `predict_files` returns."""
    return page.write(
      self.path,
      "predictions.html.j2",
      checkpoint=self._checkpoint,
      figures=self._figures(),
      entries=self._entries(),
      shown=self._shown,
      seen=self._seen,
      labelled=self._label_of is not None,
      failed=list(failed.values()),
    )

  def _is_wanted(self, rank: _Rank) -> bool:
    return len(self._shown) < self._number or rank < self._shown[-1].rank

  def _view(self, seen: Segmented) -> viewer.View:
    names, palette = self._class_names, self._palette
    result, label = seen.result, seen.label
    layers = [_layer("Prediction", result.labels, names, palette)]
    if label is not None:
      layers = [
        *layers,
        _layer("Label", label, names, palette),
        viewer.error_layer(label, result.labels, names),
      ]
    percents = np.rint(100 * seen.top_probabilities).astype(np.uint8)
    top = viewer.Top(names, seen.top_ids, percents)
    return viewer.view(seen.file.id, result.image, layers, top)

  def _figures(self) -> list[tuple[str, str, str]]:
    figures = [("Images", text.count(self._seen), "")]
    if self._label_of and self._histogram.any():
      counts = metrics.Counts(self._histogram)
      baseline = metrics.majority_counts(self._histogram)
      commonest = metrics.commonest_class(self._histogram)
      only = f"only {self._class_names[commonest]}: "
      figures += [
        (m.heading, text.score(m.of(counts)), only + text.score(m.of(baseline)))
        for m in (metrics.METRICS[name] for name in MEASURES)
      ]
    return figures

  def _entries(self) -> list[Entry]:
    """The classes that were predicted, by their share of all pixels."""
    total = max(int(self._pixels.sum()), 1)
    plain = background_classes(self._class_names)
    entries = [
      Entry(
        label,
        name,
        None if label in plain else tuple(self._palette[label].tolist()),
        int(self._pixels[label]) / total,
      )
      for label, name in enumerate(self._class_names)
      if self._pixels[label]
    ]
    return sorted(entries, key=lambda entry: -entry.share)


def _layer(
  name: str,
  ids: UInt8[np.ndarray, "h w"],
  class_names: Sequence[str],
  palette: UInt8[np.ndarray, "256 3"],
) -> viewer.Layer:
  return viewer.Layer(name, ids, viewer.entries(ids, class_names, palette))
