"""What every format of a user's data has: its flags, and what it finds."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from fcn_jax.data.classes import parse_color, read_class_names
from fcn_jax.data.files import Pair
from fcn_jax.data.findings import Finding
from fcn_jax.data.formats.voc_tree import Tree
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
  """

  title: ClassVar[str]
  name: ClassVar[str | None] = None
  busy: ClassVar[str | None] = None

  class_names: str | None = flag(
    None, "text file, line i (from 0) names label i; or a table of classes"
  )
  colormap: str | None = flag(
    None, "for labels in colours: line i holds 'R G B' of label i"
  )
  void_color: str | None = flag(None, "R,G,B of pixels that count for nothing")
  binary_masks: bool = flag(
    False, "labels are masks of 0 and 255, and 255 is class 1"
  )
  threshold: int | None = flag(
    None,
    "of binary masks, the least value of class 1 (as 128, for JPEG masks)",
    lower_bound=1,
    upper_bound=65535,
  )
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
    """The names in the file --class_names; None without it."""
    return read_class_names(self.class_names) if self.class_names else None

  def reader(self, class_names: tuple[str, ...]) -> LabelReader:
    """How labels are read, as --colormap and the like say."""
    if self.colormap and self.binary_masks:
      raise DataError(
        "--colormap and --binary_masks both say what labels mean; give one"
      )
    if self.threshold and not self.binary_masks:
      raise DataError("--threshold belongs to --binary_masks; give that too")
    void = self.void_color and parse_color(self.void_color)
    if void and not self.colormap:
      raise DataError("--void_color belongs to --colormap; give that too")
    color_map = self.colormap and read_color_map(
      self.colormap, class_names, void
    )
    return LabelReader(color_map or None, self.binary_masks, self.threshold)
