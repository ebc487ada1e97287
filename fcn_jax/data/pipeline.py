"""From stored bytes to batches on canvases.

A batch is drawn first, as the recipe says, and only then divided by canvas
into parts of one fixed shape each.  Which images a step sees is a pure
function of the seed and the step, so the step count is all that a resumed run
needs to know.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import grain.python as grain
import numpy as np
from jaxtyping import Int, UInt8

from fcn_jax.data.augment import Cut, Sample, cut_sample
from fcn_jax.data.canvases import Canvas, assign
from fcn_jax.data.classes import VOID
from fcn_jax.data.dataset import Dataset
from fcn_jax.data.images import decode_image, decode_label
from fcn_jax.data.sampling import Sampler

CACHES = ("auto", "none", "host")  # where decoded images are kept


class Part(NamedTuple):
  """Images on one canvas.

  Empty places have extent 0 and a label of void only, so they weigh nothing.

  Attributes:
    image: RGB, zero beyond the extent.
    label: class ids; void (255) beyond the extent.
    extent: true (height, width) of each image.
    position: place of each image in the batch as drawn; random numbers of an
      image are made from it.
  """

  image: UInt8[np.ndarray, "b h w 3"]
  label: UInt8[np.ndarray, "b h w"]
  extent: Int[np.ndarray, "b 2"]
  position: Int[np.ndarray, " b"]


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
  """Puts up to `part_size` samples at the top left of canvases of their own."""
  height, width = canvas
  batch = Part(
    np.zeros((part_size, height, width, 3), np.uint8),
    np.full((part_size, height, width), VOID, np.uint8),
    np.zeros((part_size, 2), np.int32),
    np.zeros((part_size,), np.int32),
  )
  for i, (sample, position) in enumerate(zip(samples, positions, strict=True)):
    h, w = sample.label.shape
    batch.image[i, :h, :w] = sample.image
    batch.label[i, :h, :w] = sample.label
    batch.extent[i] = h, w
    batch.position[i] = position
  return batch


def parts_of(
  sizes: Int[np.ndarray, "n 2"],
  canvases: tuple[Canvas, ...],
  part_size: int,
) -> list[tuple[Canvas, Int[np.ndarray, " m"]]]:
  """Divides a drawn batch by canvas: each part's canvas and its images."""
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
  sizes = np.array([sample.label.shape for sample in samples])
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
    mirror: flip each drawn image left to right with probability 1/2.
    random_crop: most pixels that are cut, at random, off each side of it.
    num_threads: decoding threads; 0: in the caller's thread.
    keep: keep decoded images in memory (4 bytes a pixel).
  """

  dataset: Dataset
  split: str
  sampler: Sampler
  canvases: tuple[Canvas, ...]
  part_size: int
  mirror: bool = False
  random_crop: int = 0
  num_threads: int = 2
  keep: bool = False

  @property
  def one_part(self) -> bool:
    """Whether every batch is one part."""
    by_canvas = self.sampler.canvas_of is not None
    return is_one_part(self.sampler.batch_size, by_canvas, self.part_size)

  def steps(self, start: int, stop: int) -> Iterator[Batch]:
    """The batches of steps start .. stop - 1, read ahead in threads."""
    drawn = grain.MapDataset.range(start, stop).map(
      lambda step: self.batch(int(step))
    )
    options = grain.ReadOptions(
      num_threads=self.num_threads,
      prefetch_buffer_size=max(2, 2 * self.num_threads),
    )
    return iter(drawn.to_iter_dataset(options))

  def batch(self, step: int) -> Batch:
    """The batch of one step."""
    indices = self.sampler.indices(step)
    samples = [self._read(index) for index in indices]
    sizes = [sample.label.shape for sample in samples]
    seen = [
      cut_sample(sample, view)
      for sample, view in zip(samples, self.views(step, sizes), strict=True)
    ]
    return Batch(indices, divide(seen, self.canvases, self.part_size))

  def views(self, step: int, sizes: Sequence[Sequence[int]]) -> list[Cut]:
    """What a step sees of its images, whose sizes are given."""
    if not (self.mirror or self.random_crop):
      return [Cut(False, 0, 0, *size) for size in sizes]
    draw = np.random.default_rng((self.sampler.seed, step, 2))
    return [self._view(size, draw) for size in sizes]

  def _view(self, size: Sequence[int], draw: np.random.Generator) -> Cut:
    mirror, cuts = draw.random() < 0.5, draw.random((2, 2))
    starts, lengths = [], []
    for side, cut in zip(size, cuts, strict=True):
      most = min(self.random_crop, (side - 1) // 2)
      start, end = (int(share * (most + 1)) for share in cut)
      starts.append(start)
      lengths.append(side - start - end)
    return Cut(self.mirror and mirror, *starts, *lengths)

  @functools.cached_property
  def _read(self) -> "Reader":
    return Reader(self.dataset, self.split, self.keep)


class Reader:
  """Images of a split by record number, decoded.

  Args:
    dataset, split: where they are.
    keep: decode each but once.

  Attributes:
    sizes: int32 [n, 2], (height, width) of each.
  """

  def __init__(self, dataset: Dataset, split: str, keep: bool = False):
    self.sizes = dataset.sizes(split)
    self._source = dataset.source(split)
    self._kept: dict[int, Sample] | None = {} if keep else None

  def __call__(self, index: int) -> Sample:
    if self._kept is None:
      return read_sample(self._source, index)
    if index not in self._kept:
      self._kept[index] = read_sample(self._source, index)
    return self._kept[index]


def is_one_part(images: int, by_canvas: bool, part_size: int) -> bool:
  """Whether every batch of so many images is one part of `part_size`."""
  return images == 1 or (by_canvas and images <= part_size)


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
) -> Iterator[Batch]:
  """Every image of a split once, canvas by canvas, for evaluation.

  Args:
    read: the images.
    canvases: where they are placed.
    part_size: images per part.
    num_threads: decoding threads.
    wanted: of each image; parts without one that is are left out, the others
      are as they would be.
  """
  chunks = [
    (canvas, chunk)
    for canvas, chunk in parts_of(read.sizes, canvases, part_size)
    if wanted is None or any(wanted[i] for i in chunk)
  ]

  def load(chunk) -> Batch:
    canvas, indices = chunk
    samples = [read(int(i)) for i in indices]
    part = place(samples, range(len(samples)), canvas, part_size)
    return Batch(tuple(int(i) for i in indices), (part,))

  options = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=4)
  numbered = grain.MapDataset.range(len(chunks)).map(
    lambda number: load(chunks[number])
  )
  return iter(numbered.to_iter_dataset(options))
