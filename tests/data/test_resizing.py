"""fcn_jax.data.resizing: each mode by hand, and labels over their images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcn_jax.data.augment import Sample, largest_sizes, smallest_sizes
from fcn_jax.data.resizing import MODES, Resize

# 30 x 60 to 20 x 20 has the ratios 1.5 and 3, 8 x 5 to 16 x 20 has 1/2 and 1/4.
SCALED = {
  "squash": ((20, 20), (16, 20)),
  "crop": ((20, 40), (32, 20)),
  "fill": ((10, 20), (16, 10)),
  "half_crop": ((13, 27), (21, 13)),  # by 2.25, by 0.375
}


def seen(resize: Resize, sample: Sample) -> Sample:
  return resize.augmentation().apply(sample, np.random.default_rng(0))


def sample_of(label) -> Sample:
  label = np.asarray(label, np.uint8)
  return Sample(np.repeat(255 * label[..., None], 3, -1), label)


def test_every_mode_by_hand():
  assert tuple(SCALED) == MODES
  for mode, (smaller, larger) in SCALED.items():
    one, other = Resize(mode, 20, 20), Resize(mode, 16, 20)
    assert one.scaled((30, 60)) == smaller
    assert other.scaled((8, 5)) == larger
    found = seen(one, sample_of(np.zeros((30, 60))))
    assert found.size == found.label.shape == (min(smaller[0], 20), 20)
    (cut,) = largest_sizes([one.augmentation()], np.array([[30, 60]]))
    assert tuple(cut) == found.size
    (cut,) = smallest_sizes([one.augmentation()], np.array([[30, 60]]))
    assert tuple(cut) == found.size


def test_the_middle_is_cut_out():
  """Of 27 columns 20 stay: 4 are cut off before, 3 behind, as DIGITS does."""
  columns = np.broadcast_to(np.arange(40, dtype=np.uint8), (20, 40))
  sample = Sample(np.repeat(columns[..., None], 3, -1), columns)
  found = seen(Resize("crop", 20, 20), sample)
  assert found.label[0].tolist() == list(range(10, 30))
  assert (found.image[..., 0] == found.label).all()
  found = seen(Resize("crop", 20, 33), sample)
  assert found.label[0].tolist() == list(range(4, 37))


def test_an_image_of_that_size_stays_as_it_is():
  rng = np.random.default_rng(0)
  image = rng.integers(0, 256, (20, 30, 3), np.uint8)
  for mode in MODES:
    found = seen(Resize(mode, 20, 30), Sample(image, image[..., 0]))
    np.testing.assert_array_equal(found.image, image)
    np.testing.assert_array_equal(found.label, image[..., 0])


@given(
  st.sampled_from(MODES),
  st.tuples(*[st.integers(4, 90)] * 4),
  st.floats(0.1, 0.9),
  st.booleans(),
)
def test_a_label_stays_over_its_image(mode, sides, edge, upright):
  """An edge lies in both between the same two pixels.

  Where the image is half bright, the edge runs through the pixel's middle.
  """
  height, width, *wanted = sides
  rows, columns = np.mgrid[:height, :width]
  at = columns / width if upright else rows / height
  found = seen(Resize(mode, *wanted), sample_of(at >= edge))
  bright = found.image[..., 0].astype(int)
  clear = np.abs(bright - 127.5) > 1
  assert (found.label[clear] == (bright > 127)[clear]).all()
  assert (np.array(found.size) <= wanted).all()


def test_what_cannot_be_is_refused():
  with pytest.raises(ValueError, match="resize 'zoom': there is squash, crop"):
    Resize("zoom", 2, 2)
  with pytest.raises(ValueError, match="resize to 0 x 2: must be at least"):
    Resize("crop", 0, 2)
  assert str(Resize("half_crop", 2, 3)) == "half_crop to 2 x 3"
