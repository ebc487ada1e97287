"""Pictures of labels: class colours over an image, and a legend below it."""

import dataclasses
import math
import unicodedata
from collections.abc import Collection, Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from fcn_jax.text import percent

_PAPER, _INK, _EDGE = (255, 255, 255), (32, 32, 32), (150, 150, 150)
_SMALLEST_TEXT = 12  # pixels; below that the font is hard to read
_LONGEST_NAME = 40  # characters


def index_image(
  labels: UInt8[np.ndarray, "h w"], palette: UInt8[np.ndarray, "256 3"]
) -> Image.Image:
  """The labels as an image of mode P: pixel values are class ids."""
  image = Image.fromarray(labels)
  image.putpalette(palette.tobytes())
  return image


def tint(
  image: UInt8[np.ndarray, "h w 3"],
  labels: UInt8[np.ndarray, "h w"],
  palette: UInt8[np.ndarray, "256 3"],
  opacity: float = 0.6,
  untinted: Collection[int] = (),
) -> Image.Image:
  """The image with each pixel drawn towards the colour of its class.

  Pixels beside, above or below one of another class have the full colour: an
  outline, so that small objects show.

  Args:
    image: RGB.
    labels: class ids.
    palette: RGB of each class id.
    opacity: 0 shows the image, 1 the colours.
    untinted: class ids under which the image stays as it is.

  Returns:
    An RGB image: (1 - opacity) * image + opacity * colour, to one
    level.

  Raises:
    ValueError: opacity is not in 0..1.
  """
  if not 0 <= opacity <= 1:
    raise ValueError(f"opacity {opacity!r}: give a number from 0 to 1")
  photo = Image.fromarray(image)
  colors = index_image(labels, palette).convert("RGB")
  picture = Image.blend(photo, colors, opacity)
  if opacity:
    picture.paste(colors, mask=Image.fromarray(_outline(labels)))
  if untinted:
    still = np.isin(labels, list(untinted))
    picture.paste(photo, mask=Image.fromarray(still))
  return picture


def _outline(labels: UInt8[np.ndarray, "h w"]) -> np.ndarray:
  edge = np.zeros(labels.shape, bool)
  beside = labels[:, :-1] != labels[:, 1:]
  edge[:, :-1] |= beside
  edge[:, 1:] |= beside
  below = labels[:-1] != labels[1:]
  edge[:-1] |= below
  edge[1:] |= below
  return edge


@dataclasses.dataclass(frozen=True)
class Entry:
  """One line of a legend.

  Attributes:
    label: class id; named in the name's place where the font cannot write it.
    name: class name.
    color: RGB; None for a class that is not coloured.
    share: share of the image's pixels, 0..1.
  """

  label: int
  name: str
  color: tuple[int, int, int] | None
  share: float

  @property
  def text(self) -> str:
    """Name and share, in letters that Pillow's own font has (ASCII)."""
    plain = unicodedata.normalize("NFKD", self.name)
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    if not plain.isascii() or not plain.isprintable():
      plain = f"class {self.label}"
    if len(plain) > _LONGEST_NAME:
      plain = plain[: _LONGEST_NAME - 3] + "..."
    return f"{plain}  {percent(self.share)}"


def add_legend(picture: Image.Image, entries: Sequence[Entry]) -> Image.Image:
  """The picture with a strip below it: a colour, a name and a share each.

  Text grows with the picture and never gets too small to read. Entries stand
  in columns, as many as fit; where the picture is narrower than one entry,
  the strip is wider than the picture.

  Returns:
    An RGB image with `picture` at its top left.
  """
  size = max(_SMALLEST_TEXT, math.sqrt(picture.width * picture.height) / 36)
  font = ImageFont.load_default(size=size)
  box = round(size)
  margin, gap, row = round(0.6 * size), round(0.5 * size), round(1.5 * size)
  widest = max((font.getlength(e.text) for e in entries), default=0)
  cell = box + gap + math.ceil(widest)
  between = round(1.5 * size)
  columns = (picture.width - 2 * margin + between) // (cell + between)
  columns = min(max(columns, 1), max(len(entries), 1))
  rows = -(-len(entries) // columns)
  columns = -(-len(entries) // max(rows, 1))
  width = 2 * margin + columns * (cell + between) - between
  sheet = Image.new(
    "RGB",
    (max(picture.width, width), picture.height + 2 * margin + rows * row),
    _PAPER,
  )
  sheet.paste(picture)
  draw = ImageDraw.Draw(sheet)
  for number, entry in enumerate(entries):
    column, line = divmod(number, rows)
    x = margin + column * (cell + between)
    middle = picture.height + margin + line * row + row // 2
    top = middle - box // 2
    draw.rectangle(
      (x, top, x + box - 1, top + box - 1),
      fill=entry.color or _PAPER,
      outline=_EDGE,
    )
    draw.text(
      (x + box + gap, middle), entry.text, fill=_INK, font=font, anchor="lm"
    )
  return sheet
