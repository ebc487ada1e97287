import os

import numpy as np
import pytest
import tensorflow_datasets as tfds
from small_data import make_plan, photo

from fcn_jax.data import builder, decode_label, load_dataset
from fcn_jax.data.builder import check_name, write_dataset
from fcn_jax.data.files import File, Pair
from fcn_jax.data.labels import LabelReader
from fcn_jax.files import DataError


def test_records_keep_bytes_and_order(tmp_path):
  target = write_dataset(make_plan(tmp_path / "files"), tmp_path / "sets")
  assert target == tmp_path / "sets" / "tiny" / "1.0.0"
  data = load_dataset("tiny", str(tmp_path / "sets"))
  records = list(data.source("train"))
  assert [record.image_id for record in records] == ["4", "3", "2", "1"]
  assert records[0].image == photo(4)
  np.testing.assert_array_equal(
    decode_label(records[0].label),
    np.resize(np.array([0, 4, 255], np.uint8), (6, 8)),
  )
  assert [entry.name for entry in (tmp_path / "sets").iterdir()] == ["tiny"]


def test_it_is_a_tfds_data_set(tmp_path):
  target = write_dataset(make_plan(tmp_path / "files"), tmp_path / "sets")
  info = tfds.builder_from_directory(target).info
  assert info.file_format.value == "array_record"
  assert info.splits["train"].num_examples == 4
  assert str(info.version) == "1.0.0"


def test_several_shards_keep_the_order(tmp_path, monkeypatch):
  monkeypatch.setattr(builder, "_SHARD_BYTES", 2 * len(photo(0)) + 99)
  target = write_dataset(make_plan(tmp_path / "files", 6), tmp_path / "sets")
  assert len(list(target.glob("*train*"))) > 1
  source = load_dataset("tiny", str(tmp_path / "sets")).source("train")
  assert [example.image_id for example in source] == list("54321")


def test_shards_by_hand():
  def pair(size):
    return Pair("x", File("x", "x", 0, size), File("y", "y"))

  half = builder._SHARD_BYTES // 2
  sizes = [half, half, 1, 3 * half, 5]
  shards = builder._shards([pair(size) for size in sizes])
  found = [[pair.image.size for pair in shard] for shard in shards]
  assert found == [[half, half], [1], [3 * half], [5]]


def test_nothing_is_overwritten_unasked(tmp_path):
  write_dataset(make_plan(tmp_path / "files"), tmp_path / "sets")
  with pytest.raises(DataError, match="--overwrite"):
    write_dataset(make_plan(tmp_path / "files", 3), tmp_path / "sets")
  assert load_dataset("tiny", str(tmp_path / "sets")).splits["train"] == 4
  write_dataset(make_plan(tmp_path / "files", 3), tmp_path / "sets", True)
  assert load_dataset("tiny", str(tmp_path / "sets")).splits["train"] == 2
  assert len(list((tmp_path / "sets").iterdir())) == 1


@pytest.mark.parametrize("before", [False, True])
def test_interruption_leaves_nothing_half_made(tmp_path, monkeypatch, before):
  if before:
    write_dataset(make_plan(tmp_path / "files", 3), tmp_path / "sets")
  plan = make_plan(tmp_path / "files")
  read, calls = LabelReader.read, []

  def interrupted(self, data, name=""):
    calls.append(name)
    if len(calls) == 3:
      raise KeyboardInterrupt
    return read(self, data, name)

  monkeypatch.setattr(LabelReader, "read", interrupted)
  with pytest.raises(KeyboardInterrupt):
    write_dataset(plan, tmp_path / "sets", overwrite=True)
  assert 3 <= len(calls) <= 4  # one more may be under way in another thread
  if not before:
    assert not (tmp_path / "sets").exists()
    return
  assert [entry.name for entry in (tmp_path / "sets").iterdir()] == ["tiny"]
  assert load_dataset("tiny", str(tmp_path / "sets")).splits["train"] == 2


def test_names(tmp_path):
  check_name("voc_2012", tmp_path)
  for name in ("", "Voc", "2012", "a-b", "../x", "a b", "_a"):
    with pytest.raises(DataError, match="--name"):
      check_name(name, tmp_path)


def test_what_a_killed_process_left_is_cleared(tmp_path):
  sets = tmp_path / "sets"
  left = sets / ".tiny_incomplete_abc"
  other = sets / ".other_incomplete_abc"
  for folder in (left, other):
    folder.mkdir(parents=True)
    (folder / "half").write_text("x")
  write_dataset(make_plan(tmp_path / "files"), sets)
  assert {entry.name for entry in sets.iterdir()} == {"tiny", other.name}


def test_a_data_set_that_was_being_replaced_is_put_back(tmp_path):
  sets = tmp_path / "sets"
  target = write_dataset(make_plan(tmp_path / "files", 3), sets)
  left = sets / ".tiny_incomplete_abc"
  left.mkdir()
  target.rename(left / "replaced")  # killed just then
  with builder._own_folder(sets, "tiny"):
    assert load_dataset("tiny", str(sets)).splits["train"] == 2
    assert not left.exists()


def test_two_processes_of_one_name(tmp_path):
  sets = tmp_path / "sets"
  sets.mkdir()
  with builder._own_folder(sets, "tiny") as own:
    with pytest.raises(DataError, match=rf"process {os.getpid()} of .*'tiny'"):
      write_dataset(make_plan(tmp_path / "files"), sets)
    assert own.exists()
    write_dataset(make_plan(tmp_path / "files", name="other"), sets)
