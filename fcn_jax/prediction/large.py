"""Segments an image that is not held in memory: a TIFF, band by band.

A band is a row of tiles. It is written beside the mask to come once it is
done, so that a run which was stopped goes on with the band after it.
"""

import dataclasses
import json
import math
import os
import pathlib
import shutil
import zlib
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from fcn_jax import files
from fcn_jax.data.tiff import TiffImage, write_mask
from fcn_jax.evaluation import tiling
from fcn_jax.models import tiles
from fcn_jax.prediction.inputs import ImageFile
from fcn_jax.prediction.predictor import Predictor, most_likely
from fcn_jax.prediction.result import Result

OVERVIEW = 2000  # pixels on the longer side of the overlay, at most
_PLAN = "plan.json"


@dataclasses.dataclass(frozen=True, eq=False)
class Segmentation:
  """What was found in an image.

  Attributes:
    size: (height, width).
    shares: the share of the pixels that is of each class, by name.
    overview: every n-th pixel of the image and of its labels.
  """

  size: tuple[int, int]
  shares: dict[str, float]
  overview: Result


@dataclasses.dataclass(frozen=True, eq=False)
class _Band:
  """Rows of an image that are held; others are read again.

  Attributes:
    source: the image.
    first: of the rows.
    pixels: of the rows.
  """

  source: TiffImage
  first: int
  pixels: UInt8[np.ndarray, "h w 3"]

  @property
  def size(self) -> tuple[int, int]:
    return self.source.size

  def read(self, rows, columns):
    top, bottom = (row - self.first for row in rows)
    if top < 0 or bottom > len(self.pixels):
      return self.source.read(rows, columns)
    return self.pixels[top:bottom, slice(*columns)]


def segment(
  predictor: Predictor,
  file: ImageFile,
  mask: pathlib.Path,
  palette: UInt8[np.ndarray, "256 3"] | None,
  num_threads: int = 2,
) -> Segmentation:
  """Segments a TIFF of any size; its labels become a tiled TIFF.

  A bar on a terminal shows how far it is.

  Args:
    predictor: the network.
    file: see `data.tiff.is_large`.
    mask: where the labels go; the tags that say where the image lies on the
      earth are copied.
    palette: RGB of each class id in the mask; None: without colours.
    num_threads: for decoding.

  Raises:
    DataError: the file cannot be read.
    ValueError: the network cannot be computed in tiles.
    OSError: the mask cannot be written.
  """
  with TiffImage(file.path, predictor.value_range, num_threads) as source:
    scorer = predictor.scorer(source.size)
    if scorer is None or not scorer.tiled:
      raise ValueError(
        f"{file.path}: {source.size[0]} x {source.size[1]} pixels are "
        "computed in tiles; give --tile=auto, or the side of a tile"
      )
    folder = mask.with_name(mask.name + ".bands")
    bands = range(0, source.size[0], scorer.sides[0])
    _resume(folder, _plan(predictor, file, source, scorer))
    across = -(-source.size[1] // scorer.sides[1])
    with tqdm(
      total=len(bands) * across, desc=file.path.name, unit="tile", disable=None
    ) as bar:
      for top in bands:
        if not _place(folder, top).exists():
          _write_band(folder, scorer, source, top, bar.update)
        else:
          bar.update(across)
    counts = np.zeros(len(predictor.class_names), np.int64)
    seen, labels = [], []

    def rows():
      nonlocal counts
      for top in bands:
        with np.load(_place(folder, top)) as band:
          counts += np.bincount(band["labels"].ravel(), minlength=len(counts))
          seen.append(band["overview"])
          labels.append(band["overview_labels"])
          yield band["labels"]

    with files.replacing(mask) as temporary:
      write_mask(temporary, source.size, rows(), palette, source.geo_tags)
    shutil.rmtree(folder)
  total = counts.sum()
  overview = Result(
    image=np.concatenate(seen),
    labels=np.concatenate(labels),
    class_names=predictor.class_names,
    palette=predictor.palette if palette is None else palette,
    compute_probabilities=lambda: np.zeros(0, np.float32),
  )
  shares = {
    name: int(count) / int(total)
    for name, count in zip(predictor.class_names, counts, strict=True)
  }
  return Segmentation(source.size, shares, overview)


def _write_band(folder, scorer, source: TiffImage, top: int, progress) -> None:
  """Computes a row of tiles, and keeps it as a file."""
  height, width = source.size
  rows = slice(top, min(height, top + scorer.sides[0]))
  views = scorer.views.of(source) if scorer.views else ()
  scale = min((view.scale[0] for view in views), default=1.0)
  layers = tiling.layers_of(scorer.graphdef, scorer.states)
  halo = tiles.Tile(layers, *scorer.sides).halo + tiles.total_stride(layers)
  margin = math.ceil((halo + 8) / scale)
  first, end = max(0, top - margin), min(height, rows.stop + margin)
  pixels = source.read((first, end), (0, width))
  band = _Band(source, first, pixels)
  labels = np.empty((rows.stop - top, width), np.uint8)
  places = [(top, left) for left in range(0, width, scorer.sides[1])]
  for corner, scores in tiling.by_tiles(scorer, band, places):
    inside = tiling.inside(corner, scorer.sides, source.size)
    found = np.asarray(most_likely(scores))[0]
    labels[:, inside[1]] = found[tiling.within(inside)]
    progress()
  step = -(-max(source.size) // OVERVIEW)
  shown = slice(-top % step, None, step)
  with (
    files.replacing(_place(folder, top)) as temporary,
    temporary.open("wb") as stream,
  ):
    np.savez_compressed(
      stream,
      labels=labels,
      overview=pixels[top - first : rows.stop - first][shown, ::step],
      overview_labels=labels[shown, ::step],
    )


def _place(folder: pathlib.Path, top: int) -> pathlib.Path:
  return folder / f"{top:09}.npz"


def _plan(predictor, file, source, scorer) -> dict[str, Any]:
  """All that the bands follow from."""
  digest = 0
  for array in jax.tree.leaves(scorer.states):
    digest = zlib.crc32(np.asarray(array).tobytes(), digest)
  about = os.stat(file.path)
  return {
    "image": str(file.path),
    "bytes": about.st_size,
    "modified": about.st_mtime_ns,
    "size": list(source.size),
    "network": predictor.about.model,
    "parameters": digest,
    "precision": predictor.network.precision,
    "value_range": predictor.value_range and list(predictor.value_range),
    "tile": list(scorer.sides),
    "resize": predictor.about.resize,
    "tta": str(scorer.views or ""),
  }


def _resume(folder: pathlib.Path, plan: dict[str, Any]) -> None:
  """Keeps the bands of an earlier run if they are of the same plan."""
  text = json.dumps(plan, indent=2, default=list) + "\n"
  place = folder / _PLAN
  if place.exists() and place.read_text() == text:
    return
  if folder.exists():
    shutil.rmtree(folder)
  folder.mkdir(parents=True)
  with files.replacing(place) as temporary:
    temporary.write_text(text)
