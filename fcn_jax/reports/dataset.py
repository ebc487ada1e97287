"""The page of a data set: its findings, classes, sizes and images."""

import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fcn_jax import text as text_lib
from fcn_jax.data.classes import VOID, background_classes
from fcn_jax.data.dataset import Dataset
from fcn_jax.data.files import Pair
from fcn_jax.data.findings import Finding, verdict
from fcn_jax.data.pictures import Entry
from fcn_jax.data.statistics import Padding, SplitStatistics, size_range
from fcn_jax.reports import charts, page, viewer
from fcn_jax.reports.thumbnails import Thumbnails
from fcn_jax.text import percent

_CANVASES = 3  # data.max_canvases of most recipes: what the chart shows
_SHOWN = 50  # findings of a kind


def write_dataset(
  path: str | os.PathLike,
  dataset: Dataset,
  pairs: Mapping[str, Sequence[Pair]],
  statistics: Mapping[str, SplitStatistics],
  findings: Sequence[Finding],
  thumbnails: Thumbnails,
  left_out: int = 0,
) -> pathlib.Path:
  """Writes the page.

  Args:
    path: of the HTML file.
    dataset: names and colours of the classes.
    pairs: of each split those that were counted, in that order.
    statistics: of these splits.
    findings: of inspection.inspect_prepared.
    thumbnails: of the pairs of all splits, one split after the other.
    left_out: images that were not counted, for the errors in them.

  Returns:
    The path, absolute.

  Raises:
    DataError, OSError: see page.write.
  """
  entries = _entries(dataset)
  gallery = _gallery(dataset, entries, pairs, statistics, findings, thumbnails)
  places = {
    name: number
    for number, image in enumerate(gallery["images"])
    for name in image.pop("files")
  }
  return page.write(
    path,
    "dataset.html.j2",
    name=dataset.name,
    key=_key_figures(statistics, len(dataset.class_names)),
    splits=list(statistics),
    verdict=verdict(findings),
    left_out=left_out,
    findings=_groups(findings, places),
    any_found=any(image["findings"] for image in gallery["images"]),
    classes=[
      (entry, [_cell(one, entry.label) for one in statistics.values()])
      for entry in entries
    ],
    options=[
      {
        "label": entry.label,
        "name": entry.name,
        "images": sum(int(s.images[entry.label]) for s in statistics.values()),
      }
      for entry in entries
    ],
    canvases=_CANVASES,
    sizes=[
      _sizes(split, one) for split, one in statistics.items() if one.paddings
    ],
    gallery=gallery,
    total=thumbnails.images,
    blank=_blank_view(dataset, entries),
  )


def _entries(dataset: Dataset) -> list[Entry]:
  """All classes in their colours, and void."""
  names = {**dict(enumerate(dataset.class_names)), VOID: "void"}
  return [
    Entry(label, name, tuple(dataset.palette[label].tolist()), 0.0)
    for label, name in names.items()
  ]


def _key_figures(statistics: Mapping[str, SplitStatistics], classes: int):
  figures = [
    (
      f"Images in {split}",
      text_lib.count(len(one.image_ids)),
      f"{percent(float(one.share_of_pixels[VOID]))} void",
    )
    for split, one in statistics.items()
  ]
  sizes = {size for one in statistics.values() for size, _ in one.often}
  return [
    *figures,
    ("Classes", text_lib.count(classes), ""),
    ("Different sizes", text_lib.count(len(sizes)), ""),
  ]


def _cell(statistics: SplitStatistics, label: int) -> dict[str, str]:
  weight = np.nan if label == VOID else statistics.weights[label]
  return {
    "pixels": text_lib.count(int(statistics.pixels[label])),
    "share": _percent(statistics.share_of_pixels[label]),
    "images": text_lib.count(int(statistics.images[label])),
    "of_images": _percent(statistics.share_of_images[label], 1),
    "weight": "–" if np.isnan(weight) else f"{weight:.3f}",
  }


def _percent(share: float, digits: int = 2) -> str:
  return f"{100 * share:.{digits}f} %"


def _sizes(split: str, statistics: SplitStatistics) -> dict[str, Any]:
  number = min(_CANVASES, len(statistics.paddings))
  chosen = statistics.paddings[number - 1]
  frames = list(zip(_names(chosen), chosen.canvases, strict=True))
  listed = ", ".join(_names(chosen))
  summary = re.sub(r"(?<=\d)x(?=\d)", " × ", size_range(statistics))
  return {
    "split": split,
    "summary": summary[0].upper() + summary[1:],
    "chart": len(statistics.often) > 1
    and charts.sizes(
      np.array([size for size, _ in statistics.often]),
      np.array([count for _, count in statistics.often]),
      frames,
    ),
    "description": (
      f"Sizes of the images of {split}, {summary}; the canvases of width × "
      f"height (images) {listed} are {_percent(chosen.share)} padding"
    ),
    "caption": (
      f"Each disc is a size, its area how often it occurs; lines are the "
      f"canvases, with their images, where there are {number}."
    ),
    "rows": [
      (len(one.canvases), _percent(one.share), _names(one))
      for one in statistics.paddings
    ],
  }


def _names(padding: Padding) -> list[str]:
  """Width and height of each canvas, and its images in brackets."""
  return [
    f"{width} × {height} ({text_lib.count(images)})"
    for (height, width), images in zip(
      padding.canvases, padding.images, strict=True
    )
  ]


def _groups(
  findings: Sequence[Finding], places: Mapping[str, int]
) -> list[dict[str, Any]]:
  """Findings by kind, errors first, with the image that one is about."""
  kinds: dict[tuple[bool, str, str], list[Finding]] = {}
  for finding in sorted(findings, key=lambda f: f.warning):
    key = (finding.warning, finding.kind, finding.remedy)
    kinds.setdefault(key, []).append(finding)
  return [
    {
      "warning": warning,
      "kind": kind,
      "remedy": remedy[0].upper() + remedy[1:],
      "count": len(group),
      "rows": [(f.file, f.value, _shown_by(f, places)) for f in group[:_SHOWN]],
    }
    for (warning, kind, remedy), group in kinds.items()
  ]


def _shown_by(
  finding: Finding, places: Mapping[str, int]
) -> list[tuple[str, int]]:
  """The images that a finding names, each with its place in the gallery."""
  value = finding.value.rstrip(")")
  names = [
    finding.file,
    max(filter(value.endswith, places), key=len, default=""),
  ]
  return [(name, places[name]) for name in names if name in places]


def _gallery(
  dataset: Dataset,
  entries: Sequence[Entry],
  pairs: Mapping[str, Sequence[Pair]],
  statistics: Mapping[str, SplitStatistics],
  findings: Sequence[Finding],
  thumbnails: Thumbnails,
) -> dict[str, Any]:
  """What the script of the page needs."""
  told: dict[str, list[str]] = {}
  for finding in findings:
    told.setdefault(finding.file, []).append(f"{finding.kind}: {finding.value}")
  rows = [
    (split, pair, i)
    for split, group in pairs.items()
    for i, pair in enumerate(group)
  ]
  images = []
  for thumbnail in thumbnails.shown:
    split, pair, place = rows[thumbnail.number]
    counted = statistics[split]
    shares = counted.shares_of(place)
    files = [pair.image.name, pair.label.name]
    images.append(
      {
        "name": pair.image_id,
        "split": split,
        "size": counted.sizes[place].tolist(),
        "shown": list(thumbnail.shown),
        "photo": thumbnail.photo,
        "ids": thumbnail.ids,
        "shares": [
          [label, float(f"{shares[label]:.6g}")]
          for label in np.flatnonzero(shares).tolist()
        ],
        "findings": [text for file in files for text in told.get(file, ())],
        "files": files,
      }
    )
  plain = background_classes(dataset.class_names)
  return {
    "images": images,
    "classes": [
      {
        "label": entry.label,
        "name": entry.name,
        "color": list(entry.color),
        "plain": entry.label in plain,
      }
      for entry in entries
    ],
  }


def _blank_view(dataset: Dataset, entries: Sequence[Entry]) -> viewer.View:
  """A viewer of one pixel and all classes, which the script fills."""
  plain = (*background_classes(dataset.class_names), VOID)
  legend = [
    Entry(e.label, e.name, None if e.label in plain else e.color, 0.0)
    for e in entries
  ]
  ids = np.zeros((2, 2), np.uint8)
  layer = viewer.Layer("Label", ids, legend)
  return viewer.view("", np.zeros((2, 2, 3), np.uint8), [layer], longest=1)
