"""The made-up world of data/shapes, drawn on the spot."""

import dataclasses
import os
import shutil
import tempfile
import weakref
from typing import ClassVar

from fcn_jax.data.formats.base import Found, LabelImages, flag
from fcn_jax.data.formats.voc import Voc
from fcn_jax.data.shapes import write_voc_tar


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shapes(LabelImages):
  """A made-up data set, laid out as PASCAL VOC's."""

  title: ClassVar[str] = "a made-up data set, drawn on the spot"
  name: ClassVar[str] = "shapes"
  busy: ClassVar[str] = "drawing the made-up data set"

  seed: int = flag(0, "of the drawings")

  def find(self) -> Found:
    """Pairs, class names and how to read labels, see `Format`.

    The images lie in a temporary tar, which goes when the tree goes.
    """
    folder = tempfile.mkdtemp(prefix="shapes_")
    try:
      archive = os.path.join(folder, "shapes.tar")
      write_voc_tar(archive, seed=self.seed)
      shared = {
        field.name: getattr(self, field.name)
        for field in dataclasses.fields(LabelImages)
      }
      found = Voc(archive=archive, **shared).find()
      found = dataclasses.replace(found, name=self.name)
    except BaseException:
      shutil.rmtree(folder)
      raise
    weakref.finalize(found.tree, shutil.rmtree, folder)
    return found
