"""The counts of each image of an evaluation, in a file, to be compared later.

It is a NumPy archive of a few arrays: of every image only what is not 0.
"""

import dataclasses
import pathlib
import zipfile
from collections.abc import Mapping

import numpy as np
from jaxtyping import Int

from fcn_jax.evaluation import metrics
from fcn_jax.evaluation.per_image import PerImage

FOLDER = "per_image"  # of a workdir


class CountsError(ValueError):
  """A file that holds no counts."""


@dataclasses.dataclass(frozen=True, eq=False)
class StoredCounts:
  """What was counted on each image of a split, by one network.

  Attributes:
    class_names: name of each class id.
    image_ids: of the split, in the order of the arrays.
    step: of the checkpoint that was evaluated.
    confusions: pixels by [label, prediction], void left out.
    right, valid: of each image, as in `metrics.Counts`.
    counted: what the counters of `metrics.METRICS` found, by name.
  """

  class_names: tuple[str, ...]
  image_ids: tuple[str, ...]
  step: int
  confusions: PerImage
  right: Int[np.ndarray, " n"]
  valid: Int[np.ndarray, " n"]
  counted: Mapping[str, PerImage]

  def counts(
    self, times: Int[np.ndarray, " n"] | None = None
  ) -> metrics.Counts:
    """The counts of the whole set, image i being added times[i] times."""
    drawn = np.arange(len(self.image_ids))
    if times is not None:
      drawn = np.repeat(drawn, times)
    return of_drawing(
      self.confusions, self.right, self.valid, self.counted, drawn
    )


def of_drawing(
  confusions: PerImage,
  right: Int[np.ndarray, " n"],
  valid: Int[np.ndarray, " n"],
  counted: Mapping[str, PerImage],
  drawn: Int[np.ndarray, " m"],
) -> metrics.Counts:
  """The counts of the images that were drawn, each as often as it was."""
  times = np.bincount(drawn, minlength=len(confusions))
  return metrics.Counts(
    confusions.sum(times),
    right[drawn],
    valid[drawn],
    {name: each.sum(times) for name, each in counted.items()},
  )


def write(path: pathlib.Path, counts: StoredCounts) -> None:
  """Writes a file; `path` ends in .npz."""
  arrays = {
    "class_names": np.array(counts.class_names),
    "image_ids": np.array(counts.image_ids),
    "step": np.array(counts.step),
    "right": counts.right,
    "valid": counts.valid,
  }
  parts = {"confusions": counts.confusions}
  parts |= {f"counted.{name}": each for name, each in counts.counted.items()}
  for name, each in parts.items():
    arrays[f"{name}:shape"] = np.array(each.shape)
    for field in ("image", "cell", "number"):
      arrays[f"{name}:{field}"] = getattr(each, field)
  with path.open("wb") as stream:
    np.savez_compressed(stream, **arrays)


def read(path: pathlib.Path) -> StoredCounts:
  """Reads a file that `write` wrote.

  Raises:
    CountsError: it holds something else.
  """
  try:
    with np.load(path, allow_pickle=False) as stored:
      arrays = dict(stored)
    images = len(arrays["image_ids"])
    parts = {
      name.removesuffix(":shape"): PerImage(
        images,
        tuple(arrays[name].tolist()),
        *(
          arrays[name.replace(":shape", f":{field}")]
          for field in ("image", "cell", "number")
        ),
      )
      for name in arrays
      if name.endswith(":shape")
    }
    return StoredCounts(
      tuple(arrays["class_names"].tolist()),
      tuple(arrays["image_ids"].tolist()),
      int(arrays["step"]),
      parts.pop("confusions"),
      arrays["right"],
      arrays["valid"],
      {name.removeprefix("counted."): each for name, each in parts.items()},
    )
  except (KeyError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as why:
    raise CountsError(
      f"{path}: no counts of images [{why}]; delete it, and evaluate anew"
    ) from None
