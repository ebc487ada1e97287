"""Images and labels laid out as other programs read them.

To add a layout, write a function like `voc_layout` and give it a line in
LAYOUTS; --export takes its name.
"""

import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from fcn_jax.data import exports
from fcn_jax.data.classes import VOID, voc_palette
from fcn_jax.data.files import File, Pair
from fcn_jax.data.formats.base import flag
from fcn_jax.data.formats.voc import IGNORED
from fcn_jax.data.images import open_header
from fcn_jax.data.labels import LabelReader, color_map
from fcn_jax.files import DataError, check_writable


@dataclasses.dataclass(frozen=True)
class Content:
  """What is laid out.

  Attributes:
    splits: pairs by split; an id names one image in all of them.
    reader: how their labels are read.
    class_names: the name of label i at place i.
    palette: RGB of each label.
  """

  splits: Mapping[str, Sequence[Pair]]
  reader: LabelReader
  class_names: Sequence[str]
  palette: UInt8[np.ndarray, "256 3"]

  @property
  def names(self) -> bytes:
    """The class names, one a line."""
    return "".join(f"{name}\n" for name in self.class_names).encode()

  def index(self, label: File) -> UInt8[np.ndarray, "h w"]:
    """The label of each pixel."""
    found = self.reader.read(label.read(), label.name)
    return found.index.astype(np.uint8)


def folders_layout(content: Content) -> exports.Exports:
  """{train,val,test}/{images,labels}/ID, the layout of DIGITS' example.

  Images keep their bytes; labels are paletted PNGs of class indices.
  """
  found = {"classes.txt": _Bytes(content.names)}
  for split in ("train", "val", "test"):
    for pair in content.splits.get(split, ()):
      image = f"{split}/images/{pair.image_id}{extension_of(pair.image)}"
      found[image] = pair.image.read
      found[f"{split}/labels/{pair.image_id}.png"] = _Paletted(
        pair.label, content
      )
  return found


def voc_layout(content: Content) -> exports.Exports:
  """PASCAL VOC's tree, with classes.txt; labels are paletted PNGs."""
  found = {"classes.txt": _Bytes(content.names)}
  return found | _tree(content, _Paletted)


def cvat_layout(content: Content) -> exports.Exports:
  """CVAT's 'Segmentation mask 1.1': VOC's tree, labels in RGB, labelmap.txt.

  Raises:
    DataError: a class name that labelmap.txt cannot hold, or classes of one
      colour.
  """
  names = list(content.class_names)
  for name in names:
    if ":" in name or "#" in name or name == IGNORED:
      raise DataError(
        f"class {name!r}: CVAT's labelmap.txt cannot hold that name; prepare "
        "the data with another"
      )
  colors = [tuple(color) for color in content.palette[: len(names)].tolist()]
  void = tuple(content.palette[VOID].tolist())
  if void in colors:
    void = tuple(voc_palette()[VOID].tolist())
  color_map(colors, names, void, "--export=cvat")
  lines = ["# label:color_rgb:parts:actions"]
  for name, color in zip([*names, IGNORED], [*colors, void], strict=True):
    lines.append(f"{name}:{','.join(map(str, color))}::")
  palette = content.palette.copy()
  palette[VOID] = void
  content = dataclasses.replace(content, palette=palette)
  text = "\n".join(lines) + "\n"
  return {"labelmap.txt": _Bytes(text.encode())} | _tree(content, _Colored)


# What --export takes: how images and labels are laid out.
LAYOUTS: dict[str, Callable[[Content], exports.Exports]] = {
  "voc": voc_layout,
  "folders": folders_layout,
  "cvat": cvat_layout,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exporting:
  """What is written for other programs: flags of several scripts."""

  export: str | None = flag(
    None,
    f"also write images and labels laid out as {', '.join(LAYOUTS)}, to "
    "--export_to",
  )
  export_to: str | None = flag(
    None, "folder for --export, or a zip (as FILE.zip), which CVAT takes"
  )

  def check(self) -> None:
    """Refuses flags that do not fit, or a place that cannot be written to.

    Raises:
      DataError: either of them.
    """
    if bool(self.export) != bool(self.export_to):
      raise DataError(
        f"give both --export={'|'.join(LAYOUTS)} and --export_to=PLACE"
      )
    if not self.export:
      return
    if self.export not in LAYOUTS:
      raise DataError(
        f"--export={self.export}: give {', '.join(LAYOUTS)} (one of these)"
      )
    check_writable(self.export_to, folder=not exports.is_zip(self.export_to))

  def files(self, content: Content) -> exports.Exports:
    """The files to write; none without --export."""
    return LAYOUTS[self.export](content) if self.export else {}


def _tree(content: Content, label_of: Callable) -> exports.Exports:
  found = {}
  for split, pairs in content.splits.items():
    ids = "".join(f"{pair.image_id}\n" for pair in pairs)
    found[f"ImageSets/Segmentation/{split}.txt"] = _Bytes(ids.encode())
    for pair in pairs:
      image = f"JPEGImages/{pair.image_id}{extension_of(pair.image)}"
      found[image] = pair.image.read
      found[f"SegmentationClass/{pair.image_id}.png"] = label_of(
        pair.label, content
      )
  return found


def extension_of(image: File) -> str:
  """The extension of an image file, by its bytes if its name has none."""
  if image.extension in Image.registered_extensions():
    return image.extension
  with open_header(io.BytesIO(image.read())) as found:
    kind = found.format
  return {"JPEG": ".jpg", "TIFF": ".tif"}.get(kind, f".{kind.lower()}")


@dataclasses.dataclass(frozen=True)
class _Bytes:
  data: bytes

  def __call__(self) -> bytes:
    return self.data


@dataclasses.dataclass(frozen=True)
class _Paletted:
  label: File
  content: Content

  def __call__(self) -> bytes:
    image = Image.fromarray(self.content.index(self.label))
    image.putpalette(self.content.palette.tobytes())
    return _png(image)


@dataclasses.dataclass(frozen=True)
class _Colored:
  label: File
  content: Content

  def __call__(self) -> bytes:
    colors = self.content.palette[self.content.index(self.label)]
    return _png(Image.fromarray(colors))


def _png(image: Image.Image) -> bytes:
  stream = io.BytesIO()
  image.save(stream, "PNG")
  return stream.getvalue()
