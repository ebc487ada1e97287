"""Cityscapes, as it is published."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from fcn_jax.data.formats.trees import Tree


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cityscapes(Tree):
  """leftImg8bit and gtFine of train and val; test's labels are not published.

  The 34 ids of labelIds.png become the 19 classes that are scored, unless
  --label_map says otherwise.
  """

  title: ClassVar[str] = "Cityscapes (leftImg8bit and gtFine)"
  name: ClassVar[str] = "cityscapes"
  own_map: ClassVar[str] = "cityscapes"
  images: ClassVar[str] = r"leftImg8bit/SPLIT/(.+)_leftImg8bit\.png"
  labels: ClassVar[str] = r"gtFine/SPLIT/(.+)_gtFine_labelIds\.png"
  splits: ClassVar[Mapping[str, str]] = {"train": "train", "val": "val"}
  needed: ClassVar[str] = (
    "leftImg8bit_trainvaltest.zip,gtFine_trainvaltest.zip, or the folder that "
    "leftImg8bit and gtFine lie in"
  )
