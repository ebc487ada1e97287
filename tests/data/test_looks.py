import os
import subprocess
import sys

import numpy as np
import pytest
from small_data import (
  folder_files,
  folder_format,
  label,
  photo,
  tiny_output,
  write,
)

from fcn_jax.data import checks, load_dataset, looks
from fcn_jax.data.files import File, Pair
from fcn_jax.data.formats import FORMATS
from fcn_jax.data.prepare import prepare_dataset
from fcn_jax.files import DataError


@pytest.fixture
def looked_at(monkeypatch):
  """The ids of the pairs that are decoded."""
  ids, look = [], checks.check_pair

  def noted(pair, *rest):
    ids.append(pair.image_id)
    return look(pair, *rest)

  monkeypatch.setattr(checks, "check_pair", noted)
  return ids


def prepare(root, name="tiny"):
  return prepare_dataset(
    folder_format(root), tiny_output(root, name=name), lambda line: None
  )


def broken(root):
  """Three pairs, the label of c with a class too many."""
  write(root, folder_files() | {"val/labels/c.png": label(1, 7)})
  with pytest.raises(DataError, match="7 in 24 pixels"):
    prepare(root)
  return root


def test_a_mended_file_alone_is_looked_at_again(tmp_path, looked_at):
  broken(tmp_path)
  assert sorted(looked_at) == ["a", "b", "c"]
  write(tmp_path, {"val/labels/c.png": label(1, 0)})
  prepare(tmp_path)
  assert looked_at[3:] == ["c"]
  prepare(tmp_path, "again")  # another data set: nothing is known of it
  assert sorted(looked_at[4:]) == ["a", "b", "c"]
  ours, fresh = (
    load_dataset(name, str(tmp_path / "sets")) for name in ("tiny", "again")
  )
  for split in ("train", "val"):
    assert ours.digest(split) == fresh.digest(split)
    assert list(ours.source(split)) == list(fresh.source(split))
    np.testing.assert_array_equal(ours.sizes(split), fresh.sizes(split))


def test_what_was_looked_at_is_forgotten_when_it_is_written(tmp_path):
  broken(tmp_path)
  kept = looks.cache_dir() / "looks"
  assert [file.name for file in kept.iterdir()] == ["tiny.sqlite"]
  write(tmp_path, {"val/labels/c.png": label(1, 0)})
  prepare(tmp_path)
  assert not list(kept.iterdir())


def test_a_file_with_its_old_size_and_time_is_looked_at(tmp_path, looked_at):
  broken(tmp_path)
  path = tmp_path / "train/labels/a.png"
  before = path.stat()
  path.write_bytes(label(1, 0))
  os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
  assert path.stat().st_size == before.st_size
  with pytest.raises(DataError):
    prepare(tmp_path)
  assert sorted(looked_at[3:]) == ["a", "c"]


def test_facts_come_back_as_they_were(tmp_path):
  write(tmp_path, folder_files())
  image, of = (
    File(name, str(tmp_path / f"train/{name}"))
    for name in ("images/a.jpg", "labels/a.png")
  )
  pair = Pair("a", image, of)
  found, _ = checks.check_pair(pair, checks.LabelReader(), 2)
  kept = looks.Looks(tmp_path / "kept.sqlite", 2)
  key = kept.key(pair)
  assert key not in kept
  kept[key] = found
  kept.close()
  other = looks.Looks(tmp_path / "kept.sqlite", 3)
  assert other.key(pair) != key
  other.close()
  again = looks.Looks(tmp_path / "kept.sqlite", 2)
  assert again.key(pair) == key
  for name, value in vars(again[key]).items():
    np.testing.assert_array_equal(value, getattr(found, name), strict=True)
  again.close()


def test_without_a_place_to_keep_them_all_is_looked_at(tmp_path, looked_at):
  (looks.cache_dir() / "looks").mkdir(parents=True)
  (looks.cache_dir() / "looks/tiny.sqlite").write_text("no data base" * 100)
  prepare(write(tmp_path, folder_files()))
  assert sorted(looked_at) == ["a", "b", "c"]


_KILLED = """
import os, pathlib, sys
sys.path[:0] = [{helpers!r}]
from small_data import make_plan
from fcn_jax.data import builder
builder._SHARD_BYTES = 1
root = pathlib.Path({root!r})
plan = make_plan(root / "files", 6)
digests = {{
  split: [pair.image_id.encode() for pair in pairs]
  for split, pairs in plan.splits.items()
}}
object.__setattr__(plan, "digests", digests)
png, calls = builder.index_png, []
def counted(*pair):
  calls.append(pair)
  print("read", file=sys.__stderr__)
  return png(*pair)
builder.index_png = counted
one = builder.tfds.core.writer.ExampleWriter.write
def killed(self, path, examples):
  one(self, path, examples)
  if {last!r} and path.name.endswith({last!r}):
    os._exit(9)
builder.tfds.core.writer.ExampleWriter.write = killed
builder.write_dataset(plan, root / "sets")
"""


def test_whole_shards_of_a_killed_run_are_taken_over(tmp_path):
  def run(last):
    helpers = os.path.join(os.path.dirname(__file__), "..", "helpers")
    code = _KILLED.format(root=str(tmp_path), helpers=helpers, last=last)
    ended = subprocess.run(
      [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert ended.returncode in (0, 9), ended.stderr
    return ended.returncode, ended.stderr.count("read")

  # Killed when shard 3 of 5 (from 0) is written but has no second name.
  assert run("00003-of-00005") == (9, 4)
  assert run("") == (0, 3)  # 3, 4 and the one of val
  source = load_dataset("tiny", str(tmp_path / "sets")).source("train")
  assert [example.image_id for example in source] == list("54321")
  assert [file.name for file in (tmp_path / "sets").iterdir()] == ["tiny"]


def test_each_mask_of_a_drawn_label_counts(tmp_path):
  masks = {f"masks/a_{name}.png": label(0, 255) for name in ("tree", "road")}
  write(tmp_path, masks | {"images/a.jpg": photo(1), "images/b.jpg": photo(2)})
  write(tmp_path, {"masks/b_tree.png": label(0, 255)})
  source = FORMATS["masks"](
    train_images=str(tmp_path / "images"),
    train_labels=str(tmp_path / "masks"),
    val_percent=50.0,
  )
  kept = looks.Looks(tmp_path / "kept.sqlite")

  def keys():
    found = source.find().splits.values()
    return {p.image_id: kept.key(p) for pairs in found for p in pairs}

  before = keys()
  assert None not in before.values()
  assert before == keys()
  for name in ("tree", "road"):
    write(tmp_path, {f"masks/a_{name}.png": label(255, 0)})
    after = keys()
    assert after["a"] != before["a"]
    assert after["b"] == before["b"]
    before = after
  kept.close()
