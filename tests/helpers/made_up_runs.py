"""Workdirs as training leaves them, without the training."""

import json
import pathlib

import numpy as np
from configs_there import shapes_sgd
from stored_data import StoredDataset

from fcn_jax import files
from fcn_jax.data.augment import Sample
from fcn_jax.data.classes import voc_palette
from fcn_jax.runs.record import METRICS, SESSIONS, Schedule, begin_session

SCHEDULE = Schedule(
  total_steps=40,
  steps_per_epoch=10,
  images_per_step=4,
  validate_every=20,
  training_images=40,
  validation_images=3,
)
CLASSES = ("background", "cat & <dog>", "boat")


def train(step: int, loss: float, rate: float) -> dict:
  return {
    "step": step,
    "kind": "train",
    "loss": loss,
    "lr": 0.005 * (1 - (step - 1) / 40),
    "images_per_second": rate,
  }


def val(step: int, mean_iu: float, **figures) -> dict:
  return {
    "step": step,
    "kind": "val",
    "pixel_accuracy": 0.625 + mean_iu / 8,
    "mean_accuracy": 0.375 + mean_iu / 4,
    "mean_iu": mean_iu,
    "fw_iu": 0.5,
    "digits_accuracy": 0.875,
    "loss": 1.25 - mean_iu,
    "majority_baseline": {
      "class": "background",
      "pixel_accuracy": 0.5625,
      "mean_accuracy": 1 / 3,
      "mean_iu": 0.1875,
      "fw_iu": 0.3164,
    },
    "per_class_iu": dict(
      zip(CLASSES, (0.75, mean_iu / 2, float("nan")), strict=True)
    ),
    "images": 3,
    "void_pixels": 12,
    "seconds": 3.0,
    **figures,
  }


TRAIN = (train(10, 1.5, 2.0), train(20, 1.0, 4.0), train(30, 0.5, 8.0))
VAL = (val(0, 0.125), val(20, 0.4375))


def make_run(
  folder: pathlib.Path,
  records=(VAL[0], TRAIN[0], TRAIN[1], VAL[1], TRAIN[2]),
  config=None,
  schedule: Schedule | None = SCHEDULE,
) -> pathlib.Path:
  """A run that goes on, unless `sessions.end` says that it has ended."""
  folder.mkdir(parents=True, exist_ok=True)
  config = config or shapes_sgd()
  (folder / "config.json").write_text(json.dumps(config.to_dict()))
  lines = [json.dumps(files.without_nan(record)) for record in records]
  (folder / METRICS).write_text("".join(f"{line}\n" for line in lines))
  (folder / SESSIONS).unlink(missing_ok=True)
  if schedule:
    begin_session(folder, 0, schedule)
  return folder


# Height and width of two images, and their labels.
SIZES = {"id0": (6, 8), "id1": (5, 4)}
LABEL = {
  "id0": np.tile(np.array([0, 0, 1, 1, 1, 2, 255, 255], np.uint8), (6, 1)),
  "id1": np.tile(np.array([2, 2, 2, 1], np.uint8), (5, 1)),
}


def dataset() -> StoredDataset:
  draw = np.random.default_rng(0)
  samples = [
    Sample(draw.integers(0, 256, (*size, 3), np.uint8), LABEL[name])
    for name, size in SIZES.items()
  ]
  found = StoredDataset(samples, CLASSES)
  object.__setattr__(found, "palette", voc_palette())
  return found


def changed_config(**fields):
  found = shapes_sgd()
  found.update_from_flattened_dict(fields)
  return found
