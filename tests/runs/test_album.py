"""fcn_jax.runs.album: which images are kept, and for how long."""

import json

import numpy as np
import pytest
from PIL import Image
from stored_data import StoredDataset

from fcn_jax.data.augment import Sample
from fcn_jax.data.classes import voc_palette
from fcn_jax.runs import album

NAMES = ("ground", "cat", "dog", "bird")


def dataset(labels, seed=0) -> StoredDataset:
  draw = np.random.default_rng(seed)
  labels = [np.array(label, np.uint8) for label in labels]
  found = StoredDataset(
    [
      Sample(draw.integers(0, 256, (*label.shape, 3), np.uint8), label)
      for label in labels
    ],
    NAMES,
  )
  object.__setattr__(found, "palette", voc_palette())
  return found


@pytest.fixture
def three() -> StoredDataset:
  return dataset([[[0, 1]], [[0, 2], [255, 2]], [[3, 1], [0, 0]]])


def test_images_that_show_many_classes_are_chosen():
  """By hand: id2 is the first of those with most classes, 0, 1 and 2.

  After it only id1 adds a class, 3; of the others, which add none, id3 has the
  most classes (void is none), then id0 is the first.
  """
  labels = [[[0, 1]], [[0, 3]], [[0, 1, 2]], [[2, 1, 0, 255]], [[255, 0, 0, 1]]]
  there = dataset(labels)
  assert album.choose(there, "train", 2) == ["id1", "id2"]
  assert album.choose(there, "train", 4) == ["id0", "id1", "id2", "id3"]
  assert album.choose(there, "train", 9) == [f"id{i}" for i in range(5)]


def test_of_many_images_a_few_at_even_distances_are_looked_at():
  """24 of 47: every second one, where the odd ones show more."""
  labels = [[[0]] if i % 2 == 0 else [[0, 1, 2]] for i in range(47)]
  chosen = album.choose(dataset(labels), "train", 4)
  assert chosen == ["id0", "id2", "id4", "id6"]


def test_what_is_kept_comes_back(three, tmp_path):
  ids = album.begin(tmp_path, three, "train", -1)
  assert ids == ["id0", "id1", "id2"]
  first = {
    id_: np.full(three.samples[i].label.shape, i, np.uint8)
    for i, id_ in enumerate(ids)
  }
  album.add(tmp_path, 0, first, [0], 0)
  second = {
    id_: three.samples[i].label.clip(max=3) for i, id_ in enumerate(ids)
  }
  album.add(tmp_path, 5, second, [0, 5], 5)
  found = album.read(tmp_path)
  assert (found.split, found.class_names) == ("train", NAMES)
  np.testing.assert_array_equal(found.palette, three.palette)
  for i, picture in enumerate(found.pictures):
    assert picture.image_id == ids[i]
    assert picture.size == three.samples[i].label.shape
    np.testing.assert_array_equal(picture.truth, three.samples[i].label)
    assert list(picture.predictions) == [0, 5]
    np.testing.assert_array_equal(picture.predictions[0], first[ids[i]])
    np.testing.assert_array_equal(picture.predictions[5], second[ids[i]])
    assert picture.image.shape == (*picture.size, 3)
  with Image.open(
    tmp_path / "validation_pictures/prediction/5/id2.png"
  ) as image:
    assert image.mode == "P", "anyone's viewer shows the class colours"
    assert image.convert("RGB").getpixel((0, 0)) == (128, 128, 0)


def test_a_resumed_run_keeps_what_came_before_its_checkpoint(three, tmp_path):
  ids = album.begin(tmp_path, three, "train", -1)
  labels = {ids[0]: np.zeros((1, 2), np.uint8)}
  for step in (0, 5, 10):
    album.add(tmp_path, step, labels, [0, 5, 10], 0)
  (tmp_path / "validation_pictures/prediction/15.tmp").mkdir()
  assert album.begin(tmp_path, three, "train", 5) == ids
  assert list(album.read(tmp_path).pictures[0].predictions) == [0, 5]
  assert not list(tmp_path.rglob("*.tmp"))
  # The same step again, as after a checkpoint without a record.
  album.add(tmp_path, 5, {ids[0]: np.full((1, 2), 3, np.uint8)}, [0, 5], 5)
  assert album.read(tmp_path).pictures[0].predictions[5].tolist() == [[3, 3]]
  # A run from the beginning, and one on other data, start anew.
  album.begin(tmp_path, three, "train", -1)
  assert album.read(tmp_path).pictures[0].predictions == {}
  album.add(tmp_path, 0, labels, [0], 0)
  other = dataset([[[0, 1]], [[0, 1]]])
  object.__setattr__(other, "name", "other")
  assert album.begin(tmp_path, other, "train", 0) == ["id0", "id1"]
  found = album.read(tmp_path)
  assert [p.predictions for p in found.pictures] == [{}, {}]


def test_ids_once_chosen_stay(three, tmp_path, monkeypatch):
  album.begin(tmp_path, three, "train", -1)
  monkeypatch.setattr(album, "choose", lambda *_: pytest.fail("chosen anew"))
  assert album.begin(tmp_path, three, "train", 3) == ["id0", "id1", "id2"]


def test_early_steps_are_thinned_and_the_best_stays(
  three, tmp_path, monkeypatch
):
  """At most 4 at even distances: of 9 validations every fourth is one of them.

  Beside them the latest, and the best, which was no longer the latest.
  """
  assert album.evenly(range(4), 4) == range(4)
  assert list(album.evenly(range(9), 4)) == [0, 4, 8]
  assert list(album.evenly(range(8), 4)) == [0, 2, 4, 6]
  monkeypatch.setattr(album, "_MOST_STEPS", 4)
  ids = album.begin(tmp_path, three, "train", -1)
  labels = {ids[0]: np.zeros((1, 2), np.uint8)}
  steps = [10 * i for i in range(10)]
  for number, step in enumerate(steps):
    done = steps[: number + 1]
    album.add(tmp_path, step, labels, done, min(step, 30))
  assert list(album.read(tmp_path).pictures[0].predictions) == [
    0,
    30,
    40,
    80,
    90,
  ]


def test_large_images_are_reduced(tmp_path):
  """1024 x 2 pixels: half of each side, and labels that are no mixture."""
  there = dataset([np.repeat([[1], [3]], 1024, 1)])
  ids = album.begin(tmp_path, there, "train", -1)
  album.add(tmp_path, 0, {ids[0]: np.full((2, 1024), 2, np.uint8)}, [0], 0)
  (picture,) = album.read(tmp_path).pictures
  assert picture.size == (2, 1024)
  assert picture.image.shape == (1, 512, 3)
  assert picture.truth.shape == picture.predictions[0].shape == (1, 512)
  assert set(np.unique(picture.truth)) <= {1, 3}
  assert (picture.predictions[0] == 2).all()


def test_a_workdir_without_pictures_has_none(tmp_path):
  assert album.read(tmp_path) is None
  # Killed before the first was complete.
  (tmp_path / "validation_pictures/image").mkdir(parents=True)
  assert album.read(tmp_path) is None


def test_what_it_says_of_itself_is_json(three, tmp_path):
  album.begin(tmp_path, three, "train", -1)
  about = json.loads((tmp_path / "validation_pictures/about.json").read_text())
  assert about["sizes"] == {"id0": [1, 2], "id1": [2, 2], "id2": [2, 2]}
