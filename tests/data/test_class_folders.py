"""fcn_jax.data.crops: classes from folders, squares cut from images."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from PIL import Image

from fcn_jax.data import class_folders
from fcn_jax.data.sampling import Sampler
from fcn_jax.files import DataError

FILL = (7, 8, 9)


def numbered(height: int, width: int) -> np.ndarray:
  """Every pixel tells its row, its column and 100."""
  rows, columns = np.indices((height, width), np.uint8)
  return np.stack([rows, columns, np.full_like(rows, 100)], -1)


@pytest.mark.parametrize(
  ("place", "corner"),
  [((0.0, 0.0), (0, 0)), ((1.0, 1.0), (3, 1)), ((0.5, 0.0), (2, 0))],
)
def test_a_square_is_cut_out(place, corner):
  """4 x 4 of 7 x 5 has 3 rows and 1 column to move in."""
  square = class_folders.fit(numbered(7, 5), 4, FILL, place)
  assert square[0, 0].tolist() == [*corner, 100]
  assert square[3, 3].tolist() == [corner[0] + 3, corner[1] + 3, 100]


def test_a_small_image_is_placed_in_the_square():
  """3 x 6 in 5 x 5: rows 1 .. 3, and columns 1 .. 5 of the six."""
  square = class_folders.fit(numbered(3, 6), 5, FILL, (0.5, 1.0))
  assert (square[[0, 4]] == FILL).all()
  np.testing.assert_array_equal(square[1:4], numbered(3, 6)[:, 1:])


@hypothesis.given(
  height=st.integers(1, 9),
  width=st.integers(1, 9),
  side=st.integers(1, 9),
  place=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_as_much_of_the_image_as_fits_is_kept(height, width, side, place):
  square = class_folders.fit(numbered(height, width), side, FILL, place)
  assert square.shape == (side, side, 3)
  kept = square[..., 2] == 100
  assert kept.sum() == min(height, side) * min(width, side)
  inside = square[kept].reshape(min(height, side), min(width, side), 3)
  top, left = inside[0, 0, :2]
  np.testing.assert_array_equal(
    inside, numbered(9, 9)[top:, left:][: len(inside), : inside.shape[1]]
  )


@pytest.fixture
def folders(tmp_path):
  """train: two cats, a dog; val: a dog."""
  files = ("train/cat/a", "train/cat/b", "train/dog/c", "val/dog/d")
  for i, name in enumerate(files):
    path = tmp_path / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(numbered(6 + i, 8)).save(path)
  (tmp_path / "train/cat/.hidden").write_text("")
  return tmp_path


def test_classes_are_the_folders_of_train(folders):
  found = class_folders.find_classes(folders)
  assert found["train"].class_names == ("cat", "dog")
  assert [p.stem for p in found["train"].files] == ["a", "b", "c"]
  assert found["train"].classes == (0, 0, 1)
  assert [p.stem for p in found["val"].files] == ["d"]
  assert found["val"].classes == (1,)


def test_mistakes_in_the_folders_are_named(folders, tmp_path):
  with pytest.raises(DataError, match="train is not a folder; images are exp"):
    class_folders.find_classes(tmp_path / "absent")
  (folders / "val/bird").mkdir()
  with pytest.raises(
    DataError, match=r"val has the classes bird, which .*train"
  ):
    class_folders.find_classes(folders)
  (folders / "val/bird").rmdir()
  (folders / "val/dog/d.png").unlink()
  with pytest.raises(DataError, match="val: no images in its class folders"):
    class_folders.find_classes(folders)
  (folders / "val/dog").rmdir()
  with pytest.raises(DataError, match="val holds no folder per class"):
    class_folders.find_classes(folders)


def test_classes_that_labels_have_no_room_for_are_refused(tmp_path):
  """255 is void, so 255 classes are the most."""
  for number in range(256):
    (tmp_path / f"train/{number:03}").mkdir(parents=True)
  with pytest.raises(DataError, match=r"256 class folders; .* room for 255"):
    class_folders.find_classes(tmp_path)


def loader(folders, **options) -> class_folders.CropLoader:
  found = class_folders.find_classes(folders)["train"]
  drawing = Sampler(3, 2, "sequential", seed=0)
  return class_folders.CropLoader(
    found, drawing, 5, FILL, num_threads=0, **options
  )


def test_a_batch_by_hand(folders):
  """Step 1 draws the dog and, again, the first cat; both centred."""
  drawn = loader(folders).batch(1)
  assert drawn.indices == (2, 0)
  (part,) = drawn.parts
  # 8 x 8 and 6 x 8: 3 rows and columns to move in, or 1 row: half of each.
  np.testing.assert_array_equal(part.image[0], numbered(8, 8)[2:7, 2:7])
  np.testing.assert_array_equal(part.image[1], numbered(6, 8)[0:5, 2:7])
  assert part.label.tolist() == [[[1]], [[0]]]
  assert part.extent.tolist() == [[5, 5], [5, 5]]
  assert part.position.tolist() == [0, 1]


def test_places_and_mirrors_are_drawn_by_seed_and_step(folders):
  augmented = loader(folders, augment=True)
  steps = [drawn.parts[0].image for drawn in augmented.steps(0, 12)]
  resumed = [drawn.parts[0].image for drawn in augmented.steps(8, 12)]
  np.testing.assert_array_equal(resumed, steps[8:])
  # Step i and i + 3 draw the same two images.
  assert any((a != b).any() for a, b in zip(steps[:9], steps[3:], strict=True))
  columns = [image[0, :, 1].astype(int) for image in np.concatenate(steps)]
  mirrored = [bool(row[0] > row[-1]) for row in columns]
  assert 4 < sum(mirrored) < 20


def test_the_shorter_side_is_scaled(folders):
  """6 x 8 to a height of 3: 3 x 4, placed in 5 x 5."""
  (part,) = loader(folders, resize=3).batch(0).parts
  inside = (part.image[0] != FILL).any(-1)
  assert inside.sum() == 3 * 4
  assert inside[1:4, :4].all() or inside[1:4, 1:].all()
