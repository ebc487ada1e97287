"""From stored bytes to batches on canvases.

Training, evaluation and prediction go the same way: images are divided by
canvas (`parts_of`), and each part of them is placed in arrays of one fixed
shape (`place`).

In training a batch is drawn first, as the recipe says, and only then divided.
Which images a step sees, and how they are changed, is a pure function of the
seed and the step, so a resumed run needs to know the step alone.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from fcn_jax.data.augment import (
  Augmentation,
  Sample,
  augmented,
  largest_sizes,
  make,
)
from fcn_jax.data.canvases import Canvas, assign
from fcn_jax.data.classes import VOID
from fcn_jax.data.dataset import Dataset
from fcn_jax.data.images import decode_image, decode_label
from fcn_jax.data.sampling import Sampler
from fcn_jax.files import DataError

CACHES = ("auto", "none", "host")  # where decoded images are kept


class Part(NamedTuple):
  """Images on one canvas.

  Empty places have extent 0 and a label of void only, so they weigh nothing.

  Attributes:
    image: RGB, zero beyond the extent.
    label: class ids; void (255) beyond the extent, and of an image without a
      label. None where no image has one. [b, 1, 1] where an image has one
      class.
    extent: true (height, width) of each image.
    position: place of each image in the batch as drawn; random numbers of an
      image are made from it.
  """

  image: UInt8[np.ndarray, "b h w 3"]
  label: UInt8[np.ndarray, "b lh lw"] | None
  extent: Int[np.ndarray, "b 2"]
  position: Int[np.ndarray, " b"]


# An empty place: what a process decodes where it has no row of a part.
_NONE = np.zeros((0, 0, 3), np.uint8)


class Batch(NamedTuple):
  """A batch as drawn: its images' record numbers, and its parts."""

  indices: tuple[int, ...]
  parts: tuple[Part, ...]


def place(
  samples: Sequence[Sample],
  positions: Sequence[int],
  canvas: tuple[int, int],
  part_size: int,
) -> Part:
  """Puts each sample at the top left of a canvas of its own.

  Args:
    samples: at most `part_size`, none larger than the canvas.
    positions: of the samples in the batch as drawn.
    canvas: (height, width).
    part_size: number of canvases; those without a sample are empty.
  """
  labelled = [s for s in samples if s.label is not None]
  one_class = any(s.label.shape != s.size for s in labelled)
  label_canvas = (1, 1) if one_class else canvas
  part = Part(
    np.zeros((part_size, *canvas, 3), np.uint8),
    np.full((part_size, *label_canvas), VOID, np.uint8) if labelled else None,
    np.zeros((part_size, 2), np.int32),
    np.zeros((part_size,), np.int32),
  )
  for i, (sample, position) in enumerate(zip(samples, positions, strict=True)):
    h, w = part.extent[i] = sample.size
    part.image[i, :h, :w] = sample.image
    if sample.label is not None:
      h, w = sample.label.shape
      part.label[i, :h, :w] = sample.label
    part.position[i] = position
  return part


def parts_of(
  sizes: Int[np.ndarray, "n 2"],
  canvases: tuple[Canvas, ...],
  part_size: int,
) -> list[tuple[Canvas, Int[np.ndarray, " m"]]]:
  """Divides images by canvas: the canvas of each part, and its images.

  Args:
    sizes: (height, width) of every image.
    canvases: each image goes to the first that holds it.
    part_size: images per part, at most.

  Returns:
    Canvas by canvas, each part's canvas and the numbers of its images.

  Raises:
    ValueError: an image that no canvas holds.
  """
  which = assign(sizes, canvases)
  parts = []
  for number, canvas in enumerate(canvases):
    members = np.flatnonzero(which == number)
    for first in range(0, len(members), part_size):
      parts.append((canvas, members[first : first + part_size]))
  return parts


def divide(
  samples: Sequence[Sample],
  canvases: tuple[Canvas, ...],
  part_size: int,
) -> tuple[Part, ...]:
  """Places a drawn batch in parts of `part_size`."""
  sizes = np.array([sample.size for sample in samples])
  return tuple(
    place([samples[i] for i in members], members.tolist(), canvas, part_size)
    for canvas, members in parts_of(sizes, canvases, part_size)
  )


@dataclasses.dataclass(frozen=True)
class Loader:
  """Reads, decodes and places the batches of a sampler.

  Attributes:
    dataset, split: where the images are.
    sampler: which of them each step sees.
    canvases: where they are placed.
    part_size: images per part.
    augmentations: random changes of each drawn image, in order; a name of
      `augment.AUGMENTATIONS` stands for it with its default options.
    num_threads: decoding threads; 0: in the caller's thread.
    keep: keep decoded images in memory (4 bytes a pixel).
    rows: of every part, which this process decodes: its parts have these alone;
      None: there is one process. Else parts are chosen by the sizes that images
      get at most, which all processes know, and not by those that they get.
  """

  dataset: Dataset
  split: str
  sampler: Sampler
  canvases: tuple[Canvas, ...]
  part_size: int
  augmentations: tuple[Augmentation | str, ...] = ()
  num_threads: int = 2
  keep: bool = False
  rows: slice | None = None

  @property
  def one_part(self) -> bool:
    """Whether every batch is one part."""
    one_canvas = self.sampler.canvas_of is not None or len(self.canvases) == 1
    return is_one_part(self.sampler.batch_size, one_canvas, self.part_size)

  def steps(self, start: int, stop: int) -> Iterator[Batch]:
    """The batches of steps start .. stop - 1, read ahead in threads."""
    ahead = max(2, 2 * self.num_threads)
    return _read_ahead(range(start, stop), self.batch, self.num_threads, ahead)

  def batch(self, step: int) -> Batch:
    """The batch of one step."""
    indices = self.sampler.indices(step)
    if self.rows is not None:
      return Batch(indices, self._own_parts(indices, step))
    samples = [self._drawn(i, step, p) for p, i in enumerate(indices)]
    canvases = self._canvases_for([sample.size for sample in samples])
    return Batch(indices, divide(samples, canvases, self.part_size))

  def _own_parts(self, indices: Sequence[int], step: int) -> tuple[Part, ...]:
    """This process' rows of the parts of a batch."""
    sizes = self._largest[list(indices)]
    count = len(range(self.part_size)[self.rows])
    found = []
    for canvas, members in parts_of(
      sizes, self._canvases_for(sizes), self.part_size
    ):
      own = members[self.rows].tolist()
      samples = [self._drawn(indices[p], step, p) for p in own]
      nothing = np.full((1, 1) if self.dataset.square else (0, 0), VOID)
      empty = Sample(_NONE, nothing.astype(np.uint8))
      found.append(place(samples or [empty], own or [0], canvas, count))
    return tuple(found)

  def _drawn(self, index: int, step: int, position: int) -> Sample:
    """An image as a step sees it."""
    seed = self.sampler.seed
    return augmented(self._read(index), self._changes, seed, step, position)

  def _canvases_for(self, sizes) -> tuple[Canvas, ...]:
    """The canvases that images of these sizes are placed on."""
    if not self.one_part:
      return self.canvases
    # Images that were cut might fit canvases of their own.
    largest = np.max(sizes, axis=0)
    return (self.canvases[assign(largest[None], self.canvases)[0]],)

  @functools.cached_property
  def _largest(self) -> Int[np.ndarray, "n 2"]:
    """The size that each image gets at most."""
    return largest_sizes(self._changes, self.dataset.sizes(self.split))

  @functools.cached_property
  def _changes(self) -> tuple[Augmentation, ...]:
    return tuple(
      make(one) if isinstance(one, str) else one for one in self.augmentations
    )

  @functools.cached_property
  def _read(self) -> "Reader":
    return Reader(self.dataset, self.split, self.keep, whole=True)


class Reader:
  """Images of a split by record number, decoded.

  Args:
    dataset, split: where they are.
    keep: decode each but once.
    whole: do not cut the middle square out of an image for a classifier.

  Attributes:
    sizes: int32 [n, 2], (height, width) of each.
  """

  def __init__(
    self,
    dataset: Dataset,
    split: str,
    keep: bool = False,
    whole: bool = False,
  ):
    self.sizes = dataset.sizes(split)
    self._dataset, self._split = dataset, split
    self._source = dataset.source(split)
    self._square = None if whole else dataset.square
    self._kept: dict[int, Sample] | None = {} if keep else None

  def __call__(self, index: int) -> Sample:
    if self._kept is None:
      return self._read(index)
    if index not in self._kept:
      self._kept[index] = self._read(index)
    return self._kept[index]

  def _read(self, index: int) -> Sample:
    sample = read_sample(self._source, index)
    stated = tuple(self.sizes[index].tolist())
    if not self._dataset.square and sample.size != stated:
      raise DataError(
        f"{self._dataset.directory}: {self._split}/"
        f"{self._dataset.ids(self._split)[index]} is of "
        f"{'x'.join(map(str, sample.size))} pixels, and of "
        f"{'x'.join(map(str, stated))} as stated; prepare it anew"
      )
    return self._square.apply(sample, None) if self._square else sample


def is_one_part(images: int, one_canvas: bool, part_size: int) -> bool:
  """Whether every batch of so many images is one part of `part_size`.

  one_canvas: the images of a batch lie on the same canvas, whichever it is.
  """
  return images == 1 or (one_canvas and images <= part_size)


def read_sample(source, index: int) -> Sample:
  """Reads and decodes one record."""
  example = source[index]
  image = decode_image(example.image, example.image_id)
  return Sample(image, decode_label(example.label))


def in_canvas_order(
  read: Reader,
  canvases: tuple[Canvas, ...],
  part_size: int,
  num_threads: int = 2,
  wanted: Sequence[bool] | None = None,
  share: tuple[int, int] = (0, 1),
) -> Iterator[Batch]:
  """Every image of a split once, canvas by canvas, for evaluation.

  Args:
    read: the images.
    canvases: where they are placed.
    part_size: images per part.
    num_threads: decoding threads.
    wanted: of each image; parts without one that is are left out, the others
      are as they would be.
    share: (i, n): only images i, i + n, i + 2 n, ...
  """
  first, every = share
  own = np.arange(len(read.sizes))[first::every]
  chunks = [
    (canvas, own[chunk])
    for canvas, chunk in parts_of(read.sizes[own], canvases, part_size)
    if wanted is None or any(wanted[i] for i in own[chunk])
  ]

  def load(chunk) -> Batch:
    canvas, indices = chunk
    samples = [read(int(i)) for i in indices]
    part = place(samples, range(len(samples)), canvas, part_size)
    return Batch(tuple(int(i) for i in indices), (part,))

  numbers = range(len(chunks))
  return _read_ahead(numbers, lambda n: load(chunks[n]), num_threads, ahead=4)


def _read_ahead(
  numbers: range, make: Callable[[int], Batch], num_threads: int, ahead: int
) -> Iterator[Batch]:
  """make(number) of each in order, `ahead` of them being made in threads."""
  # Imported when first asked for: a prediction reads nothing with it.
  import grain.python as grain

  made = grain.MapDataset.range(numbers.start, numbers.stop).map(
    lambda number: make(int(number))
  )
  options = grain.ReadOptions(
    num_threads=num_threads, prefetch_buffer_size=ahead
  )
  return iter(made.to_iter_dataset(options))
