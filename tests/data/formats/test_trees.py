import pytest
from small_data import label, write
from tool_files import ade20k_files

from fcn_jax.data.formats import FORMATS
from fcn_jax.files import DataError


def test_labels_and_images_without_a_partner(tmp_path):
  extra = "ADEChallengeData2016/annotations/training/ADE_train_00000002.png"
  write(tmp_path, ade20k_files() | {extra: label(1)})
  found = FORMATS["ade20k"](archive=str(tmp_path)).find()
  assert [f.kind for f in found.findings] == ["label without image"]


def test_a_split_without_images_or_labels(tmp_path):
  files = ade20k_files()
  kept = {k: v for k, v in files.items() if "images/validation" not in k}
  write(tmp_path, kept)
  with pytest.raises(DataError, match="no image of validation; give --archive"):
    FORMATS["ade20k"](archive=str(tmp_path)).find()
