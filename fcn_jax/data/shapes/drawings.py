"""What the made-up world is made of: five things and four trifles.

Everything is drawn from signed distances (negative inside). A pixel's coverage
is its distance to the outline, clipped to half a pixel either way, so outlines
are antialiased without drawing them large first.
"""

import colorsys
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

Plane = Float[np.ndarray, "h w"]
Rng = np.random.Generator


class Sketch:
  """One object under the pencil, in its own frame.

  The frame is x to the right, y down, with the whole object inside the unit
  disc. `colour` is RGB in 0..1, `alpha` the coverage in 0..1, `distance` the
  signed distance to the outline of all parts laid so far.
  """

  def __init__(self, x: Plane, y: Plane, pixel: float):
    """x, y: the frame's coordinates of every pixel; pixel: a pixel's side."""
    self.x, self.y, self.pixel = x, y, pixel
    self.colour = np.zeros((*x.shape, 3), np.float32)
    self.alpha = np.zeros(x.shape, np.float32)
    self.distance = np.full(x.shape, 4.0, np.float32)

  def cover(self, distance: Plane) -> Plane:
    return np.clip(0.5 - distance / self.pixel, 0.0, 1.0)

  def part(self, distance: Plane, colour: np.ndarray) -> None:
    """Lays a part on top of what is there; the outline grows with it."""
    cover = self.cover(distance)
    alpha = np.maximum(self.alpha, cover)
    weight = cover / np.maximum(alpha, 1e-6)
    self.colour += weight[..., None] * (colour - self.colour)
    self.alpha = alpha
    self.distance = np.minimum(self.distance, distance)

  def tint(
    self, distance: Plane, colour: np.ndarray, opacity: float = 1.0
  ) -> None:
    """Colours the inside of a distance; the outline stays as it is."""
    cover = (opacity * self.cover(distance))[..., None]
    self.colour += cover * (colour - self.colour)

  def shade(self, light: Plane) -> None:
    """Multiplies the colour: 1 leaves it, more lightens, less darkens."""
    self.colour *= light[..., None]


def hsv(hue: float, saturation: float, value: float) -> np.ndarray:
  """RGB in 0..1 of hue (taken modulo 1), saturation and value."""
  rgb = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
  return np.array(rgb, np.float32)


BLACK, WHITE = hsv(0, 0, 0.08), hsv(0, 0, 0.97)


def disc(x: Plane, y: Plane, radius: float) -> Plane:
  return np.hypot(x, y) - radius


def ellipse(x: Plane, y: Plane, a: float, b: float) -> Plane:
  """Distance to an ellipse, to first order (exact on the outline)."""
  k = np.hypot(x / a, y / b)
  return (k - 1.0) * k / np.maximum(np.hypot(x / a**2, y / b**2), 1e-3)


def capsule(x: Plane, y: Plane, start, end, radius: float) -> Plane:
  """Distance to the segment from start to end, thickened by radius."""
  (ax, ay), (bx, by) = start, end
  dx, dy = bx - ax, by - ay
  t = ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy)
  t = np.clip(t, 0.0, 1.0)
  return np.hypot(x - ax - t * dx, y - ay - t * dy) - radius


def box(x: Plane, y: Plane, a: float, b: float, corner: float) -> Plane:
  """Distance to a rectangle of half sides a, b with rounded corners."""
  dx, dy = np.abs(x) - a + corner, np.abs(y) - b + corner
  outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0))
  return outside + np.minimum(np.maximum(dx, dy), 0) - corner


def stripes(t: Plane, period: float, share: float) -> Plane:
  """Distance to bands across t that fill `share` of every period."""
  return (np.abs((t / period) % 1.0 - 0.5) - share / 2) * period


def eye(s: Sketch, x: float, y: float, radius: float) -> None:
  s.tint(disc(s.x - x, s.y - y, radius), WHITE)
  s.tint(disc(s.x - x - radius * 0.2, s.y - y, radius * 0.6), BLACK)
  s.tint(disc(s.x - x, s.y - y + radius * 0.3, radius * 0.22), WHITE)


def one_of(rng: Rng, *ranges: tuple[float, float]) -> float:
  """A number from one of the ranges, each range being equally likely."""
  return rng.uniform(*ranges[rng.integers(len(ranges))])


def fish(s: Sketch, rng: Rng) -> None:
  """A fat fish, banded or scaled, head to the right."""
  x, y, fat = s.x, s.y, rng.uniform(0.5, 0.64)
  hue = one_of(rng, (0.04, 0.14), (0.56, 0.64))
  colour = hsv(hue, rng.uniform(0.55, 0.9), rng.uniform(0.75, 1.0))
  second = hsv(hue + one_of(rng, (-0.1, 0.1), (0.35, 0.6)), 0.6, 0.85)
  fin = 0.55 * colour + 0.45 * second
  slope = np.abs(y) - 0.1 + (x + 0.3) * 0.9
  tail = np.maximum(slope * 0.74, np.maximum(x, -x - 0.78 - 0.3 * np.abs(y)))
  s.part(np.maximum(tail, disc(x, y, 0.99)), fin)
  s.tint(stripes(y + 0.4 * x * np.sign(y), 0.14, 0.3), colour * 0.6, 0.6)
  s.part(ellipse(x - 0.05, y + fat * 0.78, 0.42, 0.3), fin)
  s.part(ellipse(x - 0.1, y - fat * 0.85, 0.22, 0.2), fin)
  body = ellipse(x - 0.24, y, 0.72, fat)
  s.part(body, colour)
  inside = np.maximum(body, x - 0.5)
  if rng.random() < 0.5:
    bands = stripes(x + 0.5 * y * y, rng.uniform(0.26, 0.36), 0.4)
    s.tint(np.maximum(bands, inside), second)
  else:
    cell = rng.uniform(0.15, 0.2)
    row = np.floor(y / cell)
    u = (x / cell + 0.5 * (row % 2)) % 1.0 - 0.5
    ring = np.abs(np.hypot(u, y / cell - row - 0.5) - 0.5) - 0.1
    s.tint(np.maximum(ring * cell, inside), second, 0.9)
  s.tint(np.maximum(body, 0.2 - y), WHITE, 0.3)
  gill = np.abs(disc(x - 0.86, y, 0.38)) - 0.025
  s.tint(np.maximum(gill, body), colour * 0.5, 0.8)
  s.tint(capsule(x, y, (0.78, 0.16), (0.92, 0.12), 0.025), BLACK, 0.7)
  s.part(ellipse(x - 0.2, y - 0.12, 0.2, 0.11), fin * 0.9)
  eye(s, 0.66, -0.12, 0.12)


def leaf(s: Sketch, rng: Rng) -> None:
  """A broad leaf with a midrib, side veins and a saw-toothed edge."""
  x, y, width = s.x, s.y, rng.uniform(0.56, 0.72)
  hue = one_of(rng, (0.2, 0.3), (0.3, 0.4), (0.0, 0.14))
  colour = hsv(hue, rng.uniform(0.6, 0.9), rng.uniform(0.5, 0.9))
  vein = hsv(hue + rng.uniform(-0.03, 0.05), 0.35, rng.uniform(0.85, 1.0))
  if rng.random() < 0.3:
    vein = colour * 0.45
  stalk = capsule(x, y, (-0.98, rng.uniform(-0.12, 0.12)), (-0.6, 0), 0.045)
  s.part(stalk, 0.5 * colour + 0.2)
  radius = (0.88**2 + width**2) / (2 * width)
  blade = np.hypot(x - 0.1, np.abs(y) + radius - width) - radius
  teeth = rng.uniform(0.0, 0.022)
  blade = blade + teeth * np.sin(x * rng.uniform(24, 34))
  s.part(blade, colour)
  s.tint(np.maximum(blade, -y), colour * 0.78)
  along = x - rng.uniform(0.6, 1.0) * np.abs(y)
  veins = stripes(along, rng.uniform(0.2, 0.27), 0.13)
  s.tint(np.maximum(veins, blade + 0.06), vein, 0.85)
  s.tint(capsule(x, y, (-0.8, 0), (0.88, 0), 0.03), vein)
  for _ in range(rng.integers(0, 4)):
    px, py = rng.uniform(-0.5, 0.6), rng.uniform(-0.3, 0.3)
    spot = disc(x - px, y - py, rng.uniform(0.04, 0.08))
    s.tint(np.maximum(spot, blade), hsv(0.07, 0.7, 0.45), 0.8)


def star(s: Sketch, rng: Rng) -> None:
  """A chubby sea star with ridged, dotted arms and a face."""
  hue = one_of(rng, (0.75, 0.86), (0.88, 1.0), (0.02, 0.05))
  colour = hsv(hue, rng.uniform(0.5, 0.85), rng.uniform(0.8, 1.0))
  pale = 0.4 * colour + 0.6
  turn = np.arctan2(s.x, -s.y) % (0.4 * np.pi)
  turn = np.abs(turn - 0.2 * np.pi) - 0.2 * np.pi  # 0 on the middle of an arm
  r = np.hypot(s.x, s.y)
  # One arm's half: along it and away from its middle line.
  u, v = r * np.cos(turn), -r * np.sin(turn)
  tip, valley = 0.9, rng.uniform(0.5, 0.6)
  bx = valley * np.cos(0.2 * np.pi) - tip
  by = valley * np.sin(0.2 * np.pi)
  length = np.hypot(bx, by)
  side = ((u - tip) * by - v * bx) / length
  body = np.where(side > 0, capsule(u, v, (tip, 0), (tip + bx, by), 0), side)
  body = body - 0.1
  s.part(body.astype(np.float32), colour)
  s.tint(body + 0.1, 0.75 * colour + 0.25 * pale)
  knobs = (u / 0.15) % 1.0 - 0.5
  dots = np.hypot(knobs * 0.15, v) - 0.05
  s.tint(np.maximum(dots, 0.36 - u), pale)
  small = np.hypot(knobs * 0.15, np.abs(v) - 0.13) - 0.03
  s.tint(np.maximum(small, np.maximum(0.3 - u, body + 0.05)), colour * 0.6)
  eye(s, -0.13, -0.06, 0.1)
  eye(s, 0.13, -0.06, 0.1)
  smile = np.maximum(np.abs(disc(s.x, s.y - 0.06, 0.15)) - 0.025, 0.12 - s.y)
  s.tint(smile, BLACK, 0.8)


def mug(s: Sketch, rng: Rng) -> None:
  """A glazed mug, its pattern zigzag, dots or bands, handle to the right."""
  x, y = s.x + 0.11, s.y
  hue = one_of(rng, (0.25, 0.45), (0.5, 0.7), (0.85, 1.0))
  colour = hsv(hue, rng.uniform(0.25, 0.85), rng.uniform(0.7, 1.0))
  second = hsv(hue + rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.8), 0.8)
  if rng.random() < 0.5:
    second = WHITE
  width, height = rng.uniform(0.55, 0.63), rng.uniform(0.65, 0.74)
  hold = box(x - width - 0.02, y, 0.3, 0.42, 0.26)
  s.part(np.abs(hold + 0.07) - 0.08, colour * 0.85)
  taper = x / (1.0 - rng.uniform(-0.06, 0.12) * y)
  body = box(taper, y, width, height, 0.14)
  s.part(body, colour)
  middle = np.abs(y - 0.12) - 0.36
  kind = rng.integers(3)
  if kind == 0:
    zig = np.abs((x / 0.28) % 1.0 - 0.5) * 0.3
    pattern = stripes(y + zig, rng.uniform(0.2, 0.3), 0.45) * 0.8
  elif kind == 1:
    cell = rng.uniform(0.2, 0.28)
    shift = 0.5 * (np.floor(y / cell) % 2)
    u, v = (x / cell + shift) % 1.0 - 0.5, (y / cell) % 1.0 - 0.5
    pattern = (np.hypot(u, v) - 0.3) * cell
  else:
    pattern = stripes(y, rng.uniform(0.18, 0.36), 0.5)
  s.tint(np.maximum(np.maximum(pattern, middle), body), second)
  round_light = 1.08 - 0.55 * (taper + 0.2) ** 2
  s.shade(np.where(body < 0.02, round_light, 1.0).astype(np.float32))
  gloss = box(x + 0.6 * width, y - 0.1, 0.05, 0.4, 0.05)
  s.tint(gloss, WHITE, 0.5)
  rim = ellipse(x, y + height - 0.08, width * 1.04, 0.17)
  s.part(rim, 0.5 * colour + 0.5)
  s.tint(rim + 0.05, hsv(rng.uniform(0.04, 0.1), 0.6, rng.uniform(0.2, 0.5)))


def ladybird(s: Sketch, rng: Rng) -> None:
  """A ladybird seen from above, head to the right."""
  x, y = s.x, s.y
  hue = one_of(rng, (-0.04, 0.02), (0.03, 0.09), (0.11, 0.16))
  colour = hsv(hue, rng.uniform(0.7, 0.95), rng.uniform(0.75, 1.0))
  for leg in (-0.45, 0.0, 0.4):
    tip = (leg * 1.2 - 0.05, 0.9 - 0.28 * abs(leg))
    s.part(capsule(x, np.abs(y), (leg, 0.5), tip, 0.06), BLACK)
  s.part(capsule(x, np.abs(y), (0.7, 0.1), (0.9, 0.34), 0.03), BLACK)
  s.part(disc(x - 0.58, y, 0.36), BLACK)
  s.tint(disc(x - 0.7, np.abs(y) - 0.2, 0.1), WHITE)
  body = ellipse(x + 0.15, y, 0.8, rng.uniform(0.76, 0.84))
  s.part(np.maximum(body, x - 0.42), colour)
  count, size = rng.integers(2, 5), rng.uniform(0.1, 0.16)
  spots = [(-0.6, 0.22), (-0.28, 0.5), (-0.05, 0.2), (0.22, 0.46)][:count]
  for px, py in spots:
    spot = disc(x - px, np.abs(y) - py, size * rng.uniform(0.8, 1.2))
    s.tint(np.maximum(spot, body), BLACK)
  s.tint(np.maximum(np.abs(y) - 0.025, np.maximum(body, x - 0.4)), BLACK)
  s.tint(ellipse(x - 0.05, y + 0.42, 0.2, 0.08), WHITE, 0.55)


THINGS: dict[str, Callable[[Sketch, Rng], None]] = {
  "fish": fish,
  "leaf": leaf,
  "star": star,
  "mug": mug,
  "ladybird": ladybird,
}


def pebble(s: Sketch, rng: Rng) -> None:
  colour = hsv(rng.random(), rng.uniform(0.1, 0.8), rng.uniform(0.4, 0.95))
  s.part(ellipse(s.x, s.y, 0.95, rng.uniform(0.55, 0.9)), colour)


def flower(s: Sketch, rng: Rng) -> None:
  colour = hsv(rng.random(), rng.uniform(0.1, 0.7), 0.95)
  turn = np.arctan2(s.y, s.x)
  petals = 0.72 + 0.22 * np.cos(rng.integers(5, 8) * turn)
  s.part((np.hypot(s.x, s.y) - petals) * 0.6, colour)
  s.tint(disc(s.x, s.y, 0.28), hsv(0.13, 0.8, 0.95))


def twig(s: Sketch, rng: Rng) -> None:
  colour = hsv(one_of(rng, (0.05, 0.1), (0.0, 1.0)), 0.5, rng.uniform(0.3, 0.8))
  s.part(capsule(s.x, s.y, (-0.9, 0.1), (0.9, -0.1), 0.1), colour)
  s.part(capsule(s.x, s.y, (0, 0), (0.5, 0.5), 0.07), colour)


def bubble(s: Sketch, rng: Rng) -> None:
  s.part(np.abs(disc(s.x, s.y, 0.85)) - 0.08, hsv(0.5, 0.15, 1.0))
  s.part(disc(s.x + 0.3, s.y + 0.3, 0.14), WHITE)


TRIFLES = (pebble, flower, twig, bubble)
