"""Labels that are drawn when they are read: outlines, runs, stacks of masks.

Objects are drawn one after the other, a later one over those before it. What
no object covers is background, or void where no class is called so.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw

from fcn_jax.data.classes import VOID, background_classes
from fcn_jax.data.files import File
from fcn_jax.data.findings import Finding
from fcn_jax.data.images import encode_label
from fcn_jax.data.labels import LabelError
from fcn_jax.files import DataError

BACKGROUND = "background"
_FARTHEST = 1 << 20  # pixels; Pillow's coordinates are of 32 bits


class Region(NamedTuple):
  """The pixels of an object.

  Attributes:
    name: of the object, as the annotation has it.
    mask: its pixels, in a box of the image; None: it has no area.
    top, left: where the box lies.
    kind: what it is, for messages.
  """

  name: str
  mask: Bool[np.ndarray, "h w"] | None
  top: int = 0
  left: int = 0
  kind: str = "object"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawn(File):
  """A label that is drawn from an annotation.

  A format defines `objects`.

  Attributes:
    labels: the label of each name of an object, void 255.
    rest: the label of pixels of no object.
  """

  labels: Mapping[str, int] = dataclasses.field(
    default_factory=dict, compare=False, repr=False
  )
  rest: int = dataclasses.field(default=VOID, compare=False)

  @property
  def extension(self) -> str:
    return ""  # its name ends in that of an image perhaps

  def objects(self) -> tuple[tuple[int, int], Iterable[Region]]:
    """Height and width of the label, and its objects as they are drawn.

    Raises:
      DataError: the annotation cannot be understood.
    """
    raise NotImplementedError

  def read(self) -> bytes:
    return self.drawn()[0]

  def drawn(self) -> tuple[bytes, list[Finding]]:
    """The label as an index PNG, and warnings of what it does not show.

    Raises:
      LabelError: objects whose name is none of `labels`.
      DataError: see `objects`.
    """
    size, objects = self.objects()
    label = np.full(size, self.rest, np.uint8)
    taken = np.zeros(size, bool)
    hidden = 0
    unknown, flat = Counter(), Counter()
    for region in objects:
      if region.name not in self.labels:
        unknown[region.name] += 1
      elif region.mask is None:
        flat[region.kind] += 1
      else:
        hidden += _paint(label, taken, region, self.labels[region.name])
    if unknown:
      raise LabelError(
        "object of a name that is no class",
        ", ".join(f"{name!r} ({n})" for name, n in unknown.most_common(5)),
        "name it in --class_names, or say in --label_map what it stands for "
        "('NAME -> CLASS', or void)",
      )
    return encode_label(label), self._warnings(hidden, label.size, flat)

  def _warnings(
    self, hidden: int, pixels: int, flat: Mapping[str, int]
  ) -> list[Finding]:
    found = []
    if hidden:
      found.append(
        Finding(
          "objects of different classes overlap",
          self.name,
          f"{hidden} pixels ({hidden / pixels:.1%}) lie under another object",
          "each has the class of the last object drawn",
          warning=True,
        )
      )
    if flat:
      found.append(
        Finding(
          "objects without an area",
          self.name,
          ", ".join(f"{n} {kind}" for kind, n in sorted(flat.items())),
          "left out; draw polygons or masks where they should count",
          warning=True,
        )
      )
    return found


def _paint(
  label: UInt8[np.ndarray, "h w"],
  taken: Bool[np.ndarray, "h w"],
  region: Region,
  value: int,
) -> int:
  """Draws a region; how many pixels of others it has changed."""
  height, width = region.mask.shape
  box = np.s_[
    region.top : region.top + height, region.left : region.left + width
  ]
  part, before = label[box], taken[box]
  if part.shape != region.mask.shape:
    raise DataError(
      f"{region.name!r} reaches beyond the image of {label.shape[1]}x"
      f"{label.shape[0]} (width x height); export the annotation again"
    )
  hidden = int(np.count_nonzero(region.mask & before & (part != value)))
  part[region.mask] = value
  before |= region.mask
  return hidden


def polygon(name: str, points: Any, size: tuple[int, int]) -> Region:
  """The pixels of a polygon, those that its outline runs through included.

  A corner (x, y) lies in pixel (floor(x), floor(y)); corners in whole pixels
  are then joined and filled by Pillow, as LabelMe does. So the square from
  (1, 1) to (3, 3) is of 3x3 pixels.

  Args:
    name: of the object.
    points: its corners, (x, y) each; pixel (0, 0) reaches from 0 to 1.
    size: height and width of the image, beyond which nothing is drawn.

  Raises:
    DataError: fewer than three corners, or corners that are no numbers.
  """
  corners = np.floor(as_points(points))
  if len(corners) < 3:
    raise DataError(f"a polygon of {len(corners)} corners; three are needed")
  return stamped(
    name,
    corners,
    size,
    lambda draw, at: draw.polygon([*map(tuple, at)], fill=1, outline=1),
  )


def as_points(points: Any) -> Float[np.ndarray, "n 2"]:
  """Points, (x, y) each, as an array.

  Raises:
    DataError: they are none, or not finite.
  """
  try:
    found = np.array(points, np.float64).reshape(len(points), 2)
  except (TypeError, ValueError):
    raise DataError("points that are not pairs of numbers") from None
  if not len(found) or not np.isfinite(found).all():
    raise DataError("points that are not pairs of finite numbers")
  return found.clip(-_FARTHEST, _FARTHEST)


def stamped(
  name: str,
  points: Float[np.ndarray, "n 2"],
  size: tuple[int, int],
  stamp: Callable[[ImageDraw.ImageDraw, Float[np.ndarray, "n 2"]], None],
  margin: float = 0,
) -> Region:
  """What is drawn at some points, in the box around them.

  Args:
    name: of the object.
    points: (x, y) of each.
    size: height and width of the image.
    stamp: draws with ink 1, given the points in the box.
    margin: how far beyond the points it draws.
  """
  low = np.floor(np.maximum(points.min(0) - margin, 0)).astype(int)
  high = np.ceil(np.minimum(points.max(0) + margin + 1, size[::-1])).astype(int)
  if (high <= low).any():
    return Region(name, np.zeros((0, 0), bool))
  image = Image.new("1", tuple(int(side) for side in high - low))
  stamp(ImageDraw.Draw(image), points - low)
  return Region(name, np.asarray(image), int(low[1]), int(low[0]))


def decode_runs(
  runs: Sequence[int], height: int, width: int
) -> Bool[np.ndarray, "h w"]:
  """Runs of pixels in row-major order, of 0 and 1 in turn, 0 first.

  >>> decode_runs([1, 2, 3], 2, 3).astype(int).tolist()
  [[0, 1, 1], [0, 0, 0]]

  Raises:
    DataError: they are not of so many pixels.
  """
  lengths = np.array(runs, np.int64)
  if (lengths < 0).any() or lengths.sum() != height * width:
    raise DataError(
      f"runs of {lengths.sum()} pixels for a mask of {width}x{height}"
    )
  values = np.arange(len(lengths)) % 2 == 1
  return np.repeat(values, lengths).reshape(height, width)


def with_background(names: Iterable[str]) -> tuple[str, ...]:
  """The names, and before them 'background' if none is called so."""
  names = tuple(names)
  return names if background_classes(names) else (BACKGROUND, *names)


def rest_of(class_names: Sequence[str]) -> int:
  """The label of what no object covers: the background's, else void."""
  found = background_classes(class_names)
  return found[0] if found else VOID


def ordered(names: Iterable[str], what: str, place: str) -> Iterator[str]:
  """The names, none of which may stand twice.

  Raises:
    DataError: one does.
  """
  seen = set()
  for name in names:
    if name in seen:
      raise DataError(f"{place}: two {what} are called {name!r}; rename one")
    seen.add(name)
    yield name
