import io
import time

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from small_data import soft_scene as scene

from fcn_jax.data import fingerprints
from fcn_jax.data.fingerprints import difference_hash, find_closest, grey_cells


def cells_of(*images: Image.Image) -> np.ndarray:
  return np.stack([grey_cells(np.asarray(i.convert("RGB"))) for i in images])


def test_cells_by_hand():
  image = np.zeros((16, 27, 3), np.uint8)
  image[:2, :3] = (256 // 4, 0, 0)  # the first cell, 2 rows of 3 pixels
  image[1, 3] = (0, 240, 0)  # one of six pixels of the second
  cells = grey_cells(image)
  # 77/256 of red, 150/256 of green.
  assert cells[0, 0] == pytest.approx(64 * 77 / 256)
  assert cells[0, 1] == pytest.approx(240 * 150 / 256 / 6)
  assert np.count_nonzero(cells) == 2


def test_uneven_and_tiny_images():
  ramp = np.broadcast_to(np.arange(13)[None, :, None], (10, 13, 3))
  cells = grey_cells(ramp.astype(np.uint8))
  # 13 columns in 9 cells begin at 0 1 2 4 5 7 8 10 11.
  assert cells[0].tolist() == [0, 1, 2.5, 4, 5.5, 7, 8.5, 10, 11.5]
  one = grey_cells(np.full((1, 1, 3), 5, np.uint8))
  assert (one == 5).all()


def test_hash_by_hand():
  cells = np.zeros((1, 8, 9), np.float32)
  assert difference_hash(cells) == [0]
  cells[0, 0, 1] = 1  # rises once, and falls
  assert difference_hash(cells) == [1 << 63]
  cells[0, 7, 8] = 1
  assert difference_hash(cells) == [(1 << 63) + 1]


def changed(image: Image.Image) -> dict[str, Image.Image]:
  stream = io.BytesIO()
  image.save(stream, "JPEG", quality=30)
  return {
    "saved anew": Image.open(stream),
    "half the size": image.resize((image.width // 2, image.height // 2)),
    "lighter": ImageEnhance.Brightness(image).enhance(1.15),
    "less contrast": ImageEnhance.Contrast(image).enhance(0.8),
    "grey": image.convert("L"),
  }


@pytest.mark.parametrize("change", list(changed(scene(0))))
def test_copies_are_found_and_others_are_not(change):
  scenes = [scene(seed) for seed in range(40)]
  copies = [changed(s)[change] for s in scenes[:20]]
  strangers = [scene(seed) for seed in range(100, 120)]
  found = find_closest(cells_of(*copies, *strangers), cells_of(*scenes))
  assert found.index.tolist() == [*range(20), *[-1] * 20]
  assert found.bits[:20].max() <= 6


def test_the_threshold_is_six_bits():
  base = cells_of(scene(3))
  steps = np.diff(base[0], axis=1)
  # The flattest steps are turned round, one bit each.
  rows, columns = np.unravel_index(np.abs(steps).ravel().argsort(), steps.shape)
  for bits in (6, 7):
    other = base.copy()
    done = set()
    for row, column in zip(rows, columns, strict=True):
      if len(done) == bits:
        break
      if row not in done:  # one a row, so that no other bit changes
        done.add(row)
        other[0, row, column + 1 :] -= 2 * steps[row, column]
    assert np.bitwise_count(
      difference_hash(base) ^ difference_hash(other)
    ).tolist() == [bits]
    found = find_closest(other, base)
    assert found.index.tolist() == [0 if bits == 6 else -1]


def test_equal_bits_are_not_enough():
  """Two pictures that rise from left to right, each in its own way."""
  ramp = np.broadcast_to(np.arange(9), (8, 9)).astype(np.float32)
  step = np.where(ramp < 8, ramp / 100, 8)
  pair = np.stack([ramp, step])
  assert np.ptp(difference_hash(pair)) == 0
  assert find_closest(pair[:1], pair[1:]).index.tolist() == [-1]
  assert find_closest(pair[:1] * 0.5 + 90, pair[:1]).index.tolist() == [0]


def test_the_most_alike_is_named_and_flat_images_are_not():
  base = cells_of(scene(5))[0]
  noise = np.random.default_rng(0).normal(size=(8, 9)).astype(np.float32)
  others = np.stack([base + 2 * noise, base + 0.1 * noise, base + noise])
  assert find_closest(base[None], others).index.tolist() == [1]
  flat = np.full((2, 8, 9), 7, np.float32)
  assert find_closest(flat, flat).index.tolist() == [-1, -1]
  nothing = np.zeros((0, 8, 9), np.float32)
  assert find_closest(nothing, others).index.shape == (0,)
  assert find_closest(others, nothing).index.tolist() == [-1] * 3


def compared_with_all(images, others) -> list[int]:
  """The same by comparing every image with every other."""
  hashes = difference_hash(images)[:, None], difference_hash(others)
  near = np.bitwise_count(hashes[0] ^ hashes[1]) <= 6
  flat = [x.reshape(len(x), -1).astype(float) for x in (images, others)]
  correlation = np.corrcoef(*flat)[: len(images), len(images) :]
  near &= correlation >= 0.97
  best = np.where(near, correlation, -1).argmax(1)
  return np.where(near.any(1), best, -1).tolist()


def test_it_finds_what_comparing_all_finds(monkeypatch):
  """Copies in all degrees, of which many are just about like enough."""
  monkeypatch.setattr(fingerprints, "_PAIRS_AT_ONCE", 50)
  rng = np.random.default_rng(0)
  base = rng.normal(100, 40, (40, 8, 9)).astype(np.float32)
  strength = np.array([2, 6, 15, 30])[:, None, None, None]
  images, others = (
    (base + strength * rng.normal(0, 1, (4, 40, 8, 9)))
    .reshape(-1, 8, 9)
    .astype(np.float32)
    for _ in range(2)
  )
  found = find_closest(images, others)
  expected = compared_with_all(images, others)
  assert found.index.tolist() == expected
  assert 60 < sum(i >= 0 for i in expected) < 150
  alike = np.flatnonzero(found.index >= 0)
  hashes = difference_hash(images)[alike], difference_hash(others)
  assert np.array_equal(
    found.bits[alike],
    np.bitwise_count(hashes[0] ^ hashes[1][found.index[alike]]),
  )


def compared(images: int) -> int:
  """Pairs that are looked at, of so many images and as many others."""
  rng = np.random.default_rng(images)
  hashes, others = rng.integers(0, 1 << 64, (2, images), np.uint64)
  found = fingerprints._pairs_with_a_near_quarter(hashes, others)
  return sum(len(of) for of, _ in found)


def test_few_of_all_pairs_are_compared():
  assert compared(4000) < 4000 * 4000 / 800


def test_thousands_are_compared_in_seconds():
  rng = np.random.default_rng(0)
  images = rng.normal(100, 40, (3000, 8, 9)).astype(np.float32)
  noise = rng.normal(0, 0.3, images.shape).astype(np.float32)
  start = time.process_time()
  found = find_closest(images[::-1] + noise, images)
  assert time.process_time() - start < 5
  assert found.index.tolist() == list(range(2999, -1, -1))
