"""Data sets whose folders say what is an image and what a label."""

import dataclasses
import os
import re
from collections.abc import Mapping
from typing import ClassVar

from fcn_jax.data.files import File, list_files
from fcn_jax.data.formats.base import Format, Found, flag
from fcn_jax.data.formats.names import paired
from fcn_jax.files import DataError

PLACES = "the zip (or several, by commas) as downloaded, or the folder"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tree(Format):
  """A data set as it is published; a format says what its folders mean.

  Attributes:
    images, labels: patterns of their paths, whose groups are the split as it is
      called there and the key.
    splits: what the splits are called there.
    needed: what has to be given, for messages.
  """

  images: ClassVar[str]
  labels: ClassVar[str]
  splits: ClassVar[Mapping[str, str]]
  needed: ClassVar[str]

  archive: str | None = flag(None, PLACES)

  def find(self) -> Found:
    """Pairs, class names and how to read labels, see `Format`."""
    if not self.archive:
      raise DataError(f"--dataset={self.name}: give --archive={self.needed}")
    files: dict[str, File] = {}
    for place in _places(self.archive):
      files |= list_files(place)
    splits, findings = {}, []
    for split, folder in self.splits.items():
      images, labels = (
        _matching(files, pattern.replace("SPLIT", folder))
        for pattern in (self.images, self.labels)
      )
      if not images or not labels:
        raise DataError(
          f"{self.archive}: no {'label' if images else 'image'} of {folder}; "
          f"give --archive={self.needed}"
        )
      where = f"{self.archive} ({folder})"
      splits[split], problems = paired(images, labels, where, where)
      findings += problems
    names = self.given_names()
    return Found(splits, findings, names, self.reader(names), self.name)


def _places(archive: str) -> list[str]:
  if os.path.exists(os.path.expanduser(archive)):
    return [archive]
  return [place for place in archive.split(",") if place]


def _matching(files: Mapping[str, File], pattern: str) -> dict[str, list[File]]:
  found: dict[str, list[File]] = {}
  for key, file in files.items():
    match = re.fullmatch(rf"(?:.*/)?{pattern}", key)
    if match:
      found.setdefault(match[1], []).append(file)
  return found
