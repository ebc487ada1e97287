import io

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
  with pytest.raises(LabelError, match="channels are equal"):
    LabelReader().read(encoded(np.full((2, 2, 3), 7, np.uint8)))


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
