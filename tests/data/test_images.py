import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from PIL import Image

from fcn_jax.data.images import decode_image, decode_label, encode_label
from fcn_jax.files import DataError


def encoded(image: Image.Image, form: str = "PNG", **options) -> bytes:
  stream = io.BytesIO()
  image.save(stream, form, **options)
  return stream.getvalue()


def png16(values: np.ndarray) -> bytes:
  """A 16-bit RGB PNG, which Pillow can read but not write."""

  def chunk(kind, data):
    crc = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + crc

  height, width, _ = values.shape
  rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
  return (
    b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
    + chunk(b"IDAT", zlib.compress(rows))
    + chunk(b"IEND", b"")
  )


RGB = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) * 9


def test_rgb_bytes_and_path(tmp_path):
  data = encoded(Image.fromarray(RGB))
  np.testing.assert_array_equal(decode_image(data), RGB)
  (tmp_path / "a.png").write_bytes(data)
  np.testing.assert_array_equal(decode_image(tmp_path / "a.png"), RGB)


def test_grey_fills_three_channels():
  grey = np.array([[0, 7, 255]], np.uint8)
  result = decode_image(encoded(Image.fromarray(grey)))
  assert result.tolist() == [[[0] * 3, [7] * 3, [255] * 3]]


def test_one_bit():
  image = Image.fromarray(np.array([[True, False]]))
  assert image.mode == "1"
  assert decode_image(encoded(image)).tolist() == [[[255] * 3, [0] * 3]]


def test_palette_gives_its_colours_and_drops_transparency():
  image = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
  image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
  data = encoded(image, transparency=b"\x00\x80\xff")
  assert decode_image(data).tolist() == [
    [[10, 20, 30], [40, 50, 60], [70, 80, 90]]
  ]


def test_alpha_is_dropped():
  rgba = np.concatenate([RGB, np.full((2, 3, 1), 3, np.uint8)], axis=-1)
  np.testing.assert_array_equal(
    decode_image(encoded(Image.fromarray(rgba))), RGB
  )
  grey = Image.fromarray(np.array([[[90, 0]]], np.uint8), "LA")
  assert decode_image(encoded(grey)).tolist() == [[[90, 90, 90]]]


def test_cmyk():
  image = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
  # Cyan ink alone takes all red away.
  result = decode_image(encoded(image, "JPEG", quality=100))
  assert np.abs(result.astype(int) - [0, 255, 255]).max() <= 3


def test_16_bit_grey_uses_its_full_range():
  values = np.array([[0, 128, 129, 255, 32768, 65535]], np.uint16)
  for form in ("PNG", "TIFF"):
    result = decode_image(encoded(Image.fromarray(values), form))
    # 255 * 129 / 65535 = 0.502, 255 * 32768 / 65535 = 127.502
    assert result[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]
    assert (result == result[..., :1]).all()


def test_16_bit_colour_is_within_one_level():
  values = np.random.default_rng(0).integers(0, 65536, (9, 7, 3))
  values[0, 0] = 65535
  result = decode_image(png16(values)).astype(int)
  assert np.abs(result - values * 255 / 65535).max() <= 1
  assert result[0, 0].tolist() == [255, 255, 255]


@given(hnp.arrays(np.uint16, (3, 4)))
def test_16_bit_grey_is_rounded(values):
  result = decode_image(encoded(Image.fromarray(values), "TIFF"))
  expected = np.floor(values.astype(np.float64) * 255 / 65535 + 0.5)
  np.testing.assert_array_equal(result[..., 0], expected)


def test_values_of_unknown_range_are_refused():
  for values in (
    np.array([[70000]], np.int32),
    np.array([[-1]], np.int32),
    np.array([[0.5]], np.float32),
  ):
    with pytest.raises(DataError, match=r"x\.tif: .*8 or 16 bits"):
      decode_image(encoded(Image.fromarray(values), "TIFF"), "x.tif")


def test_exif_orientation():
  image = Image.fromarray(RGB)
  exif = Image.Exif()
  exif[0x0112] = 6  # shown turned by 90 degrees, clockwise
  result = decode_image(encoded(image, exif=exif))
  np.testing.assert_array_equal(result, np.rot90(RGB, -1))


def test_broken_files():
  data = encoded(Image.fromarray(np.zeros((64, 64, 3), np.uint8)), "JPEG")
  for bad in (b"", b"no image", data[: len(data) // 2], data[:30]):
    with pytest.raises(DataError, match=r"a\.jpg: (broken|not an image)"):
      decode_image(bad, "a.jpg")
  png = bytearray(encoded(Image.fromarray(RGB)))
  png[-20] ^= 255
  with pytest.raises(DataError, match=r"a\.png"):
    decode_image(bytes(png), "a.png")


def test_too_many_pixels(monkeypatch):
  data = encoded(Image.new("L", (10, 10)))
  for limit in (99, 20):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(DataError, match=f"more than {limit} pixels"):
      decode_image(data, "big.png")


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2)))
def test_label_survives_encoding(label):
  data = encode_label(label)
  assert Image.open(io.BytesIO(data)).mode == "L"
  np.testing.assert_array_equal(decode_label(data), label)


def test_paletted_label_gives_indices():
  image = Image.fromarray(np.array([[0, 15, 255]], np.uint8))
  image.putpalette(bytes(range(256)) * 3)
  assert decode_label(encoded(image)).tolist() == [[0, 15, 255]]


def test_label_in_colours_is_refused():
  with pytest.raises(DataError, match="mode RGB"):
    decode_label(encoded(Image.fromarray(RGB)))
