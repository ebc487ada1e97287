"""Segments many image files into a folder.

Threads decode ahead and write behind while the devices compute.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8

from fcn_jax import predict
from fcn_jax.data.canvases import Canvas, assign, choose_canvases
from fcn_jax.data.files import DataError
from fcn_jax.data.images import decode_image
from fcn_jax.image_files import ImageFile, image_sizes
from fcn_jax.prediction_folder import PredictionFolder
from fcn_jax.result import Result

_MOST_STEPS = 32  # different sides that canvases are chosen from, on an axis

# What became of files: a record for the summary, or what was wrong.
Outcomes = dict[ImageFile, dict[str, Any] | str]


@dataclasses.dataclass(frozen=True)
class Part:
  """Files that go through the network together, on one canvas."""

  canvas: Canvas
  files: tuple[ImageFile, ...]


def predict_files(
  predictor: predict.Predictor,
  files: Sequence[ImageFile],
  folder: PredictionFolder,
  *,
  palette: UInt8[np.ndarray, "256 3"] | None = None,
  max_canvases: int = 3,
  num_threads: int = 2,
  progress: Callable[[], None] = lambda: None,
) -> dict[str, str]:
  """Segments image files and writes what was found, and the summary.

  Args:
    predictor: the network.
    files: of different ids.
    folder: claimed for these files.
    palette: RGB of each class id; None: the network's.
    max_canvases: how many sizes to pad the images to, at most; the network is
      compiled for each.
    num_threads: for decoding, and as many for writing.
    progress: called after each file.

  Returns:
    What was wrong with each file that could not be segmented, by its path.

  Raises:
    OSError: the folder cannot be written to.
  """
  palette = predictor.palette if palette is None else palette
  records: dict[str, dict[str, Any]] = {}
  failed: dict[str, str] = {}

  def note(outcomes: Outcomes) -> None:
    for file, outcome in outcomes.items():
      if isinstance(outcome, str):
        failed[str(file.path)] = outcome
      else:
        records[file.id] = outcome
      progress()

  with (
    ThreadPoolExecutor(num_threads) as readers,
    ThreadPoolExecutor(num_threads) as writers,
  ):
    writing = collections.deque()
    parts = plan(files, max_canvases, predictor.mesh.size)
    for part, images, unreadable in _ahead(readers, parts, 2 * num_threads):
      note(unreadable)
      if images:
        try:
          job = _Job(predictor, part.canvas, images, folder, palette)
        except jax.errors.JaxRuntimeError as error:
          note(_not_computed(images, error))
        else:
          writing.append(writers.submit(job.write))
      while len(writing) > 2 * num_threads:
        note(writing.popleft().result())
    while writing:
      note(writing.popleft().result())
  in_order = {file.id: records[file.id] for file in files if file.id in records}
  folder.write_summary(in_order, failed)
  return failed


def plan(
  files: Sequence[ImageFile], max_canvases: int, part_size: int
) -> list[Part]:
  """All files in parts of at most `part_size`, canvas by canvas."""
  sizes = image_sizes(files)
  # Choosing canvases takes time and memory by the number of different sizes.
  step = predict.CANVAS_STEP
  step *= max(1, -(-int(sizes.max()) // (step * _MOST_STEPS)))
  sizes = np.maximum(-(-sizes // step) * step, step)
  canvases = choose_canvases(sizes, max_canvases)
  which = assign(sizes, canvases)
  parts = []
  for number, canvas in enumerate(canvases):
    members = np.flatnonzero(which == number)
    for first in range(0, len(members), part_size):
      chosen = members[first : first + part_size]
      parts.append(Part(canvas, tuple(files[i] for i in chosen)))
  return parts


class _Job:
  """What the devices compute of a part, and the writing of it."""

  def __init__(
    self,
    predictor: predict.Predictor,
    canvas: Canvas,
    images: dict[ImageFile, np.ndarray],
    folder: PredictionFolder,
    palette: UInt8[np.ndarray, "256 3"],
  ):
    # A damaged header may tell another size than the pixels have.
    sizes = [image.shape[:2] for image in images.values()]
    canvas = tuple(np.max([canvas, *sizes], axis=0).tolist())
    scores = predictor.scores(list(images.values()), canvas)
    self._labels = predict.most_likely(scores)
    self._probabilities = (
      predict.softmax(scores) if folder.save_probabilities else None
    )
    self._class_names = predictor.class_names
    self._images, self._folder, self._palette = images, folder, palette

  def write(self) -> Outcomes:
    """Waits for the devices and writes each image's predictions."""
    try:
      labels = np.asarray(self._labels)
      probabilities = np.asarray(self._probabilities)
    except jax.errors.JaxRuntimeError as error:
      return _not_computed(self._images, error)
    outcomes: Outcomes = {}
    for i, (file, image) in enumerate(self._images.items()):
      inside = (i, *(slice(n) for n in image.shape[:2]))
      result = Result(
        image=image,
        labels=labels[inside],
        class_names=self._class_names,
        palette=self._palette,
        compute_probabilities=lambda inside=inside: probabilities[inside],
      )
      outcomes[file] = self._folder.write(file, result)
    return outcomes


def _ahead(
  pool: ThreadPoolExecutor, parts: Iterable[Part], number: int
) -> Iterator[tuple[Part, dict[ImageFile, np.ndarray], Outcomes]]:
  """Each part with its images, `number` parts being decoded ahead."""
  waiting = collections.deque()
  for part in parts:
    waiting.append((part, pool.submit(_decode, part)))
    if len(waiting) > number:
      part, future = waiting.popleft()
      yield part, *future.result()
  for part, future in waiting:
    yield part, *future.result()


def _decode(part: Part) -> tuple[dict[ImageFile, np.ndarray], Outcomes]:
  images, unreadable = {}, {}
  for file in part.files:
    try:
      images[file] = decode_image(file.read(), str(file.path))
    except DataError as error:
      unreadable[file] = str(error)
  return images, unreadable


def _not_computed(files: Iterable[ImageFile], error: Exception) -> Outcomes:
  said = str(error).splitlines()[0]
  return {
    file: f"{file.path}: could not be computed ({said}); if memory ran out, "
    "make the image smaller or cut it into tiles"
    for file in files
  }
