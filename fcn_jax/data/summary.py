"""What a data set holds, as a table."""

import collections
from collections.abc import Mapping, Sequence

import numpy as np

from fcn_jax.data.builder import Pair
from fcn_jax.data.checks import Facts
from fcn_jax.data.classes import VOID


def summarize(
  splits: Mapping[str, Sequence[Pair]],
  facts: Mapping[Pair, Facts],
  class_names: Sequence[str],
) -> str:
  """Images, sizes, and pixels and images per class, for every split.

  A class's share is of the pixels that are not void; void's is of all.
  """
  lines = ["split          images  sizes (width x height)"]
  for split, pairs in splits.items():
    sizes = collections.Counter(facts[pair].size for pair in pairs)
    (height, width), often = sizes.most_common(1)[0]
    heights, widths = zip(*sizes, strict=True)
    text = f"{width}x{height}"
    if len(sizes) > 1:
      text = (
        f"{len(sizes)} different, {min(widths)}x{min(heights)} to "
        f"{max(widths)}x{max(heights)}, most often {text} ({often})"
      )
    lines.append(f"{split:<12} {len(pairs):>8}  {text}")
  counts = {
    split: np.stack([facts[pair].counts for pair in pairs])
    for split, pairs in splits.items()
  }
  wide = max(map(len, [*class_names, "class"]))
  lines += [
    "",
    "pixels and images per class",
    " " * (wide + 5) + "".join(f"{split[:22]:>25}" for split in splits),
    f" id  {'class':<{wide}}"
    + f"{'pixels':>9}{'share':>8}{'images':>8}" * len(splits),
  ]
  for label, name in [*enumerate(class_names), (VOID, "(void)")]:
    cells = ""
    for table in counts.values():
      whole = table.sum() if label == VOID else table[:, :VOID].sum()
      share = table[:, label].sum() / max(1, whole)
      images = np.count_nonzero(table[:, label])
      cells += f"{table[:, label].sum():>9.3g}{share:>8.2%}{images:>8}"
    lines.append(f"{label:>3}  {name:<{wide}}{cells}")
  missing = [
    f"{split}: {', '.join(names)}"
    for split, table in counts.items()
    if (
      names := [
        name
        for label, name in enumerate(class_names)
        if not table[:, label].any()
      ]
    )
  ]
  if missing:
    lines += ["", "classes that never occur", *missing]
  return "\n".join(lines)
