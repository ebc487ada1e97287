import dataclasses
import io

import numpy as np
import pytest
from PIL import Image
from small_data import (
  folder_files,
  folder_format,
  label,
  photo,
  png,
  tiny_output,
  write,
)

from fcn_jax.data import decode_image, decode_label, load_dataset
from fcn_jax.data.files import File
from fcn_jax.data.formats import Folder
from fcn_jax.data.images import read_header
from fcn_jax.data.inspection import inspect_dataset, inspect_files
from fcn_jax.data.prepare import prepare_dataset
from fcn_jax.data.readings import pages, parse_range
from fcn_jax.files import DataError


def encoded(array, form="PNG", how=1, **options):
  """An image file, with this EXIF orientation."""
  stream, exif = io.BytesIO(), Image.Exif()
  if how != 1:
    exif[0x0112] = how
  image = Image.fromarray(np.asarray(array))
  image.save(stream, form, exif=exif, **options)
  return stream.getvalue()


def several(arrays, form="TIFF", **options):
  """A file of several pages."""
  first, *rest = map(Image.fromarray, arrays)
  stream = io.BytesIO()
  first.save(stream, form, save_all=True, append_images=rest, **options)
  return stream.getvalue()


def prepare(root, files, **flags):
  """Pixels of the first training record of files over `folder_files`."""
  flags = {"val_images": None, "val_labels": None, "val_percent": 1.0} | flags
  kept = {"classes.txt": "ground\nthing\n", "train/images/z.jpg": photo(9)}
  write(root, kept | {"train/labels/z.png": label(0, 1)} | files)
  prepare_dataset(
    folder_format(root, **flags), tiny_output(root), lambda line: None
  )
  return load_dataset("tiny", str(root / "sets"))


def stored(data):
  """Decoded image and label of each record, by id."""
  return {
    record.image_id: (decode_image(record.image), decode_label(record.label))
    for split in data.splits
    for record in data.source(split)
  }


# As a camera held upright stores it, and as its label was drawn.
PHOTO = np.zeros((4, 6, 3), np.uint8)
PHOTO[0, 0] = 255
LABEL = np.zeros((4, 6), np.uint8)
LABEL[0, 0] = 1
# Where the bright corner is once the image is turned, row and column.
CORNERS = {2: (0, -1), 3: (-1, -1), 4: (-1, 0), 6: (0, -1), 8: (-1, 0)}


@pytest.mark.parametrize("how", CORNERS)
@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
def test_ignore_and_both_keep_images_and_labels_together(tmp_path, how, form):
  options = {"lossless": True} if form == "WEBP" else {}
  files = {
    f"train/images/a.{form.lower()}": encoded(PHOTO, form, how, **options),
    "train/labels/a.png": png(LABEL),
  }
  image, mask = stored(prepare(tmp_path / "1", files, exif="ignore"))["a"]
  np.testing.assert_array_equal(image, PHOTO)
  np.testing.assert_array_equal(mask, LABEL)
  image, mask = stored(prepare(tmp_path / "2", files, exif="both"))["a"]
  assert image.shape[:2] == mask.shape
  assert np.argwhere(mask).tolist() == [
    [i % n for i, n in zip(CORNERS[how], mask.shape, strict=True)]
  ]
  np.testing.assert_array_equal(image[..., 0] == 255, mask == 1)


def test_apply_leaves_labels_as_they_are(tmp_path):
  files = {
    "train/images/a.png": encoded(PHOTO, how=6),
    "train/labels/a.png": png(np.rot90(LABEL, -1)),
  }
  data = prepare(tmp_path, files, exif="apply")
  image, mask = stored(data)["a"]
  np.testing.assert_array_equal(image[..., 0] == 255, mask == 1)
  # What was settled once is not asked again.
  assert data.record["exif"] == "apply"
  found = inspect_dataset(data, lambda line: None).findings
  assert not any("EXIF" in finding.kind for finding in found)


def test_a_jpeg_keeps_its_bytes_but_for_the_tag(tmp_path):
  photograph = np.asarray(Image.open(io.BytesIO(photo(1, 8, 8))))
  data = encoded(photograph, "JPEG", how=3)
  files = {"train/images/a.jpg": data, "train/labels/a.png": label(0, 1)}
  files["train/labels/a.png"] = label(0, 1, height=8)
  dataset = prepare(tmp_path, files, exif="ignore")
  (record,) = [
    r
    for split in dataset.splits
    for r in dataset.source(split)
    if r.image_id == "a"
  ]
  differing = [
    (ours, theirs)
    for ours, theirs in zip(record.image, data, strict=True)
    if ours != theirs
  ]
  assert differing == [(1, 3)]
  assert read_header(record.image).orientation == 1
  np.testing.assert_array_equal(
    decode_image(record.image), decode_image(data)[::-1, ::-1]
  )


def test_an_orientation_in_xmp_is_taken_out(tmp_path):
  xmp = b'<x xmlns:tiff="t" tiff:Orientation="3"/>'
  stream = io.BytesIO()
  Image.fromarray(PHOTO).save(stream, "JPEG", xmp=xmp)
  assert read_header(stream.getvalue()).orientation == 3
  files = {"train/images/a.jpg": stream.getvalue()}
  files["train/labels/a.png"] = png(LABEL)
  image, _ = stored(prepare(tmp_path, files, exif="ignore"))["a"]
  assert image[0, 0].min() > 128 > image[-1, -1].max()


def test_without_a_choice_it_is_an_error_that_names_the_flag(tmp_path):
  files = {
    "train/images/a.jpg": encoded(PHOTO, "JPEG", 3),
    "train/labels/a.png": png(LABEL),
  }
  with pytest.raises(DataError, match="--exif=apply if the label was drawn"):
    prepare(tmp_path, files)
  with pytest.raises(DataError, match="--exif=turn: give apply or ignore"):
    prepare(tmp_path, files, exif="turn")


def test_a_range_of_values_is_scaled_to_the_full_one(tmp_path):
  grey = np.full((6, 8), 1000, np.uint16)
  grey[0, :4] = 0, 2048, 4095, 5000
  files = {
    "train/images/a.png": encoded(grey),
    "train/labels/a.png": label(0, 1),
  }
  data = prepare(tmp_path, files, value_range="0,4095")
  image, _ = stored(data)["a"]
  # 255 * v / 4095, values beyond 4095 limited to it.
  assert image[0, :4, 0].tolist() == [0, 128, 255, 255]
  assert image[1, 0].tolist() == [62] * 3
  assert data.value_range == (0, 4095)
  assert inspect_dataset(data, lambda line: None).errors == 0


def test_auto_is_the_range_of_all_training_images(tmp_path):
  def folder(split, images):
    return {
      f"{split}/{kind}/{name}.png": encoded(np.full((6, 8), v, np.uint16))
      if kind == "images"
      else label(0, 1)
      for name, v in images.items()
      for kind in ("images", "labels")
    }

  write(
    tmp_path,
    {"classes.txt": "ground\nthing\n"}
    | folder("train", {"a": 100, "b": 1100})
    | folder("val", {"c": 4000}),
  )
  source = folder_format(tmp_path, value_range="auto")
  prepare_dataset(source, tiny_output(tmp_path), lambda line: None)
  data = load_dataset("tiny", str(tmp_path / "sets"))
  assert data.value_range == (100, 1100)
  shown = {key: image[0, 0, 0] for key, (image, _) in stored(data).items()}
  assert shown == {"a": 0, "b": 255, "c": 255}


def test_ranges_that_mean_nothing(tmp_path):
  assert parse_range("0,4095") == (0, 4095)
  for text in ("4095", "5,5", "0,65536", "-1,5", "a,b", ""):
    with pytest.raises(DataError, match="give two numbers"):
      parse_range(text)
  write(tmp_path, folder_files())
  source = folder_format(tmp_path, value_range="auto")
  with pytest.raises(DataError, match="no image is grey of 16 bits"):
    prepare_dataset(source, tiny_output(tmp_path), lambda line: None)


GREYS = [np.full((6, 8), value, np.uint8) for value in (10, 20, 30)]
MASKS = [np.resize(np.uint8(row), (6, 8)) for row in ([0], [1], [0, 1])]


@pytest.mark.parametrize("form", ["TIFF", "GIF", "PNG", "WEBP"])
def test_every_page_is_a_record(tmp_path, form):
  options = {"lossless": True} if form == "WEBP" else {}
  files = {
    f"train/images/a.{form.lower()}": several(GREYS, form, **options),
    "train/labels/a.tif": several(MASKS),
  }
  records = stored(prepare(tmp_path, files))
  for i in range(3):
    image, mask = records[f"a#{i + 1:03}"]
    np.testing.assert_array_equal(image[..., 0], GREYS[i])
    np.testing.assert_array_equal(mask, MASKS[i])
  assert len(records) == 4


def test_pages_that_do_not_match_are_told(tmp_path):
  files = {
    "train/images/a.tif": several(GREYS),
    "train/labels/a.tif": several(MASKS[:2]),
    "train/images/b.gif": several(GREYS, "GIF"),
    "train/labels/b.png": png(MASKS[1]),
    # Not called what it is.
    "train/images/c.jpg": several(GREYS, "GIF"),
    "train/labels/c.png": png(MASKS[1]),
  }
  with pytest.raises(DataError, match="nothing was written") as error:
    prepare(tmp_path, files)
  text = str(error.value)
  assert "file of several pages (3)" in text
  assert "a.tif: 3 pages or frames, its label 2" in text
  assert "c.jpg: 3 pages or frames, its label 1" in text


def test_smaller_copies_in_a_tiff_are_no_pages(tmp_path):
  path = tmp_path / "a.tif"
  small = Image.fromarray(GREYS[0][:3, :4])
  small.encoderinfo = {"tiffinfo": {254: 1}}
  data = several(GREYS[:1])
  stream = io.BytesIO(data)
  with Image.open(stream) as first:
    first.load()
  whole = io.BytesIO()
  first.save(whole, "TIFF", save_all=True, append_images=[small])
  path.write_bytes(whole.getvalue())
  with Image.open(path) as both:
    assert both.n_frames == 2
  file = File(str(path), str(path))
  assert pages(file) == [file]


def test_pages_of_16_bits_and_of_palettes_stay_what_they_are(tmp_path):
  deep = [np.full((6, 8), value, np.uint16) for value in (300, 65535)]
  paletted = [Image.fromarray(mask) for mask in MASKS[:2]]
  for image in paletted:
    image.putpalette([0, 0, 0, 128, 0, 0])
  stream = io.BytesIO()
  paletted[0].save(stream, "TIFF", save_all=True, append_images=paletted[1:])
  files = {
    "train/images/a.tif": several(deep),
    "train/labels/a.tif": stream.getvalue(),
  }
  data = prepare(tmp_path, files)
  records = stored(data)
  # 255 * 300 / 65535 = 1.17
  assert [records[f"a#00{i}"][0][0, 0, 0] for i in (1, 2)] == [1, 255]
  assert records["a#002"][1].all()
  assert data.palette[1].tolist() == [128, 0, 0]


def test_files_are_checked_as_they_are_read(tmp_path):
  write(tmp_path, folder_files())
  write(tmp_path, {"train/images/a.jpg": encoded(PHOTO, "JPEG", 3)})
  write(tmp_path, {"train/labels/a.png": png(LABEL)})
  source = folder_format(tmp_path)
  assert inspect_files(source, lambda line: None).errors == 1
  source = dataclasses.replace(source, exif="both")
  assert isinstance(source, Folder)
  assert inspect_files(source, lambda line: None).errors == 0
