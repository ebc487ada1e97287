"""What every format of a user's data has: its flags, and what it finds."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from fcn_jax.data.classes import parse_color, read_class_names
from fcn_jax.data.files import Pair
from fcn_jax.data.findings import Finding
from fcn_jax.data.formats.voc_tree import Tree
from fcn_jax.data.label_maps import LabelMap, read_label_map, shipped
from fcn_jax.data.labels import LabelReader, read_color_map
from fcn_jax.files import DataError


def flag(default: Any, help: str, **bounds: int | float) -> Any:
  """A field of a dataclass whose fields are flags of a script.

  Args:
    default: of the flag.
    help: what --help says.
    **bounds: lower_bound and upper_bound of a number.
  """
  return dataclasses.field(default=default, metadata={"help": help, **bounds})


def label_map_flag() -> Any:
  """The flag that says what is in label files, see data.label_maps."""
  return flag(
    None,
    "text file of lines 'VALUE -> CLASS' (or 'R G B -> CLASS', or the name of "
    "a drawn object; several may go to one class, or to void); or one of "
    f"{', '.join(shipped())}",
  )


def threshold_flag() -> Any:
  """The flag of formats that know binary masks."""
  return flag(
    None,
    "of binary masks, the least value of class 1 (as 128, for JPEG masks)",
    lower_bound=1,
    upper_bound=65535,
  )


@dataclasses.dataclass(frozen=True)
class Found:
  """The images and labels that were found.

  Attributes:
    splits: pairs by split.
    findings: what is wrong with lists, stems and folders.
    class_names: the name of label i at place i.
    reader: how the label files are read.
    name: what the data set is called by default; None: the user has to say.
    tree: the VOC tree, where it is one.
    decided: what the user has settled of how images are read: 'exif',
      'grey_range', 'color_range'.
    record: what the data set keeps of that.
  """

  splits: Mapping[str, Sequence[Pair]]
  findings: Sequence[Finding]
  class_names: tuple[str, ...]
  reader: LabelReader
  name: str | None = None
  tree: Tree | None = None
  decided: Collection[str] = frozenset()
  record: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  def summary(self) -> str:
    """One line: how many pairs and classes there are to look at."""
    count = len({pair for pairs in self.splits.values() for pair in pairs})
    return (
      f"checking {count} images and labels, {len(self.class_names)} classes, "
      "splits: "
      + ", ".join(f"{s} {len(pairs)}" for s, pairs in self.splits.items())
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Format:
  """How a user's files lie on disk; fields are the flags that say where.

  A format adds the flags it needs, and `find() -> Found`, which finds pairs and
  class names and opens no image; it raises DataError where flags are missing or
  do not fit together, or where nothing is found.  These fields all formats
  share.

  Attributes:
    title: what --help says of the format.
    name: what a data set is called by default, if that is always the same.
    busy: what `find` does that takes long, told before it begins.
    own_map: what --label_map is by default.
  """

  title: ClassVar[str]
  name: ClassVar[str | None] = None
  busy: ClassVar[str | None] = None
  own_map: ClassVar[str | None] = None

  class_names: str | None = flag(
    None, "text file, line i (from 0) names label i; or a table of classes"
  )
  label_map: str | None = label_map_flag()
  exif: str | None = flag(
    None,
    "images whose EXIF orientation their labels lack: apply turns the image, "
    "ignore neither, both turns both",
  )
  value_range: str | None = flag(
    None,
    "of 16-bit grey images, as 0,4095; auto: lowest and highest value of the "
    "training images",
  )

  def given_names(self) -> tuple[str, ...] | None:
    """The names in the file --class_names, else those of --label_map.

    None where neither is given.
    """
    if self.class_names:
      return read_class_names(self.class_names)
    mapped = self.mapped()
    return mapped.class_names if mapped else None

  def mapped(self) -> LabelMap | None:
    """What --label_map says, or the map that the format has of its own."""
    name = self.label_map or self.own_map
    return read_label_map(name) if name else None

  def reader(self, class_names: tuple[str, ...]) -> LabelReader:
    """How label images are read, as --label_map says."""
    mapped = self.mapped()
    return mapped.reader(class_names) if mapped else LabelReader()


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelImages(Format):
  """A format whose labels are images, in colours or of masks perhaps."""

  colormap: str | None = flag(
    None, "for labels in colours: line i holds 'R G B' of label i"
  )
  void_color: str | None = flag(None, "R,G,B of pixels that count for nothing")
  binary_masks: bool = flag(
    False, "labels are masks of 0 and 255, and 255 is class 1"
  )
  threshold: int | None = threshold_flag()

  def reader(self, class_names: tuple[str, ...]) -> LabelReader:
    """How labels are read, as --colormap and the like say."""
    decisive = ("label_map", "colormap", "binary_masks")
    given = [f"--{name}" for name in decisive if getattr(self, name)]
    if len(given) > 1:
      raise DataError(
        f"{' and '.join(given)} both say what labels mean; give one"
      )
    if self.threshold and not self.binary_masks:
      raise DataError("--threshold belongs to --binary_masks; give that too")
    void = self.void_color and parse_color(self.void_color)
    if void and not self.colormap:
      raise DataError("--void_color belongs to --colormap; give that too")
    if self.colormap:
      return LabelReader(read_color_map(self.colormap, class_names, void))
    if self.binary_masks:
      return LabelReader(binary_masks=True, threshold=self.threshold)
    return super().reader(class_names)
