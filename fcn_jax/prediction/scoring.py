"""A trained network scored on a data set, by default the one it has learned."""

import dataclasses
import logging
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fcn_jax import files
from fcn_jax.data import Dataset, load_dataset
from fcn_jax.data.dataset import FilesDataset
from fcn_jax.data.formats.names import PLAIN, GivenLabels
from fcn_jax.evaluation import stored_counts, tiling
from fcn_jax.evaluation.bootstrap import Intervals
from fcn_jax.evaluation.evaluator import evaluate
from fcn_jax.evaluation.grid_bound import GridBound, grid_bound
from fcn_jax.evaluation.metrics import METRICS
from fcn_jax.evaluation.scores import Evaluation
from fcn_jax.evaluation.tta import Tta, as_trained
from fcn_jax.models.losses import Loss
from fcn_jax.prediction import inputs
from fcn_jax.text import table
from fcn_jax.weights import checkpoints

_log = logging.getLogger(__name__)


def claim(path: str | os.PathLike) -> pathlib.Path:
  """The path of a JSON file of figures to come, see `files.claim_json`."""
  return files.claim_json(path, {"majority_baseline"}, "file of figures")


@dataclasses.dataclass(frozen=True)
class Scored:
  """What a checkpoint is worth on a split.

  Attributes:
    checkpoint: the model directory, as it was named.
    step: of the checkpoint.
    dataset: what it was scored on.
    split: of the data set.
    evaluation: what was counted.
    intervals: of the scores, if they were asked for.
    tta: how often each image was seen; '': once.
    once: what was counted where each is seen once, if it was seen more often.
    bound: what the network's grid of scores allows, if that was asked for.
  """

  checkpoint: str
  step: int
  dataset: Dataset
  split: str
  evaluation: Evaluation
  intervals: Intervals | None = None
  tta: str = ""
  once: Evaluation | None = None
  bound: GridBound | None = None

  @property
  def title(self) -> str:
    """The network in words: where its checkpoint lies, its step, and --tta."""
    views = f", --tta={self.tta}" if self.tta else ""
    return f"{self.checkpoint}, step {self.step}{views}"

  def gains(self) -> list[tuple[str, str, str, str]]:
    """Rows of a table: each score with --tta, without it, and the difference.

    Nothing without --tta.
    """
    if self.once is None:
      return []
    rows = [("", f"--tta={self.tta}", "without", "gain")]
    for name, metric in METRICS.items():
      ours, plain = self.evaluation.scores[name], self.once.scores[name]
      numbers = (f"{ours:.4f}", f"{plain:.4f}", f"{ours - plain:+.4f}")
      rows.append((metric.title, *numbers))
    return rows

  def text(self) -> str:
    """A table for a terminal, and what it is of."""
    said = (
      f"{self.title}, on {len(self.evaluation.image_ids)} images of "
      f"{self.dataset.name}/{self.split}\n\n"
      f"{self.evaluation.table(self.intervals)}"
      + (f"\n\n{self.bound.text()}" if self.bound else "")
    )
    return f"{said}\n\n{table(self.gains())}" if self.once else said

  def figures(self) -> dict[str, Any]:
    """All of it by name, for JSON."""
    figures = self.evaluation.figures()
    if self.intervals:
      figures["intervals"] = self.intervals.figures(self.evaluation.class_names)
    if self.once:
      figures |= {"tta": self.tta, "without_tta": self.once.figures()}
    if self.bound:
      figures["grid_bound"] = self.bound.figures()
    return {
      "checkpoint": self.checkpoint,
      "step": self.step,
      "data": self.dataset.name,
      "split": self.split,
      **figures,
    }


def keep_counts(scored: Scored) -> pathlib.Path | None:
  """Keeps the counts of each image in a run's workdir, to be compared.

  They go to per_image/DATA_SPLIT.npz and replace those of an earlier
  evaluation there.

  Returns:
    The file; None: the images are not of a prepared data set, the checkpoint
    is not of a run, or its folder is not ours to write to.
  """
  workdir = pathlib.Path(scored.checkpoint).expanduser()
  of_files = isinstance(scored.dataset, FilesDataset)
  if of_files or not (workdir / "metrics.jsonl").is_file():
    return None
  name = f"{scored.dataset.name}_{scored.split}.npz"
  path = workdir / stored_counts.FOLDER / name
  counts = scored.evaluation.stored(scored.step)
  try:
    path.parent.mkdir(exist_ok=True)
    with files.replacing(path) as temporary:
      stored_counts.write(temporary, counts)
  except OSError as error:
    _log.warning("%s cannot be written [%s]", path, error)
    return None
  return path


def score(
  checkpoint: str,
  step: str | int = "best",
  *,
  data: str | None = None,
  data_dir: str | None = None,
  split: str = "val",
  images: Sequence[str] | None = None,
  labels: str | None = None,
  given: GivenLabels = PLAIN,
  precision: str = "float32",
  loss_of: Callable[[Mapping[str, Any]], Loss] | None = None,
  part_size: int = 1,
  worst: int = 0,
  bootstrap: int = 0,
  bootstrap_seed: int = 0,
  tile: str | int = tiling.AUTO,
  tta: str = "",
  bound: bool = False,
) -> Scored:
  """Scores a checkpoint on every image of a split.

  Args:
    checkpoint: a model directory.
    step: 'best', 'latest' or a number.
    data, data_dir: the data set; None: that of its training.
    split: of the data set.
    images, labels: instead of a data set, images as `inputs.find_images` takes
      them and a folder of their labels.
    given: how the names of those end, and what labels mean.
    precision: of the products, a name of models.network.PRECISIONS.
    loss_of: the loss of a recipe (nested); None: the cross entropy.
    part_size: images in a forward pass.
    worst: of how many images, worst by each score, predictions are kept.
    bootstrap: resamples of the images for intervals; 0: no intervals.
    bootstrap_seed: of the resamples.
    tile, tta: see `predictor.load`. With tta it is scored without it, too.
    bound: also fit the grid of scores to the labels, see `grid_bound`.

  Raises:
    FileNotFoundError: there is no such checkpoint.
    ValueError: there is no such data set, or it has other classes.
  """
  tile, views = tiling.parse(tile), Tta.parse(tta)
  if bool(images) != bool(labels) or (images and data):
    raise ValueError("give both --images and --labels, or --data alone")
  if given and not labels:
    raise ValueError("--image_suffix and the like are for --labels")
  net, card, number = checkpoints.load_model(checkpoint, step, precision)
  if bound and card.resize:
    raise ValueError(
      "--grid_bound: the network sees resized images, whose grid of scores "
      "does not lie on the image's pixels; leave it out"
    )
  if labels:
    dataset = _of_files(card, images, labels, given)
    (split,) = dataset.splits
  else:
    dataset = _of_name(checkpoint, card, data, data_dir)
  loss = loss_of and loss_of(card.config)
  options = {"loss": loss, "part_size": part_size, "tile": tile}
  seen, plain = as_trained(views, card.resize), as_trained(None, card.resize)
  found = evaluate(net, dataset, split, worst=worst, views=seen, **options)
  once = None
  if views:
    once = evaluate(net, dataset, split, views=plain, **options)
  intervals = found.intervals(bootstrap, bootstrap_seed) if bootstrap else None
  fitted = grid_bound(net.layers, dataset, split) if bound else None
  return Scored(
    checkpoint,
    number,
    dataset,
    split,
    found,
    intervals,
    str(views or ""),
    once,
    fitted,
  )


def _of_files(
  card: checkpoints.ModelCard,
  images: Sequence[str],
  labels: str,
  given: GivenLabels,
) -> Dataset:
  if card.value_range:
    raise ValueError(
      "the network was trained on images read by --value_range: prepare these "
      "with it too, and give --data"
    )
  files, _ = inputs.find_images(images, None, given, labels)
  palette = np.array(card.palette, np.uint8)
  return inputs.dataset_of(labels, files, card.class_names, palette, given)


def _of_name(
  checkpoint: str,
  card: checkpoints.ModelCard,
  data: str | None,
  data_dir: str | None,
) -> Dataset:
  if not (data or card.config.get("data", {}).get("name")):
    raise ValueError(
      f"{checkpoint} was not trained on a data set: name one with --data"
    )
  dataset = data_of(card, data, data_dir)
  if list(dataset.class_names) != card.class_names:
    raise ValueError(
      f"the network's classes ({', '.join(card.class_names)}) are not those "
      f"of {dataset.name} ({', '.join(dataset.class_names)}); name another "
      "--data, or give convert_weights.py the names with --class_names"
    )
  return dataset


def data_of(
  card: checkpoints.ModelCard, name: str | None, data_dir: str | None
) -> Dataset:
  """A data set, by default the one that a network was trained on.

  Args:
    card: of the network.
    name: of the data set; None: that of the training.
    data_dir: where it lies; None: where that of the training does.

  Raises:
    DataError: there is no such data set.
  """
  trained_on = card.config.get("data", {})
  return load_dataset(
    name or trained_on.get("name"), data_dir or trained_on.get("data_dir")
  )
