"""A folder of images and a folder of labels, paired by file stem."""

import dataclasses
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import ClassVar

import numpy as np
from PIL import Image

from fcn_jax.data.files import File, Pair, list_files
from fcn_jax.data.findings import Finding, report
from fcn_jax.data.formats.base import Format, Found, flag
from fcn_jax.data.formats.lists import columns, known_as, read_list
from fcn_jax.files import DataError

SPLITS = ("train", "val", "test")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Folder(Format):
  """A folder of images and one of labels for each split."""

  title: ClassVar[str] = "image and label folders"

  train_images: str | None = flag(None, "training images")
  train_labels: str | None = flag(None, "their labels, of the same stems")
  val_images: str | None = flag(None, "validation images")
  val_labels: str | None = flag(None, "their labels")
  test_images: str | None = flag(None, "test images, if there are any")
  test_labels: str | None = flag(None, "their labels")
  train_list: str | None = flag(
    None, "text file: which of the images (and labels), one per line"
  )
  val_list: str | None = flag(
    None, "the same; without --val_images, of the training images"
  )
  test_list: str | None = flag(None, "as --val_list")
  val_percent: float | None = flag(
    None, "draw the validation set from the training one"
  )
  seed: int = flag(0, "of the draw of the validation set")

  def find(self) -> Found:
    """Pairs, class names and how to read labels, see `Format`."""
    names = self.given_names()
    if not names:
      raise DataError(
        "--dataset=folder: give --class_names=FILE, the name of label i in "
        "line i (from 0)"
      )
    splits, findings = self._find_pairs()
    if "train" not in splits:
      raise DataError(
        "--dataset=folder: give --train_images and --train_labels, and "
        "--val_images and --val_labels, --val_list or --val_percent"
      )
    if ("val" in splits) == (self.val_percent is not None):
      raise DataError(
        "give --val_images and --val_labels or --val_list, or --val_percent=10 "
        "to draw the validation set from the training images (one of these)"
      )
    for split, pairs in splits.items():
      if not pairs:
        raise DataError(
          f"{report(findings)}\n{split}: no image has a label of its stem"
        )
    if self.val_percent is not None:
      train, val = divide(splits["train"], self.val_percent, self.seed)
      splits = {"train": train, "val": val} | {
        split: pairs for split, pairs in splits.items() if split != "train"
      }
    return Found(splits, findings, names, self.reader(names))

  def _find_pairs(self) -> tuple[dict[str, list[Pair]], list[Finding]]:
    """The pairs of each split whose folders are given."""
    splits, findings = {}, []
    for split in SPLITS:
      chosen = getattr(self, f"{split}_list")
      images = getattr(self, f"{split}_images")
      labels = getattr(self, f"{split}_labels")
      if bool(images) != bool(labels):
        raise DataError(f"give both --{split}_images and --{split}_labels")
      if chosen and not images:
        images, labels = self.train_images, self.train_labels
      if not images:
        if chosen:
          raise DataError(
            f"--{split}_list={chosen}: give --train_images and --train_labels, "
            "the folders that it is of"
          )
        continue
      if chosen:
        chosen = os.path.expanduser(chosen)
        splits[split], found = find_listed(File(chosen, chosen), images, labels)
      else:
        splits[split], found = find_pairs(images, labels)
      findings += found
    return splits, findings


def find_listed(
  file: File, images: str, labels: str
) -> tuple[list[Pair], list[Finding]]:
  """Pairs an image of a list with its label, in the list's order.

  Args:
    file: each line an image, by its stem or by the end of its path, or an image
      and its label. Files that no line names do not matter.
    images, labels: as `find_pairs` takes them.

  Raises:
    DataError: a folder does not exist or holds no image, or no list.
  """
  lines = read_list(file)
  if not lines:
    raise DataError(f"{file.name}: names no image; write one per line")
  image_files, label_files = _by_stem(images, []), _by_stem(labels, [])
  found: dict[str, Pair] = {}
  findings = []
  for line in lines:
    parts = [line] if _stem(line, image_files) else columns(line)
    image, label = (
      _stem(part, files)
      for part, files in (
        (parts[0], image_files),
        (parts[-1], label_files),
      )
    )
    for stem, folder, kind in (
      (image, images, "listed file that is missing"),
      (label, labels, "image without label"),
    ):
      if stem is None:
        findings.append(
          Finding(kind, file.name, f"{line}: not in {folder}", "add the file")
        )
    if image in found:
      findings.append(
        Finding("id listed twice", file.name, line, "take one line out")
      )
    elif image and label:
      found[image] = Pair(image, image_files[image][0], label_files[label][0])
      findings += _several(image_files, [image])
      findings += _several(label_files, [label])
  return list(found.values()), findings


def _stem(text: str, files: Mapping[str, list[File]]) -> str | None:
  """The stem that a path, with or without its extension, ends in."""
  return known_as(text, files) or known_as(os.path.splitext(text)[0], files)


def find_pairs(images: str, labels: str) -> tuple[list[Pair], list[Finding]]:
  """Pairs an image with the label of the same stem, in the stems' order.

  Extensions may differ. Files in subfolders pair by their path below the
  folder, which is then their id ('a/0001'). Hidden files are left out; others
  that are no images by their extension too, with a warning.

  Returns:
    The pairs, and findings: stems without a partner, several files of one
    stem, files that are no images.

  Raises:
    DataError: a folder does not exist, holds no image, or both are the same.
  """
  if os.path.realpath(images) == os.path.realpath(labels):
    raise DataError(
      f"{images}: given for images and labels; put labels into their own folder"
    )
  findings: list[Finding] = []
  image_files = _by_stem(images, findings)
  label_files = _by_stem(labels, findings)
  for files in (image_files, label_files):
    findings += _several(files, files)
  hint = _suffix_hint(image_files, label_files)
  for stem in sorted(image_files.keys() - label_files.keys()):
    findings.append(
      Finding(
        "image without label",
        image_files[stem][0].name,
        f"no {stem}.* in {labels}",
        hint or "add its label, or take the image out",
      )
    )
  for stem in sorted(label_files.keys() - image_files.keys()):
    findings.append(
      Finding(
        "label without image",
        label_files[stem][0].name,
        f"no {stem}.* in {images}",
        hint or "add its image, or take the label out",
      )
    )
  return [
    Pair(stem, image_files[stem][0], label_files[stem][0])
    for stem in sorted(image_files.keys() & label_files.keys())
  ], findings


def divide(
  pairs: Sequence[Pair], val_percent: float, seed: int
) -> tuple[list[Pair], list[Pair]]:
  """Draws a validation set: val_percent of the pairs, rounded, at least one.

  Both parts keep the order of the whole. The draw depends on the seed and the
  number of pairs alone.

  Raises:
    DataError: a percentage not between 1 and 100, or fewer than two pairs.
  """
  if 0 < val_percent < 1:
    raise DataError(
      f"--val_percent={val_percent:g}: did you mean {100 * val_percent:g}? "
      "Give 1 or more, in percent"
    )
  if not 0 < val_percent < 100:
    raise DataError(f"--val_percent={val_percent}: give more than 0, below 100")
  if len(pairs) < 2:
    raise DataError(
      f"--val_percent: {len(pairs)} pairs cannot be divided; add images, or "
      "give --val_images and --val_labels"
    )
  count = round(len(pairs) * val_percent / 100)
  count = min(max(count, 1), len(pairs) - 1)
  drawn = np.random.default_rng(seed).permutation(len(pairs))[:count]
  chosen = set(drawn.tolist())
  return (
    [pair for i, pair in enumerate(pairs) if i not in chosen],
    [pair for i, pair in enumerate(pairs) if i in chosen],
  )


def _by_stem(folder: str, findings: list[Finding]) -> dict[str, list[File]]:
  known = Image.registered_extensions()
  found: dict[str, list[File]] = {}
  for key, file in list_files(folder).items():
    if file.extension in known:
      found.setdefault(os.path.splitext(key)[0], []).append(file)
    else:
      findings.append(
        Finding(
          "file that is no image",
          file.name,
          f"extension {file.extension!r}",
          "left out; rename it if it is an image",
          warning=True,
        )
      )
  if not found:
    raise DataError(f"{folder}: no image in it; check the path")
  return found


def _several(
  files: Mapping[str, list[File]], stems: Iterable[str]
) -> list[Finding]:
  return [
    Finding(
      "several files of one stem",
      ", ".join(file.name for file in files[stem]),
      f"{len(files[stem])} files for {stem}",
      "keep one of them",
    )
    for stem in stems
    if len(files[stem]) > 1
  ]


def _suffix_hint(
  images: Collection[str], labels: Collection[str]
) -> str | None:
  """A remedy for labels named as their images plus '_mask' or the like."""
  if any(image in labels for image in images):
    return None
  stem = min(images)
  for label in labels:
    if label.startswith(stem):
      suffix = label[len(stem) :]
      if all(image + suffix in labels for image in images):
        return (
          f"label names end in {suffix!r}: rename them to the stems of their "
          "images"
        )
  return None
