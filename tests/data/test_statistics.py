import json
import math

import numpy as np
import pytest
from places import SHARED
from small_data import row
from stored_data import StoredDataset

from fcn_jax.data.augment import Sample
from fcn_jax.data.checks import Facts, check_splits
from fcn_jax.data.files import File, Pair
from fcn_jax.data.formats import Voc
from fcn_jax.data.labels import LabelReader
from fcn_jax.data.statistics import (
  SplitStatistics,
  count_split,
  describe,
  median_frequency_weights,
  padding,
  size_range,
  split_weights,
  summarize,
)

NAMES = ("sky", "car", "bird")


@pytest.fixture
def split() -> SplitStatistics:
  """Images of 4x5, 4x5 and 2x10 pixels, height first."""
  return SplitStatistics(
    NAMES,
    ("a", "b", "c"),
    np.array([[4, 5], [4, 5], [2, 10]]),
    np.stack([row(15, 0, 0, 5), row(10, 5, 0, 5), row(20, 0, 0, 0)]),
  )


def test_pixels_images_and_shares_by_hand(split):
  assert split.pixels[[0, 1, 2, 255]].tolist() == [45, 5, 0, 10]
  assert split.images[[0, 1, 2, 255]].tolist() == [3, 1, 0, 2]
  # 50 of 60 pixels are not void.
  assert split.share_of_pixels[[0, 1, 2, 255]] == pytest.approx(
    [0.9, 0.1, 0, 10 / 60]
  )
  assert split.share_of_images[[0, 1, 255]] == pytest.approx([1, 1 / 3, 2 / 3])
  assert split.shares_of(1)[[0, 1, 255]].tolist() == [0.5, 0.25, 0.25]
  assert split.labels == [0, 1, 2, 255]
  assert split.often == [((4, 5), 2), ((2, 10), 1)]


def test_weights_by_hand(split):
  # sky: 45 of 50 pixels of all images; car: 5 of the 15 of image b.
  sky, car = 45 / 50, 5 / 15
  median = (sky + car) / 2
  assert split.weights[:2] == pytest.approx([median / sky, median / car])
  assert math.isnan(split.weights[2])
  nothing = np.zeros(3, np.int64)
  assert np.isnan(median_frequency_weights(nothing, nothing)).all()
  # Three equal classes weigh the same.
  even, whole = np.array([4, 4, 4]), np.array([12, 12, 12])
  assert median_frequency_weights(even, whole).tolist() == [1, 1, 1]


def test_the_weights_of_a_prepared_split_are_those_of_its_figures():
  """What explore_dataset shows is what the loss takes."""
  draw = np.random.default_rng(0)
  samples = [
    Sample(np.zeros((5, 6, 3), np.uint8), draw.choice([0, 1, 1, 255], (5, 6)))
    for _ in range(3)
  ]
  samples = [s._replace(label=s.label.astype(np.uint8)) for s in samples]
  found = split_weights(StoredDataset(samples, NAMES), "train")
  counts = [np.bincount(s.label.ravel(), minlength=256) for s in samples]
  figures = SplitStatistics(
    NAMES, ("a", "b", "c"), np.full((3, 2), 5), np.stack(counts)
  )
  np.testing.assert_array_equal(found, figures.weights)
  assert math.isnan(found[2])


def test_padding_by_hand(split):
  one, two = split.paddings
  assert (one.canvases, one.images) == (((4, 10),), (3,))
  assert one.share == pytest.approx(1 - 60 / 120)
  assert sorted(two.canvases) == [(2, 10), (4, 5)]
  assert two.share == 0
  unused = padding(split.sizes, ((4, 10), (9, 9)))
  assert unused.images == (3, 0)


def test_json_has_the_same_figures(split):
  figures = json.loads(json.dumps(split.figures()))
  assert figures["images"] == 3
  assert figures["pixels"] == {"sky": 45, "car": 5, "bird": 0, "(void)": 10}
  assert figures["share_of_images"]["(void)"] == pytest.approx(2 / 3)
  assert "(void)" not in figures["median_frequency_weight"]
  assert figures["sizes_height_width_count"] == [[2, 10, 1], [4, 5, 2]]
  assert figures["canvases"][0] == {
    "canvases": [[4, 10]],
    "images": [3],
    "share": 0.5,
  }
  assert figures["image_shares"]["b"] == {
    "sky": 0.5,
    "car": 0.25,
    "(void)": 0.25,
  }


def test_pairs_without_facts_are_left_out():
  a, b = (Pair(i, File(i, i), File(i + "l", i)) for i in "ab")
  cells = np.zeros((8, 9), np.float32)
  known = {b: Facts((2, 3), row(6, 0), None, b"", cells)}
  split = count_split([a, b], known, NAMES)
  assert split.image_ids == ("b",)
  assert split.sizes.tolist() == [[2, 3]]
  nothing = count_split([a], known, NAMES)
  assert nothing.paddings == []
  assert nothing.share_of_pixels.sum() == 0
  assert nothing.figures()["images"] == 0


@pytest.mark.skipif(
  not (SHARED / "data/voc2012_subset.tar").exists(),
  reason="needs genuine VOC images, which are not distributed",
)
def test_genuine_voc_is_a_part_of_the_whole():
  """94 of VOC's 2913 images, against counts of all of them."""
  whole = json.loads((SHARED / "data/voc2012_statistics.json").read_text())
  found = Voc(archive=str(SHARED / "data/voc2012_subset.tar")).find()
  splits = {split: found.splits[split] for split in ("train", "val")}
  facts, findings = check_splits(splits, LabelReader(), found.class_names)
  assert findings == []
  for split, pairs in splits.items():
    ours = count_split(pairs, facts, found.class_names)
    theirs = whole[split]
    for label in ours.labels:
      assert ours.pixels[label] <= theirs["pixels_per_index"][str(label)]
      assert ours.images[label] <= theirs["images_per_index"][str(label)]
    there = {
      (height, width): count
      for height, width, count in theirs["sizes_height_width_count"]
    }
    assert all(count <= there[size] for size, count in ours.often)
    # In every image of VOC some pixel is void, and most show background.
    assert ours.images[255] == len(pairs)
    assert ours.pixels.sum() == ours.sizes.prod(1).sum()
    share = ours.share_of_pixels[0]
    valid = sum(theirs["pixels_per_index"].values())
    valid -= theirs["pixels_per_index"]["255"]
    assert share == pytest.approx(
      theirs["pixels_per_index"]["0"] / valid, abs=0.05
    )


@pytest.mark.skipif(
  not (SHARED / "data/voc2012_statistics.json").exists(),
  reason="needs counts of VOC's sizes",
)
def test_canvases_of_the_whole_of_voc():
  whole = json.loads((SHARED / "data/voc2012_statistics.json").read_text())
  for split, images in (("train", 1464), ("val", 1449)):
    table = np.array(whole[split]["sizes_height_width_count"])
    sizes = np.repeat(table[:, :2], table[:, 2], axis=0)
    pixels = sum(whole[split]["pixels_per_index"].values())
    assert sizes.prod(1).sum() == pixels
    ours = SplitStatistics(NAMES, (), sizes, np.zeros((images, 256), np.int64))
    shares = [one.share for one in ours.paddings]
    assert len(shares) == 5
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == pytest.approx(1 - pixels / (500 * 500 * images))
    assert all(sum(one.images) == images for one in ours.paddings)


def facts(size, *counts):
  """Facts with the given pixels of classes 0, 1, ... and, last, of void."""
  table = np.zeros(256, np.int64)
  table[: len(counts) - 1] = counts[:-1]
  table[255] = counts[-1]
  cells = np.zeros((8, 9), np.float32)
  return Facts(size, table, None, b"", cells)


def test_table_by_hand():
  a, b, c = (Pair(i, File(i, i), File(i, i)) for i in "abc")
  known = {
    a: facts((4, 5), 15, 0, 5),
    b: facts((2, 10), 10, 5, 0, 5),
    c: facts((4, 5), 20, 0, 0),
  }
  known[a].counts[1] = 0
  text = summarize({"train": [a, b], "val": [c]}, known, ("sky", "car"))
  lines = text.splitlines()
  sizes = "train 2 2 different, 5x2 to 10x4, most often 5x4 (1)"
  assert lines[1].split() == sizes.split()
  assert lines[2].split() == ["val", "1", "5x4"]
  rows = {line.split()[0]: line.split() for line in lines if line.strip()}
  # train: 25 of 30 labelled pixels are sky, 5 car (one image); 10 of 40 void.
  assert rows["0"] == (["0", "sky", "25", "83.33%", "2", "20", "100.00%", "1"])
  assert rows["1"] == ["1", "car", "5", "16.67%", "1", "0", "0.00%", "0"]
  assert rows["255"] == (
    ["255", "(void)", "10", "25.00%", "2", "0", "0.00%", "0"]
  )
  assert lines[-1] == "val: car"


def test_text_by_hand():
  split = SplitStatistics(
    ("sky", "car", "bird"),
    ("a", "b"),
    np.array([[4, 5], [2, 10]]),
    np.stack([row(15, 0, 0, 5), row(10, 5, 0, 5)]),
  )
  lines = describe({"train": split}).splitlines()
  assert lines[0] == (
    "train: 2 images, 2 sizes from 5x2 to 10x4, most often 5x4 (1)"
  )
  cells = {line.split()[1]: line.split() for line in lines[2:6]}
  # sky: 25/30 of the pixels of both; car: 5/15; the median lies between.
  assert cells["sky"] == ["0", "sky", "25", "83.33%", "2", "100.00%", "0.700"]
  assert cells["car"] == ["1", "car", "5", "16.67%", "1", "50.00%", "1.750"]
  assert cells["bird"] == ["2", "bird", "0", "0.00%", "0", "0.00%", "-"]
  assert cells["(void)"] == (
    ["255", "(void)", "10", "25.00%", "2", "100.00%", "-"]
  )
  assert lines[-2].split() == ["1", "50.00%", "10x4", "(2)"]
  assert lines[-1].split() == ["2", "0.00%", "10x2", "(1),", "5x4", "(1)"]


def test_one_size_and_none():
  counts = np.stack([row(6, 0)] * 2)
  one = SplitStatistics(("a",), ("x", "y"), np.array([[2, 3]] * 2), counts)
  assert size_range(one) == "all of 3x2"
  none = SplitStatistics(
    ("a",), (), np.zeros((0, 2), np.int64), np.zeros((0, 256), np.int64)
  )
  assert size_range(none) == "no size"
  assert describe({"val": none}).startswith("val: 0 images, no size")
