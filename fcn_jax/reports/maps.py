"""Feature maps and filters as small pictures."""

import base64
import io
import math

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

LONGEST = 128  # pixels on the longer side of a map's picture
_LEVELS = 64  # that a map's picture tells apart, so that pages stay small

# cividis at nine places, dark blue to yellow: its lightness rises evenly, also
# for the colour-blind. Nuñez, Anderton and Renslow, PLOS ONE 2018.
SCALE = (
  (0, 34, 78),
  (26, 56, 111),
  (67, 78, 108),
  (97, 101, 111),
  (125, 124, 120),
  (155, 148, 118),
  (188, 174, 108),
  (222, 201, 88),
  (254, 232, 56),
)


def colors(count: int) -> UInt8[np.ndarray, "count 3"]:
  """RGB of so many steps of the scale, from its dark to its light end."""
  places = np.linspace(0, len(SCALE) - 1, count)
  channels = np.array(SCALE, np.float64).T
  mixed = [np.interp(places, np.arange(len(SCALE)), c) for c in channels]
  return np.rint(np.stack(mixed, -1)).astype(np.uint8)


def thumbnail(values: Float[np.ndarray, "y x"]) -> Float[np.ndarray, "v u"]:
  """A map, reduced to `LONGEST` pixels by the mean of what becomes one."""
  image = Image.fromarray(values.astype(np.float32))
  scale = LONGEST / max(image.size)
  if scale < 1:
    width, height = (max(1, round(n * scale)) for n in image.size)
    image = image.resize((width, height), Image.Resampling.BOX)
  return np.asarray(image)


def map_picture(
  values: Float[np.ndarray, "y x"], low: float, high: float
) -> str:
  """A data URI of one channel, coloured from `low` to `high`."""
  share = (values - low) / ((high - low) or 1)
  levels = np.rint(np.clip(share, 0, 1) * (_LEVELS - 1)).astype(np.uint8)
  picture = Image.fromarray(levels)
  picture.putpalette(colors(_LEVELS).tobytes())
  return _data_uri(picture)


def filter_picture(weights: Float[np.ndarray, "y x 3"]) -> str:
  """A data URI of one filter of the image's channels, in its own colours.

  Each filter is scaled by its own largest weight, so that 0 is grey, weights
  that ask for light are lighter, and weights against it darker.

  Args:
    weights: of blue, green and red, as networks here have them.
  """
  largest = float(np.abs(weights).max()) or 1.0
  rgb = weights[..., ::-1].astype(np.float64) / largest
  shades = np.floor(127.5 + 127.5 * rgb + 0.5)
  return _data_uri(Image.fromarray(np.clip(shades, 0, 255).astype(np.uint8)))


def _data_uri(picture: Image.Image) -> str:
  stream = io.BytesIO()
  picture.save(stream, "PNG", optimize=True)
  coded = base64.b64encode(stream.getvalue()).decode()
  return f"data:image/png;base64,{coded}"


def heights(counts: np.ndarray) -> list[float]:
  """Bars of a histogram, 0..1: log(1 + count) as a share of the largest."""
  most = math.log1p(int(counts.max()))
  return (np.log1p(counts) / most).tolist()
