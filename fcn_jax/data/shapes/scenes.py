"""Scenes of the made-up world, with their labels and boxes."""

import dataclasses

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFilter

from fcn_jax.data.classes import VOID
from fcn_jax.data.shapes import drawings, grounds

CLASS_NAMES = ("background", *drawings.THINGS)
BORDER = 2  # void pixels on either side of an outline, 4 px in all
DIAMETERS = (80.0, 136.0)  # least and largest of an object, in pixels


@dataclasses.dataclass(frozen=True)
class Scene:
  """A drawn image and what is in it.

  image: RGB. instances: 0 for background, else k for the k-th object (from
  1) where it covers more than half a pixel and nothing lies before it.
  classes[k - 1]: the class id of object k. truncated, occluded: flags of
  object k as VOC has them.
  """

  image: UInt8[np.ndarray, "h w 3"]
  instances: UInt8[np.ndarray, "h w"]
  classes: tuple[int, ...]
  truncated: tuple[bool, ...]
  occluded: tuple[bool, ...]


def _lay(picture, paint, rng, centre, radius, shadow=0.0):
  """Paints one object onto picture; gives (box of slices, alpha), clipped."""
  height, width = picture.shape[:2]
  cy, cx = centre
  reach = int(np.ceil(radius * (1.0 + 0.3 * (shadow > 0)))) + 1
  top, left = max(0, int(cy) - reach), max(0, int(cx) - reach)
  bottom, right = min(height, int(cy) + reach), min(width, int(cx) + reach)
  place = slice(top, bottom), slice(left, right)
  y = (np.arange(top, bottom, dtype=np.float32)[:, None] - cy) / radius
  x = (np.arange(left, right, dtype=np.float32)[None, :] - cx) / radius
  x, y = np.broadcast_arrays(x, y)
  # Things with a head look left or right and tilt; the rest follows from it.
  angle = rng.normal(0.0, 0.45)
  side = rng.choice((-1.0, 1.0))
  cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
  squeeze = np.float32(rng.uniform(1.0, 1.15))
  own_x = np.float32(side) * (cos * x + sin * y)
  own_y = (cos * y - sin * x) * squeeze
  sketch = drawings.Sketch(own_x, own_y, 1.0 / radius)
  paint(sketch, rng)
  edge = np.clip(-sketch.distance / 0.1, 0, 1)
  sketch.shade(0.72 + 0.28 * edge - 0.14 * x - 0.18 * y)
  patch = picture[place]
  if shadow:
    alpha = Image.fromarray((sketch.alpha * 255).astype(np.uint8))
    fall = round(0.1 * radius)
    soft = alpha.filter(ImageFilter.GaussianBlur(0.08 * radius))
    dark = np.asarray(
      soft.transform(soft.size, Image.AFFINE, (1, 0, -fall, 0, 1, -fall))
    )
    patch *= 1.0 - shadow * (dark / np.float32(255))[..., None]
  patch += sketch.alpha[..., None] * (sketch.colour - patch)
  return place, sketch.alpha


def _places(rng, height, width, diameters):
  """(y, x, radius) of 1 to 3 objects that hide little of one another."""
  placed = []
  for _ in range(rng.choice((1, 2, 3), p=(0.25, 0.4, 0.35))):
    for _ in range(30):
      radius = rng.uniform(*diameters) / 2
      inset_y = min(0.85 * radius, height / 2)
      inset_x = min(0.85 * radius, width / 2)
      cy = rng.uniform(inset_y, height - inset_y)
      cx = rng.uniform(inset_x, width - inset_x)
      apart = [np.hypot(cy - y, cx - x) / (radius + r) for y, x, r in placed]
      if all(ratio > 0.8 for ratio in apart):
        placed.append((cy, cx, radius))
        break
  return placed


def draw_scene(
  rng: np.random.Generator,
  height: int,
  width: int,
  diameters: tuple[float, float] = DIAMETERS,
) -> Scene:
  """Draws 1 to 3 objects, of diameters in pixels, on a varied background."""
  picture = grounds.ground(rng, height, width)
  trifle = min(diameters) / 12, min(diameters) / 5
  for _ in range(rng.integers(2, 9)):
    paint = drawings.TRIFLES[rng.integers(len(drawings.TRIFLES))]
    centre = rng.uniform(0, height), rng.uniform(0, width)
    _lay(picture, paint, rng, centre, rng.uniform(*trifle), shadow=0.3)

  placed = _places(rng, height, width, diameters)
  instances = np.zeros((height, width), np.uint8)
  classes, truncated, whole = [], [], []
  for number, (cy, cx, radius) in enumerate(placed, start=1):
    class_id = int(rng.integers(1, len(CLASS_NAMES)))
    paint = drawings.THINGS[CLASS_NAMES[class_id]]
    place, alpha = _lay(
      picture, paint, rng, (cy, cx), radius, rng.uniform(0.25, 0.5)
    )
    inside = alpha > 0.5
    instances[place][inside] = number
    classes.append(class_id)
    whole.append(int(inside.sum()))
    own = np.zeros((height, width), bool)
    own[place] = inside
    truncated.append(bool(own[[0, -1]].any() or own[:, [0, -1]].any()))
  visible = np.bincount(instances.ravel(), minlength=len(placed) + 1)[1:]

  lean = rng.normal(0.0, 0.12, 2)
  light = (
    rng.uniform(0.85, 1.1)
    + lean[0] * np.linspace(-1, 1, height)[:, None]
    + lean[1] * np.linspace(-1, 1, width)[None, :]
  )
  grain = rng.normal(0.0, rng.uniform(0.01, 0.03), picture.shape)
  picture = picture * light[..., None] + grain
  image = np.clip(picture * 255.0 + 0.5, 0, 255).astype(np.uint8)
  return Scene(
    image=image,
    instances=instances,
    classes=tuple(classes),
    truncated=tuple(truncated),
    occluded=tuple(bool(v < n) for v, n in zip(visible, whole, strict=True)),
  )


def label_of(scene: Scene) -> UInt8[np.ndarray, "h w"]:
  """Class ids, with 255 within BORDER px of every outline, as VOC has it."""
  lookup = np.array((0, *scene.classes), np.uint8)
  instances = scene.instances
  height, width = instances.shape
  around = np.pad(instances, BORDER, mode="edge")
  border = np.zeros(instances.shape, bool)
  for dy in range(-BORDER, BORDER + 1):
    for dx in range(-BORDER, BORDER + 1):
      if abs(dy) + abs(dx) == 2 * BORDER:
        continue  # without its corners the window is nearly round
      top, left = BORDER + dy, BORDER + dx
      border |= around[top : top + height, left : left + width] != instances
  return np.where(border, np.uint8(VOID), lookup[instances])


def boxes_of(scene: Scene) -> list[tuple[int, int, int, int]]:
  """(xmin, ymin, xmax, ymax) of each object's visible part, from 1, closed."""
  boxes = []
  for number in range(1, len(scene.classes) + 1):
    rows, columns = np.nonzero(scene.instances == number)
    boxes.append(
      (
        int(columns.min()) + 1,
        int(rows.min()) + 1,
        int(columns.max()) + 1,
        int(rows.max()) + 1,
      )
    )
  return boxes
