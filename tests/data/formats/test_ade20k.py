from small_data import write
from tool_files import ade20k_files

from fcn_jax.data.formats import FORMATS


def test_ade20k(tmp_path):
  write(tmp_path, ade20k_files())
  found = FORMATS["ade20k"](archive=str(tmp_path)).find()
  assert (found.name, len(found.class_names)) == ("ade20k", 150)
  read = [
    found.reader.read(found.splits[s][0].label.read()).index[0, :3].tolist()
    for s in ("train", "val")
  ]
  assert read == [[255, 0, 149], [2, 12, 255]]
