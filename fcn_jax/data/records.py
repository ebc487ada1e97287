"""The records of a prepared data set as pairs of files, to be checked again."""

import dataclasses
from collections.abc import Sequence

from fcn_jax.data.builder import Pair
from fcn_jax.data.dataset import Dataset, Example
from fcn_jax.data.files import File


@dataclasses.dataclass(frozen=True)
class RecordFile(File):
  """The image or the label of a record; its path is the data set's folder.

  Attributes:
    source: records of the split.
    index: of the record.
    kind: 'image' or 'label'.
  """

  source: Sequence[Example] = dataclasses.field(
    default=(), compare=False, repr=False
  )
  index: int = 0
  kind: str = "image"

  def read(self) -> bytes:
    return getattr(self.source[self.index], self.kind)


def pairs(dataset: Dataset, split: str) -> list[Pair]:
  """The records of a split, named 'val/ID' and 'val/ID (label)'.

  Raises:
    DataError: no such split.
  """
  source = dataset.source(split)
  return [
    Pair(
      image_id,
      *(
        RecordFile(
          f"{split}/{image_id}{suffix}",
          dataset.directory,
          source=source,
          index=index,
          kind=kind,
        )
        for kind, suffix in (("image", ""), ("label", " (label)"))
      ),
    )
    for index, image_id in enumerate(dataset.ids(split))
  ]
