"""The folder that predictions are written to: masks, overlays, a summary."""

import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from fcn_jax import devices
from fcn_jax.data.classes import voc_palette
from fcn_jax.data.files import is_hidden
from fcn_jax.data.labels import read_color_map
from fcn_jax.files import DataError, local_path, replacing
from fcn_jax.prediction import large
from fcn_jax.prediction.inputs import (
  SUMMARY,
  WRITTEN_BY,
  ImageFile,
  read_summary,
)
from fcn_jax.prediction.predictor import Predictor
from fcn_jax.prediction.result import Result, write_image


def read_palette(
  name: str, result_palette: UInt8[np.ndarray, "256 3"], class_names
) -> UInt8[np.ndarray, "256 3"] | None:
  """What --palette=dataset|voc|none|FILE stands for.

  Args:
    name: 'dataset', 'voc', 'none', or a file with 'R G B' of class i on line i.
    result_palette: the one that 'dataset' stands for.
    class_names: as many as a file must have colours.

  Returns:
    RGB of each label; None for 'none'.

  Raises:
    DataError: no such file, or not a colour for each class.
  """
  match name:
    case "dataset":
      return result_palette
    case "voc":
      return voc_palette()
    case "none":
      return None
  if not os.path.isfile(os.path.expanduser(name)):
    raise DataError(
      f"--palette={name}: no such file; there is dataset, voc, none, or a "
      "file with 'R G B' of each class on a line of its own"
    )
  palette = voc_palette()
  colors = read_color_map(name, tuple(class_names)).colors
  palette[: len(colors)] = colors
  return palette


class PredictionFolder:
  """A folder of predictions, claimed before the first is made.

  Several processes make it together, and the first one claims it.

  Args:
    directory: new, empty, or written by this class before; then files of the
      same ids are replaced.
    files: the images to come.
    about: what the summary says besides, as the checkpoint.
    palette_in_masks: False for masks of mode L, without a palette.
    save_probabilities: also write probabilities/ID.npz.

  Raises:
    DataError: the folder holds something else, or predictions for an image of
      the same id that lies elsewhere.
    OSError: it cannot be written to.
  """

  def __init__(
    self,
    directory: str | os.PathLike,
    files: Sequence[ImageFile],
    about: dict[str, Any],
    *,
    palette_in_masks: bool = True,
    save_probabilities: bool = False,
  ):
    self.directory = local_path(directory).absolute()
    self._about = {"written_by": WRITTEN_BY, **about}
    self._palette_in_masks = palette_in_masks
    self.save_probabilities = save_probabilities
    devices.on_first(lambda: self._claim(files))

  def _claim(self, files: Sequence[ImageFile]) -> None:
    _check_free(self.directory, files)
    self.directory.mkdir(parents=True, exist_ok=True)
    self.write_summary({}, {}, finished=False)

  def write(self, file: ImageFile, result: Result) -> dict[str, Any]:
    """Writes what was found in one image; its record for the summary."""
    height, width = result.labels.shape
    record = {"image": str(file.path), "height": height, "width": width}

    def place(kind: str, extension: str) -> pathlib.Path:
      relative = f"{kind}/{file.id}.{extension}"
      path = self.directory / relative
      path.parent.mkdir(parents=True, exist_ok=True)
      record[_SINGULAR[kind]] = relative
      return path

    mask = result.mask()
    if not self._palette_in_masks:
      mask = Image.fromarray(result.labels)
    write_image(place("masks", "png"), mask)
    # A photograph hardly gets smaller by more effort, and that takes longer.
    write_image(place("overlays", "png"), result.overlay(), compress_level=1)
    if self.save_probabilities:
      half = result.probabilities.astype(np.float16)
      path = place("probabilities", "npz")
      with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, probabilities=half)
    return {**record, "shares": result.shares}

  def write_large(
    self,
    file: ImageFile,
    predictor: Predictor,
    palette: UInt8[np.ndarray, "256 3"],
    num_threads: int,
  ) -> dict[str, Any]:
    """Segments an image that is not held in memory, and writes what was found.

    Its mask is a tiled TIFF, its overlay an overview; probabilities of so many
    pixels are not written.

    Returns:
      Its record for the summary.
    """
    mask, overlay = f"masks/{file.id}.tif", f"overlays/{file.id}.png"
    for path in (mask, overlay):
      (self.directory / path).parent.mkdir(parents=True, exist_ok=True)
    found = large.segment(
      predictor,
      file,
      self.directory / mask,
      palette if self._palette_in_masks else None,
      num_threads,
    )
    write_image(self.directory / overlay, found.overview.overlay())
    height, width = found.size
    return {
      "image": str(file.path),
      "height": height,
      "width": width,
      "mask": mask,
      "overlay": overlay,
      "shares": found.shares,
    }

  def write_summary(
    self,
    images: dict[str, dict[str, Any]],
    failed: dict[str, str],
    finished: bool = True,
  ) -> None:
    """Writes summary.json.

    Args:
      images: the record of each image, by its id.
      failed: what was wrong with each file that has none, by its path.
      finished: whether all files were tried.
    """
    summary = {
      **self._about,
      "finished": finished,
      "images": images,
      "failed": failed,
    }
    with replacing(self.directory / SUMMARY) as temporary:
      temporary.write_text(json.dumps(summary, indent=2) + "\n")


_SINGULAR = {
  "masks": "mask",
  "overlays": "overlay",
  "probabilities": "probabilities",
}


def _check_free(directory: pathlib.Path, files: Sequence[ImageFile]) -> None:
  if not directory.exists():
    return
  if all(is_hidden(path.name) for path in directory.iterdir()):
    return
  summary = read_summary(directory)
  if summary is None:
    raise DataError(
      f"{directory} holds files that are no predictions; name a new or empty "
      "--output_dir, so that nothing of yours is overwritten"
    )
  there = {i: record["image"] for i, record in summary["images"].items()}
  for file in files:
    if there.get(file.id, str(file.path)) != str(file.path):
      raise DataError(
        f"{directory} holds predictions for another image of the id "
        f"{file.id}, {there[file.id]}; name another --output_dir for "
        f"{file.path}"
      )
