import tracemalloc

import pytest

from fcn_jax.data.files import File
from fcn_jax.data.formats.names import (
  GivenLabels,
  Suffixes,
  key_of,
  paired,
  proposal,
)


@pytest.mark.parametrize(
  ("name", "suffix", "key"),
  [
    ("a/0001_mask.png", "_mask.png", "a/0001"),
    ("a/0001_MASK.PNG", "_mask.png", "a/0001"),
    ("a/0001_L.png", "_L", "a/0001"),
    ("a/0001.png", None, "a/0001"),
    ("a/0001.png", ".png", "a/0001"),
    ("a/0001.png", "_mask.png", None),
    ("x_json/img.png", "/img.png", "x_json"),
    ("a/_mask.png", "_mask.png", None),  # nothing is left of it
  ],
)
def test_keys(name, suffix, key):
  assert key_of(name, suffix) == key


def names(*patterns, count=20):
  return [p.format(f"{i:04}") for i in range(count) for p in patterns]


@pytest.mark.parametrize(
  ("images", "labels", "flags"),
  [
    (
      names("c/c_{}_000019_leftImg8bit.png"),
      names(
        "c/c_{}_000019_gtFine_color.png",
        "c/c_{}_000019_gtFine_labelIds.png",
        "c/c_{}_000019_gtFine_labelTrainIds.png",
      ),
      "--image_suffix=_leftImg8bit.png --label_suffix=_gtFine_labelIds.png "
      "(or _gtFine_color.png, _gtFine_labelTrainIds.png)",
    ),
    # Potsdam
    (
      names("top_potsdam_{}_RGB.tif"),
      names("top_potsdam_{}_label.tif"),
      "--image_suffix=_RGB.tif --label_suffix=_label.tif",
    ),
    # Ids of other lengths, one the beginning of another.
    (
      [f"{i}.jpg" for i in range(120)],
      [f"{i}_mask.png" for i in range(120)],
      "--image_suffix=.jpg --label_suffix=_mask.png",
    ),
    # Some labels are missing.
    (
      names("{}.jpg"),
      names("{}_gt.png", count=9),
      "--image_suffix=.jpg --label_suffix=_gt.png",
    ),
    (names("{}.jpg"), names("other{}.png"), None),
    (names("{}.jpg"), [], None),
  ],
)
def test_proposals(images, labels, flags):
  assert proposal(images, labels) == flags


def test_a_proposal_for_many_files():
  """Memory grows as the number of files."""

  def peak(count):
    images, labels = (
      names("{}_a.jpg", count=count),
      names("{}_b.png", count=count),
    )
    tracemalloc.start()
    try:
      assert proposal(images, labels)
      return tracemalloc.get_traced_memory()[1]
    finally:
      tracemalloc.stop()

  assert peak(400) < 5.5 * peak(100)


def test_images_of_a_folder_that_holds_labels_too():
  suffixes = Suffixes(label_suffix="_mask.png")
  assert suffixes.is_image("a.png")
  assert not suffixes.is_image("a_mask.png")
  files = {name: File(name, name) for name in ("a.png", "a_mask.png", "x.csv")}
  images, labels = suffixes.by_key(files, files, [])
  assert list(images) == list(labels) == ["a"]


def test_given_labels_are_true_if_anything_is_given():
  assert not GivenLabels()
  assert GivenLabels(label_map="pets")
  assert GivenLabels(image_suffix="_x.png")


def test_partners_that_are_missing():
  a, b = File("a.jpg", "a.jpg"), File("b.png", "b.png")
  pairs, findings = paired(
    {"a": [a, b]}, {"a": [a], "c": [b]}, "i", "l", "mend"
  )
  assert [pair.image_id for pair in pairs] == ["a"]
  assert [(f.kind, f.remedy) for f in findings] == [
    ("several files of one stem", "keep one of them"),
    ("label without image", "mend"),
  ]
