"""fcn_jax.data.pipeline: which images a step sees, and where they lie."""

import dataclasses

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from stored_data import StoredDataset

from fcn_jax.data import pipeline, sampling
from fcn_jax.data.augment import (
  AUGMENTATIONS,
  Augmentation,
  Sample,
  random_crop,
)
from fcn_jax.data.canvases import assign, choose_canvases
from fcn_jax.data.sampling import Sampler, highest_factors, repeat_factors


def sample(height: int, width: int, seed: int = 0) -> Sample:
  rng = np.random.default_rng(seed)
  return Sample(
    rng.integers(1, 256, (height, width, 3), np.uint8),
    rng.integers(0, 5, (height, width), np.uint8),
  )


# Where images lie.


def test_an_image_lies_at_the_top_left():
  """2 x 3 on 3 x 4, in the second of three places."""
  other, one = sample(1, 1, 1), sample(2, 3)
  batch = pipeline.place([other, one], [5, 2], (3, 4), 3)
  np.testing.assert_array_equal(batch.image[1, :2, :3], one.image)
  np.testing.assert_array_equal(batch.label[1, :2, :3], one.label)
  assert not batch.image[1, 2:].any()
  assert not batch.image[1, :, 3:].any()
  assert (batch.label[1, 2:] == 255).all()
  assert (batch.label[1, :, 3:] == 255).all()
  assert batch.extent.tolist() == [[1, 1], [2, 3], [0, 0]]
  assert batch.position[:2].tolist() == [5, 2]
  assert not batch.image[2].any()
  assert (batch.label[2] == 255).all()


def test_images_without_labels():
  """One of two: its canvas is void; none of two: there are no labels."""
  bare = Sample(sample(1, 2).image, None)
  part = pipeline.place([bare, sample(2, 1)], [0, 1], (2, 2), 2)
  assert part.label[0].tolist() == [[255, 255], [255, 255]]
  assert (part.label[1, :, 0] != 255).all()
  assert part.extent.tolist() == [[1, 2], [2, 1]]
  assert pipeline.place([bare, bare], [0, 1], (2, 2), 3).label is None


def test_parts_by_hand():
  """Sizes 2x2, 3x1, 1x1, 2x1 on canvases 2x2 and 3x2, two images a part."""
  sizes = np.array([[2, 2], [3, 1], [1, 1], [2, 1]])
  parts = pipeline.parts_of(sizes, ((2, 2), (3, 2)), 2)
  assert [(canvas, members.tolist()) for canvas, members in parts] == [
    ((2, 2), [0, 2]),
    ((2, 2), [3]),
    ((3, 2), [1]),
  ]


@hypothesis.given(
  sizes=st.lists(
    st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=7
  ),
  most=st.integers(1, 3),
  part_size=st.integers(1, 4),
)
def test_a_divided_batch_is_the_batch(sizes, most, part_size):
  """Every image is there once, under its position, on its canvas."""
  samples = [sample(*size, seed) for seed, size in enumerate(sizes)]
  canvases = choose_canvases(np.array(sizes), most)
  parts = pipeline.divide(samples, canvases, part_size)
  wanted = assign(np.array(sizes), canvases)
  assert len(parts) == sum(-(-n // part_size) for n in np.bincount(wanted) if n)
  seen = []
  for part in parts:
    assert part.image.shape[0] == part_size
    for i, (height, width) in enumerate(part.extent):
      if (height, width) == (0, 0):
        continue
      position = int(part.position[i])
      seen.append(position)
      np.testing.assert_array_equal(
        part.image[i, :height, :width], samples[position].image
      )
      np.testing.assert_array_equal(
        part.label[i, :height, :width], samples[position].label
      )
      assert part.image.shape[1:3] == canvases[wanted[position]]
      assert (part.label[i] != 255).sum() == height * width
  assert sorted(seen) == list(range(len(samples)))


# Which images a step sees.


def order_of(sampler: Sampler, steps: int) -> list[int]:
  return [i for step in range(steps) for i in sampler.indices(step)]


def test_sequential_by_hand():
  """DIGITS' order: as stored, and straight on into the next epoch."""
  sampler = Sampler(5, 3, "sequential", seed=0)
  assert sampler.steps_per_epoch == 2
  assert [sampler.indices(step) for step in range(4)] == [
    (0, 1, 2),
    (3, 4, 0),
    (1, 2, 3),
    (4, 0, 1),
  ]


@pytest.mark.parametrize(("images", "batch"), [(7, 3), (4, 4), (3, 5), (1, 2)])
def test_every_epoch_of_a_shuffle_is_a_permutation(images, batch):
  """Also where batches straddle epochs."""
  sampler = Sampler(images, batch, "shuffle", seed=4)
  order = order_of(sampler, 6 * images)
  epochs = [
    tuple(order[i : i + images])
    for i in range(0, len(order) - images + 1, images)
  ]
  assert all(sorted(epoch) == list(range(images)) for epoch in epochs)
  if images > 3:
    assert len(set(epochs)) > len(epochs) / 2


def test_with_replacement_every_image_is_as_likely():
  """2000 draws of 5: 400 each, give or take 18; a batch may repeat one."""
  sampler = Sampler(5, 4, "with_replacement", seed=1)
  counts = np.bincount(order_of(sampler, 500), minlength=5)
  assert np.abs(counts - 400).max() < 4 * 18
  repeats = [len(set(sampler.indices(step))) < 4 for step in range(500)]
  # 1 - 5 * 4 * 3 * 2 / 5 ** 4 = 0.808
  assert np.mean(repeats) == pytest.approx(0.808, abs=0.08)


@pytest.mark.parametrize("order", sampling.ORDERS)
@pytest.mark.parametrize("canvas_of", [None, (0, 1, 1, 0, 1, 0, 0)])
def test_the_order_is_a_function_of_seed_and_step(order, canvas_of):
  if order == "with_replacement" and canvas_of:
    canvas_of = None
  sampler = Sampler(7, 2, order, seed=3, canvas_of=canvas_of)
  again = Sampler(7, 2, order, seed=3, canvas_of=canvas_of)
  forwards = [sampler.indices(step) for step in range(20)]
  assert [again.indices(step) for step in reversed(range(20))] == forwards[::-1]
  other = dataclasses.replace(sampler, seed=4)
  differs = [other.indices(step) for step in range(20)] != forwards
  assert differs == (order != "sequential")


def test_the_orders_stay_what_they_are():
  """With another order, runs that are resumed would not be themselves."""
  shuffled = order_of(Sampler(5, 5, "shuffle", seed=0), 2)
  assert shuffled == [2, 4, 3, 0, 1, 1, 4, 3, 0, 2]
  replaced = order_of(Sampler(5, 5, "with_replacement", seed=0), 2)
  assert replaced == [0, 2, 4, 3, 3, 1, 0, 0, 4, 0]


def test_images_repeat_as_often_as_their_factors_say():
  """0.5, 1, 2 and 2.5: six draws an epoch, each rounded down or up."""
  sampler = Sampler(4, 2, "shuffle", seed=3, factors=(0.5, 1.0, 2.0, 2.5))
  assert (sampler.draws_per_epoch, sampler.steps_per_epoch) == (6, 3)
  drawn = np.array(order_of(sampler, 3 * 60)).reshape(60, 6)
  counts = np.stack([np.bincount(epoch, minlength=4) for epoch in drawn])
  assert set(counts[:, 0]) == {0, 1}
  assert (counts[:, 1:3] == [1, 2]).all()
  assert set(counts[:, 3]) == {2, 3}
  assert 18 < counts[:, 0].sum() < 42  # 30 on average
  assert (drawn != np.sort(drawn)).any()


def test_factors_are_probabilities_with_replacement():
  sampler = Sampler(3, 4, "with_replacement", seed=1, factors=(0.0, 1.0, 3.0))
  counts = np.bincount(order_of(sampler, 500), minlength=3)
  assert counts[0] == 0
  assert counts[2] / counts.sum() == pytest.approx(0.75, abs=0.03)
  assert sampler.indices(7) == Sampler(
    3, 4, "with_replacement", seed=1, factors=(0.0, 1.0, 3.0)
  ).indices(7)
  with pytest.raises(ValueError, match="all repeat factors are 0"):
    Sampler(2, 1, "shuffle", 0, factors=(0.0, 0.0))


def test_every_class_has_its_images_in_an_epoch():
  """Two of each of three classes; image 3 is the only one of its class."""
  groups = ((0, 1, 2), (3,), (1, 2, 3, 4))
  sampler = Sampler(5, 3, "shuffle", seed=2, groups=groups, images_per_group=2)
  assert (sampler.draws_per_epoch, sampler.steps_per_epoch) == (6, 2)
  drawn = np.array(order_of(sampler, 24)).reshape(12, 6)
  for epoch in drawn:
    rest = list(epoch)
    rest.remove(3)
    rest.remove(3)
    assert set(rest) <= {0, 1, 2, 3, 4}
  # 24 draws of each class: each of the first is drawn 8 times, and so on.
  counts = np.bincount(drawn.ravel(), minlength=5)
  assert counts.tolist() == [8, 8 + 6, 8 + 6, 24 + 6, 6]


def test_repeat_factors_by_hand():
  """Classes in 4, 1 and 0 of 4 images; 1/4 is a quarter of the threshold 1."""
  there = np.array(
    [[1, 1, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0]], bool
  )[:4]
  assert repeat_factors(there, 1.0).tolist() == [2, 1, 1, 1]
  assert repeat_factors(there, 0.2).tolist() == [1, 1, 1, 1]
  nothing = np.zeros((1, 3), bool)
  factors = np.array([0.0, 3.0, 1.0])
  assert highest_factors(there, factors).tolist() == [3, 0, 0, 0]
  assert highest_factors(nothing, factors).tolist() == [1]


def test_by_canvas_by_hand():
  """Three images of canvas 0 in batches of 2, two of canvas 1 in one."""
  sampler = Sampler(5, 2, "sequential", seed=0, canvas_of=(0, 1, 0, 1, 0))
  assert sampler.steps_per_epoch == 3
  assert [sampler.indices(step) for step in range(4)] == [
    (0, 2),
    (4, 0),
    (1, 3),
    (0, 2),
  ]


@hypothesis.given(
  canvas_of=st.lists(st.integers(0, 2), min_size=1, max_size=12),
  batch=st.integers(1, 4),
  seed=st.integers(0, 9),
)
def test_by_canvas_every_batch_has_one_canvas(canvas_of, batch, seed):
  """And an epoch every image, a canvas being filled up from its own."""
  canvas_of = tuple(canvas_of)
  sampler = Sampler(len(canvas_of), batch, "shuffle", seed, canvas_of)
  for epoch in range(2):
    first = epoch * sampler.steps_per_epoch
    steps = range(first, first + sampler.steps_per_epoch)
    batches = [sampler.indices(step) for step in steps]
    assert all(len(indices) == batch for indices in batches)
    assert all(len({canvas_of[i] for i in b}) == 1 for b in batches)
    assert {i for b in batches for i in b} == set(range(len(canvas_of)))
    drawn = np.bincount(np.concatenate(batches))
    for canvas in set(canvas_of):
      members = [
        n for n, c in zip(drawn, canvas_of, strict=True) if c == canvas
      ]
      fill = -sum(canvas == c for c in canvas_of) % batch
      assert sum(members) - len(members) == fill


def test_the_batches_of_a_shuffle_by_canvas_are_mixed():
  sampler = Sampler(40, 2, "shuffle", 0, tuple([0] * 20 + [1] * 20))
  canvases = [sampler.indices(step)[0] >= 20 for step in range(20)]
  assert sorted(canvases) != canvases
  assert sum(canvases) == 10


def test_an_unknown_order_is_refused():
  with pytest.raises(ValueError, match="order = 'random'; there is sequential"):
    Sampler(5, 1, "random", 0)


# Reading.


# Five images of different sizes.
STORED = StoredDataset([sample(3 + i, 6 - i, i) for i in range(5)], "abcde")
READ = pipeline.Reader(STORED, "train")


def loader(**options) -> pipeline.Loader:
  fields = {
    "dataset": STORED,
    "split": "train",
    "sampler": Sampler(5, 2, "shuffle", seed=6),
    "canvases": ((5, 6), (7, 6)),
    "part_size": 2,
    "num_threads": 0,
  }
  return pipeline.Loader(**(fields | options))


def images_of(drawn: pipeline.Batch) -> dict[int, np.ndarray]:
  """The images of a drawn batch by position."""
  return {
    int(part.position[i]): part.image[i, :height, :width]
    for part in drawn.parts
    for i, (height, width) in enumerate(part.extent)
    if height
  }


def test_a_step_is_what_was_drawn():
  drawn = loader().batch(3)
  assert drawn.indices == Sampler(5, 2, "shuffle", seed=6).indices(3)
  for position, image in images_of(drawn).items():
    index = drawn.indices[position]
    np.testing.assert_array_equal(image, STORED.samples[index].image)


@pytest.mark.parametrize("threads", [0, 2])
def test_reading_ahead_and_resuming_change_nothing(threads):
  """Steps 4 .. 6 of a run that starts there are those of an unbroken one."""
  whole = list(
    loader(num_threads=threads, augmentations=("mirror",)).steps(0, 7)
  )
  resumed = list(loader(augmentations=("mirror",)).steps(4, 7))
  assert [d.indices for d in resumed] == [d.indices for d in whole[4:]]
  for ours, theirs in zip(resumed, whole[4:], strict=True):
    for a, b in zip(ours.parts, theirs.parts, strict=True):
      for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(
  ("batch_size", "canvas_of", "part_size", "expected"),
  [
    (1, None, 1, True),
    (2, None, 2, False),  # its images may lie on several canvases
    (2, (0, 0, 1), 2, True),
    (3, (0, 0, 1), 2, False),
  ],
)
def test_whether_every_batch_is_one_part(
  batch_size, canvas_of, part_size, expected
):
  sampler = Sampler(3, batch_size, "shuffle", 0, canvas_of)
  several = loader(sampler=sampler, part_size=part_size)
  assert several.one_part == expected
  single = dataclasses.replace(several, canvases=several.canvases[-1:])
  assert single.one_part == (batch_size <= part_size)


@pytest.mark.parametrize("batch_size", [1, 5])
def test_processes_have_the_rows_of_one(batch_size):
  """Parts of four of which each has two rows; the last have empty places."""
  options = {"part_size": 4, "augmentations": ("mirror",), "num_threads": 0}
  options["sampler"] = Sampler(4, batch_size, "shuffle", 3)
  whole = loader(**options)
  shares = [loader(**options, rows=slice(first, first + 2)) for first in (0, 2)]
  for step in range(4):
    expected = whole.batch(step)
    drawn = [share.batch(step) for share in shares]
    assert {one.indices for one in drawn} == {expected.indices}
    for part, *rows in zip(
      expected.parts, *(one.parts for one in drawn), strict=True
    ):
      for array, *own in zip(part, *rows, strict=True):
        np.testing.assert_array_equal(np.concatenate(own), array)


def test_processes_agree_on_canvases_whatever_was_cut():
  """Images that were cut stay on the canvas that holds them whole."""
  cut = random_crop(pixels=2)
  shares = [
    loader(augmentations=(cut,), part_size=2, rows=slice(i, i + 1))
    for i in range(2)
  ]
  for step in range(3):
    one, other = (
      [part.image.shape for part in share.batch(step).parts] for share in shares
    )
    assert one == other


def test_shares_of_a_split_are_the_split():
  read = pipeline.Reader(loader().dataset, "train")
  found = [
    [
      index
      for drawn in pipeline.in_canvas_order(read, ((9, 9),), 2, 0, share=share)
      for index in drawn.indices
    ]
    for share in ((0, 3), (1, 3), (2, 3))
  ]
  assert found == [[0, 3], [1, 4], [2]]


def test_mirrored_images_take_their_labels_along():
  flips = []
  for drawn in loader(augmentations=("mirror",)).steps(0, 40):
    for part in drawn.parts:
      for i, (height, width) in enumerate(part.extent):
        if not height:
          continue
        true = STORED.samples[drawn.indices[part.position[i]]]
        image = part.image[i, :height, :width]
        label = part.label[i, :height, :width]
        flipped = not np.array_equal(image, true.image)
        if flipped:
          image, label = image[:, ::-1], label[:, ::-1]
        np.testing.assert_array_equal(image, true.image)
        np.testing.assert_array_equal(label, true.label)
        flips.append(flipped)
  assert len(flips) == 80
  assert 20 < sum(flips) < 60


def test_in_canvas_order_every_image_comes_once():
  canvases = ((5, 6), (7, 6))
  drawn = list(pipeline.in_canvas_order(READ, canvases, 2, 0))
  assert [d.indices for d in drawn] == [(0, 1), (2,), (3, 4)]
  for d in drawn:
    assert len(d.parts) == 1
    assert d.parts[0].image.shape[0] == 2
    for position, image in images_of(d).items():
      true = STORED.samples[d.indices[position]]
      np.testing.assert_array_equal(image, true.image)


def test_in_canvas_order_batches_without_a_wanted_image_are_left_out():
  canvases = ((5, 6), (7, 6))
  every = list(pipeline.in_canvas_order(READ, canvases, 2, 0))
  wanted = [True, False, False, False, True]
  some = list(pipeline.in_canvas_order(READ, canvases, 2, 0, wanted))
  assert [d.indices for d in some] == [(0, 1), (3, 4)]
  for one, same in zip(some, (every[0], every[2]), strict=True):
    for array, expected in zip(one.parts[0], same.parts[0], strict=True):
      np.testing.assert_array_equal(array, expected)


def test_cut_images_take_their_labels_along():
  height, width = 9, 12
  place = np.arange(height * width, dtype=np.uint8).reshape(height, width)
  marked = Sample(np.repeat(place[..., None], 3, -1), place)
  stored = StoredDataset([marked], [str(i) for i in range(255)])
  cut = loader(
    dataset=stored,
    sampler=Sampler(1, 2, "sequential", seed=0),
    canvases=((height, width),),
    augmentations=(random_crop(2),),
  )
  tops, lefts, sizes = set(), set(), set()
  for drawn in cut.steps(0, 60):
    for image, label in (
      (part.image[i, :h, :w], part.label[i, :h, :w])
      for part in drawn.parts
      for i, (h, w) in enumerate(part.extent)
    ):
      np.testing.assert_array_equal(image[..., 0], label)
      assert (np.diff(label.astype(int), axis=1) == 1).all()
      assert (np.diff(label.astype(int), axis=0) == width).all()
      tops.add(int(label[0, 0]) // width)
      lefts.add(int(label[0, 0]) % width)
      sizes.add(label.shape)
  assert tops == lefts == {0, 1, 2}
  # 0 to 2 pixels off each end: 5 to 9 rows by 8 to 12 columns.
  assert sizes <= {(h, w) for h in range(5, 10) for w in range(8, 13)}
  assert {h for h, _ in sizes} == {5, 6, 7, 8, 9}


def test_a_cut_leaves_at_least_one_pixel():
  one = Sample(np.zeros((1, 2, 3), np.uint8), np.zeros((1, 2), np.uint8))
  tiny = loader(
    dataset=StoredDataset([one], ["a"]),
    sampler=Sampler(1, 2, "sequential", seed=0),
    canvases=((1, 2),),
    augmentations=(random_crop(50),),
  )
  for drawn in tiny.steps(0, 5):
    assert drawn.parts[0].extent.tolist() == [[1, 2], [1, 2]]


def test_a_batch_of_one_canvas_stays_one_part_when_cut():
  """A 10 x 10 image that is cut to 8 x 8 would fit the other canvas too."""
  stored = [sample(*size) for size in ((8, 8), (10, 10), (10, 9), (9, 10))]
  cut = loader(
    dataset=StoredDataset(stored, "abcde"),
    sampler=Sampler(4, 2, "shuffle", 0, canvas_of=(0, 1, 1, 1)),
    canvases=((8, 8), (10, 10)),
    augmentations=(random_crop(2),),
  )
  assert cut.one_part
  drawn = [cut.batch(step) for step in range(20)]
  assert all(len(one.parts) == 1 for one in drawn)
  assert all((one.parts[0].extent > 0).all() for one in drawn)
  # Where all images of a batch fit the smaller canvas, they lie there.
  assert {one.parts[0].image.shape[1:3] for one in drawn} == {(8, 8), (10, 10)}


def test_an_augmentation_by_itself_or_by_its_name(monkeypatch):
  dark = Augmentation(lambda s, rng: s._replace(image=s.image // 2))
  monkeypatch.setitem(AUGMENTATIONS, "dark", lambda: dark)
  for chosen in (dark, "dark"):
    drawn = loader(augmentations=(chosen,)).batch(1)
    for position, image in images_of(drawn).items():
      stored = STORED.samples[drawn.indices[position]]
      np.testing.assert_array_equal(image, stored.image // 2)
