import copy
import dataclasses
import hashlib
import json
import shutil

import numpy as np
import pytest
from small_data import (
  folder_files,
  folder_format,
  make_plan,
  photo,
  tiny_output,
  write,
)
from stored_data import StoredDataset

from fcn_jax.data import dataset, inspection, pipeline
from fcn_jax.data.augment import Sample
from fcn_jax.data.builder import write_dataset
from fcn_jax.data.checks import check_splits
from fcn_jax.data.classes import voc_palette
from fcn_jax.data.dataset import available_datasets, load_dataset, pairs
from fcn_jax.data.labels import LabelReader
from fcn_jax.data.prepare import prepare_dataset
from fcn_jax.files import DataError


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  write_dataset(make_plan(folder / "files"), folder / "sets")
  return str(folder / "sets")


def test_metadata(data_dir):
  data = load_dataset("tiny", data_dir)
  assert data.class_names == tuple("abcdefgh")
  assert (data.name, data.void) == ("tiny", 255)
  assert data.splits == {"train": 4, "val": 1}
  assert data.ids("train") == ("4", "3", "2", "1")
  assert data.sizes("train").tolist() == [[6, 8]] * 4
  assert data.sizes("val").dtype == np.int32
  np.testing.assert_array_equal(data.palette, voc_palette())


def test_source_is_a_sequence_and_can_be_sent(data_dir):
  source = load_dataset("tiny", data_dir).source("train")
  assert len(source) == 4
  assert source[-1].image_id == "1"
  again = copy.copy(source)
  assert "_records" not in vars(again)
  assert again[0] == source[0]
  with pytest.raises(IndexError, match="record 4 of 4"):
    source[4]


def test_unknown_names(data_dir, tmp_path):
  with pytest.raises(DataError, match="there: tiny"):
    load_dataset("huge", data_dir)
  with pytest.raises(DataError, match="there: none"):
    load_dataset("tiny", str(tmp_path))
  with pytest.raises(DataError, match=r"no split 'test'; it has train, val"):
    load_dataset("tiny", data_dir).source("test")


@pytest.mark.parametrize("name", ["../tiny", "a/tiny", "/tiny", "tiny/", ".."])
def test_a_name_is_no_path(data_dir, name):
  with pytest.raises(DataError) as error:
    load_dataset(name, data_dir)
  assert "\n" not in str(error.value)
  if name != "..":
    assert str(error.value).startswith(f"data set {name!r}: that is a path;")


@pytest.fixture
def damaged(data_dir, tmp_path):
  """A copy of the data set, to be damaged: its data_dir, and its folder."""
  shutil.copytree(data_dir, tmp_path / "sets")
  return str(tmp_path / "sets"), tmp_path / "sets/tiny/1.0.0"


def flip(path):
  """One bit of the first image, which is a JPEG."""
  data = bytearray(path.read_bytes())
  data[data.index(b"JFIF") + 4] ^= 1
  path.write_bytes(data)


def cut(path):
  path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
  ("damage", "lost"),
  [
    (flip, 1),
    (cut, 4),
    (lambda path: path.write_bytes(b""), 4),
    (lambda path: path.unlink(), 4),
    (lambda path: (path.unlink(), path.mkdir()), 4),
  ],
  ids=["flipped", "cut", "empty", "gone", "unreadable"],
)
def test_damaged_records_are_found_and_said(damaged, damage, lost):
  """The first of train is lost, perhaps all; that of val is not."""
  data_dir, folder = damaged
  damage(folder / "tiny-train.array_record-00000-of-00001")
  data = load_dataset("tiny", data_dir)
  for split, whole in (("train", False), ("val", True)):
    read = pipeline.Reader(data, split)
    if whole:
      read(0)
    else:
      with pytest.raises(DataError) as error:
        read(0)
      text = str(error.value)
      assert text.startswith(f"{folder}: record")
      assert text.endswith(
        "]; fetch the data set's files again, or prepare it anew"
      )
      assert "\n" not in text
  found = inspection.inspect_dataset(data, say=lambda line: None)
  unreadable = [x for x in found.findings if "unreadable" in x.kind]
  assert {x.file.split("/")[0] for x in unreadable} == {"train"}
  assert len(unreadable) == 2 * lost
  assert {x.remedy for x in unreadable} == {
    "fetch the data set's files again, or prepare it anew"
  }


def rewrite(folder, **changes):
  """metadata.json as before there was an index beside it, with changes."""
  path = folder / "metadata.json"
  metadata = json.loads(path.read_text())
  del metadata["index"]
  (folder / "index.npz").unlink()
  metadata["ids"] = {"train": list("4321"), "val": ["0"]}
  metadata["sizes"] = {"train": [[6, 8]] * 4, "val": [[6, 8]]}
  path.write_text(json.dumps(metadata | changes))


def test_metadata_of_older_versions(damaged, data_dir):
  old_dir, folder = damaged
  rewrite(folder)
  old, new = (load_dataset("tiny", d) for d in (old_dir, data_dir))
  for split in ("train", "val"):
    assert old.ids(split) == new.ids(split)
    assert old.sizes(split).tolist() == new.sizes(split).tolist()
  assert old.source("train")[1] == new.source("train")[1]


def test_ids_that_changed_places(damaged):
  """They would pass for each other's: training and pictures would go wrong."""
  data_dir, folder = damaged
  rewrite(folder, ids={"train": list("4231"), "val": ["0"]})
  source = load_dataset("tiny", data_dir).source("train")
  assert source[0].image_id == "4"
  with pytest.raises(DataError) as error:
    source[1]
  assert str(error.value).startswith(
    f"{folder}: record 1 of train cannot be read [it is of '3', and should be "
    "of '2']; fetch"
  )


def test_an_index_that_is_another_one_or_gone(damaged):
  data_dir, folder = damaged
  path = folder / "index.npz"
  whole = path.read_bytes()
  changed = bytearray(whole)
  changed[len(whole) // 2] ^= 1
  for data in (whole[:-1], b"", bytes(changed), None):
    path.unlink()
    if data is not None:
      path.write_bytes(data)
    with pytest.raises(DataError) as error:
      load_dataset("tiny", data_dir)
    assert str(error.value).startswith(f"{folder}: index.npz cannot be read [")
    assert "\n" not in str(error.value)
    path.write_bytes(whole)
  load_dataset("tiny", data_dir)


def test_names_of_all_kinds(tmp_path):
  plan = make_plan(tmp_path / "files")
  names = ["a b", "ä/ö", "x\ny", "\udcff"]
  train = [
    dataclasses.replace(pair, image_id=name)
    for pair, name in zip(plan.splits["train"], names, strict=True)
  ]
  splits = {"train": train, "val": plan.splits["val"], "test": []}
  plan = dataclasses.replace(
    plan, splits=splits, sizes=plan.sizes | {"test": []}
  )
  stored = dataset.encode_index(
    {s: [p.image_id for p in g] for s, g in plan.splits.items()}, plan.sizes
  )
  (tmp_path / "index.npz").write_bytes(stored)
  found = dataset._read_index(tmp_path, hashlib.sha256(stored).hexdigest())
  assert found["ids"] == {"train": names, "val": ["0"], "test": []}
  assert found["sizes"]["train"].tolist() == [[6, 8]] * 4
  assert found["sizes"]["test"].shape == (0, 2)


@pytest.mark.parametrize(
  ("changes", "said"),
  [
    (
      {"ids": {"train": ["4", "3", "2"], "val": ["0"]}},
      "metadata.json cannot be read [train has 4 records, 3 ids and 4 sizes]",
    ),
    (
      {"sizes": {"train": [[6, 8]] * 4, "val": []}},
      "metadata.json cannot be read [val has 1 records, 1 ids and 0 sizes]",
    ),
    (
      {"ids": {"train": list("4321")}, "sizes": {"train": [[6, 8]] * 4}},
      "metadata.json cannot be read [val has 1 records, 0 ids and 0 sizes]",
    ),
    (
      {"sizes": {"train": [[6, 8]] * 4, "val": [[6, 0]]}},
      "metadata.json cannot be read [val has a size below 1]",
    ),
    ({"sizes": {"train": [[6, 8, 1]] * 4}}, "metadata.json cannot be read ["),
    ({"ids": 3}, "metadata.json cannot be read ["),
    ({"palette": [["red"]]}, "metadata.json cannot be read ["),
  ],
)
def test_metadata_of_other_records_are_refused(damaged, changes, said):
  data_dir, folder = damaged
  rewrite(folder, **changes)
  with pytest.raises(DataError) as error:
    load_dataset("tiny", data_dir)
  assert str(error.value).startswith(f"{folder}: {said}")


@pytest.mark.parametrize(
  "name", ["metadata.json", "dataset_info.json", "features.json"]
)
def test_metadata_that_are_cut_are_said(damaged, name):
  data_dir, folder = damaged
  text = (folder / name).read_text()
  for left in (text[: len(text) // 2], "[1]"):
    (folder / name).write_text(left)
    with pytest.raises(DataError) as error:
      load_dataset("tiny", data_dir)
    assert f"{folder}: dataset_info.json, features.json or metadata.json" in (
      str(error.value)
    )
    assert "\n" not in str(error.value)


def test_sizes_of_other_images_are_found_and_said(damaged, data_dir):
  whole_dir = data_dir
  data_dir, folder = damaged
  rewrite(folder, sizes={"train": [[6, 8]] * 3 + [[8, 6]], "val": [[6, 8]]})
  data = load_dataset("tiny", data_dir)
  read = pipeline.Reader(data, "train")
  read(2)
  with pytest.raises(DataError) as error:
    read(3)
  assert str(error.value) == (
    f"{folder}: train/1 is of 6x8 pixels, and of 8x6 as stated; prepare it anew"
  )
  found = inspection.inspect_dataset(data, say=lambda line: None)
  (finding,) = [x for x in found.findings if "stated" in x.kind]
  assert (finding.file, finding.value) == ("train/1", "6x8, not 8x6")
  whole = inspection.inspect_dataset(load_dataset("tiny", whole_dir), print)
  assert found.errors == whole.errors + 1


def test_default_place(data_dir, monkeypatch):
  monkeypatch.setenv("TFDS_DATA_DIR", data_dir)
  assert load_dataset("tiny").splits["val"] == 1
  assert available_datasets(data_dir) == ["tiny"]


def test_records_are_checked_as_files_are(tmp_path):
  write(tmp_path, folder_files())
  prepare_dataset(
    folder_format(tmp_path), tiny_output(tmp_path), lambda line: None
  )
  data = load_dataset("tiny", str(tmp_path / "sets"))
  a, b = pairs(data, "train")
  assert (a.image_id, a.image.name) == ("a", "train/a")
  assert b.label.name == "train/b (label)"
  assert a.image.read() == photo(1)
  facts, findings = check_splits(
    {"train": [a, b]}, LabelReader(), data.class_names
  )
  assert findings == []
  # Rows of 0 1 1 255, six of eight pixels.
  assert facts[b].counts[[0, 1, 255]].tolist() == [12, 24, 12]
  with pytest.raises(DataError, match="no split 'test'"):
    pairs(data, "test")


def test_pairs_of_two_splits_differ():
  sample = Sample(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint8))
  data = StoredDataset([sample, sample], ("a", "b"))
  assert len(set(pairs(data, "train"))) == 2
