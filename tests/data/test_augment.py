"""fcn_jax.data.augment: what changes, by which random numbers."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from fcn_jax.data import augment
from fcn_jax.data.augment import Augmentation, Sample

SIZE = st.tuples(st.integers(1, 9), st.integers(1, 9))


def numbered(height: int, width: int) -> Sample:
  """Every pixel's number, in the image and in the label."""
  label = np.arange(height * width, dtype=np.uint8).reshape(height, width)
  return Sample(np.repeat(label[..., None], 3, -1), label)


class Drawn(np.random.Generator):
  """A generator whose next numbers are known."""

  def __init__(self, *values):
    super().__init__(np.random.PCG64(0))
    self._values = list(values)

  def random(self, size=None):
    count = int(np.prod(size or 1))
    taken, self._values = self._values[:count], self._values[count:]
    return np.reshape(taken, size) if size else taken[0]

  def uniform(self, low, high, size):
    return low + (high - low) * self.random(size)


# One at a time.


def test_mirror_by_hand():
  sample = numbered(2, 3)
  flipped = augment.mirror().apply(sample, Drawn(0.4999))
  assert flipped.label.tolist() == [[2, 1, 0], [5, 4, 3]]
  assert flipped.image[..., 1].tolist() == flipped.label.tolist()
  same = augment.mirror().apply(sample, Drawn(0.5))
  assert same.label.tolist() == sample.label.tolist()


def test_random_crop_by_hand():
  """Of 4 rows at most 1 goes at either end, of 7 columns at most 2.

  Shares 0.6, 0.2 of the choices 0, 1 are 1, 0; shares 0.4, 0.9 of the choices
  0, 1, 2 are 1, 2.
  """
  cut = augment.random_crop(2).apply(numbered(4, 7), Drawn(0.6, 0.2, 0.4, 0.9))
  assert cut.label.tolist() == [
    [8, 9, 10, 11],
    [15, 16, 17, 18],
    [22, 23, 24, 25],
  ]
  np.testing.assert_array_equal(cut.image[..., 2], cut.label)


@hypothesis.given(size=SIZE, pixels=st.integers(0, 99), seed=st.integers(0, 99))
def test_a_crop_leaves_a_pixel(size, pixels, seed):
  rng = np.random.default_rng(seed)
  cut = augment.random_crop(pixels).apply(numbered(*size), rng)
  assert cut.image.shape[:2] == cut.label.shape
  for left, whole in zip(cut.size, size, strict=True):
    assert max(1, whole - 2 * pixels) <= left <= whole


def test_random_scale_by_hand():
  """0.5 + 1.5 / 3 is 1, 2 doubles, 0.5 takes every second pixel."""
  change, sample = augment.random_scale(0.5, 2.0), numbered(3, 4)
  assert change.apply(sample, Drawn(1 / 3)) is sample
  double = change.apply(sample, Drawn(1.0))
  assert double.label[:2].tolist() == [[0, 0, 1, 1, 2, 2, 3, 3]] * 2
  half = change.apply(sample, Drawn(0.0))
  assert half.size == (2, 2)  # of 1.5 rows the nearest even number
  assert half.label.tolist() == [[1, 3], [9, 11]]
  sizes = np.array([[3, 4], [1, 1]])
  assert change.sizes(sizes).tolist() == [[6, 8], [2, 2]]
  assert change.smallest(sizes).tolist() == [[2, 2], [1, 1]]


def test_fixed_crop_by_hand():
  """Two of three rows, at 0 or 1; the one column stays alone."""
  change = augment.fixed_crop(2, 4)
  found = change.apply(numbered(3, 1), Drawn(0.5, 0.9))
  assert found.label.tolist() == [[1], [2]]
  assert change.sizes(np.array([[3, 1]])).tolist() == [[2, 1]]
  assert change.smallest(np.array([[3, 9]])).tolist() == [[2, 4]]


def test_a_crop_is_not_of_one_class_alone():
  """Three pixels of class 7, then void and one of class 1.

  The crops at 0 and 1 show 7 alone, that at 3 a half of each; void is not
  counted.
  """
  label = np.array([[7, 7, 7, 7, 255, 1]], np.uint8)
  sample = Sample(np.zeros((1, 6, 3), np.uint8), label)
  change = augment.fixed_crop(1, 3, 0.5)
  draws = (0, 0.0, 0, 0.25, 0, 0.75)
  assert change.apply(sample, Drawn(*draws)).label.tolist() == [[7, 255, 1]]
  # The last of ten, where none keeps to it.
  found = change.apply(sample, Drawn(*[0.0] * 20))
  assert found.label.tolist() == [[7, 7, 7]]
  first = augment.fixed_crop(1, 3).apply(sample, Drawn(0, 0.0))
  assert first.label.tolist() == [[7, 7, 7]]


def test_a_quarter_turn_by_hand():
  """Clockwise, about the middle of 3 x 3; what was at the left is above."""
  found = augment.moved(numbered(3, 3), np.pi / 2, 0.0, (0.0, 0.0))
  assert found.label.tolist() == [[6, 3, 0], [7, 4, 1], [8, 5, 2]]
  np.testing.assert_array_equal(found.image[..., 1], found.label)


def test_a_shift_by_hand():
  """A row down and a column to the left; void, and the mean, follow."""
  found = augment.moved(numbered(2, 3), 0.0, 0.0, (1.0, -1.0))
  assert found.label.tolist() == [[255] * 3, [1, 2, 255]]
  assert found.image[0, 0].tolist() == [123, 117, 104]


def test_shear_moves_columns_down_by_rows():
  """45 degrees: a row one higher goes one further along."""
  found = augment.moved(numbered(3, 3), 0.0, np.pi / 4, (0.0, 0.0))
  assert found.label.tolist() == [[1, 2, 255], [3, 4, 5], [255, 6, 7]]


def painted_disc(size, middle, radius) -> Sample:
  """A white disc on black, and the label of the same pixels."""
  rows, columns = np.indices(size) + 0.5
  inside = np.hypot(rows - middle[0], columns - middle[1]) < radius
  label = inside.astype(np.uint8)
  return Sample(np.repeat(255 * label[..., None], 3, -1), label)


def centre(weights) -> np.ndarray:
  places = np.stack(np.indices(weights.shape), -1) + 0.5
  return (places * weights[..., None]).sum((0, 1)) / weights.sum()


@hypothesis.given(
  size=st.tuples(st.integers(48, 70), st.integers(48, 70)),
  seed=st.integers(0, 10**6),
)
@pytest.mark.parametrize(
  "change",
  [
    augment.mirror(),
    augment.random_crop(8),
    augment.random_scale(0.4, 2.5),
    augment.fixed_crop(40, 44),
    augment.affine(25.0, 15.0, 0.1, 1.0),
    augment.blur(2.0, 1.0),
    augment.noise(4.0, 1.0),
    augment.jpeg(60, 90, 1.0),
  ],
)
def test_a_label_stays_where_the_image_is(change, size, seed):
  """Painted as an image, it is within half a pixel after any change.

  The disc's middle says so: by the brightness, and by the label.
  """
  sample = painted_disc(size, (size[0] / 2 - 2, size[1] / 2 + 1), 11)
  found = change.apply(sample, np.random.default_rng(seed))
  there = found.label != augment.VOID
  light = np.where(there, found.image[..., 0].astype(float), 0)
  light[light < 64] = 0  # noise, and rings of JPEG
  gap = centre(light) - centre((found.label == 1).astype(float))
  assert np.abs(gap).max() < 0.5
  # And each pixel on its own, a pixel away from the edge of the disc.
  label = found.label
  for value, shade in ((0, 0), (1, 255)):
    inner = np.full(label.shape, True)
    inner[:4] = inner[-4:] = inner[:, :4] = inner[:, -4:] = False
    for down, right in np.ndindex(9, 9):
      moved = np.roll(label, (down - 4, right - 4), (0, 1))
      inner &= moved == value
    assert (np.abs(found.image[inner].astype(float) - shade) < 64).all()


def test_coarse_dropout_by_hand():
  """One hole of ceil(0.5 * 0.5 * 4) = 1 row and ceil(0.25 * 4) = 1 column.

  Its place is 0.99 of the four: the last.
  """
  draws = (0.0, 0.0, 0.5, 0.99, 0.5, 0.99)
  sample = numbered(4, 4)
  for void in (True, False):
    change = augment.coarse_dropout(1, 0.5, void)
    found = change.apply(sample, Drawn(*draws))
    assert found.image[3, 3].tolist() == [123, 117, 104]
    assert found.image[3, 2].tolist() == [14] * 3
    assert found.label[3, 3] == (255 if void else 15)
    assert found.label[3, 2] == 14
  assert sample.label[3, 3] == 15


def test_noise_is_as_strong_as_it_says():
  """Grey 128, 10 levels at most, of which a half is drawn."""
  grey = np.full((200, 200, 3), 128, np.uint8)
  sample = Sample(grey, np.zeros((200, 200), np.uint8))
  change = augment.noise(10.0, 1.0)

  class Half(np.random.Generator):
    def random(self):
      return 0.5

  found = change.apply(sample, Half(np.random.PCG64(0))).image.astype(float)
  assert found.mean() == pytest.approx(128, abs=0.1)
  assert found.std() == pytest.approx(5, abs=0.1)


def test_blur_keeps_the_brightness_and_widens_an_edge():
  edge = np.zeros((20, 20, 3), np.uint8)
  edge[:, 10:] = 200
  sample = Sample(edge, edge[..., 0] // 200)
  found = augment.blur(2.0, 1.0).apply(sample, Drawn(0.0, 1.0))
  assert found.label is sample.label
  assert found.image.mean() == pytest.approx(100, abs=1)
  assert 60 < found.image[10, 9, 0] < 100 < found.image[10, 10, 0] < 140


def test_jpeg_costs_most_at_low_quality():
  rng = np.random.default_rng(0)
  image = np.repeat(rng.integers(0, 256, (32, 32, 1), np.uint8), 3, -1)
  sample = Sample(image, image[..., 0] % 3)
  low, high = (
    np.abs(
      augment.jpeg(5, 95, 1.0)
      .apply(sample, Drawn(0.0, share))
      .image.astype(float)
      - image
    ).mean()
    for share in (0.0, 0.999)
  )
  assert high < low / 5


IMAGE = np.array([[[100, 50, 200], [21, 21, 21]]], np.uint8)


@pytest.mark.parametrize(
  ("factors", "expected"),
  [
    ((1, 1, 1, 0), [[100, 50, 200], [21, 21, 21]]),
    # Half of each, rounded down; 1.5 times, at most 255.
    ((0.5, 1, 1, 0), [[50, 25, 100], [10, 10, 10]]),
    ((1.5, 1, 1, 0), [[150, 75, 255], [31, 31, 31]]),
    # Grey is 0.299 * 100 + 0.587 * 50 + 0.114 * 200 = 82 and 21; their mean
    # is 51.5, rounded to 52.
    ((1, 0.5, 1, 0), [[76, 51, 126], [36, 36, 36]]),
    ((1, 2, 1, 0), [[148, 48, 255], [0, 0, 0]]),
    # From each pixel's own grey, so that grey stays grey.
    ((1, 1, 0.5, 0), [[91, 66, 141], [21, 21, 21]]),
    ((1, 1, 0, 0), [[82, 82, 82], [21, 21, 21]]),
    # A third of a turn: blue becomes red, red green, green blue.
    ((1, 1, 1, 1 / 3), [[200, 100, 50], [21, 21, 21]]),
  ],
)
def test_jitter_by_hand(factors, expected):
  found = augment.jitter(IMAGE, *factors)
  # HSV has 8 bits a channel: there and back is exact to one level.
  error = np.abs(found[0].astype(int) - expected).max()
  assert error <= (1 if factors[3] else 0)


def test_jitter_in_order():
  """Brightness first: 100, 50, 200 becomes 50, 25, 100, of grey 41.

  21 becomes 10.  Their mean of 25.5 counts as 26; half the contrast leaves
  38, 25, 63, of grey 33, and 18; no saturation leaves the grey.
  """
  found = augment.jitter(IMAGE, 0.5, 0.5, 0.0, 0.25)
  assert found.tolist() == [[[33, 33, 33], [18, 18, 18]]]


def test_photometric_draws_each_factor():
  """From the ends of the ranges: 1 - 0.5, 1 + 1 and no change."""
  sample = Sample(IMAGE, np.array([[3, 255]], np.uint8))
  change = augment.photometric(0.5, 1.0, 0.0, 0.0)
  found = change.apply(sample, Drawn(0.0, 1.0, 0.3, 0.7))
  np.testing.assert_array_equal(
    found.image, augment.jitter(IMAGE, 0.5, 2, 1, 0)
  )
  assert found.label is sample.label


@hypothesis.given(size=SIZE, seed=st.integers(0, 99))
def test_photometric_repeats_and_leaves_the_label(size, seed):
  rng = np.random.default_rng(seed)
  image = rng.integers(0, 256, (*size, 3), np.uint8)
  image.flags.writeable = False
  sample = Sample(image, rng.integers(0, 5, size, np.uint8))
  one, same = (
    augment.photometric().apply(sample, np.random.default_rng(seed))
    for _ in range(2)
  )
  np.testing.assert_array_equal(one.image, same.image)
  assert one.image.dtype == np.uint8
  assert one.image.shape == image.shape
  assert one.label is sample.label
  still = augment.photometric(0, 0, 0, 0).apply(sample, rng)
  np.testing.assert_array_equal(still.image, image)


@pytest.mark.parametrize(
  ("name", "options", "message"),
  [
    ("blurr", {}, "'blurr': there is mirror, random_crop, random_scale"),
    ("random_scale", {"low": 3.0}, r"low = 3.0, high = 2.0: give 0 < low"),
    ("fixed_crop", {"width": 0}, "width = 0: must be at least 1"),
    ("fixed_crop", {"cat_max_ratio": 1.5}, "cat_max_ratio = 1.5: give 0 to 1"),
    ("affine", {"degrees": 200.0}, "degrees = 200.0: give 0 to 180"),
    ("affine", {"probability": 2.0}, "affine: probability = 2.0: give 0 to 1"),
    ("blur", {"radius": -1.0}, "blur: radius = -1.0: give 0 to 100"),
    ("noise", {"deviation": 300.0}, "deviation = 300.0: give 0 to 255"),
    ("jpeg", {"lowest": 0}, "lowest = 0, highest = 90: give 1 <= lowest"),
    ("coarse_dropout", {"holes": 0}, "holes = 0: give 1 to 1000"),
    ("random_crop", {"pixels": -1}, "pixels = -1: must be at least 0"),
    ("photometric", {"contrast": 1.5}, "contrast = 1.5: give 0 to 1"),
    ("photometric", {"hue": 0.6}, r"hue = 0.6: give 0 to 0\.5"),
    ("photometric", {"hue": -0.1}, r"hue = -0.1: give 0 to 0\.5"),
  ],
)
def test_what_cannot_be_made(name, options, message):
  with pytest.raises(ValueError, match=message):
    augment.make(name, **options)


@pytest.mark.parametrize("name", augment.AUGMENTATIONS)
def test_every_augmentation_works_with_its_defaults(name):
  change = augment.make(name)
  sample = numbered(8, 9)
  found = change.apply(sample, np.random.default_rng(0))
  assert found.image.shape == (*found.label.shape, 3)
  assert found.image.dtype == found.label.dtype == np.uint8
  assert (change.sizes(np.array([sample.size])) >= found.size).all()
  assert (change.smallest(np.array([sample.size])) <= found.size).all()


# All of them, with their random numbers.


def as_before(sizes, mirror, crop, seed, step):
  """The stream of mirror and crop, image after image: one number, then four."""
  draw = np.random.default_rng((seed, step, 2))
  for height, width in sizes:
    flipped, cuts = draw.random() < 0.5, draw.random((2, 2))
    label = numbered(height, width).label
    if mirror and flipped:
      label = label[:, ::-1]
    kept = []
    for side, cut in zip((height, width), cuts, strict=True):
      most = min(crop, (side - 1) // 2)
      start, end = (int(share * (most + 1)) for share in cut)
      kept.append(slice(start, side - end))
    yield label[kept[0], kept[1]]


@hypothesis.given(
  sizes=st.lists(SIZE, min_size=1, max_size=6),
  mirror=st.booleans(),
  crop=st.integers(0, 5),
  colours=st.booleans(),
  seed=st.integers(0, 2**32),
  step=st.integers(0, 10**6),
)
def test_mirror_and_crop_keep_their_random_numbers(
  sizes, mirror, crop, colours, seed, step
):
  """Whatever else is in the list, and wherever it stands."""
  changes = [augment.photometric()] if colours else []
  changes += [augment.mirror()] if mirror else []
  changes += [augment.random_crop(crop)] if crop else []
  expected = as_before(sizes, mirror, crop, seed, step)
  for position, (size, label) in enumerate(zip(sizes, expected, strict=True)):
    found = augment.augmented(numbered(*size), changes, seed, step, position)
    np.testing.assert_array_equal(found.label, label)


def test_every_other_augmentation_has_a_stream_of_its_own():
  """Of (seed, step, 3 + place, position), mirror and crop left out."""

  def note(told):
    return Augmentation(lambda s, rng: (told.append(rng.random()), s)[1])

  told = []
  changes = [
    note(told),
    augment.mirror(),
    note(told),
    augment.random_crop(),
    note(told),
  ]
  augment.augmented(numbered(3, 4), changes, seed=7, step=20, position=5)
  assert told == [
    np.random.default_rng((7, 20, place, 5)).random() for place in (3, 4, 5)
  ]


def test_the_largest_sizes_go_through_all():
  """Doubled and then padded by 3: 5 x 2 becomes 13 x 7."""
  double = Augmentation(lambda s, rng: s, lambda sizes: 2 * sizes)
  pad = Augmentation(lambda s, rng: s, lambda sizes: sizes + 3)
  sizes = np.array([[5, 2], [1, 1]])
  found = augment.largest_sizes([double, augment.mirror(), pad], sizes)
  assert found.tolist() == [[13, 7], [5, 5]]
  assert augment.largest_sizes([], sizes) is sizes
