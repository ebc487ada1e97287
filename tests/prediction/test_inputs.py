import os
import shutil
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from small_data import label, photo, png, write
from stored_data import StoredDataset

from fcn_jax.data.augment import Sample
from fcn_jax.data.classes import voc_palette
from fcn_jax.data.formats.names import GivenLabels
from fcn_jax.data.images import decode_image
from fcn_jax.files import DataError
from fcn_jax.prediction import inputs
from fcn_jax.prediction.inputs import (
  ImageFile,
  dataset_of,
  find_images,
  find_labels,
  images_of,
  labels_of,
)


@pytest.fixture
def photos(tmp_path):
  for name in ("a/1.jpg", "b/1.jpg", "b/c/2.png", "b/2.png", "b/2.jpg"):
    path = tmp_path / "photos" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 3)).save(path)
  (tmp_path / "photos/notes.txt").write_text("x")
  (tmp_path / "photos/a/._1.jpg").write_text("x")
  return tmp_path / "photos"


def ids(photos, *arguments, output="nowhere"):
  files, _ = find_images([str(argument) for argument in arguments], output)
  return [file.id for file in files]


def test_a_folder_gives_everything_below_it(photos):
  files, others = find_images([str(photos)], "nowhere")
  assert [file.id for file in files] == [
    "a/1",
    "b/1",
    "b/2.jpg",
    "b/2.png",
    "b/c/2",
  ]
  assert files[0].path == photos / "a/1.jpg"
  assert others == [str(photos / "notes.txt")]


def test_files_are_named_below_the_folder_that_holds_them_all(photos):
  assert ids(photos, photos / "a/1.jpg") == ["1"]
  assert ids(photos, photos / "b/1.jpg", photos / "a/1.jpg") == ["b/1", "a/1"]
  assert ids(photos, photos / "a", photos / "b/c/2.png") == ["a/1", "b/c/2"]
  assert ids(photos, photos / "b/2.jpg") == ["2"]


def test_commas_patterns_and_repeated_files(photos):
  both = f"{photos}/a/1.jpg,{photos}/b/1.jpg"
  assert ids(photos, both) == ["a/1", "b/1"]
  assert ids(photos, f"{photos}/*/1.jpg") == ["a/1", "b/1"]
  assert ids(photos, f"{photos}/**/*.png") == ["2", "c/2"]
  assert ids(photos, both, photos / "a", f"{photos}/a/*") == ["a/1", "b/1"]


def test_a_name_with_a_comma_or_brackets_is_a_file(photos):
  for name in ("x,y.png", "x[1].png"):
    Image.new("L", (1, 1)).save(photos / name)
    assert ids(photos, photos / name) == [name[:-4]]


def test_relative_paths(photos, monkeypatch):
  monkeypatch.chdir(photos)
  assert ids(photos, "a/1.jpg", "../photos/b/1.jpg") == ["a/1", "b/1"]
  assert ids(photos, "*/1.jpg") == ["a/1", "b/1"]


def test_a_named_file_is_tried_whatever_its_extension(photos):
  assert ids(photos, photos / "notes.txt") == ["notes"]


def test_nothing_in_the_output_folder_is_an_input(photos):
  inside = photos / "out"
  inside.mkdir()
  Image.new("L", (1, 1)).save(inside / "mask.png")
  assert "out/mask" not in ids(photos, photos, output=inside)
  assert "out/mask" in ids(photos, photos)
  assert ids(photos, f"{photos}/[ao]*/*", output=inside) == ["1"]
  for argument in (inside / "mask.png", inside):
    with pytest.raises(DataError, match="name another folder"):
      ids(photos, argument, output=inside)


def test_predictions_are_no_inputs_unless_named(photos):
  before = ids(photos, photos)
  masks = photos / "old/masks"
  masks.mkdir(parents=True)
  Image.new("L", (1, 1)).save(masks / "1.png")
  assert "old/masks/1" in ids(photos, photos)
  summary = masks.parent / "summary.json"
  summary.write_text('{"written_by": "scripts/predict.py"}')
  assert ids(photos, photos) == before
  assert ids(photos, f"{photos}/**") == before
  assert ids(photos, masks / "1.png") == ["1"]


@pytest.mark.parametrize(
  ("argument", "message"),
  [
    ("none.jpg", "none.jpg: no such file"),
    ("none/*.jpg", "no file matches none"),
    ("", "no image in it"),
  ],
)
def test_an_argument_that_stands_for_nothing(argument, message):
  with pytest.raises(DataError, match=message):
    find_images([argument], "nowhere")


def test_a_folder_of_other_files(tmp_path):
  (tmp_path / "a.csv").write_text("")
  with pytest.raises(DataError, match=r"only 1 other files, as .*a\.csv"):
    find_images([str(tmp_path)], "nowhere")


NAMES = st.from_regex(r"[ab](/[ab])?(\.(jpg|png|JPG)){0,2}", fullmatch=True)


@given(st.lists(NAMES, unique_by=str.casefold, min_size=1))
def test_ids_differ_where_paths_do(paths):
  found = inputs._ids(paths)
  assert len({name.casefold() for name in found}) == len(paths)
  for name, path in zip(found, paths, strict=True):
    assert path.startswith(name)


def test_an_extension_stays_where_another_id_would_be_the_same():
  assert inputs._ids(["a.jpg", "a.png", "a.jpg.png", "b.png"]) == [
    "a.jpg",
    "a.png",
    "a.jpg.png",
    "b",
  ]
  assert inputs._ids(["A.jpg", "a.png"]) == ["A.jpg", "a.png"]


def test_sizes_come_from_headers_turned_as_exif_says(tmp_path):
  exif = Image.Exif()
  exif[0x0112] = 6
  Image.new("RGB", (5, 3)).save(tmp_path / "plain.png")
  Image.new("RGB", (5, 3)).save(tmp_path / "turned.jpg", exif=exif)
  (tmp_path / "bad.jpg").write_bytes(b"no")
  files = [
    inputs.ImageFile(name, tmp_path / name)
    for name in ("plain.png", "turned.jpg", "bad.jpg", "absent.png")
  ]
  np.testing.assert_array_equal(
    inputs.image_sizes(files), [[3, 5], [5, 3], [0, 0], [0, 0]]
  )


def test_links_to_files_are_followed(photos, tmp_path):
  os.symlink(photos / "a/1.jpg", tmp_path / "link.jpg")
  assert ids(photos, tmp_path / "link.jpg") == ["link"]


def test_images_of_a_prepared_data_set():
  samples = [
    Sample(np.full((3, 5, 3), value, np.uint8), np.zeros((3, 5), np.uint8))
    for value in (7, 9)
  ]
  files = inputs.images_of(StoredDataset(samples, ["a", "b"]), "train")
  assert [file.id for file in files] == ["id0", "id1"]
  assert inputs.image_sizes(files).tolist() == [[3, 5], [3, 5]]
  assert (decode_image(files[1].read()) == 9).all()


CLASS_NAMES = ("ground", "thing")


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
  label_of = find_labels(tmp_path / "labels", files, CLASS_NAMES, num_threads=2)
  found = {file.id: label_of(file) for file in files}
  assert set(found) == {"a", "deep/a", "both.jpg", "both.png"}
  assert found["deep/a"].dtype == np.uint8
  assert found["deep/a"].tolist() == [[1, 0, 255], [0, 0, 1]]
  assert (found["both.jpg"] == 1).all()
  assert found["a"][0].tolist() == [0, 1, 255, 0, 1, 255, 0, 1]


def test_pages_pair_by_number_and_suffixes_by_what_comes_before(tmp_path):
  pages = [Image.new("L", (3, 2), i) for i in range(2)]
  for folder, name in (("images", "a_x.tif"), ("labels", "a_y.tif")):
    (tmp_path / folder).mkdir()
    pages[0].save(
      tmp_path / folder / name, save_all=True, append_images=pages[1:]
    )
  given = GivenLabels(image_suffix="_x.tif", label_suffix="_y.tif")
  files, _ = find_images([str(tmp_path / "images")], None, given)
  assert [file.id for file in files] == ["a_x#001", "a_x#002"]
  label_of = find_labels(tmp_path / "labels", files, CLASS_NAMES, given=given)
  assert [int(label_of(file).max()) for file in files] == [0, 1]


def test_labels_in_the_folder_of_the_images_are_no_images(tmp_path):
  files = {f"{place}/{n}.png": label(0) for place in "io" for n in ("a", "a_m")}
  write(tmp_path, files)
  both = str(tmp_path / "i")
  for suffixes, labels, expected in (
    ({"label_suffix": "_m.png"}, both, ["a"]),
    ({"image_suffix": ".png", "label_suffix": "_m.png"}, both, ["a"]),
    ({"image_suffix": "_m.png"}, None, ["a_m"]),
    # Those elsewhere may be called alike.
    ({"label_suffix": ".png"}, str(tmp_path / "o"), ["a", "a_m"]),
  ):
    found, _ = find_images([both], None, GivenLabels(**suffixes), labels)
    assert [file.id for file in found] == expected


def test_a_data_set_of_files(tmp_path):
  write(
    tmp_path,
    {
      "images/a.jpg": photo(1),
      "images/b.jpg": photo(2),
      "labels/a.png": label(0, 1, 255),
      "labels/b.png": label(1),
    },
  )
  files = files_of(tmp_path)
  found = dataset_of(tmp_path / "labels", files, CLASS_NAMES, voc_palette())
  assert found.splits == {"labels": 2}
  assert found.name == str(tmp_path)
  assert found.sizes("labels").tolist() == [[6, 8], [6, 8]]
  image, index = found.example("labels", 0)
  assert image.shape == (6, 8, 3)
  assert index[0, :3].tolist() == [0, 1, 255]
  assert found.source("labels")[1].image == photo(2)
  with pytest.raises(DataError, match="no split 'val'"):
    found.source("val")
  write(tmp_path, {"images/c.jpg": "broken", "labels/c.png": label(0)})
  with pytest.raises(DataError, match=r"c\.jpg: not an image"):
    dataset_of(
      tmp_path / "labels", files_of(tmp_path), CLASS_NAMES, voc_palette()
    )


def test_paletted_labels_are_read_by_their_indices(tmp_path):
  image = Image.fromarray(np.array([[1, 0]], np.uint8))
  image.putpalette([9, 9, 9, 200, 0, 0])
  write(tmp_path, {"images/a.png": png(np.zeros((1, 2, 3)))})
  (tmp_path / "labels").mkdir()
  image.save(tmp_path / "labels/a.png")
  files = files_of(tmp_path)
  label_of = find_labels(tmp_path / "labels", files, CLASS_NAMES)
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
    find_labels(tmp_path / "labels", files_of(tmp_path), CLASS_NAMES)
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
    find_labels(tmp_path / "labels", files_of(tmp_path), CLASS_NAMES)


def test_no_such_folder(tmp_path):
  with pytest.raises(DataError, match="no such folder"):
    find_labels(
      tmp_path / "labels", [ImageFile("a", tmp_path / "a")], CLASS_NAMES
    )


def test_labels_of_a_data_set():
  samples = [
    Sample(np.zeros((1, 2, 3), np.uint8), np.array([[i, 255]], np.uint8))
    for i in range(2)
  ]
  dataset = StoredDataset(samples, CLASS_NAMES)
  label_of = labels_of(dataset, list(CLASS_NAMES))
  found = [label_of(f).tolist() for f in images_of(dataset, "train")]
  assert found == [[[0, 255]], [[1, 255]]]
  with pytest.raises(
    DataError, match=r"not the network's \(ground, cat\).*none"
  ):
    labels_of(dataset, ("ground", "cat"))


def several(path, values):
  first, *rest = (Image.new("L", (4, 3), value) for value in values)
  first.save(path, save_all=True, append_images=rest)


def test_every_page_is_an_image(tmp_path):
  write(tmp_path, {"in/a.jpg": photo(1, 3, 4)})
  several(tmp_path / "in/b.tif", (10, 20))
  files, _ = find_images([str(tmp_path / "in")], "nowhere")
  assert [file.id for file in files] == ["a", "b#001", "b#002"]
  assert files[2].path == tmp_path / "in/b.tif#002"
  assert (decode_image(files[2].read()) == 20).all()
  assert inputs.image_sizes(files).tolist() == [[3, 4]] * 3
  write(tmp_path, {"labels/a.png": label(0, height=3, width=4)})
  several(tmp_path / "labels/b.tif", (0, 1))
  label_of = find_labels(tmp_path / "labels", files, ("ground", "thing"))
  assert [label_of(file)[0, 0] for file in files] == [0, 0, 1]


@pytest.mark.parametrize("form", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("how", [1, 3, 6, 8])
def test_sizes_are_of_turned_images(tmp_path, form, how):
  exif = Image.Exif()
  exif[0x0112] = how
  path = tmp_path / f"a.{form}"
  Image.new("RGB", (4, 3)).save(path, exif=exif)
  size = decode_image(path.read_bytes()).shape[:2]
  assert size == ((4, 3) if how > 4 else (3, 4))
  assert inputs.image_sizes([ImageFile("a", path)]).tolist() == [list(size)]


@pytest.mark.parametrize(
  "name", ["../x", "/x", "a//b", "a/../../x", "", "a\\b"]
)
def test_ids_of_a_data_set_stay_below_the_output(name):
  sample = Sample(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint8))
  data = StoredDataset([sample], ("a", "b"))
  data._ids["train"] = (name,)
  with pytest.raises(DataError, match="cannot name a file below the output"):
    images_of(data, "train")


@pytest.mark.parametrize("ending", ["zip", "gztar", "tar"])
def test_images_of_an_archive_are_those_of_the_folder(photos, ending):
  several(photos / "a/film.gif", (1, 2))
  archive = shutil.make_archive(str(photos.parent / "all"), ending, photos)
  there, others = find_images([str(photos)], None)
  found, left = find_images([archive], None)
  assert [file.id for file in found] == [file.id for file in there]
  assert [file.read() for file in found] == [file.read() for file in there]
  assert str(found[0].path) == f"{archive}/a/1.jpg"
  assert left == [f"{archive}/notes.txt"]
  assert len(others) == 1
  np.testing.assert_array_equal(
    inputs.image_sizes(found), inputs.image_sizes(there)
  )


def test_labels_beside_an_archive_of_images(tmp_path):
  write(tmp_path, {"in/a.jpg": photo(1, 3, 4), "labels/a.png": label(1)})
  write(tmp_path, {"labels/a.png": label(1, height=3, width=4)})
  archive = shutil.make_archive(str(tmp_path / "in"), "zip", tmp_path / "in")
  files, _ = find_images([archive], None)
  label_of = find_labels(tmp_path / "labels", files, ("ground", "thing"))
  assert (label_of(files[0]) == 1).all()


def test_a_broken_archive_is_named(tmp_path):
  (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 and no more")
  with pytest.raises(DataError, match=r"a\.zip: not a readable"):
    find_images([str(tmp_path / "a.zip")], None)


def test_members_that_would_lie_outside_of_the_archive_are_left_out(tmp_path):
  with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
    for name in ("in/a.jpg", "../b.jpg", "/c.jpg", "in/../../d.jpg"):
      archive.writestr(name, photo(1))
  files, _ = find_images([str(tmp_path / "a.zip")], None)
  assert [file.id for file in files] == ["in/a"]
