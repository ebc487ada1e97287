"""Segments many image files into a folder.

Threads decode ahead and write behind while the devices compute.
"""

import collections
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Float32, Int, UInt8

from fcn_jax import devices
from fcn_jax.data import pipeline
from fcn_jax.data.augment import Sample
from fcn_jax.data.canvases import (
  CANVAS_STEP,
  Canvas,
  canvases_of_one_pass,
)
from fcn_jax.data.images import decode_image
from fcn_jax.evaluation import metrics, tiling
from fcn_jax.evaluation.tta import InMemory
from fcn_jax.files import DataError
from fcn_jax.prediction.folder import PredictionFolder
from fcn_jax.prediction.inputs import ImageFile, image_sizes
from fcn_jax.prediction.predictor import (
  Predictor,
  most_likely,
  most_likely_classes,
  softmax,
  stitched,
)
from fcn_jax.prediction.result import Result

TOP = 3  # classes of a pixel that an observer is told of
_MOST_STEPS = 32  # different sides that canvases are chosen from, on an axis

# What became of files: a record for the summary, or what was wrong.
Outcomes = dict[ImageFile, dict[str, Any] | str]


# The images of a part that could be read, and what was wrong with the others.
Decoded = tuple[dict[ImageFile, Sample], Outcomes]


@dataclasses.dataclass(frozen=True, eq=False)
class Segmented:
  """What an observer is told of one image.

  Attributes:
    file: the image.
    result: what the network says of it.
    top_ids: the most likely classes of each pixel, most likely first.
    top_probabilities: of these, 0..1.
    label: class ids, 255 = void; None without labels.
    confusion: pixels by [label, prediction], void left out; None without
      labels.
  """

  file: ImageFile
  result: Result
  top_ids: UInt8[np.ndarray, "h w k"]
  top_probabilities: Float32[np.ndarray, "h w k"]
  label: UInt8[np.ndarray, "h w"] | None
  confusion: Int[np.ndarray, "c c"] | None


@runtime_checkable
class Observer(Protocol):
  """Somebody who looks on, as a report; asked and told by several threads."""

  def label_of(self, file: ImageFile) -> UInt8[np.ndarray, "h w"] | None:
    """The label of an image; None where there are none."""

  def see(self, seen: Segmented) -> None:
    """Told of each image that was segmented, in any order."""

  def found(self) -> Any:
    """What it has seen in this process, as JSON has it."""

  def join(self, others: Sequence[Any]) -> None:
    """Told what has been `found` in the others, at the end."""


def predict_files(
  predictor: Predictor,
  files: Sequence[ImageFile],
  folder: PredictionFolder,
  *,
  palette: UInt8[np.ndarray, "256 3"] | None = None,
  max_canvases: int = 3,
  num_threads: int = 2,
  observer: Observer | None = None,
  progress: Callable[[], None] = lambda: None,
) -> dict[str, str]:
  """Segments image files and writes what was found, and the summary.

  Of several processes each segments every so many-th file on its own devices,
  and the first one writes the summary; they call it together.

  Args:
    predictor: the network.
    files: of different ids.
    folder: claimed for these files.
    palette: RGB of each class id; None: the network's.
    max_canvases: how many sizes to pad the images to, at most; the network is
      compiled for each.
    num_threads: for decoding, and as many for writing.
    observer: asked for labels, and told of each image.
    progress: called after each file of this process.

  Returns:
    What was wrong with each file that could not be segmented, by its path; of
    several processes in the first one.

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
    own = files[devices.process_index() :: devices.process_count()]
    huge = [file for file in own if file.is_large]
    rest = [file for file in own if not file.is_large]
    parts = plan(rest, max_canvases, predictor.mesh.size) if rest else []
    decode = functools.partial(_decode, observer, predictor.value_range)
    for canvas, samples, unreadable in _ahead(
      readers, decode, parts, 2 * num_threads
    ):
      note(unreadable)
      if samples:
        try:
          job = _Job(predictor, canvas, samples, folder, palette, observer)
        except jax.errors.JaxRuntimeError as error:
          note(_not_computed(samples, error))
        else:
          writing.append(writers.submit(job.write))
      while len(writing) > 2 * num_threads:
        note(writing.popleft().result())
    while writing:
      note(writing.popleft().result())
  for file in huge:
    note(_banded(predictor, file, folder, palette, num_threads))
  for others, theirs in devices.of_all_json([records, failed]):
    records |= others
    failed |= theirs
  in_order = {file.id: records[file.id] for file in files if file.id in records}
  devices.on_first(lambda: folder.write_summary(in_order, failed))
  if observer is not None and devices.process_count() > 1:
    _, *others = devices.of_all_json(observer.found())
    observer.join(others)
  return failed if devices.is_first() else {}


def _banded(
  predictor: Predictor,
  file: ImageFile,
  folder: PredictionFolder,
  palette: UInt8[np.ndarray, "256 3"],
  num_threads: int,
) -> Outcomes:
  """Segments an image that is not held in memory."""
  try:
    return {file: folder.write_large(file, predictor, palette, num_threads)}
  except jax.errors.JaxRuntimeError as error:
    return _not_computed([file], error)
  except ValueError as error:
    return {file: str(error)}


def plan(
  files: Sequence[ImageFile], max_canvases: int, part_size: int
) -> list[tuple[Canvas, tuple[ImageFile, ...]]]:
  """All files in parts of at most `part_size`: each part's canvas and files."""
  sizes = image_sizes(files)
  # Choosing canvases takes time and memory by the number of different sizes.
  step = CANVAS_STEP
  step *= max(1, -(-int(sizes.max()) // (step * _MOST_STEPS)))
  sizes = np.maximum(-(-sizes // step) * step, step)
  canvases = canvases_of_one_pass(sizes, max_canvases)
  return [
    (canvas, tuple(files[i] for i in members))
    for canvas, members in pipeline.parts_of(sizes, canvases, part_size)
  ]


class _Job:
  """What the devices compute of a part, and the writing of it."""

  def __init__(
    self,
    predictor: Predictor,
    canvas: Canvas,
    samples: dict[ImageFile, Sample],
    folder: PredictionFolder,
    palette: UInt8[np.ndarray, "256 3"],
    observer: Observer | None,
  ):
    # A damaged header may tell another size than the pixels have.
    sizes = [sample.size for sample in samples.values()]
    canvas = tuple(np.max([canvas, *sizes], axis=0).tolist())
    given = list(samples.values())
    observed = observer is not None

    def compute(scores):
      found = {"labels": most_likely(scores)}
      if folder.save_probabilities:
        found["probabilities"] = softmax(scores)
      if observed:
        found["top"] = most_likely_classes(scores, TOP)
      return found

    scorer = predictor.scorer(canvas)
    classes = len(predictor.class_names)
    if scorer is not None:
      self._found = [
        _alone(scorer, x, compute, observed, classes) for x in given
      ]
    else:
      part = predictor.place(given, canvas)
      self._found = compute(predictor.scores(part))
      if observed and part.label is not None:
        # On the canvas, as in evaluation: one program a canvas.
        label = devices.shard(part.label, predictor.mesh)
        labels = self._found["labels"]
        self._found["confusion"] = _confusion(label, labels, classes)
    self._class_names = predictor.class_names
    self._samples, self._folder, self._palette = samples, folder, palette
    self._observer = observer

  def write(self) -> Outcomes:
    """Waits for the devices and writes each image's predictions."""
    try:
      found = jax.device_get(self._found)
    except jax.errors.JaxRuntimeError as error:
      return _not_computed(self._samples, error)
    outcomes: Outcomes = {}
    for i, (file, sample) in enumerate(self._samples.items()):
      if isinstance(found, list):
        of_image = found[i]
      else:
        of_image = jax.tree.map(lambda array, i=i: array[i], found)
      inside = tuple(slice(n) for n in sample.size)
      result = Result(
        image=sample.image,
        labels=of_image["labels"][inside],
        class_names=self._class_names,
        palette=self._palette,
        compute_probabilities=lambda x=of_image, inside=inside: x[
          "probabilities"
        ][inside],
      )
      outcomes[file] = self._folder.write(file, result)
      if self._observer:
        top_ids, top_probabilities = of_image["top"]
        seen = Segmented(
          file,
          result,
          top_ids[inside],
          top_probabilities[inside],
          sample.label,
          None if sample.label is None else of_image["confusion"],
        )
        self._observer.see(seen)
    return outcomes


def _alone(
  scorer: tiling.Scorer,
  sample: Sample,
  compute: Callable[[Any], dict[str, Any]],
  observed: bool,
  classes: int,
) -> dict[str, Any]:
  """What is found in one image, in tiles or seen several times."""
  found = stitched(scorer, InMemory(sample.image), compute)
  if observed and sample.label is not None:
    given = (sample.label[None], found["labels"][None])
    found["confusion"] = np.asarray(_confusion(*given, classes))[0]
  return found


_confusion = jax.jit(metrics.confusion, static_argnums=2)


def _ahead(
  pool: ThreadPoolExecutor,
  decode: Callable[[Sequence[ImageFile]], Decoded],
  parts: Iterable[tuple[Canvas, Sequence[ImageFile]]],
  number: int,
) -> Iterator[tuple[Canvas, dict[ImageFile, Sample], Outcomes]]:
  """Each part's canvas and images, `number` parts being decoded ahead."""
  waiting = collections.deque()
  for canvas, files in parts:
    waiting.append((canvas, pool.submit(decode, files)))
    if len(waiting) > number:
      canvas, future = waiting.popleft()
      yield canvas, *future.result()
  for canvas, future in waiting:
    yield canvas, *future.result()


def _decode(
  observer: Observer | None,
  value_range: tuple[int, int] | None,
  files: Sequence[ImageFile],
) -> Decoded:
  samples, unreadable = {}, {}
  for file in files:
    try:
      # Those of a prepared data set have the full range.
      known = None if file.record else value_range
      image = decode_image(file.read(), str(file.path), known)
      label = observer.label_of(file) if observer else None
      samples[file] = Sample(image, label)
    except DataError as error:
      unreadable[file] = str(error)
  return samples, unreadable


def _not_computed(files: Iterable[ImageFile], error: Exception) -> Outcomes:
  said = str(error).splitlines()[0]
  return {
    file: f"{file.path}: could not be computed ({said}); if memory ran out, "
    "give --tile=512, or fewer --num_threads"
    for file in files
  }
