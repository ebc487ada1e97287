"""A data set of two splits in memory, whose every pixel follows a rule."""

import numpy as np
from stored_data import png

from fcn_jax.data.augment import Sample
from fcn_jax.data.classes import voc_palette
from fcn_jax.data.dataset import Dataset, Example

NAMES = ("background", "cat & <dog>", "tree", "nobody")


def made_up_label(number: int) -> np.ndarray:
  """Class 1 above, the more of it the larger number % 7; some void, some 2."""
  label = np.zeros((12 + number % 3, 20), np.uint8)
  label[: number % 7] = 1
  label[-2:, : number % 5] = 255
  if number % 4 == 0:
    label[-4:-2, 10:] = 2
  return label


def made_up_sample(number: int) -> Sample:
  label = made_up_label(number)
  rng = np.random.default_rng(number)
  return Sample(rng.integers(0, 256, (*label.shape, 3), np.uint8), label)


class MadeUpDataset(Dataset):
  """Images 0, 1, ... of train, and 100, 101, ... of val; ids are pic0, ..."""

  def __init__(self, train: int = 53, val: int = 4):
    numbers = {"train": range(train), "val": range(100, 100 + val)}
    samples = {
      split: [made_up_sample(number) for number in group]
      for split, group in numbers.items()
    }
    super().__init__(
      name="made <up>",
      directory="",
      class_names=NAMES,
      palette=voc_palette(),
      void=255,
      _ids={
        split: tuple(f"pic{number}" for number in group)
        for split, group in numbers.items()
      },
      _sizes={
        split: np.array([s.label.shape for s in group], np.int32)
        for split, group in samples.items()
      },
    )
    object.__setattr__(self, "samples", samples)

  def source(self, split: str) -> list[Example]:
    return [
      Example(image_id, png(sample.image), png(sample.label))
      for image_id, sample in zip(
        self.ids(split), self.samples[split], strict=True
      )
    ]
