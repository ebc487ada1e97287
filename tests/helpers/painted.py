"""What the segmentation viewer paints on its canvas, in numpy."""

import base64
import io

import browser
import numpy as np
from PIL import Image


def painted(ids, colors, opacity=60, outline=1, hidden=(), lit=None):
  """RGBA, uint8, that the canvas should hold.

  Args:
    ids: class ids, 255 = void.
    colors: RGB of the ids that are coloured.
    opacity, outline: of the sliders.
    hidden: ids that are hidden.
    lit: the id that is lit up.
  """
  near = np.zeros(ids.shape, bool)
  for _ in range(outline):
    grown = near.copy()
    for axis in (0, 1):
      rows = [slice(None)] * 2
      before, after = rows.copy(), rows.copy()
      before[axis], after[axis] = slice(None, -1), slice(1, None)
      before, after = tuple(before), tuple(after)
      other = ids[before] != ids[after]
      grown[before] |= near[after] | other
      grown[after] |= near[before] | other
    near = grown
  picture = np.zeros((*ids.shape, 4), np.uint8)
  alpha = np.where(near, 255, round(2.55 * opacity))
  for label, color in colors.items():
    picture[ids == label, :3] = color
    picture[ids == label, 3] = alpha[ids == label]
  y, x = np.indices(ids.shape)
  stripes = np.where((x + y) // 4 % 2, 200, 96)
  void = ids == 255
  picture[void, :3] = stripes[void, None]
  picture[void, 3] = alpha[void]
  for label in hidden:
    picture[ids == label] = 0
  if lit is not None:
    picture[ids != lit] = (0, 0, 0, 166)
  return picture


def check(page, expected, selector="canvas"):
  """The canvas holds that, to what alpha leaves of the colours."""
  found = browser.pixels(page, selector).astype(int)
  assert found.shape == expected.shape
  np.testing.assert_array_equal(found[..., 3], expected[..., 3])
  seen = found[..., :3] * found[..., 3:] / 255
  np.testing.assert_allclose(
    seen, expected[..., :3] * (expected[..., 3:] / 255.0), atol=1
  )


def png_pixels(uri: str) -> np.ndarray:
  head, coded = uri.split(",")
  assert head == "data:image/png;base64"
  picture = Image.open(io.BytesIO(base64.b64decode(coded)))
  return np.asarray(picture.convert("RGB"))
