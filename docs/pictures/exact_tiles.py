"""Draws docs/pictures/exact_tiles.png: python docs/pictures/exact_tiles.py

Every bar is what `fcn_jax.models.tiles` says of FCN-AlexNet.
"""

import pathlib

import matplotlib

matplotlib.use("agg")

from matplotlib import patches
from matplotlib import pyplot as plt

from fcn_jax import models
from fcn_jax.models import geometry, tiles

SIDE, SHOWN = 256, 1000  # of a tile; pixels from the image's left edge on
ROWS = {
  "data": "pixels that are read",
  "conv1": "conv1, every 4 pixels",
  "pool1": "pool1, every 8",
  "conv2": "conv2, every 8",
  "pool2": "pool2, every 16",
  "conv5": "conv5, every 16",
  "pool5": "pool5, every 32",
  "score_fr": "score_fr, every 32",
  "score": "scores, every pixel",
}
COLORS = ("#3b6fb6", "#d9822b")  # a tile at the edge, one inside
INK, FAINT = "#333333", "#8a8a8a"


def main() -> None:
  layers = models.declare("fcn_alexnet", 21)
  tile = tiles.Tile(layers, SIDE, SIDE)
  places = geometry.placements(layers)
  sizes = geometry.sizes(layers, 4000)
  figure, axes = plt.subplots(figsize=(10, 5.4), dpi=110)
  for line, name in enumerate(ROWS):
    stride, start = float(places[name].stride), float(places[name].start)
    for number, color in ((0, COLORS[0]), (2, COLORS[1])):
      first, end = tile.columns[name].span
      move = int(number * SIDE / places[name].stride)
      low = stride * (max(first + move, 0) - 0.5) + start
      high = stride * (end + move - 0.5) + start
      zero = stride * (first + move - 0.5) + start
      y = line + (0.22 if number else -0.22)
      axes.barh(y, high - low, 0.36, low, color=color)
      if zero < low:
        axes.barh(
          y,
          low - zero,
          0.36,
          zero,
          color="white",
          edgecolor=color,
          hatch="////",
        )
    assert sizes[name] * stride > SHOWN
  for number, color in ((0, COLORS[0]), (2, COLORS[1])):
    axes.add_patch(
      patches.Rectangle(
        (number * SIDE, -0.6),
        SIDE,
        len(ROWS) + 0.2,
        color=color,
        alpha=0.1,
        linewidth=0,
      )
    )
    where = "at the edge" if number == 0 else "inside"
    axes.text(
      (number + 0.5) * SIDE,
      len(ROWS) - 0.2,
      f"tile {where}",
      ha="center",
      color=color,
      fontweight="bold",
    )
  axes.axvline(0, color=INK, linewidth=1.2)
  axes.text(-6, -0.95, "the image begins", ha="right", color=INK, fontsize=9)
  axes.text(
    SHOWN,
    -0.95,
    "hatched: zeros, where Caffe's padding lies",
    ha="right",
    color=FAINT,
    fontsize=9,
  )
  axes.set_yticks(range(len(ROWS)), list(ROWS.values()), color=INK)
  axes.set_xlim(-240, SHOWN)
  axes.set_ylim(-1.2, len(ROWS) + 0.3)
  axes.set_xlabel("column of the image", color=INK)
  axes.tick_params(length=0)
  for side in ("top", "right", "left"):
    axes.spines[side].set_visible(False)
  figure.tight_layout()
  figure.savefig(pathlib.Path(__file__).with_name("exact_tiles.png"))


if __name__ == "__main__":
  main()
