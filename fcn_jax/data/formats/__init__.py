"""Formats of a user's data: which images and labels there are, and their names.

To add one, write a dataclass like `folder.Folder` and give it a line in
FORMATS.  Its fields become flags of scripts/prepare_dataset.py and
check_dataset.py, and --dataset takes its name.
"""

from fcn_jax.data.formats.ade20k import Ade20k
from fcn_jax.data.formats.base import Format, Found
from fcn_jax.data.formats.cityscapes import Cityscapes
from fcn_jax.data.formats.coco import Coco
from fcn_jax.data.formats.cvat import Cvat
from fcn_jax.data.formats.folder import Folder
from fcn_jax.data.formats.labelme import Labelme
from fcn_jax.data.formats.masks import Masks
from fcn_jax.data.formats.roboflow import Roboflow
from fcn_jax.data.formats.sbd import Sbd
from fcn_jax.data.formats.shapes import Shapes
from fcn_jax.data.formats.voc import Voc

__all__ = ["FORMATS", "Folder", "Format", "Found", "Shapes", "Voc"]

# The format that each name of --dataset stands for.
FORMATS: dict[str, type[Format]] = {
  "voc": Voc,
  "folder": Folder,
  "masks": Masks,
  "labelme": Labelme,
  "coco": Coco,
  "cvat": Cvat,
  "roboflow": Roboflow,
  "cityscapes": Cityscapes,
  "ade20k": Ade20k,
  "sbd": Sbd,
  "shapes": Shapes,
}
