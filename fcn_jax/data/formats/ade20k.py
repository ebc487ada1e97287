"""ADE20K's scene parsing benchmark, as it is published."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from fcn_jax.data.formats.trees import Tree


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ade20k(Tree):
  """The 150 classes of ADEChallengeData2016."""

  title: ClassVar[str] = "ADE20K (ADEChallengeData2016)"
  name: ClassVar[str] = "ade20k"
  own_map: ClassVar[str] = "ade20k"
  images: ClassVar[str] = r"images/SPLIT/(.+)\.jpg"
  labels: ClassVar[str] = r"annotations/SPLIT/(.+)\.png"
  splits: ClassVar[Mapping[str, str]] = {
    "train": "training",
    "val": "validation",
  }
  needed: ClassVar[str] = "ADEChallengeData2016.zip, or its folder"
