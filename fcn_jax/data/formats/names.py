"""Which image and which label belong together, by the ends of their names."""

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from PIL import Image

from fcn_jax.data.files import File, Pair
from fcn_jax.data.findings import Finding
from fcn_jax.data.formats.base import flag, label_map_flag
from fcn_jax.data.label_maps import read_label_map
from fcn_jax.data.labels import LabelReader

_MOST_SUFFIXES = 12  # of the images, and of the labels, that are tried
_SHOWN = 5
_SAYS_LABEL = re.compile(
  r"label(?!train)|mask|(?<![a-z])gt(?![a-z])|seg|annot", re.IGNORECASE
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Suffixes:
  """How the names of images and labels end, as flags of several scripts.

  What comes before, with the path below the folder, is the key of both.
  """

  image_suffix: str | None = flag(
    None,
    "what images' names end in beyond what image and label share, as "
    "_leftImg8bit.png or .jpg; other files do not count",
  )
  label_suffix: str | None = flag(
    None,
    "the same of labels, as _gtFine_labelIds.png; both may lie in one folder",
  )

  def by_key(
    self,
    images: Mapping[str, File],
    labels: Mapping[str, File],
    findings: list[Finding],
    extensions: Collection[str] | None = None,
  ) -> tuple[dict[str, list[File]], dict[str, list[File]]]:
    """Images and labels by what their names share.

    Args:
      images, labels: by their path; the same where they lie in one folder.
      findings: is told which files are no images, where no suffix chooses.
      extensions: of labels; None: those of images.
    """
    known = Image.registered_extensions()
    both = images is labels
    return (
      _by_key(
        {k: f for k, f in images.items() if not both or self.is_image(k)},
        self.image_suffix,
        known,
        findings,
      ),
      _by_key(labels, self.label_suffix, extensions or known, findings),
    )

  def is_image(self, name: str) -> bool:
    """Whether a file of a folder that holds labels too is an image."""
    suffix = self.label_suffix
    is_label = bool(suffix) and key_of(name, suffix) is not None
    return not is_label and key_of(name, self.image_suffix) is not None


@dataclasses.dataclass(frozen=True, kw_only=True)
class GivenLabels(Suffixes):
  """How label images beside a user's images are found and read."""

  label_map: str | None = label_map_flag()

  def __bool__(self) -> bool:
    return bool(self.image_suffix or self.label_suffix or self.label_map)

  def reader(self, class_names: tuple[str, ...]) -> LabelReader:
    """How they are read."""
    if not self.label_map:
      return LabelReader()
    return read_label_map(self.label_map).reader(class_names)


BY_STEM = Suffixes()  # names that differ in their extensions alone
PLAIN = GivenLabels()  # by stem, and values are labels


def key_of(name: str, suffix: str | None) -> str | None:
  """What comes before a suffix, with or without the extension; else None.

  >>> key_of("a/0001_mask.png", "_mask.png"), key_of("a/0001_L.png", "_L")
  ('a/0001', 'a/0001')
  >>> key_of("0001.png", "_mask.png"), key_of("0001.png", None)
  (None, '0001')
  """
  stem = os.path.splitext(name)[0]
  if not suffix:
    return stem
  for text in (name, stem):
    if text.lower().endswith(suffix.lower()):
      key = text[: -len(suffix)]
      return key if os.path.basename(key) else None
  return None


def _by_key(
  files: Mapping[str, File],
  suffix: str | None,
  extensions: Collection[str],
  findings: list[Finding],
) -> dict[str, list[File]]:
  found: dict[str, list[File]] = {}
  for name, file in files.items():
    key = key_of(name, suffix)
    if key is not None and file.extension in extensions:
      found.setdefault(key, []).append(file)
    elif not suffix:
      findings.append(
        Finding(
          "file that is no image",
          file.name,
          f"extension {file.extension!r}",
          "left out; rename it if it is an image",
          warning=True,
        )
      )
  return found


def proposal(images: Iterable[str], labels: Iterable[str]) -> str | None:
  """The flags by which most images would have a label; None: no flags would.

  Every end of a name that begins where a word does is tried, if many names
  have it, and that pair of ends is taken that makes the most pairs.

  Args:
    images, labels: names with extensions, by their path below their folder;
      the same ones if both lie in one folder.
  """
  known = Image.registered_extensions()
  images, labels = (
    [n for n in names if os.path.splitext(n)[1].lower() in known]
    for names in (images, labels)
  )
  of_images, of_labels = _suffixes(images), _suffixes(labels)
  pairs: dict[tuple[str, str], int] = {}
  for first, keys in of_images.items():
    for second, others in of_labels.items():
      if first != second:
        pairs[first, second] = len(keys & others)
  most = max(pairs.values(), default=0)
  if not most or most < min(len(images), len(labels)) / 4:
    return None
  best = [pair for pair, count in pairs.items() if count == most]
  # Of ends that do the same: labels are called so, and short ends suffice.
  image, _ = min(
    best,
    key=lambda pair: (
      _liking(pair[1])[0],
      -_liking(pair[0])[0],
      len(pair[0]),
      pair,
    ),
  )
  seen = sorted({label for i, label in best if i == image}, key=_liking)
  shortest = [
    text
    for text in seen
    if not any(text != other and text.endswith(other) for other in seen)
  ]
  more = f" (or {', '.join(shortest[1:_SHOWN])})" if shortest[1:] else ""
  return f"--image_suffix={image} --label_suffix={shortest[0]}{more}"


def _suffixes(names: Collection[str]) -> dict[str, set[str]]:
  """Ends that many names have, with what comes before them in each."""
  counts: Counter[str] = Counter()
  for name in names:
    counts.update(_ends(name))
  usual = [
    suffix
    for suffix, count in counts.most_common(4 * _MOST_SUFFIXES)
    if count * 8 >= len(names)
  ][:_MOST_SUFFIXES]
  found = {suffix: set() for suffix in usual}
  for name in names:
    for end in _ends(name):
      if end in found:
        found[end].add(name[: -len(end)])
  return found


def _ends(name: str) -> list[str]:
  """Ends of a name that begin where a word does: '.png', '_mask.png', ...

  >>> _ends("a/07_sat.jpg")
  ['/07_sat.jpg', '_sat.jpg', '.jpg']
  """
  starts = [
    m.start() for m in re.finditer(r"[/_. -]|(?<=\d)(?=[A-Za-z])", name)
  ]
  return [name[start:] for start in starts if start]


def _liking(suffix: str) -> tuple[int, int, str]:
  """Order of what labels might end in: what says so first."""
  says = _SAYS_LABEL.search(suffix)
  return int(not says), len(suffix), suffix


def paired(
  image_files: Mapping[str, list[File]],
  label_files: Mapping[str, list[File]],
  images: str,
  labels: str,
  hint: str | None = None,
) -> tuple[list[Pair], list[Finding]]:
  """Pairs an image with the label of the same key, in the keys' order.

  Args:
    image_files, label_files: by key.
    images, labels: their folders, for messages.
    hint: the remedy for those without a partner.

  Returns:
    The pairs, and findings: keys without a partner, several files of one key.
  """
  findings: list[Finding] = []
  for files in (image_files, label_files):
    findings += several(files, files)
  for what, other, found, partners, folder in (
    ("image", "label", image_files, label_files, labels),
    ("label", "image", label_files, image_files, images),
  ):
    for key in sorted(found.keys() - partners.keys()):
      findings.append(
        Finding(
          f"{what} without {other}",
          found[key][0].name,
          f"no {key}.* in {folder}",
          hint or f"add its {other}, or take the {what} out",
        )
      )
  return [
    Pair(key, image_files[key][0], label_files[key][0])
    for key in sorted(image_files.keys() & label_files.keys())
  ], findings


def several(
  files: Mapping[str, list[File]], keys: Iterable[str]
) -> list[Finding]:
  """A finding for each of these keys that several files have."""
  return [
    Finding(
      "several files of one stem",
      ", ".join(file.name for file in files[key]),
      f"{len(files[key])} files for {key}",
      "keep one of them",
    )
    for key in keys
    if len(files[key]) > 1
  ]
