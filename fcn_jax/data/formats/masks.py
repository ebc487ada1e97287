"""Folders of binary masks, one for each class of an image."""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from typing import ClassVar

from fcn_jax.data.drawn import Drawn, Region
from fcn_jax.data.files import File, list_files
from fcn_jax.data.formats.base import Found, threshold_flag
from fcn_jax.data.formats.names import BY_STEM, paired
from fcn_jax.data.formats.objects import labelled, names_of
from fcn_jax.data.formats.splits import Pairs, Splits, chosen_of
from fcn_jax.data.labels import LabelError, LabelReader
from fcn_jax.files import DataError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Masks(Splits):
  """Images, and for each a mask of 0 and 255 for each of its classes.

  Below the folder of labels they lie as CLASS/STEM.png, STEM/CLASS.png or
  STEM_CLASS.png; an image need not have one of every class.
  """

  title: ClassVar[str] = "one binary mask for each class of an image"

  threshold: int | None = threshold_flag()

  def find(self) -> Found:
    """Pairs, class names and how to read labels, see `Format`."""
    splits, findings = self.find_splits("masks")
    seen = {
      name
      for pairs in splits.values()
      for pair in pairs
      for name, _ in pair.label.masks
    }
    names = names_of(self, sorted(seen))
    splits = labelled(self, splits, names)
    return Found(splits, findings, names, LabelReader())

  def pairs_in(
    self, images: str, labels: str | None, chosen: File | None
  ) -> Pairs:
    """Images with their masks."""
    image_files, masks = BY_STEM.by_key(
      list_files(images), list_files(labels), []
    )
    found: dict[str, list[File]] = {}
    for stem, group in _by_stem(masks, image_files, labels).items():
      name = f"{labels}: masks of {stem}"
      label = MaskStack(
        name,
        group[0][1].path,
        masks=tuple(sorted(group, key=lambda one: one[0])),
        reader=LabelReader(binary_masks=True, threshold=self.threshold),
      )
      found[stem] = [label]
    pairs, findings = paired(image_files, found, images, labels)
    if chosen:
      findings = []
      pairs = chosen_of(chosen, pairs, findings)
    return pairs, findings


def _by_stem(
  masks: Mapping[str, list[File]], images: Mapping[str, list[File]], folder: str
) -> dict[str, list[tuple[str, File]]]:
  """The masks of each image with their classes, by the layout that fits best.

  Raises:
    DataError: none does.
  """
  best: dict[str, list[tuple[str, File]]] = {}
  most = 0
  for part in (_class_first, _class_last, _class_behind):
    found: dict[str, list[tuple[str, File]]] = {}
    for key, files in masks.items():
      stem, name = part(key)
      if stem and name:
        found.setdefault(stem, []).extend((name, file) for file in files)
    fitting = sum(len(found[stem]) for stem in found.keys() & images.keys())
    if fitting > most:
      best, most = found, fitting
  if not most:
    raise DataError(
      f"{folder}: no mask is of an image; name them CLASS/STEM.png, "
      "STEM/CLASS.png or STEM_CLASS.png, STEM being the image's"
    )
  return best


def _class_first(key: str) -> tuple[str, str]:
  name, _, stem = key.partition("/")
  return stem, name


def _class_last(key: str) -> tuple[str, str]:
  return os.path.split(key)


def _class_behind(key: str) -> tuple[str, str]:
  stem, _, name = key.rpartition("_")
  return stem, name


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskStack(Drawn):
  """A label drawn from masks, in the order of the classes.

  Attributes:
    masks: the class and the file of each.
    reader: of masks.
  """

  masks: tuple[tuple[str, File], ...]
  reader: LabelReader = dataclasses.field(compare=False, repr=False)

  def objects(self) -> tuple[tuple[int, int], Iterator[Region]]:
    """See `Drawn`; the size is that of the first mask."""
    regions = [self._region(name, file) for name, file in self.masks]
    sizes = {region.mask.shape for region in regions}
    if len(sizes) > 1:
      raise LabelError(
        "masks of one image that differ in size",
        ", ".join(f"{w}x{h}" for h, w in sorted(sizes)),
        "give them all the size of their image",
      )
    order = {name: number for number, name in enumerate(self.labels)}
    last = len(order)
    regions.sort(key=lambda region: order.get(region.name, last))
    return sizes.pop(), iter(regions)

  def _region(self, name: str, file: File) -> Region:
    try:
      mask = self.reader.read(file.read(), file.name).index > 0
    except LabelError as error:
      raise LabelError(
        error.kind, f"{file.name}: {error.value}", error.remedy
      ) from None
    return Region(name, mask)
