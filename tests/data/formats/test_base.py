import dataclasses

import pytest
from small_data import folder_files, folder_format, write

from fcn_jax.data.formats import FORMATS, Format
from fcn_jax.data.formats.base import flag
from fcn_jax.files import DataError


def test_labels_in_colours(tmp_path):
  write(tmp_path, folder_files() | {"colors.txt": "0 0 0\n200 0 7\n"})
  colormap = str(tmp_path / "colors.txt")
  found = folder_format(tmp_path, colormap=colormap, void_color="9,9,9").find()
  assert found.reader.color_map.colors[1].tolist() == [200, 0, 7]
  assert found.reader.color_map.void == (9, 9, 9)
  assert not found.reader.binary_masks


def test_a_void_colour_needs_a_colour_map(tmp_path):
  write(tmp_path, folder_files())
  with pytest.raises(DataError, match="give that too"):
    folder_format(tmp_path, void_color="9,9,9").find()


def test_binary_masks(tmp_path):
  write(tmp_path, folder_files())
  assert folder_format(tmp_path, binary_masks=True).find().reader.binary_masks


def test_a_flag_is_a_field_with_its_help():
  @dataclasses.dataclass(frozen=True)
  class Options:
    year: int = flag(2012, "of the challenge", lower_bound=2007)

  (field,) = dataclasses.fields(Options)
  assert Options().year == 2012
  assert field.metadata == {"help": "of the challenge", "lower_bound": 2007}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_can_be_made_of_flags(name):
  """Each field has help and a default, and find says what it needs."""
  kind = FORMATS[name]
  assert issubclass(kind, Format)
  assert kind.title
  assert all(f.metadata["help"] for f in dataclasses.fields(kind))
  if name != "shapes":  # which needs nothing
    with pytest.raises(DataError, match="--dataset="):
      kind().find()
