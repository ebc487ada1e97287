"""What scripts/predict.py does: which images, by which network, to where."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from fcn_jax import devices
from fcn_jax.data import Dataset, exports
from fcn_jax.data.classes import voc_palette
from fcn_jax.data.files import File, Pair
from fcn_jax.data.formats.names import PLAIN, GivenLabels
from fcn_jax.data.labels import LabelReader
from fcn_jax.data.layouts import Content, Exporting
from fcn_jax.prediction import inputs, predictor
from fcn_jax.prediction.files import Observer, predict_files
from fcn_jax.prediction.folder import PredictionFolder, read_palette
from fcn_jax.prediction.scoring import data_of
from fcn_jax.weights import checkpoints

NOTHING = Exporting()
_LISTED = 10  # of the files that are no images


@dataclasses.dataclass(frozen=True)
class Source:
  """Where images come from, and their labels.

  Attributes:
    images: files, folders and glob patterns; None: of the data set.
    data: name of a prepared data set instead.
    data_dir: where it lies; None: where that of the training does.
    split: of the data set.
    labels: folder of label images; 'none' leaves out those of the data set.
    given: how the names of images and labels end, and what labels mean.
  """

  images: Sequence[str] | None = None
  data: str | None = None
  data_dir: str | None = None
  split: str = "val"
  labels: str | None = None
  given: GivenLabels = PLAIN

  def label_of(
    self,
    dataset: Dataset | None,
    files: Sequence[inputs.ImageFile],
    class_names: Sequence[str],
    num_threads: int,
  ) -> inputs.LabelOf | None:
    """How labels are read; None: there are none.

    Raises:
      ValueError: labels were named beside a data set, or do not fit.
    """
    if self.labels == "none":
      return None
    if dataset is None:
      return self.labels and inputs.find_labels(
        self.labels, files, class_names, num_threads, self.given
      )
    if self.labels:
      raise ValueError(
        f"--labels={self.labels}: with --data the labels are its own; give "
        "--images, or --labels=none to leave them out"
      )
    return inputs.labels_of(dataset, class_names)


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
  """A network and the images it is to segment.

  Attributes:
    checkpoint: the model directory, as it was named.
    net: the network.
    files: the images.
    output_dir: where the predictions go.
    palette: RGB of each class id in the pictures; None: masks without colours.
    label_of: how labels are read; None: there are none.
    num_threads: for decoding, and as many for writing.
    exporting: what else is written of the predictions, and where.
  """

  checkpoint: str
  net: predictor.Predictor
  files: Sequence[inputs.ImageFile]
  output_dir: str
  palette: UInt8[np.ndarray, "256 3"] | None
  label_of: inputs.LabelOf | None
  num_threads: int
  exporting: Exporting = NOTHING

  @property
  def title(self) -> str:
    """The network in words: where its checkpoint lies, and its step."""
    return f"{self.checkpoint}, step {self.net.step}"

  def run(
    self,
    observer: Observer | None = None,
    *,
    save_probabilities: bool = False,
    max_canvases: int = 3,
    say: Callable[[str], None] = print,
  ) -> dict[str, str]:
    """Segments the images; a bar on a terminal shows how far it is.

    Args:
      observer: told of each image.
      save_probabilities: also write them.
      max_canvases: how many sizes to pad images to, at most.
      say: takes the line that tells of the outcome.

    Returns:
      What was wrong with each file that could not be segmented, by its path.

    Raises:
      DataError: the folder holds something else.
      OSError: it cannot be written to.
    """
    folder = PredictionFolder(
      self.output_dir,
      self.files,
      {
        "checkpoint": self.checkpoint,
        "step": self.net.step,
        "class_names": list(self.net.class_names),
      },
      palette_in_masks=self.palette is not None,
      save_probabilities=save_probabilities,
    )
    first, count = devices.is_first(), len(self.files)
    own = len(self.files[:: devices.process_count()])
    with tqdm(
      total=own,
      desc="predicting",
      unit="image",
      disable=None if first else True,
    ) as bar:
      failed = predict_files(
        self.net,
        self.files,
        folder,
        palette=self.palette,
        max_canvases=max_canvases,
        num_threads=self.num_threads,
        observer=observer,
        progress=bar.update,
      )
    if not first:
      return failed
    say(
      f"{self.title}: {count - len(failed)} of {count} images segmented; "
      f"{folder.directory}/overlays"
    )
    if self.exporting.export and len(failed) < count:
      self._export(folder, failed)
      say(f"{self.exporting.export}: {self.exporting.export_to}")
    return failed

  def _export(
    self, folder: PredictionFolder, failed: Mapping[str, str]
  ) -> None:
    """Writes images and masks as other programs read them, as one list."""
    pairs = [
      Pair(file.id, file.file, File(str(mask), str(mask)))
      for file in self.files
      if str(file.path) not in failed and not file.is_large
      for mask in [folder.directory / f"masks/{file.id}.png"]
    ]
    palette = voc_palette() if self.palette is None else self.palette
    made = self.exporting.files(
      Content({"default": pairs}, LabelReader(), self.net.class_names, palette)
    )
    exports.write_exports(self.exporting.export_to, made)


def plan(
  source: Source,
  checkpoint: str,
  step: str | int = "best",
  precision: str = "float32",
  *,
  output_dir: str,
  palette: str = "dataset",
  num_threads: int | None = None,
  tile: str | int = "auto",
  tta: str = "",
  exporting: Exporting = NOTHING,
  say: Callable[[str], None] = print,
) -> Job:
  """Finds the images, then reads the network.

  Args:
    source: where the images come from.
    checkpoint: a model directory.
    step: 'best', 'latest' or a number.
    precision: of the products, a name of models.network.PRECISIONS.
    output_dir: where predictions will go; no image is looked for there.
    palette: see `folder.read_palette`.
    num_threads: see `Job`; None: one a core, at most eight.
    tile, tta: see `predictor.load`.
    exporting: see `Job`; a place that is taken is refused here.
    say: takes the line that tells which files are no images.

  Raises:
    FileNotFoundError: there is no such checkpoint.
    ValueError: no image is found, or the flags do not fit together.
  """
  num_threads = num_threads or min(8, os.cpu_count() or 1)
  exporting.check()
  if exporting.export:
    exports.check_free(exporting.export_to)
  dataset, others = None, []
  if source.data:
    _, card = checkpoints.load_about(checkpoint, step)
    dataset = data_of(card, source.data, source.data_dir)
    files = inputs.images_of(dataset, source.split)
  else:
    files, others = inputs.find_images(
      source.images, output_dir, source.given, source.labels
    )
  if others:
    named = ", ".join(others[:_LISTED]) + ", ..." * (len(others) > _LISTED)
    say(f"left out {len(others)} files that are no images: {named}")
  net = predictor.load(checkpoint, step, precision, tile, tta)
  return Job(
    checkpoint,
    net,
    files,
    output_dir,
    read_palette(palette, net.palette, net.class_names),
    source.label_of(dataset, files, net.class_names, num_threads),
    num_threads,
    exporting,
  )
