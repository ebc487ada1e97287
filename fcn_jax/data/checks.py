"""Looking at every image and label once, before anything is written."""

import collections
import concurrent.futures
import dataclasses
import hashlib
import itertools
import os
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from operator import not_
from typing import TYPE_CHECKING

import numpy as np
import tqdm
from jaxtyping import Float32, Int32, Int64, UInt8
from PIL import Image

from fcn_jax.data.classes import VOID
from fcn_jax.data.drawn import Drawn
from fcn_jax.data.files import File, Pair
from fcn_jax.data.findings import Finding
from fcn_jax.data.fingerprints import grey_cells
from fcn_jax.data.images import (
  SIXTEEN_BIT,
  Header,
  open_image,
  read_header,
  to_rgb,
)
from fcn_jax.data.labels import LabelError, LabelReader
from fcn_jax.files import DataError

if TYPE_CHECKING:
  from fcn_jax.data.looks import Looks

_NO_IMAGE = "fetch or save the file again, or leave the pair out"
_PIXELS_AT_ONCE = 1 << 22
_USED = 16384  # a quarter of 16 bits


@dataclasses.dataclass(frozen=True, eq=False)
class Facts:
  """What one look at a sound pair tells.

  Attributes:
    size: height and width.
    counts: pixels per label, void at 255.
    palette: colours of a paletted label file, else None.
    digest: of the image file's bytes.
    label_digest: of the class index of each pixel, and the label's size.
    highest: value of a 16-bit grey image, else None.
    highest_color: value of a 16-bit colour image, of 65535 in steps of 256.
    cells: what the image shows, roughly (fingerprints.grey_cells).
  """

  size: tuple[int, int]
  counts: Int64[np.ndarray, "256"]
  palette: UInt8[np.ndarray, "n 3"] | None
  digest: bytes
  cells: Float32[np.ndarray, "8 9"]
  label_digest: bytes = b""
  highest: int | None = None
  highest_color: int | None = None


def check_splits(
  splits: Mapping[str, Sequence[Pair]],
  reader: LabelReader,
  class_names: Sequence[str],
  decided: Collection[str] = (),
  looks: "Looks | None" = None,
) -> tuple[dict[Pair, Facts], list[Finding]]:
  """Decodes every pair once and holds it against the classes.

  Args:
    splits: the pairs.
    reader: of the labels.
    class_names: of the class ids.
    decided: what the user has settled of the images, see `formats.Found`.
    looks: what earlier looks told; pairs that it knows are not decoded.

  Returns:
    Facts of the sound pairs, and all findings, in the order of the splits.
  """
  pairs = list(dict.fromkeys(p for group in splits.values() for p in group))
  facts, findings = {}, []
  # In one piece: between the decoded images of several threads, arrays that
  # stay would keep the memory around them.
  counts = np.zeros((len(pairs), 256), np.int64)

  def look(pair):
    return check_pair(pair, reader, len(class_names), "exif" in decided)

  bar = tqdm.tqdm(
    _looked_at(pairs, look, looks), "checking", len(pairs), unit=" images"
  )
  for pair, (found, problems) in zip(pairs, bar, strict=True):
    findings += problems
    if found is not None:
      row = counts[len(facts)]
      row[:] = found.counts
      facts[pair] = dataclasses.replace(found, counts=row)
  findings += check_masks(splits, facts, class_names)
  findings += check_overlap(splits, facts)
  findings += check_ranges(facts, decided)
  return facts, findings


def _looked_at(
  pairs: Sequence[Pair],
  look: Callable[[Pair], tuple[Facts | None, list[Finding]]],
  looks: "Looks | None",
) -> Iterator[tuple[Facts | None, list[Finding]]]:
  """What each pair tells, in their order, by all cores."""
  keys = [looks.key(pair) if looks else None for pair in pairs]
  known = [key is not None and key in looks for key in keys]
  pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
  with warnings.catch_warnings():
    # open_image refuses such images itself, with a remedy.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    try:
      new = pool.map(look, itertools.compress(pairs, map(not_, known)))
      for key, old in zip(keys, known, strict=True):
        if old:
          yield looks[key], []
          continue
        facts, findings = next(new)
        if key is not None and facts is not None and not findings:
          looks[key] = facts
        yield facts, findings
    finally:
      pool.shutdown(cancel_futures=True)


def check_pair(
  pair: Pair, reader: LabelReader, classes: int, exif_decided: bool = False
) -> tuple[Facts | None, list[Finding]]:
  """Decodes one pair; without facts if anything stands against it.

  Warnings alone, of labels that were drawn, do not stand against it.
  """
  findings, warned = [], []
  rgb = raw = None
  digest = b""
  heads = [Header(), Header()]
  try:
    data = pair.image.read()
    digest = hashlib.sha256(data).digest()
    heads[0] = read_header(data)
    image = open_image(data, pair.image.name)
    rgb = to_rgb(image, pair.image.name)
    if image.mode in SIXTEEN_BIT:
      highest = int(np.asarray(image).max())
  except DataError as error:
    findings.append(_unreadable("image", pair.image.name, error))
  try:
    data, warned = _label_data(pair.label)
    heads[1] = read_header(data)
    raw = reader.read(data, pair.label.name)
  except LabelError as error:
    findings.append(
      Finding(error.kind, pair.label.name, error.value, error.remedy)
    )
  except DataError as error:
    findings.append(_unreadable("label", pair.label.name, error))
  findings += _page_findings(pair, *heads)
  if rgb is not None and raw:
    size, label = rgb.shape[:2], raw.index.shape
    how = heads[0].orientation
    turned = how != 1 and heads[1].orientation == 1
    if turned and not exif_decided:
      findings.append(_exif_finding(pair, how, size, label))
    elif label != size:
      findings.append(_size_finding(pair, size, label))
  values = counts = None
  if raw:
    values, counts = _value_counts(raw.index)
    findings += _label_findings(pair.label.name, values, counts, classes)
  if findings:
    return None, findings + warned
  table = np.zeros(256, np.int64)
  table[values] = counts
  label_digest = hashlib.sha256(str(raw.index.shape).encode())
  label_digest.update(raw.index.astype(np.uint8))
  return Facts(
    rgb.shape[:2],
    table,
    raw.palette,
    digest,
    grey_cells(rgb),
    label_digest.digest(),
    highest if image.mode in SIXTEEN_BIT else None,
    256 * int(rgb.max()) if heads[0].deep_color else None,
  ), warned


def _label_data(label: File) -> tuple[bytes, list[Finding]]:
  """The bytes of a label, and warnings of one that was drawn."""
  return label.drawn() if isinstance(label, Drawn) else (label.read(), [])


def _value_counts(
  index: Int32[np.ndarray, "h w"],
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
  """The values that occur, rising, and how often."""
  if index.min() < 0 or index.max() > 65535:
    values, counts = np.unique(index, return_counts=True)
    return values.astype(np.int64), counts
  rows = max(1, _PIXELS_AT_ONCE // index.shape[1])
  size = int(index.max()) + 1
  counts = np.zeros(size, np.int64)
  for top in range(0, len(index), rows):
    counts += np.bincount(index[top : top + rows].ravel(), minlength=size)
  values = np.flatnonzero(counts)
  return values, counts[values]


def _page_findings(pair: Pair, image: Header, label: Header) -> list[Finding]:
  if len(image.pages) == len(label.pages) == 1:
    return []
  return [
    Finding(
      "file of several pages",
      pair.image.name,
      f"{len(image.pages)} pages or frames, its label {len(label.pages)}",
      "only where image and label have as many can they be taken page by page: "
      "save each page as a file of its own",
    )
  ]


def _exif_finding(
  pair: Pair, how: int, size: tuple[int, int], label: tuple[int, int]
) -> Finding:
  stored = size[::-1] if how >= 5 else size
  said = "--exif=apply if the label was drawn on the turned image, ignore or "
  said += "both if on the image as it is stored (both turns the label likewise)"
  if label == size != stored:
    said = "its size is that of the turned image: give --exif=apply"
  elif label == stored != size:
    said = "its size is that of the image as it is stored: give --exif=ignore, "
    said += "or --exif=both to turn both"
  return Finding(
    "EXIF orientation turns the image, not its label",
    pair.image.name,
    f"orientation {how}: {size[1]}x{size[0]} when turned; label "
    f"{pair.label.name} {label[1]}x{label[0]} (width x height)",
    f"{said}; look at some first",
  )


def _unreadable(what: str, name: str, error: DataError) -> Finding:
  text = str(error).removeprefix(f"{name}: ")
  value, _, remedy = text.partition("; ")
  return Finding(f"unreadable {what}", name, value, remedy or _NO_IMAGE)


def _size_finding(
  pair: Pair, size: tuple[int, int], label: tuple[int, int]
) -> Finding:
  return Finding(
    "image and label differ in size",
    pair.label.name,
    f"label {label[1]}x{label[0]}, image {pair.image.name} "
    f"{size[1]}x{size[0]} (width x height)",
    "give the label the size of its image, without interpolating",
  )


def _label_findings(
  name: str, values: np.ndarray, counts: np.ndarray, classes: int
) -> list[Finding]:
  wrong = (values < 0) | ((values >= classes) & (values != VOID))
  if wrong.any():
    shown = ", ".join(
      f"{value} in {count} pixels"
      for value, count in list(zip(values[wrong], counts[wrong], strict=True))[
        :5
      ]
    )
    more = f" and {wrong.sum() - 5} more" if wrong.sum() > 5 else ""
    return [
      Finding(
        "label id outside the classes",
        name,
        shown + more,
        _id_remedy(values, classes),
      )
    ]
  if (values == VOID).all():
    return [
      Finding(
        "label that is all void",
        name,
        f"all {counts.sum()} pixels are {VOID}",
        "nothing can be learnt or scored on it: leave the pair out (if 255 "
        "marks an object, give --binary_masks)",
      )
    ]
  return []


def _id_remedy(values: np.ndarray, classes: int) -> str:
  classes_are = f"classes are 0..{classes - 1} and {VOID} is void"
  if values.max() == classes and values.min() >= 1:
    return (
      f"{classes_are}: ids seem to begin at 1, so give --label_map with lines "
      "'1 -> CLASS', or subtract 1 from them"
    )
  if values.max() == VOID and len(values) > 32:
    return (
      f"{classes_are}: this looks like a picture or a smoothed mask; "
      "threshold masks, and save class indices"
    )
  return f"{classes_are}: correct the label, or name more classes"


def check_masks(
  splits: Mapping[str, Sequence[Pair]],
  facts: Mapping[Pair, Facts],
  class_names: Sequence[str],
) -> list[Finding]:
  """Labels of 0 and 255 only, where 255 seems to mean an object, not void.

  A split in which no label but 0 and 255 occurs cannot be meant so: an error.
  With two classes, single labels of that kind among others are a warning.
  """
  if len(class_names) < 2:
    return []
  findings = {}
  for pairs in splits.values():
    known = [pair for pair in pairs if pair in facts]
    masks = [
      pair
      for pair in known
      if facts[pair].counts[0]
      and facts[pair].counts[VOID]
      and not facts[pair].counts[1:VOID].any()
    ]
    whole = not any(facts[pair].counts[1:VOID].any() for pair in known)
    if not whole and len(class_names) > 2:
      continue
    for pair in masks:
      void = facts[pair].counts[VOID] / facts[pair].counts.sum()
      if pair not in findings or whole:
        findings[pair] = Finding(
          "label that looks like a binary mask",
          pair.label.name,
          f"0 in {1 - void:.1%}, 255 in {void:.1%} of its pixels",
          f"255 means void here: if it marks {class_names[1]!r}, give "
          "--binary_masks (which takes 0 and 1 as they are)",
          warning=not whole,
        )
  return list(findings.values())


def check_overlap(
  splits: Mapping[str, Sequence[Pair]], facts: Mapping[Pair, Facts]
) -> list[Finding]:
  """Images in train and val (an error), or shared with test (a warning).

  The bytes of image files are compared; those of one id that differ are two
  images. Lists such as trainval, which hold others on purpose, are not looked
  at.
  """
  findings = []
  for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
    if first not in splits or second not in splits:
      continue
    warning = second == "test"
    digests = collections.defaultdict(list)
    for pair in splits[first]:
      if pair in facts:
        digests[facts[pair].digest].append(pair)
    for pair in splits[second]:
      others = digests.get(facts[pair].digest) if pair in facts else None
      if not others:
        continue
      ids = {other.image_id: other for other in others}
      if pair.image_id in ids:
        findings.append(
          Finding(
            f"image in both {first} and {second}",
            pair.image.name,
            f"id {pair.image_id!r} of {first} (there: "
            f"{ids[pair.image_id].image.name})",
            "scores would flatter: take it out of one of them",
            warning,
          )
        )
      else:
        findings.append(
          Finding(
            f"same image under two names in {first} and {second}",
            pair.image.name,
            f"byte for byte {others[0].image.name}",
            "scores would flatter: take it out of one of them",
            warning=True,
          )
        )
  return findings


def check_ranges(
  facts: Mapping[Pair, Facts], decided: Collection[str] = ()
) -> list[Finding]:
  """16-bit images that all use less than a quarter of their range.

  Scaled from the full range, those of a camera of 10 to 12 bits are nearly
  black.

  Args:
    facts: of all images.
    decided: 'grey_range' and 'color_range' where the user has settled it.
  """
  findings = []
  for kind, remedy in (
    (
      "grey",
      "give the camera's range, as --value_range=0,4095, or auto for the "
      "lowest and highest value of the training images; 0,65535 if they are "
      "so dark",
    ),
    (
      "color",
      "save them with 8 bits a channel, scaled from the camera's range; give "
      "--value_range=0,65535 if they are so dark",
    ),
  ):
    if f"{kind}_range" in decided:
      continue
    values = {
      pair: fact.highest if kind == "grey" else fact.highest_color
      for pair, fact in facts.items()
    }
    values = {pair: v for pair, v in values.items() if v is not None}
    if not values or max(values.values()) >= _USED:
      continue
    brightest = max(values, key=values.get)
    findings.append(
      Finding(
        "16-bit images of a small range",
        brightest.image.name,
        f"the brightest of {len(values)}: {values[brightest]} of 65535",
        f"they would be nearly black: {remedy}",
      )
    )
  return findings
