"""fcn_jax.given_labels: pairs by stem, and everything that does not fit."""

import numpy as np
import pytest
from PIL import Image
from small_data import label, photo, png, write
from stored_data import StoredDataset

from fcn_jax.data.files import DataError
from fcn_jax.data.pipeline import Sample
from fcn_jax.prediction.given_labels import find_labels, labels_of
from fcn_jax.prediction.inputs import ImageFile, find_images, images_of

NAMES = ("ground", "thing")


def files_of(root):
  return find_images([str(root / "images")], root / "out")[0]


def test_labels_are_paired_by_stem(tmp_path):
  write(
    tmp_path,
    {
      "images/a.jpg": photo(1),
      "images/deep/a.png": png(np.zeros((2, 3, 3))),
      "images/both.jpg": photo(2),
      "images/both.png": photo(2),
      "labels/a.png": label(0, 1, 255),
      "labels/deep/a.png": png([[1, 0, 255], [0, 0, 1]]),
      "labels/both.png": label(1),
      "labels/of nothing.png": png([[99]]),
      "labels/notes.txt": "mine",
    },
  )
  files = files_of(tmp_path)
  label_of = find_labels(tmp_path / "labels", files, NAMES, num_threads=2)
  found = {file.id: label_of(file) for file in files}
  assert set(found) == {"a", "deep/a", "both.jpg", "both.png"}
  assert found["deep/a"].dtype == np.uint8
  assert found["deep/a"].tolist() == [[1, 0, 255], [0, 0, 1]]
  assert (found["both.jpg"] == 1).all()
  assert found["a"][0].tolist() == [0, 1, 255, 0, 1, 255, 0, 1]


def test_paletted_labels_are_read_by_their_indices(tmp_path):
  image = Image.fromarray(np.array([[1, 0]], np.uint8))
  image.putpalette([9, 9, 9, 200, 0, 0])
  write(tmp_path, {"images/a.png": png(np.zeros((1, 2, 3)))})
  (tmp_path / "labels").mkdir()
  image.save(tmp_path / "labels/a.png")
  files = files_of(tmp_path)
  label_of = find_labels(tmp_path / "labels", files, NAMES)
  assert label_of(files[0]).tolist() == [[1, 0]]


def test_all_that_does_not_fit_is_told_at_once(tmp_path):
  write(
    tmp_path,
    {
      "images/broken.jpg": "no image",
      "images/colours.jpg": photo(1),
      "images/large.jpg": photo(2),
      "images/other.jpg": photo(3),
      "images/two.jpg": photo(4),
      "images/without.jpg": photo(5),
      "labels/broken.png": label(0, 1),
      "labels/colours.png": photo(1),
      "labels/large.png": label(0, 1, height=7),
      "labels/other.png": label(0, 1, 7),
      "labels/two.png": label(0),
      "labels/two.gif": label(0),
    },
  )
  with pytest.raises(DataError) as raised:
    find_labels(tmp_path / "labels", files_of(tmp_path), NAMES)
  said = str(raised.value)
  assert said.startswith(f"--labels={tmp_path}/labels does not fit:\n")
  for part in (
    "without.jpg: no without.* in",
    "two.gif",
    "labels/colours.png: JPEG file; its compression",
    "labels/large.png: label 8x7, image",
    "labels/other.png: 7 in 16 pixels; classes are 0..1 and 255 is void",
  ):
    assert part in said
  # An image that cannot be read is reported when it is segmented.
  assert "broken" not in said


def test_what_looks_like_a_binary_mask_is_not_scored_as_void(tmp_path):
  write(
    tmp_path,
    {"images/a.jpg": photo(1), "labels/a.png": label(0, 255)},
  )
  with pytest.raises(DataError, match="255 means void here"):
    find_labels(tmp_path / "labels", files_of(tmp_path), NAMES)


def test_no_such_folder(tmp_path):
  with pytest.raises(DataError, match="no such folder"):
    find_labels(tmp_path / "labels", [ImageFile("a", tmp_path / "a")], NAMES)


def test_labels_of_a_data_set():
  samples = [
    Sample(np.zeros((1, 2, 3), np.uint8), np.array([[i, 255]], np.uint8))
    for i in range(2)
  ]
  dataset = StoredDataset(samples, NAMES)
  label_of = labels_of(dataset, list(NAMES))
  found = [label_of(f).tolist() for f in images_of(dataset, "train")]
  assert found == [[[0, 255]], [[1, 255]]]
  with pytest.raises(
    DataError, match=r"not the network's \(ground, cat\).*none"
  ):
    labels_of(dataset, ("ground", "cat"))
