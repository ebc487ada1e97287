import functools
import gc
import pathlib

import pytest

from fcn_jax.data import shapes
from fcn_jax.data.formats import Shapes
from fcn_jax.files import DataError

WRITE = "fcn_jax.data.formats.shapes.write_voc_tar"


@pytest.fixture
def small(monkeypatch):
  """A world of five images, three of them with labels."""
  few = {"train": 2, "val": 1, "main_train": 3, "main_val": 2}
  write = functools.partial(shapes.write_voc_tar, **few)
  monkeypatch.setattr(WRITE, write)


def test_what_is_drawn(small):
  found = Shapes(seed=5).find()
  assert found.name == "shapes"
  assert found.class_names[:2] == ("background", "fish")
  assert {split: len(pairs) for split, pairs in found.splits.items()} == {
    "train": 2,
    "val": 1,
    "trainval": 3,
  }
  again, other = Shapes(seed=5).find(), Shapes(seed=6).find()
  image, same, differs = (
    one.splits["val"][0].image.read() for one in (found, again, other)
  )
  assert image == same
  assert image != differs


def test_the_drawings_go_with_what_was_found(small):
  found = Shapes().find()
  place = pathlib.Path(found.tree.place)
  assert place.is_file()
  del found
  gc.collect()
  assert not place.parent.exists()


def test_nothing_is_left_of_drawings_that_failed(tmp_path, monkeypatch):
  monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

  def full(path, seed):
    pathlib.Path(path).write_bytes(b"half")
    raise DataError("no space left")

  monkeypatch.setattr(WRITE, full)
  with pytest.raises(DataError, match="no space"):
    Shapes().find()
  assert list(tmp_path.iterdir()) == []
