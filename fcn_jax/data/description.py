"""The figures of a data set as text."""

from collections.abc import Mapping

import numpy as np

from fcn_jax.data.classes import VOID
from fcn_jax.data.statistics import SplitStatistics


def describe(splits: Mapping[str, SplitStatistics]) -> str:
  """Sizes, classes and canvases of every split.

  A class's share is of the pixels that are not void; void's is of all.
  """
  blocks = []
  for split, statistics in splits.items():
    blocks += [
      f"{split}: {len(statistics.image_ids)} images, {sizes(statistics)}",
      *_classes(statistics),
      "",
      *_canvases(statistics),
      "",
    ]
  return "\n".join(blocks).rstrip()


def sizes(statistics: SplitStatistics) -> str:
  """'all of 480x360', or how many sizes and between which, width x height."""
  often = statistics.often
  if not often:
    return "no size"
  (height, width), count = often[0]
  if len(often) == 1:
    return f"all of {width}x{height}"
  heights, widths = zip(*(size for size, _ in often), strict=True)
  return (
    f"{len(often)} sizes from {min(widths)}x{min(heights)} to "
    f"{max(widths)}x{max(heights)}, most often {width}x{height} ({count})"
  )


def _classes(statistics: SplitStatistics) -> list[str]:
  names = {**dict(enumerate(statistics.class_names)), VOID: "(void)"}
  wide = max(map(len, [*names.values(), "class"]))
  share, of_images = statistics.share_of_pixels, statistics.share_of_images
  lines = [
    f" id  {'class':<{wide}}  {'pixels':>13}  {'share':>7}  {'images':>6}  "
    f"{'share':>7}  {'weight':>7}"
  ]
  for label, name in names.items():
    weight = np.nan if label == VOID else statistics.weights[label]
    lines.append(
      f"{label:>3}  {name:<{wide}}  {statistics.pixels[label]:>13,}  "
      f"{share[label]:>7.2%}  {statistics.images[label]:>6}  "
      f"{of_images[label]:>7.2%}  "
      + (f"{'-':>7}" if np.isnan(weight) else f"{weight:>7.3f}")
    )
  return lines


def _canvases(statistics: SplitStatistics) -> list[str]:
  lines = ["canvases  padding  width x height (images)"]
  for padding in statistics.paddings:
    text = ", ".join(
      f"{width}x{height} ({count})"
      for (height, width), count in zip(
        padding.canvases, padding.images, strict=True
      )
    )
    lines.append(f"{len(padding.canvases):>8}  {padding.share:>7.2%}  {text}")
  return lines
