"""fcn_jax.data.class_folders: classes from folders, squares cut from images."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from PIL import Image

from fcn_jax.data import class_folders, decode_image, decode_label, pipeline
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
  assert [file.stem for file in found["train"].files] == ["a", "b", "c"]
  assert found["train"].classes == (0, 0, 1)
  assert [file.stem for file in found["val"].files] == ["d"]
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


def of(folders, side=5, resize=0):
  return class_folders.load_class_folders(folders, side, FILL, resize)


def test_it_is_a_data_set_whose_labels_are_one_pixel(folders):
  data = of(folders)
  assert data.class_names == ("cat", "dog")
  assert data.splits == {"train": 3, "val": 1}
  assert data.ids("train") == ("cat/a.png", "cat/b.png", "dog/c.png")
  assert data.sizes("train").tolist() == [[5, 5]] * 3
  assert data.label_sizes("train").tolist() == [[1, 1]] * 3
  example = data.source("train")[2]
  assert decode_label(example.label).tolist() == [[1]]
  assert decode_image(example.image).shape == (8, 8, 3)


def test_every_page_is_an_image(folders):
  pages = [Image.new("L", (6, 7), value) for value in (10, 20)]
  pages[0].save(
    folders / "train/dog/film.tif", save_all=True, append_images=pages[1:]
  )
  data = of(folders)
  assert data.ids("train")[2:] == (
    "dog/c.png",
    "dog/film.tif#001",
    "dog/film.tif#002",
  )
  example = data.source("train")[4]
  assert (decode_image(example.image) == 20).all()
  assert decode_label(example.label).tolist() == [[1]]


def test_evaluation_sees_the_middle(folders):
  """8 x 8 and 6 x 8 in 5 x 5: 3 rows and columns to move in, or 1 row."""
  read = pipeline.Reader(of(folders), "train")
  np.testing.assert_array_equal(read(2).image, numbered(8, 8)[2:7, 2:7])
  np.testing.assert_array_equal(read(0).image, numbered(6, 8)[0:5, 2:7])
  (batch,) = pipeline.in_canvas_order(read, ((5, 5),), 4)
  (part,) = batch.parts
  assert part.label.tolist() == [[[0]], [[0]], [[1]], [[255]]]
  assert part.extent.tolist() == [[5, 5]] * 3 + [[0, 0]]


def loader(data) -> pipeline.Loader:
  return pipeline.Loader(
    dataset=data,
    split="train",
    sampler=Sampler(3, 2, "sequential", seed=0, canvas_of=(0, 0, 0)),
    canvases=((5, 5),),
    part_size=2,
    augmentations=(data.square, "mirror"),
    num_threads=0,
  )


def test_places_and_mirrors_are_drawn_by_seed_and_step(folders):
  augmented = loader(of(folders))
  steps = [batch.parts[0].image for batch in augmented.steps(0, 12)]
  resumed = [batch.parts[0].image for batch in augmented.steps(8, 12)]
  np.testing.assert_array_equal(resumed, steps[8:])
  assert augmented.batch(0).parts[0].label.tolist() == [[[0]], [[0]]]
  # An epoch has two steps: the same images, elsewhere.
  assert any((a != b).any() for a, b in zip(steps[:-2], steps[2:], strict=True))
  columns = [image[0, :, 1].astype(int) for image in np.concatenate(steps)]
  mirrored = [bool(row[0] > row[-1]) for row in columns]
  assert 4 < sum(mirrored) < 20


def test_the_shorter_side_is_scaled(folders):
  """6 x 8 to a height of 3: 3 x 4, placed in 5 x 5."""
  image = pipeline.Reader(of(folders, resize=3), "train")(0).image
  inside = (image != FILL).any(-1)
  assert inside.sum() == 3 * 4
  assert inside[1:4, :4].all() or inside[1:4, 1:].all()
