"""A folder of images and a folder of labels, paired by their names."""

import dataclasses
import os
from collections.abc import Mapping
from typing import ClassVar

from fcn_jax.data.files import File, Pair, list_files
from fcn_jax.data.findings import Finding
from fcn_jax.data.formats.base import Found, LabelImages
from fcn_jax.data.formats.lists import columns
from fcn_jax.data.formats.names import (
  BY_STEM,
  Suffixes,
  key_of,
  paired,
  proposal,
  several,
)
from fcn_jax.data.formats.splits import Pairs, Splits, listed, stem_in, twice
from fcn_jax.files import DataError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Folder(Suffixes, LabelImages, Splits):
  """A folder of images and one of labels for each split."""

  title: ClassVar[str] = "image and label folders"

  def find(self) -> Found:
    """Pairs, class names and how to read labels, see `Format`."""
    names = self.given_names()
    if not names:
      raise DataError(
        "--dataset=folder: give --class_names=FILE, the name of label i in "
        "line i (from 0), or --label_map"
      )
    reader = self.reader(names)
    splits, findings = self.find_splits("folder")
    return Found(splits, findings, names, reader)

  def pairs_in(
    self, images: str, labels: str | None, chosen: File | None
  ) -> Pairs:
    """See `find_pairs` and `find_listed`."""
    if chosen:
      return find_listed(chosen, images, labels, self)
    return find_pairs(images, labels, self)


def find_listed(
  file: File, images: str, labels: str, suffixes: Suffixes = BY_STEM
) -> Pairs:
  """Pairs an image of a list with its label, in the list's order.

  Args:
    file: each line an image, by its key or by the end of its path, or an image
      and its label. Files that no line names do not matter.
    images, labels, suffixes: as `find_pairs` takes them.

  Raises:
    DataError: a folder does not exist or holds no image, or no list.
  """
  lines = listed(file)
  image_files, label_files = _by_key(images, labels, suffixes, [])
  found: dict[str, Pair] = {}
  findings = []
  for line in lines:
    whole = _key(line, image_files, suffixes.image_suffix)
    parts = [line] if whole else columns(line)
    image = _key(parts[0], image_files, suffixes.image_suffix)
    label = image if len(parts) == 1 and image in label_files else None
    label = label or _key(parts[-1], label_files, suffixes.label_suffix)
    for key, folder, kind in (
      (image, images, "listed file that is missing"),
      (label, labels, "image without label"),
    ):
      if key is None:
        findings.append(
          Finding(kind, file.name, f"{line}: not in {folder}", "add the file")
        )
    if image in found:
      findings.append(twice(file, line))
    elif image and label:
      found[image] = Pair(image, image_files[image][0], label_files[label][0])
      findings += several(image_files, [image])
      findings += several(label_files, [label])
  return list(found.values()), findings


def _key(
  text: str, files: Mapping[str, list[File]], suffix: str | None
) -> str | None:
  """The key that a path in a list means, with or without its suffix."""
  found = stem_in(text, files)
  if found is None and suffix:
    key = key_of(text, suffix)
    found = stem_in(key, files) if key else None
  return found


def find_pairs(images: str, labels: str, suffixes: Suffixes = BY_STEM) -> Pairs:
  """Pairs an image with the label of the same key, in the keys' order.

  A key is a file's path below its folder without the suffix, or else without
  the extension; so files in subfolders have ids as 'a/0001'. Hidden files are
  left out; others that are no images by their extension too, with a warning.

  Args:
    images, labels: folders or archives; the same one if suffixes tell images
      from labels.
    suffixes: how names end.

  Returns:
    The pairs, and findings: keys without a partner, several files of one
    key, files that are no images.

  Raises:
    DataError: a folder does not exist, or holds no image; or nothing tells
      images from labels.
  """
  findings: list[Finding] = []
  image_files, label_files = _by_key(images, labels, suffixes, findings)
  hint = None
  if not image_files.keys() & label_files.keys():
    hint = _hint(images, labels)
  pairs, found = paired(image_files, label_files, images, labels, hint)
  return pairs, findings + found


def _by_key(
  images: str, labels: str, suffixes: Suffixes, findings: list[Finding]
) -> tuple[dict[str, list[File]], dict[str, list[File]]]:
  """Images and labels by key."""
  one_folder = os.path.realpath(images) == os.path.realpath(labels)
  if one_folder and not (suffixes.image_suffix or suffixes.label_suffix):
    names = list_files(images)
    flags = proposal(names, names)
    raise DataError(
      f"{images}: given for images and labels; "
      + (
        f"give {flags}, which tell them apart"
        if flags
        else "put labels into their own folder, or tell them apart by "
        "--image_suffix and --label_suffix"
      )
    )
  image_list = list_files(images)
  label_list = image_list if one_folder else list_files(labels)
  found = suffixes.by_key(image_list, label_list, findings)
  for files, folder, suffix in (
    (found[0], images, suffixes.image_suffix),
    (found[1], labels, suffixes.label_suffix),
  ):
    if not files:
      what = f" whose name ends in {suffix!r}" if suffix else ""
      flags = suffix and proposal(image_list, label_list)
      raise DataError(
        f"{folder}: no image in it{what}; "
        + (f"give {flags}" if flags else "check the path")
      )
  return found


def _hint(images: str, labels: str) -> str | None:
  """The remedy where no image has a label: flags that would pair them."""
  flags = proposal(list_files(images), list_files(labels))
  return flags and f"names pair with {flags}"
