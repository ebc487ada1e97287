"""Looking at every image and label once, before anything is written."""

import collections
import concurrent.futures
import dataclasses
import hashlib
import os
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import tqdm
from jaxtyping import Float32, Int64, UInt8
from PIL import Image

from fcn_jax.data.classes import VOID
from fcn_jax.data.files import Pair
from fcn_jax.data.findings import Finding
from fcn_jax.data.fingerprints import grey_cells
from fcn_jax.data.images import open_image, to_rgb
from fcn_jax.data.labels import LabelError, LabelReader, RawLabel
from fcn_jax.files import DataError

_NO_IMAGE = "fetch or save the file again, or leave the pair out"


@dataclasses.dataclass(frozen=True, eq=False)
class Facts:
  """What one look at a sound pair tells.

  Attributes:
    size: height and width.
    counts: pixels per label, void at 255.
    palette: colours of a paletted label file, else None.
    digest: of the image file's bytes.
    cells: what the image shows, roughly (fingerprints.grey_cells).
  """

  size: tuple[int, int]
  counts: Int64[np.ndarray, "256"]
  palette: UInt8[np.ndarray, "n 3"] | None
  digest: bytes
  cells: Float32[np.ndarray, "8 9"]


def check_splits(
  splits: Mapping[str, Sequence[Pair]],
  reader: LabelReader,
  class_names: Sequence[str],
) -> tuple[dict[Pair, Facts], list[Finding]]:
  """Decodes every pair once and holds it against the classes.

  Returns:
    Facts of the sound pairs, and all findings, in the order of the splits.
  """
  pairs = list(dict.fromkeys(p for group in splits.values() for p in group))
  facts, findings = {}, []

  def look(pair):
    return check_pair(pair, reader, len(class_names))

  with warnings.catch_warnings():
    # open_image refuses such images itself, with a remedy.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    try:
      looks = tqdm.tqdm(
        pool.map(look, pairs), "checking", len(pairs), unit=" images"
      )
      for pair, (found, problems) in zip(pairs, looks, strict=True):
        findings += problems
        if found is not None:
          facts[pair] = found
    finally:
      pool.shutdown(cancel_futures=True)
  findings += check_masks(splits, facts, class_names)
  findings += check_overlap(splits, facts)
  return facts, findings


def check_pair(
  pair: Pair, reader: LabelReader, classes: int
) -> tuple[Facts | None, list[Finding]]:
  """Decodes one pair; without facts if anything stands against it."""
  findings = []
  rgb = raw = None
  digest = b""
  try:
    data = pair.image.read()
    digest = hashlib.sha256(data).digest()
    image = open_image(data, pair.image.name)
    stored = image.height, image.width
    rgb = to_rgb(image, pair.image.name)
  except DataError as error:
    findings.append(_unreadable("image", pair.image.name, error))
  try:
    raw = reader.read(pair.label.read(), pair.label.name)
  except LabelError as error:
    findings.append(
      Finding(error.kind, pair.label.name, error.value, error.remedy)
    )
  except DataError as error:
    findings.append(_unreadable("label", pair.label.name, error))
  if rgb is not None and raw and raw.index.shape != rgb.shape[:2]:
    findings.append(_size_finding(pair, rgb.shape[:2], stored, raw.index.shape))
  if raw:
    findings += _label_findings(pair.label.name, raw, classes)
  if findings:
    return None, findings
  counts = np.bincount(raw.index.ravel(), minlength=256)
  cells = grey_cells(rgb)
  return Facts(rgb.shape[:2], counts, raw.palette, digest, cells), []


def _unreadable(what: str, name: str, error: DataError) -> Finding:
  text = str(error).removeprefix(f"{name}: ")
  value, _, remedy = text.partition("; ")
  return Finding(f"unreadable {what}", name, value, remedy or _NO_IMAGE)


def _size_finding(
  pair: Pair,
  size: tuple[int, int],
  stored: tuple[int, int],
  label: tuple[int, int],
) -> Finding:
  remedy = "give the label the size of its image, without interpolating"
  if label == stored:
    remedy = (
      f"the image's EXIF orientation turns it from {stored[1]}x{stored[0]}: "
      "turn the label likewise, or save the image turned and without the tag"
    )
  return Finding(
    "image and label differ in size",
    pair.label.name,
    f"label {label[1]}x{label[0]}, image {pair.image.name} "
    f"{size[1]}x{size[0]} (width x height)",
    remedy,
  )


def _label_findings(name: str, raw: RawLabel, classes: int) -> list[Finding]:
  values, counts = np.unique(raw.index, return_counts=True)
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
        f"all {raw.index.size} pixels are {VOID}",
        "nothing can be learnt or scored on it: leave the pair out (if 255 "
        "marks an object, give --binary_masks)",
      )
    ]
  return []


def _id_remedy(values: np.ndarray, classes: int) -> str:
  classes_are = f"classes are 0..{classes - 1} and {VOID} is void"
  if values.max() == classes and values.min() >= 1:
    return f"{classes_are}: ids seem to begin at 1, subtract 1 from them"
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

  Ids are compared, and then the bytes of the image files under other ids.
  Lists such as trainval, which hold others on purpose, are not looked at.
  """
  findings = []
  for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
    if first not in splits or second not in splits:
      continue
    warning = second == "test"
    kind = f"image in both {first} and {second}"
    ids = {pair.image_id: pair for pair in splits[first]}
    digests = collections.defaultdict(list)
    for pair in splits[first]:
      if pair in facts:
        digests[facts[pair].digest].append(pair)
    for pair in splits[second]:
      if pair.image_id in ids:
        findings.append(
          Finding(
            kind,
            pair.image.name,
            f"id {pair.image_id!r} of {first} (there: "
            f"{ids[pair.image_id].image.name})",
            "scores would flatter: take it out of one of them; rename it if "
            "only the name is the same",
            warning,
          )
        )
      elif pair in facts and digests[facts[pair].digest]:
        other = digests[facts[pair].digest][0]
        findings.append(
          Finding(
            f"same image under two names in {first} and {second}",
            pair.image.name,
            f"byte for byte {other.image.name}",
            "scores would flatter: take it out of one of them",
            warning=True,
          )
        )
  return findings
