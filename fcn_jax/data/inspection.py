"""All that can be checked of a data set before training."""

import collections
import dataclasses
import os
import pathlib
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
from jaxtyping import Int32, UInt8

from fcn_jax import files
from fcn_jax.data import dataset as dataset_lib
from fcn_jax.data.checks import Facts, check_splits
from fcn_jax.data.classes import VOID
from fcn_jax.data.dataset import Dataset
from fcn_jax.data.files import Pair
from fcn_jax.data.findings import Finding
from fcn_jax.data.fingerprints import find_closest
from fcn_jax.data.formats import Format
from fcn_jax.data.labels import LabelReader
from fcn_jax.data.readings import as_told

Splits = Mapping[str, Sequence[Pair]]
_COMPARED = (("train", "val"), ("train", "test"), ("val", "test"))


@dataclasses.dataclass(frozen=True)
class Inspection:
  """What was found in a data set.

  Attributes:
    splits: number of images by split.
    class_names: the name of label i at place i.
    findings: errors and warnings.
  """

  splits: Mapping[str, int]
  class_names: tuple[str, ...]
  findings: Sequence[Finding]

  @property
  def errors(self) -> int:
    """How many findings would stop the preparation."""
    return sum(not finding.warning for finding in self.findings)

  def write(self, path: str | os.PathLike) -> None:
    """Writes all of it as JSON, complete or not at all."""
    figures = {
      "splits": dict(self.splits),
      "class_names": self.class_names,
      "errors": self.errors,
      "warnings": len(self.findings) - self.errors,
      "findings": [dataclasses.asdict(finding) for finding in self.findings],
    }
    files.write_json(claim(path), figures)


def claim(path: str | os.PathLike) -> pathlib.Path:
  """The path of a JSON file of findings to come, see `files.claim_json`."""
  return files.claim_json(path, {"findings", "warnings"}, "file of findings")


def inspect_files(
  source: Format, say: Callable[[str], None] = print
) -> Inspection:
  """Looks at a user's files, as `inspect` does.

  Args:
    source: where the files are.
    say: takes the line that tells what is looked at.

  Raises:
    DataError: flags that do not fit together, or nothing to be found.
  """
  if source.busy:
    say(source.busy)
  found = as_told(source, source.find())
  say(found.summary())
  _, findings = inspect(
    found.splits, found.reader, found.class_names, found.decided
  )
  sizes = {split: len(pairs) for split, pairs in found.splits.items()}
  return Inspection(sizes, found.class_names, [*found.findings, *findings])


def inspect_dataset(
  dataset: Dataset, say: Callable[[str], None] = print
) -> Inspection:
  """Looks at all splits of a prepared data set, as `inspect_prepared` does."""
  sizes = ", ".join(f"{s} {n}" for s, n in dataset.splits.items())
  say(f"checking {dataset.name}, splits: {sizes}")
  _, _, findings = inspect_prepared(dataset, tuple(dataset.splits))
  return Inspection(dataset.splits, dataset.class_names, findings)


def inspect(
  splits: Splits,
  reader: LabelReader,
  class_names: Sequence[str],
  decided: Collection[str] = (),
) -> tuple[dict[Pair, Facts], list[Finding]]:
  """What prepare_dataset checks, and three things that may be intended.

  Those three give warnings: classes that occur in no split or in one alone,
  palettes that differ, and images that look alike in two splits.

  Returns:
    Facts of the sound pairs, and all findings.
  """
  facts, findings = check_splits(splits, reader, class_names, decided)
  findings += check_classes(splits, facts, class_names)
  findings += check_palettes(facts)
  findings += check_likeness(splits, facts)
  return facts, findings


def inspect_prepared(
  dataset: Dataset, splits: Sequence[str]
) -> tuple[dict[str, list[Pair]], dict[Pair, Facts], list[Finding]]:
  """The same of a prepared data set, whose colours are looked at as well.

  Returns:
    The records of each split as pairs, facts of the sound ones, findings.

  Raises:
    DataError: no such split.
  """
  pairs = {split: dataset_lib.pairs(dataset, split) for split in splits}
  facts, findings = inspect(
    pairs, LabelReader(), dataset.class_names, dataset.decided
  )
  findings += check_colors(dataset.palette, facts, dataset.class_names)
  for split, group in pairs.items():
    findings += check_sizes(group, facts, dataset.sizes(split))
  return pairs, facts, findings


def check_sizes(
  pairs: Sequence[Pair],
  facts: Mapping[Pair, Facts],
  stated: Int32[np.ndarray, "n 2"],
) -> list[Finding]:
  """Records of another size than the data set states, in the same order."""
  return [
    Finding(
      "size that is not the one stated",
      pair.image.name,
      f"{'x'.join(map(str, facts[pair].size))}, not {'x'.join(map(str, size))}",
      "the files do not belong together: fetch them again, or prepare the data "
      "set anew",
    )
    for pair, size in zip(pairs, stated.tolist(), strict=True)
    if pair in facts and facts[pair].size != tuple(size)
  ]


def check_classes(
  splits: Splits, facts: Mapping[Pair, Facts], class_names: Sequence[str]
) -> list[Finding]:
  """Classes without a pixel anywhere, or in only one of train and val, test.

  Lists such as trainval, which hold images of others, are not looked at where
  there is a train. Nothing is found as long as facts of a pair are missing.
  """
  if any(pair not in facts for pairs in splits.values() for pair in pairs):
    return []
  counts = {
    split: sum(
      (facts[pair].counts for pair in pairs),
      np.zeros(256, np.int64),
    )
    for split, pairs in splits.items()
    if split in ("train", "val", "test") or "train" not in splits
  }
  train = counts.pop("train", None)
  findings = []
  for label, name in enumerate(class_names):
    what = f"label {label}, {name!r}"
    here = train is not None and train[label] > 0
    there = {split: int(table[label]) for split, table in counts.items()}
    if not here and not any(there.values()):
      findings.append(
        Finding(
          "class without a pixel",
          what,
          "no label has it",
          "look whether the class names are in the labels' order; without "
          "pixels it is never learnt, and left out of mean IoU",
          warning=True,
        )
      )
      continue
    if train is None:
      continue
    for split, pixels in there.items():
      if not here and pixels:
        findings.append(
          Finding(
            f"class in {split} that train lacks",
            what,
            f"{pixels} pixels in {split}, none in train",
            "it cannot be learnt and lowers the scores: move an image of it "
            "to train",
            warning=True,
          )
        )
      if here and not pixels:
        findings.append(
          Finding(
            f"class in train that {split} lacks",
            what,
            f"{train[label]} pixels in train, none in {split}",
            f"{split} cannot tell how well it is learnt: move an image of it "
            f"to {split}",
            warning=True,
          )
        )
  return findings


def check_palettes(facts: Mapping[Pair, Facts]) -> list[Finding]:
  """Paletted labels that give a label they use another colour than most do.

  Colours of labels that a file does not use say nothing. Nor do palettes count
  for training: only how results are shown depends on them.
  """
  colors = {
    pair: _colors_in_use(fact)
    for pair, fact in facts.items()
    if fact.palette is not None
  }
  votes = collections.defaultdict(collections.Counter)
  for used in colors.values():
    for label, color in used.items():
      votes[label][color] += 1
  usual = {label: votes[label].most_common(1)[0] for label in votes}
  findings = []
  for pair, used in colors.items():
    odd = [label for label in used if used[label] != usual[label][0]]
    if odd:
      color, files = usual[odd[0]]
      more = f", and {len(odd) - 1} more labels" if len(odd) > 1 else ""
      findings.append(
        Finding(
          "palette that differs from that of other labels",
          pair.label.name,
          f"label {odd[0]} has the colour {used[odd[0]]}, in {files} files "
          f"{color}{more}",
          "indices count, colours do not: look whether they mean the same; "
          "results will be shown in VOC's colours unless palettes agree",
          warning=True,
        )
      )
  return findings


def _colors_in_use(fact: Facts) -> dict[int, tuple[int, int, int]]:
  return {
    int(label): tuple(fact.palette[label].tolist())
    for label in np.flatnonzero(fact.counts[: len(fact.palette)])
  }


def check_colors(
  palette: UInt8[np.ndarray, "256 3"],
  facts: Mapping[Pair, Facts],
  class_names: Sequence[str],
) -> list[Finding]:
  """Classes that occur and have the colour of another one, or void's."""
  total = sum((f.counts for f in facts.values()), np.zeros(256, np.int64))
  names = {**dict(enumerate(class_names)), VOID: "(void)"}
  first, findings = {}, []
  for label in np.flatnonzero(total).tolist():
    color = tuple(palette[label].tolist())
    if color in first:
      findings.append(
        Finding(
          "colour of two classes",
          f"label {label}, {names[label]!r}",
          f"{color}, as {names[first[color]]!r}",
          "pictures will not tell them apart: prepare the data again with "
          "labels or a colour map that give each class a colour",
          warning=True,
        )
      )
    first.setdefault(color, label)
  return findings


def check_likeness(
  splits: Splits, facts: Mapping[Pair, Facts]
) -> list[Finding]:
  """Images of val or test that look like one of train, or test like val.

  Each is named once, with the one most like it; one that is like no other may
  be like its mirror image. Those of the same bytes are left to
  checks.check_overlap.
  """
  findings = []
  for first, second in _COMPARED:
    known = [pair for pair in splits.get(first, ()) if pair in facts]
    digests = {facts[pair].digest for pair in known}
    new = [
      pair
      for pair in splits.get(second, ())
      if pair in facts and facts[pair].digest not in digests
    ]
    cells, known_cells = _cells(new, facts), _cells(known, facts)
    closest = find_closest(cells, known_cells)
    mirrored = find_closest(cells[:, :, ::-1], known_cells)
    for i, pair in enumerate(new):
      found = closest if closest.index[i] >= 0 else mirrored
      if found.index[i] >= 0:
        what = "" if found is closest else "mirrored, "
        findings.append(
          Finding(
            f"images that look alike in {first} and {second}",
            pair.image.name,
            f"{what}{found.bits[i]} of 64 bits of its difference hash differ "
            f"from those of {known[found.index[i]].image.name}",
            "look at both: if they show the same scores would flatter, so "
            "take it out of one split",
            warning=True,
          )
        )
  return findings


def _cells(pairs: Sequence[Pair], facts: Mapping[Pair, Facts]) -> np.ndarray:
  empty = np.zeros((0, 8, 9), np.float32)
  return np.stack([facts[pair].cells for pair in pairs]) if pairs else empty
