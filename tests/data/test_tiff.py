"""TIFFs that are read window by window, and masks written so."""

import numpy as np
import pytest
from PIL import Image

from fcn_jax.data import tiff
from fcn_jax.data.images import decode_image
from fcn_jax.files import DataError

tifffile = pytest.importorskip("tifffile")

HEIGHT, WIDTH = 70, 90
RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
DEEP = RNG.integers(0, 65536, (HEIGHT, WIDTH), np.uint16)
COLORMAP = RNG.integers(0, 256, (3, 256), np.uint16) * 257

TILED = {"tile": (32, 48)}
KINDS = {
  "strips": (RGB, {"rowsperstrip": 7}),
  "one_strip": (RGB, {}),
  "tiles": (RGB, TILED),
  "lzw": (RGB, TILED | {"compression": "lzw", "predictor": True}),
  "deflate": (RGB, {"rowsperstrip": 9, "compression": "zlib"}),
  "alpha": (
    np.dstack([RGB, RGB[..., :1]]),
    TILED | {"photometric": "rgb", "extrasamples": ["unassalpha"]},
  ),
  "grey": (RGB[..., 0], TILED),
  "inverted": (RGB[..., 0], TILED | {"photometric": "miniswhite"}),
  "palette": (
    RGB[..., 0],
    TILED | {"photometric": "palette", "colormap": COLORMAP},
  ),
  "deep": (DEEP, TILED),
  "jpeg": (
    np.repeat(np.repeat(RGB[:9, :12], 8, 0), 8, 1)[:HEIGHT, :WIDTH],
    TILED | {"compression": "jpeg", "photometric": "rgb"},
  ),
}


def write(path, array, **options):
  options.setdefault("photometric", "rgb" if array.ndim == 3 else "minisblack")
  tifffile.imwrite(path, array, metadata=None, **options)
  return path


@pytest.mark.parametrize("kind", KINDS)
def test_windows_are_what_pillow_reads(kind, tmp_path):
  if kind in ("lzw", "jpeg"):
    pytest.importorskip("imagecodecs")
  array, options = KINDS[kind]
  path = write(tmp_path / "image.tif", array, **options)
  whole = decode_image(path)
  windows = (
    ((0, HEIGHT), (0, WIDTH)),
    ((31, 33), (47, 49)),
    ((50, HEIGHT), (89, WIDTH)),
  )
  with tiff.TiffImage(path) as image:
    assert image.size == (HEIGHT, WIDTH)
    for rows, columns in windows:
      found = image.read(rows, columns)
      theirs = whole[slice(*rows), slice(*columns)]
      # Two decoders of a JPEG round its colours in ways of their own.
      off = np.abs(found.astype(int) - theirs).max()
      assert off <= (3 if kind == "jpeg" else 0)


def test_what_pillow_does_not_read(tmp_path):
  """Planes apart, 16-bit colour, four bands: the first three, v // 256."""
  deep = RNG.integers(0, 65536, (HEIGHT, WIDTH, 4), np.uint16)
  expected = (deep[..., :3] // 256).astype(np.uint8)
  options = {"photometric": "rgb", "tile": (32, 48)}
  together = write(tmp_path / "1.tif", deep, **options)
  apart = write(
    tmp_path / "2.tif",
    np.ascontiguousarray(deep.transpose(2, 0, 1)),
    planarconfig="separate",
    **options,
  )
  for path in (together, apart):
    with tiff.TiffImage(path) as image:
      found = image.read((30, 70), (40, 90))
    np.testing.assert_array_equal(found, expected[30:70, 40:90])


def test_a_range_of_grey(tmp_path):
  path = write(tmp_path / "image.tif", DEEP, tile=(32, 48))
  with tiff.TiffImage(path, value_range=(1000, 9000)) as image:
    found = image.read((0, HEIGHT), (0, WIDTH))
  theirs = decode_image(path, value_range=(1000, 9000))
  np.testing.assert_array_equal(found, theirs)


def test_what_cannot_be_read_is_told(tmp_path):
  path = write(tmp_path / "float.tif", DEEP.astype(np.float32))
  with pytest.raises(DataError, match=r"float.tif: its values are float32"):
    tiff.TiffImage(path)
  path = write(tmp_path / "turned.tif", RGB, extratags=[(274, 3, 1, 6, True)])
  with pytest.raises(DataError, match=r"it is turned \(TIFF orientation 6\)"):
    tiff.TiffImage(path)
  path = tmp_path / "text.tif"
  path.write_text("no image")
  with pytest.raises(DataError, match=r"text.tif: broken or cut short"):
    tiff.TiffImage(path)
  path = write(tmp_path / "bad.tif", RGB, tile=(32, 48), compression="zlib")
  data = bytearray(path.read_bytes())
  with tifffile.TiffFile(path) as file:
    offset = file.pages[0].dataoffsets[3]
  data[offset : offset + 40] = bytes(40)
  path.write_bytes(data)
  says = r"bad.tif: tile 3 is broken or cut short"
  with tiff.TiffImage(path) as image, pytest.raises(DataError, match=says):
    image.read((0, HEIGHT), (0, WIDTH))


def test_a_mask_has_ids_colours_and_a_place_on_earth(tmp_path):
  labels = RNG.integers(0, 256, (600, 300), np.uint8)
  palette = RNG.integers(0, 256, (256, 3), np.uint8)
  tags = tiff.metre_tags(0.5)
  bands = (labels[top : top + 250] for top in range(0, 600, 250))
  path = tmp_path / "mask.tif"
  tiff.write_mask(path, labels.shape, bands, palette, tags)
  with Image.open(path) as mask:
    assert mask.mode == "P"
    np.testing.assert_array_equal(np.asarray(mask), labels)
    assert mask.getpalette() == palette.ravel().tolist()
  with tiff.TiffImage(path) as mask:
    assert mask.geo_tags == tags
    assert mask._segment == (256, 256)
  tiff.write_mask(path, labels.shape, iter([labels]), None, [])
  with Image.open(path) as mask:
    assert mask.mode == "L"


def test_an_image_keeps_its_colours(tmp_path):
  """Three flat stripes, over the edges of bands; JPEG is a level or two off."""
  pytest.importorskip("imagecodecs")
  image = np.zeros((300, 290, 3), np.uint8)
  image[:, :96], image[:, 96:192] = (200, 50, 10), (20, 180, 90)
  path = tmp_path / "image.tif"
  bands = (image[top : top + 192] for top in range(0, 300, 192))
  tiff.write_rgb(path, (300, 290), bands, tiff.metre_tags(2.0))
  with tiff.TiffImage(path) as found:
    assert found.geo_tags == tiff.metre_tags(2.0)
    pixels = found.read((0, 300), (0, 290)).astype(int)
  for columns in (slice(0, 88), slice(104, 184), slice(200, 290)):
    assert np.abs(pixels[:, columns] - image[:, columns]).max() <= 3


def test_which_files_are_large(tmp_path, monkeypatch):
  path = write(tmp_path / "image.tif", RGB)
  assert not tiff.is_large(path)
  monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH - 1)
  assert tiff.is_large(path)
  other = tmp_path / "image.png"
  Image.fromarray(RGB).save(other)
  assert not tiff.is_large(other)
  (tmp_path / "text.tif").write_text("no image")
  assert not tiff.is_large(tmp_path / "text.tif")
