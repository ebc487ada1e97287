"""Figures of a data set: pixels of classes, sizes of images, and padding."""

import collections
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Int64

from fcn_jax.data.canvases import Canvas, assign, choose_canvases, padded_area
from fcn_jax.data.checks import Facts
from fcn_jax.data.classes import VOID
from fcn_jax.data.dataset import Dataset
from fcn_jax.data.files import Pair
from fcn_jax.data.images import decode_label

MOST_CANVASES = 5


@dataclasses.dataclass(frozen=True)
class Padding:
  """What it costs to pad a split's images to a few canvases.

  Attributes:
    canvases: (height, width) of each, smallest first.
    images: how many go to each.
    share: of the pixels that are computed, those that are padding; what the
      network itself adds is not counted.
  """

  canvases: tuple[Canvas, ...]
  images: tuple[int, ...]
  share: float


@dataclasses.dataclass(frozen=True, eq=False)
class SplitStatistics:
  """What was counted on the images of a split.

  Attributes:
    class_names: the name of class id i at place i.
    image_ids: in record order.
    sizes: (height, width) of each image.
    counts: pixels of each image by label, void at 255.
  """

  class_names: tuple[str, ...]
  image_ids: tuple[str, ...]
  sizes: Int64[np.ndarray, "n 2"]
  counts: Int64[np.ndarray, "n 256"]

  @property
  def labels(self) -> list[int]:
    """The class ids, and void's."""
    return [*range(len(self.class_names)), VOID]

  @functools.cached_property
  def pixels(self) -> Int64[np.ndarray, "256"]:
    """Pixels by label."""
    return self.counts.sum(0)

  @functools.cached_property
  def images(self) -> Int64[np.ndarray, "256"]:
    """Images that have a label, by label."""
    return np.count_nonzero(self.counts, axis=0)

  @property
  def share_of_pixels(self) -> Float[np.ndarray, "256"]:
    """Pixels by label as a share of those that are not void; void's of all."""
    valid = self.pixels[:VOID].sum()
    share = self.pixels / max(1, valid)
    share[VOID] = self.pixels[VOID] / max(1, self.pixels.sum())
    return share

  @property
  def share_of_images(self) -> Float[np.ndarray, "256"]:
    """Images that have a label as a share of all, by label."""
    return self.images / max(1, len(self.counts))

  def shares_of(self, image: int) -> Float[np.ndarray, "256"]:
    """Share of one image's pixels by label, void in the whole."""
    counts = self.counts[image]
    return counts / max(1, counts.sum())

  @functools.cached_property
  def weights(self) -> Float[np.ndarray, " classes"]:
    """Median-frequency weight of each class (`median_frequency_weights`)."""
    classes = len(self.class_names)
    of_classes = self.counts[:, :classes]
    valid = self.counts[:, :VOID].sum(1)
    whole = ((of_classes > 0) * valid[:, None]).sum(0)
    return median_frequency_weights(of_classes.sum(0), whole)

  @functools.cached_property
  def often(self) -> list[tuple[tuple[int, int], int]]:
    """Different sizes (height, width) with their numbers, commonest first."""
    sizes = map(tuple, self.sizes.tolist())
    return collections.Counter(sizes).most_common()

  @functools.cached_property
  def paddings(self) -> list[Padding]:
    """For 1 to MOST_CANVASES canvases, as far as another one helps."""
    found: list[Padding] = []
    if not len(self.sizes):
      return found
    for number in range(1, MOST_CANVASES + 1):
      canvases = choose_canvases(self.sizes, number)
      if found and len(canvases) < number:
        break
      found.append(padding(self.sizes, canvases))
    return found

  def figures(self) -> dict[str, Any]:
    """All figures by name, as in the JSON of scripts/explore_dataset.py."""
    names = (*self.class_names, "(void)")

    def table(values, labels):
      return {
        name: values[label].item()
        for name, label in zip(names, labels, strict=False)
      }

    classes = self.labels[:-1]
    return {
      "images": len(self.image_ids),
      "pixels": table(self.pixels, self.labels),
      "share_of_pixels": table(self.share_of_pixels, self.labels),
      "images_with": table(self.images, self.labels),
      "share_of_images": table(self.share_of_images, self.labels),
      "median_frequency_weight": table(self.weights, classes),
      "sizes_height_width_count": sorted(
        [height, width, count] for (height, width), count in self.often
      ),
      "canvases": [dataclasses.asdict(one) for one in self.paddings],
      "image_shares": {
        image_id: {
          names[min(label, len(names) - 1)]: shares[label].item()
          for label in np.flatnonzero(shares).tolist()
        }
        for image_id, shares in zip(
          self.image_ids,
          map(self.shares_of, range(len(self.counts))),
          strict=True,
        )
      },
    }


def count_split(
  pairs: Sequence[Pair],
  facts: Mapping[Pair, Facts],
  class_names: Sequence[str],
) -> SplitStatistics:
  """Figures of the pairs of a split of which there are facts."""
  known = [pair for pair in pairs if pair in facts]
  sizes = [facts[pair].size for pair in known]
  counts = [facts[pair].counts for pair in known]
  return SplitStatistics(
    tuple(class_names),
    tuple(pair.image_id for pair in known),
    np.array(sizes, np.int64).reshape(-1, 2),
    np.array(counts, np.int64).reshape(-1, 256),
  )


def median_frequency_weights(
  pixels: Int[np.ndarray, " classes"], whole: Int[np.ndarray, " classes"]
) -> Float[np.ndarray, " classes"]:
  """Weights that make up for classes of few pixels.

  The frequency of a class is its share of the pixels, void left out, of the
  images that have it; its weight is the median frequency of all classes that
  occur, divided by its own. Eigen and Fergus, "Predicting depth, surface
  normals and semantic labels" (2015), section 6.3.1; also used for SegNet.

  Args:
    pixels: of each class.
    whole: valid pixels of all images that have the class.

  Returns:
    The weights, NaN for a class that does not occur.
  """
  there = pixels > 0
  frequency = pixels[there] / whole[there]
  weights = np.full(len(pixels), np.nan)
  if there.any():
    weights[there] = np.median(frequency) / frequency
  return weights


def split_weights(
  dataset: Dataset, split: str
) -> Float[np.ndarray, " classes"]:
  """`median_frequency_weights` of a prepared split; its labels are decoded."""
  classes, source = len(dataset.class_names), dataset.source(split)
  pixels, whole = np.zeros((2, classes), np.int64)
  for example in source:
    label = decode_label(example.label)
    counts = np.bincount(label.ravel(), minlength=256)
    pixels += counts[:classes]
    whole += (counts[:classes] > 0) * counts[:VOID].sum()
  return median_frequency_weights(pixels, whole)


def split_statistics(dataset: Dataset, split: str) -> SplitStatistics:
  """Figures of a prepared split; its labels are decoded, its images are not."""
  counts = [
    np.bincount(decode_label(example.label).ravel(), minlength=256)
    for example in dataset.source(split)
  ]
  return SplitStatistics(
    dataset.class_names,
    dataset.ids(split),
    dataset.sizes(split).astype(np.int64),
    np.array(counts, np.int64).reshape(-1, 256),
  )


def classes_of_images(
  dataset: Dataset, split: str
) -> Bool[np.ndarray, "n classes"]:
  """Whether each image of a prepared split has each class; labels are decoded.

  In record order.
  """
  found = np.zeros((len(dataset.ids(split)), len(dataset.class_names)), bool)
  for there, example in zip(found, dataset.source(split), strict=True):
    values = np.unique(decode_label(example.label))
    there[values[values < len(there)]] = True
  return found


def padding(
  sizes: Int64[np.ndarray, "n 2"], canvases: tuple[Canvas, ...]
) -> Padding:
  """The cost of these canvases, each image on the first that holds it.

  >>> padding(np.array([[3, 4], [6, 4]]), ((6, 4),)).share
  0.25
  """
  which = assign(sizes, canvases)
  images = np.bincount(which, minlength=len(canvases))
  share = 1 - sizes.prod(1).sum() / padded_area(sizes, canvases)
  return Padding(canvases, tuple(images.tolist()), float(share))


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


def describe(splits: Mapping[str, SplitStatistics]) -> str:
  """Sizes, classes and canvases of every split.

  A class's share is of the pixels that are not void; void's is of all.
  """
  blocks = []
  for split, statistics in splits.items():
    blocks += [
      f"{split}: {len(statistics.image_ids)} images, {size_range(statistics)}",
      *_classes(statistics),
      "",
      *_canvases(statistics),
      "",
    ]
  return "\n".join(blocks).rstrip()


def size_range(statistics: SplitStatistics) -> str:
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
