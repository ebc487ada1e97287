"""Formats whose splits are given one by one, or drawn."""

import dataclasses
import os
from collections.abc import Container, Mapping, Sequence

import numpy as np

from fcn_jax.data.files import File, Pair, own_file
from fcn_jax.data.findings import Finding, report
from fcn_jax.data.formats.base import Format, flag
from fcn_jax.data.formats.lists import known_as, read_list
from fcn_jax.files import DataError

SPLITS = ("train", "val", "test")
Pairs = tuple[list[Pair], list[Finding]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawing(Format):
  """A format whose validation set can be drawn from the training set."""

  val_percent: float | None = flag(
    None, "draw the validation set from the training one"
  )
  seed: int = flag(0, "of the draw of the validation set")

  def with_val(
    self, splits: Mapping[str, Sequence[Pair]], place: str
  ) -> dict[str, Sequence[Pair]]:
    """The splits, with val drawn from train if --val_percent says so.

    What is divided is train, or the only split.

    Raises:
      DataError: there is a val already, or no split to divide; see `divide`.
    """
    if self.val_percent is None:
      return dict(splits)
    if "val" in splits:
      raise DataError(f"{place} has a list val; leave out --val_percent")
    whole = "train" if "train" in splits else next(iter(splits), "")
    if whole != "train" and len(splits) != 1:
      raise DataError(
        f"--val_percent: {place} has no list train, and {len(splits)} others "
        f"({', '.join(splits)}); leave one, or call one train"
      )
    train, val = divide(splits[whole], self.val_percent, self.seed)
    others = {split: pairs for split, pairs in splits.items() if split != whole}
    return {"train": train, "val": val, **others}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Splits(Drawing):
  """A format of images and labels that are named for each split.

  A format defines `pairs_in`.
  """

  train_images: str | None = flag(None, "training images")
  train_labels: str | None = flag(
    None, "their labels, of the same stems; or COCO's JSON file"
  )
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

  def pairs_in(
    self, images: str, labels: str | None, chosen: File | None
  ) -> Pairs:
    """Pairs of images with labels, and what is wrong.

    Args:
      images, labels: as the flags say.
      chosen: a list of those that count; None: all.
    """
    raise NotImplementedError

  def find_splits(
    self, name: str, beside: str | None = None
  ) -> tuple[dict[str, list[Pair]], list[Finding]]:
    """The pairs of each split; train and val are among them.

    Args:
      name: of the format.
      beside: where labels are where none are named; None: they have to be.

    Raises:
      DataError: flags that do not fit together, or a split without pairs.
    """
    splits, findings = {}, []
    for split in SPLITS:
      chosen = getattr(self, f"{split}_list")
      images = getattr(self, f"{split}_images")
      labels = getattr(self, f"{split}_labels")
      if bool(labels) != bool(images) and (labels or not beside):
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
      file = own_file(chosen) if chosen else None
      splits[split], found = self.pairs_in(images, labels, file)
      findings += found
    if "train" not in splits:
      where = f" ({beside})" if beside else ""
      raise DataError(
        f"--dataset={name}: give --train_images and --train_labels{where}, and "
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
          f"{report(findings)}\n{split}: no image has a label of its name"
        )
    return self.with_val(splits, name), findings


def chosen_of(
  file: File, pairs: Sequence[Pair], findings: list[Finding]
) -> list[Pair]:
  """The pairs that the lines of a list name, in its order.

  A line is an image, by its id or by the end of its path.

  Raises:
    DataError: it names none.
  """
  known = {pair.image_id: pair for pair in pairs}
  found: dict[str, Pair] = {}
  for line in listed(file):
    stem = stem_in(line, known)
    if stem is None:
      kind, remedy = "listed file that is missing", "add the file"
      findings.append(Finding(kind, file.name, f"{line}: not found", remedy))
    elif stem in found:
      findings.append(twice(file, line))
    else:
      found[stem] = known[stem]
  return list(found.values())


def listed(file: File) -> list[str]:
  """The lines of a list.

  Raises:
    DataError: it has none.
  """
  lines = read_list(file)
  if not lines:
    raise DataError(f"{file.name}: names no image; write one per line")
  return lines


def twice(file: File, line: str) -> Finding:
  return Finding("id listed twice", file.name, line, "take one line out")


def stem_in(text: str, known: Container[str]) -> str | None:
  """The known stem that a path, with or without its extension, ends in."""
  return known_as(text, known) or known_as(os.path.splitext(text)[0], known)


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
