import io
import time

import numpy as np
import pytest
from PIL import Image

from fcn_jax.data.labels import ColorMap, LabelError, LabelReader


def encoded(array: np.ndarray, form: str = "PNG", palette=None) -> bytes:
  image = Image.fromarray(array)
  if palette:
    image.putpalette(palette)
  stream = io.BytesIO()
  image.save(stream, form)
  return stream.getvalue()


def test_indices_of_each_mode():
  read = LabelReader().read
  label = np.array([[0, 3, 255]], np.uint8)
  assert read(encoded(label)).index.tolist() == [[0, 3, 255]]
  assert read(encoded(label > 0)).index.tolist() == [[0, 1, 1]]
  wide = read(encoded(np.array([[2, 255, 300]], np.uint16)))
  assert wide.index.tolist() == [[2, 255, 300]]
  paletted = read(encoded(label, palette=[1, 2, 3, 4, 5, 6] * 128))
  assert paletted.index.tolist() == [[0, 3, 255]]
  assert paletted.palette[3].tolist() == [4, 5, 6]
  assert read(encoded(label)).palette is None


def test_colours_are_mapped_exactly():
  reader = LabelReader(
    ColorMap(np.array([[0, 0, 0], [128, 0, 0]], np.uint8), (9, 9, 9))
  )
  colours = np.array([[[0, 0, 0], [128, 0, 0], [9, 9, 9]]], np.uint8)
  assert reader.read(encoded(colours)).index.tolist() == [[0, 1, 255]]
  alpha = np.full((1, 3, 1), 77, np.uint8)
  rgba = np.concatenate([colours, alpha], axis=-1)
  assert reader.read(encoded(rgba)).index.tolist() == [[0, 1, 255]]


def test_unknown_colours_are_counted():
  reader = LabelReader(ColorMap(np.zeros((1, 3), np.uint8)))
  colours = np.zeros((2, 3, 3), np.uint8)
  colours[0, 0] = (1, 2, 3)
  colours[1] = (4, 5, 6)
  with pytest.raises(LabelError) as error:
    reader.read(encoded(colours))
  assert error.value.value == "(4, 5, 6) in 3 pixels, (1, 2, 3) in 1 pixels"
  assert "--void_color" in error.value.remedy


def test_colours_without_a_map():
  with pytest.raises(LabelError, match="--colormap"):
    LabelReader().read(encoded(np.eye(3, dtype=np.uint8)[None] * 200))


def test_lossy_labels_are_refused():
  with pytest.raises(LabelError, match="JPEG"):
    LabelReader().read(encoded(np.zeros((8, 8), np.uint8), "JPEG"))


def test_floating_point_is_refused():
  with pytest.raises(LabelError, match="mode F"):
    LabelReader().read(encoded(np.zeros((2, 2), np.float32), "TIFF"))


def test_binary_masks():
  read = LabelReader(binary_masks=True).read
  mask = np.array([[0, 255, 1]], np.uint8)
  assert read(encoded(mask)).index.tolist() == [[0, 1, 1]]
  with pytest.raises(LabelError, match=r"values \[7, 254\] in 3 pixels"):
    read(encoded(np.array([[0, 7, 254, 254]], np.uint8)))


def map_of(*colors, void=None):
  return LabelReader(ColorMap(np.array(colors, np.uint8), void))


def test_a_colour_map_decides_for_paletted_files():
  """Index 0 is white here, which the map calls class 1."""
  reader = map_of((0, 0, 0), (255, 255, 255))
  index = np.array([[0, 0, 1]], np.uint8)
  file = encoded(index, palette=[255, 255, 255, 0, 0, 0, 9, 9, 9])
  assert reader.read(file).index.tolist() == [[1, 1, 0]]
  assert reader.read(file).palette is None


def test_a_palette_that_contradicts_the_colour_map_is_told():
  reader = map_of((0, 0, 0), (128, 0, 0))
  file = encoded(np.array([[0, 1]], np.uint8), palette=[0, 0, 0, 1, 1, 1])
  with pytest.raises(LabelError, match="leave out --colormap") as error:
    reader.read(file)
  assert error.value.value == "(1, 1, 1) in 1 pixels, mode P"


def test_a_colour_map_decides_for_grey_files():
  reader = map_of((0, 0, 0), (128, 128, 128), void=(255, 255, 255))
  grey = np.array([[0, 128, 255]], np.uint8)
  assert reader.read(encoded(grey)).index.tolist() == [[0, 1, 255]]
  alpha = np.stack([grey, grey // 2], -1)
  assert reader.read(encoded(alpha)).index.tolist() == [[0, 1, 255]]
  bits = map_of((255, 255, 255), (0, 0, 0)).read(encoded(grey > 200))
  assert bits.index.tolist() == [[1, 1, 0]]
  with pytest.raises(LabelError, match="mode I;16"):
    reader.read(encoded(grey.astype(np.uint16)))


def test_equal_channels_hold_the_index():
  label = np.array([[0, 3, 255]], np.uint8)
  colours = np.repeat(label[..., None], 3, -1)
  assert LabelReader().read(encoded(colours)).index.tolist() == [[0, 3, 255]]
  alpha = np.full((1, 3, 1), 9, np.uint8)
  rgba = np.concatenate([colours, alpha], -1)
  assert LabelReader().read(encoded(rgba)).index.tolist() == [[0, 3, 255]]
  la = np.concatenate([label[..., None], alpha], -1)
  assert LabelReader().read(encoded(la)).index.tolist() == [[0, 3, 255]]


def test_masks_of_any_mode():
  read = LabelReader(binary_masks=True).read
  grey = np.array([[0, 255]], np.uint8)
  rgb = np.repeat(grey[..., None], 3, -1)
  opaque = np.full((1, 2, 1), 255, np.uint8)
  for array in (
    grey,
    grey > 0,
    rgb,
    np.concatenate([rgb, opaque], -1),
    np.concatenate([grey[..., None], opaque], -1),
    grey.astype(np.uint16) * 257,
  ):
    assert read(encoded(array)).index.tolist() == [[0, 1]]
  # By the palette where it is of black and white, else by the index.
  index = np.array([[0, 1]], np.uint8)
  white_first = encoded(index, palette=[255, 255, 255, 0, 0, 0])
  assert read(white_first).index.tolist() == [[1, 0]]
  red = encoded(index, palette=[0, 0, 0, 128, 0, 0])
  assert read(red).index.tolist() == [[0, 1]]


def test_a_mask_in_the_alpha_channel_is_told():
  rgba = np.zeros((1, 2, 4), np.uint8)
  rgba[0, 1, 3] = 255
  with pytest.raises(LabelError, match="grey PNG"):
    LabelReader(binary_masks=True).read(encoded(rgba))


def test_a_threshold_reads_soft_masks_and_jpegs():
  reader = LabelReader(binary_masks=True, threshold=128)
  soft = np.array([[0, 127, 128, 255]], np.uint8)
  assert reader.read(encoded(soft)).index.tolist() == [[0, 0, 1, 1]]
  half = np.zeros((16, 16), np.uint8)
  half[:, 8:] = 255
  assert reader.read(encoded(half, "JPEG")).index[0].tolist() == [0] * 8 + (
    [1] * 8
  )
  with pytest.raises(LabelError, match="--threshold=128"):
    LabelReader(binary_masks=True).read(encoded(half, "JPEG"))


def test_a_label_is_turned_by_its_own_tag():
  exif = Image.Exif()
  exif[0x0112] = 6  # stored lying on its left side
  stream = io.BytesIO()
  Image.fromarray(np.array([[1, 2]], np.uint8)).save(stream, "PNG", exif=exif)
  assert LabelReader().read(stream.getvalue()).index.tolist() == [[1], [2]]


def test_colours_of_many_pixels_are_read_in_bands():
  """9 megapixels; a sort of their colours would take seconds."""
  colours = np.zeros((3000, 3000, 3), np.uint8)
  colours[-1] = (1, 2, 3)
  start = time.process_time()
  index, unknown = ColorMap(np.zeros((1, 3), np.uint8)).indices(colours)
  assert unknown == {(1, 2, 3): 3000}
  assert not index.any()
  assert time.process_time() - start < 3
