"""A few validation images and what a run predicted of them, through time.

workdir/validation_pictures holds image/ID.jpg, truth/ID.png and, for each
validation that is kept, prediction/STEP/ID.png: index images with the class
colours. That is enough to draw a report without the data set.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from fcn_jax.data import Dataset, pictures, pipeline
from fcn_jax.data.images import decode_label

FOLDER = "validation_pictures"
NUMBER = 4  # of images
_CANDIDATES = 24  # images whose labels are looked at
_MOST_STEPS = 40  # validations that are kept, beside the latest and the best
_LONGEST = 512  # pixels on the longer side of what is kept


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
  """One image, its label and its predictions, all of one size.

  Attributes:
    image_id: its name.
    size: (height, width) of the image; what is kept may be smaller.
    image: RGB.
    truth: class ids, 255 for void.
    predictions: class ids by step, in the steps' order.
  """

  image_id: str
  size: tuple[int, int]
  image: UInt8[np.ndarray, "h w 3"]
  truth: UInt8[np.ndarray, "h w"]
  predictions: dict[int, UInt8[np.ndarray, "h w"]]


@dataclasses.dataclass(frozen=True, eq=False)
class Album:
  """All that a workdir keeps.

  Attributes:
    split: the images are of.
    class_names: the name of each class id.
    palette: RGB of each label.
    pictures: one an image.
  """

  split: str
  class_names: tuple[str, ...]
  palette: UInt8[np.ndarray, "256 3"]
  pictures: tuple[Picture, ...]


def choose(dataset: Dataset, split: str, number: int = NUMBER) -> list[str]:
  """Ids of images that show many classes, the same at every call.

  Of images at even distances in the split, one after another the one that
  adds the most classes to those already shown; of equals the one with the most
  classes, then the first.
  """
  ids, source = dataset.ids(split), dataset.source(split)
  places = np.linspace(0, len(ids) - 1, min(_CANDIDATES, len(ids)))
  classes = {}
  for place in places.round().astype(int).tolist():
    found = np.unique(decode_label(source[place].label)).tolist()
    classes[place] = set(found) - {dataset.void}
  chosen: list[int] = []
  shown: set[int] = set()
  while len(chosen) < min(number, len(classes)):
    best = max(
      (place for place in classes if place not in chosen),
      key=lambda p: (len(classes[p] - shown), len(classes[p]), -p),
    )
    chosen.append(best)
    shown |= classes[best]
  return [ids[place] for place in sorted(chosen)]


def begin(
  workdir: pathlib.Path, dataset: Dataset, split: str, resume_step: int
) -> list[str]:
  """Makes the folder, or goes on with the one that is there.

  Args:
    workdir: an existing folder.
    dataset, split: where the images are.
    resume_step: predictions after this step are dropped, as records are.

  Returns:
    Ids of the images whose predictions are to be added.
  """
  folder = workdir / FOLDER
  for unfinished in (folder / "prediction").glob("*.tmp"):
    shutil.rmtree(unfinished)
  for step in _steps(folder):
    if step > resume_step:
      shutil.rmtree(_of_step(folder, step))
  about = {
    "dataset": dataset.name,
    "split": split,
    "class_names": list(dataset.class_names),
    "palette": dataset.palette.tolist(),
  }
  path = folder / "about.json"
  if path.is_file():
    there = json.loads(path.read_text())
    ids = list(there.pop("sizes"))
    if there == about and set(ids) <= set(dataset.ids(split)):
      return ids
  shutil.rmtree(folder, ignore_errors=True)
  for name in ("image", "truth"):
    (folder / name).mkdir(parents=True)
  ids = choose(dataset, split)
  source, sizes = dataset.source(split), {}
  for image_id in ids:
    place = dataset.ids(split).index(image_id)
    sample = pipeline.read_sample(source, place)
    sizes[image_id] = sample.size
    image = Image.fromarray(sample.image)
    image.thumbnail((_LONGEST, _LONGEST))
    image.save(_file(folder / "image", f"{image_id}.jpg"), quality=90)
    label = _reduced(sample.label, image.size)
    label = pictures.index_image(label, dataset.palette)
    label.save(_file(folder / "truth", f"{image_id}.png"))
  # Last: where it is, all is.
  path.write_text(json.dumps(about | {"sizes": sizes}))
  return ids


def add(
  workdir: pathlib.Path,
  step: int,
  predictions: Mapping[str, UInt8[np.ndarray, "h w"]],
  validated: Sequence[int],
  best: int,
) -> None:
  """Keeps the predictions of a validation, and not too many of earlier ones.

  Args:
    workdir: where `begin` has been.
    step: of the validation.
    predictions: class ids by image id, at the images' own sizes.
    validated: the steps of all validations of the run, in order.
    best: the one of the best score.
  """
  folder = workdir / FOLDER
  palette = np.array(_about(folder)["palette"], np.uint8)
  place = _of_step(folder, step)
  with _whole_folder(place) as unfinished:
    for image_id, labels in predictions.items():
      with Image.open(folder / "image" / f"{image_id}.jpg") as image:
        labels = _reduced(labels, image.size)
      labels = pictures.index_image(labels, palette)
      labels.save(_file(unfinished, f"{image_id}.png"), optimize=True)
  kept = {*evenly(validated, _MOST_STEPS), best, step}
  for other in _steps(folder):
    if other not in kept:
      shutil.rmtree(_of_step(folder, other))


def evenly(steps: Sequence[int], most: int) -> Sequence[int]:
  """Every 1st, 2nd, 4th, 8th ... step: as many as there are up to `most`.

  What is left out once is left out ever after, however many are added.
  """
  stride = 1
  while len(steps[::stride]) > most:
    stride *= 2
  return steps[::stride]


def read(workdir: pathlib.Path) -> Album | None:
  """What the workdir keeps, None if nothing."""
  folder = workdir / FOLDER
  if not (folder / "about.json").is_file():
    return None
  about = _about(folder)
  steps = _steps(folder)
  found = []
  for image_id, (height, width) in about["sizes"].items():
    with Image.open(folder / "image" / f"{image_id}.jpg") as image:
      pixels = np.array(image.convert("RGB"))
    predictions = {}
    for step in steps:
      path = _of_step(folder, step) / f"{image_id}.png"
      if path.is_file():
        predictions[step] = decode_label(path.read_bytes())
    truth = decode_label((folder / "truth" / f"{image_id}.png").read_bytes())
    size = (height, width)
    found.append(Picture(image_id, size, pixels, truth, predictions))
  return Album(
    split=about["split"],
    class_names=tuple(about["class_names"]),
    palette=np.array(about["palette"], np.uint8),
    pictures=tuple(found),
  )


def _file(folder: pathlib.Path, name: str) -> pathlib.Path:
  """The path of a file to be written; an id may be a path, as 'a/0001'."""
  path = folder / name
  path.parent.mkdir(parents=True, exist_ok=True)
  return path


def _about(folder: pathlib.Path) -> dict:
  return json.loads((folder / "about.json").read_text())


def _of_step(folder: pathlib.Path, step: int) -> pathlib.Path:
  return folder / "prediction" / str(step)


def _steps(folder: pathlib.Path) -> list[int]:
  names: Iterable[pathlib.Path] = (folder / "prediction").glob("*")
  return sorted(int(path.name) for path in names if path.name.isdigit())


def _reduced(
  labels: UInt8[np.ndarray, "h w"], size: tuple[int, int]
) -> UInt8[np.ndarray, "h2 w2"]:
  """Labels at (width, height), of the pixels nearest to the middles."""
  image = Image.fromarray(labels)
  return np.array(image.resize(size, Image.Resampling.NEAREST))


@contextlib.contextmanager
def _whole_folder(place: pathlib.Path):
  """A folder to fill, which gets its name once that has succeeded."""
  unfinished = place.with_name(f"{place.name}.tmp")
  shutil.rmtree(unfinished, ignore_errors=True)
  unfinished.mkdir(parents=True)
  yield unfinished
  shutil.rmtree(place, ignore_errors=True)
  os.replace(unfinished, place)
