"""Grounds that the made-up world's things stand on.

Each takes a generator, height, width and y (0 at the top, 1 at the bottom, [h,
w]) and gives RGB about 0..1, [h, w, 3].
"""

import numpy as np
from jaxtyping import Float32
from PIL import Image

from fcn_jax.data.shapes.drawings import WHITE, Plane, Rng, hsv, one_of


def noise(rng: Rng, height: int, width: int, rows: float, columns: float):
  """Smooth noise of unit deviation: float32 [height, width], one bump a cell.

  rows and columns: how many cells there are down and across.
  """
  size = (max(2, round(columns)), max(2, round(rows)))
  cells = rng.standard_normal(size[::-1]).astype(np.float32)
  image = Image.fromarray(cells).resize((width, height), Image.BICUBIC)
  return np.asarray(image)


def blend(a: np.ndarray, b: np.ndarray, t: Plane) -> np.ndarray:
  """a where t is 0, b where t is 1: float32 [h, w, 3]."""
  return a + np.clip(t, 0, 1)[..., None] * (b - a)


def sky(rng: Rng, h: int, w: int, y: Plane) -> np.ndarray:
  dusk = rng.random() < 0.3
  low = hsv(one_of(rng, (0.02, 0.12), (0.9, 1.0)), 0.45, 1) if dusk else WHITE
  high = hsv(rng.uniform(0.54, 0.72), rng.uniform(0.35, 0.65), 0.92)
  cloud = noise(rng, h, w, 5, 3) + 0.5 * noise(rng, h, w, 12, 8)
  return blend(blend(high, low, y * 0.8), WHITE, (cloud - 0.4) * 0.6)


def grass(rng: Rng, h: int, w: int, y: Plane) -> np.ndarray:
  colour = hsv(rng.uniform(0.18, 0.36), rng.uniform(0.4, 0.7), 0.65)
  blades = noise(rng, h, w, h / 9, w / 2) * 0.12
  return colour * (0.85 + 0.25 * y + blades)[..., None]


def sand(rng: Rng, h: int, w: int, y: Plane) -> np.ndarray:
  colour = hsv(rng.uniform(0.07, 0.13), rng.uniform(0.25, 0.5), 0.88)
  bend = noise(rng, h, w, 3, 3)
  ripples = 0.05 * np.sin(y * rng.uniform(25, 60) + 2.5 * bend)
  grain = 0.05 * noise(rng, h, w, h / 1.5, w / 1.5)
  return colour * (0.95 + ripples + grain)[..., None]


def water(rng: Rng, h: int, w: int, y: Plane) -> np.ndarray:
  hue = rng.uniform(0.46, 0.62)
  colour = blend(hsv(hue, 0.45, 0.9), hsv(hue + 0.04, 0.75, 0.5), y)
  bend = noise(rng, h, w, 10, 4)
  waves = np.sin(y * rng.uniform(18, 40) + 1.8 * bend)
  return blend(colour, WHITE, (waves - 0.6) * rng.uniform(0.3, 0.9))


def planks(rng: Rng, h: int, w: int, y: Plane) -> np.ndarray:
  colour = hsv(rng.uniform(0.04, 0.1), rng.uniform(0.35, 0.6), 0.7)
  grain = 0.09 * noise(rng, h, w, h / 2, 4) + 0.05 * noise(rng, h, w, 9, 2)
  board = (y * rng.uniform(3, 6)) % 1.0
  tone = 0.95 + grain - 0.45 * (board < 0.05)
  return colour * tone[..., None]


def cloth(rng: Rng, h: int, w: int, y: Plane) -> np.ndarray:
  colour = hsv(rng.random(), rng.uniform(0.3, 0.7), rng.uniform(0.6, 0.9))
  cell = rng.uniform(14, 30)
  down = (np.arange(h)[:, None] / cell) % 1.0 < 0.5
  across = (np.arange(w)[None, :] / cell) % 1.0 < 0.5
  weave = 0.04 * noise(rng, h, w, h / 2, w / 2)
  checks = blend(WHITE, colour, 0.5 * down + 0.5 * across)
  return checks * (0.92 + weave)[..., None]


GROUNDS = (sky, grass, sand, water, planks, cloth)
HORIZONS = ((sky, grass), (sky, water), (water, sand), (sky, sand))


def ground(rng: Rng, h: int, w: int) -> Float32[np.ndarray, "h w 3"]:
  """A background of height h and width w, RGB about 0..1.

  Half are a single ground, half have one above another, met at a wavy line.
  """
  y = np.broadcast_to(np.linspace(0, 1, h, dtype=np.float32)[:, None], (h, w))
  if rng.random() < 0.5:
    return GROUNDS[rng.integers(len(GROUNDS))](rng, h, w, y).astype(np.float32)
  above, below = HORIZONS[rng.integers(len(HORIZONS))]
  line = rng.uniform(0.2, 0.6) + 0.03 * noise(rng, 1, w, 1, 5)
  near = np.clip((y - line) / (1 - line), 0, 1)
  mixed = blend(above(rng, h, w, y), below(rng, h, w, near), (y - line) * h)
  return mixed.astype(np.float32)
