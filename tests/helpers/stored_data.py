"""A data set in memory, for tests of what reads one."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from fcn_jax.data.augment import Sample
from fcn_jax.data.dataset import Dataset, Example


def png(array) -> bytes:
  stream = io.BytesIO()
  Image.fromarray(array).save(stream, "PNG")
  return stream.getvalue()


class StoredDataset(Dataset):
  """Samples as the split 'train' of a data set; their ids are id0, id1, ..."""

  def __init__(self, samples: Sequence[Sample], class_names: Sequence[str]):
    sizes = [sample.label.shape for sample in samples]
    super().__init__(
      name="stored",
      directory="",
      class_names=tuple(class_names),
      palette=np.zeros((256, 3), np.uint8),
      void=255,
      _ids={"train": tuple(f"id{i}" for i in range(len(samples)))},
      _sizes={"train": np.array(sizes, np.int32)},
    )
    object.__setattr__(self, "samples", tuple(samples))

  def source(self, split: str) -> list[Example]:
    return [
      Example(image_id, png(sample.image), png(sample.label))
      for image_id, sample in zip(self.ids(split), self.samples, strict=True)
    ]
