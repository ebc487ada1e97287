import base64
import io
import zlib

import numpy as np
import pytest
from made_up_dataset import MadeUpDataset
from PIL import Image

from fcn_jax.data import dataset as dataset_lib
from fcn_jax.reports import thumbnails


@pytest.fixture(scope="module")
def dataset():
  return MadeUpDataset(train=40)


@pytest.fixture(scope="module")
def pairs(dataset):
  return dataset_lib.pairs(dataset, "train")


def opened(thumbnail):
  photo = base64.b64decode(
    thumbnail.photo.removeprefix("data:image/jpeg;base64,")
  )
  ids = zlib.decompress(base64.b64decode(thumbnail.ids))
  return (
    np.asarray(Image.open(io.BytesIO(photo))),
    np.frombuffer(ids, np.uint8).reshape(thumbnail.shown),
  )


def test_one_by_hand():
  image = np.zeros((40, 60, 3), np.uint8)
  image[:, 30:] = 200
  label = np.repeat(np.arange(60, dtype=np.uint8)[None], 40, 0)
  small = thumbnails.reduce(7, image, label, 6)
  photo, ids = opened(small)
  assert (small.number, small.shown) == (7, (4, 6))
  # In the middle of each ten columns.
  assert ids.tolist() == [[5, 15, 25, 35, 45, 55]] * 4
  assert photo.shape == (4, 6, 3)
  np.testing.assert_allclose(
    photo[:, [0, 5]], [[[0] * 3, [200] * 3]] * 4, atol=25
  )


def test_all_of_them_as_large_as_fits(pairs, dataset):
  made = thumbnails.make(pairs, 10_000_000)
  assert (made.images, made.longest) == (40, 384)
  assert [t.number for t in made.shown] == list(range(40))
  for thumbnail, sample in zip(
    made.shown, dataset.samples["train"], strict=True
  ):
    # Smaller than that already: not enlarged.
    np.testing.assert_array_equal(opened(thumbnail)[1], sample.label)


def sizes(pairs, side):
  return [t.bytes for t in thumbnails.make(pairs, 10**9, (side,)).shown]


def test_smaller_where_many_bytes_are_needed(pairs):
  large, small = sum(sizes(pairs, 16)), sum(sizes(pairs, 4))
  between = (large + small) // 2
  made = thumbnails.make(pairs, between, (16, 4))
  assert made.longest == 4
  assert len(made.shown) == 40
  assert sum(t.bytes for t in made.shown) <= between


def test_a_sample_where_even_the_smallest_do_not_fit(pairs):
  each = max(sizes(pairs, 4))
  made = thumbnails.make(pairs, 10 * each, (16, 4))
  numbers = [t.number for t in made.shown]
  assert 8 <= len(numbers) <= 11
  assert sum(t.bytes for t in made.shown) <= 10 * each
  assert made.images == 40
  # Evenly spaced, from the beginning to the end.
  assert numbers[0] < 4
  assert numbers[-1] >= 36
  assert set(np.diff(numbers)) <= {3, 4, 5}


def test_an_estimate_that_was_too_low(pairs, monkeypatch):
  """The images that are tried are the smallest ones."""
  monkeypatch.setattr(thumbnails, "_fit", lambda *_: (16, 40))
  least = sum(sizes(pairs, 16))
  made = thumbnails.make(pairs, least - 1, (16, 4))
  assert (made.longest, len(made.shown)) == (4, 40)
  few = sum(sizes(pairs, 4)) // 2
  made = thumbnails.make(pairs, few, (16, 4))
  assert 15 <= len(made.shown) < 25
  assert sum(t.bytes for t in made.shown) <= few


def test_no_image_at_all():
  assert thumbnails.make([], 1000) == thumbnails.Thumbnails((), 0, 384)
