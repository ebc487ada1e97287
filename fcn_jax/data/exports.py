"""Files for other programs, written whole; crops of annotated objects."""

import contextlib
import functools
import io
import os
import pathlib
import re
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tqdm
from jaxtyping import UInt8
from PIL import Image

from fcn_jax.data.files import File
from fcn_jax.data.findings import Finding
from fcn_jax.data.formats.lists import read_list
from fcn_jax.data.formats.voc_tree import Tree
from fcn_jax.data.images import decode_image
from fcn_jax.files import DataError, local_path, replacing

# Where a file goes below the export's folder, and what makes its content.
Exports = Mapping[str, Callable[[], bytes]]


def crop_exports(tree: Tree, context: float) -> tuple[Exports, list[Finding]]:
  """{train,val}/CLASS/ID_k.jpg, crops of the objects in Annotations.

  Objects of the images in ImageSets/Main/{train,val}.txt, but for those
  marked difficult; k counts them from 0 within an image.

  Args:
    tree: a VOC tree with Annotations.
    context: share of a box's side that is added on each side of it, as far
      as the image reaches.

  Returns:
    The crops, and findings: missing or broken annotations.

  Raises:
    DataError: no such lists, or a negative context.
  """
  if not context >= 0:
    raise DataError(f"--crop_context={context}: give 0 or more")
  exports, findings = {}, []
  images = tree.folder("JPEGImages")
  for split in ("train", "val"):
    key = f"ImageSets/Main/{split}.txt"
    if key not in tree.files:
      raise DataError(
        f"{tree.place}: no {key}; --export_crops needs VOC's object lists "
        "and Annotations"
      )
    for image_id in read_list(tree.files[key]):
      annotation = tree.files.get(f"Annotations/{image_id}.xml")
      if annotation is None or image_id not in images:
        missing = "JPEGImages" if annotation else "Annotations"
        findings.append(
          Finding(
            "listed file that is missing",
            tree.files[key].name,
            f"{image_id}: no {missing}/{image_id}.*",
            "fetch the archive again, or take the line out of the list",
          )
        )
        continue
      try:
        objects = read_objects(annotation)
      except DataError as error:
        findings.append(
          Finding(
            "broken annotation",
            annotation.name,
            str(error),
            "fetch the archive again, or take its id out of ImageSets/Main",
          )
        )
        continue
      for number, (name, box) in enumerate(objects):
        exports[f"{split}/{name}/{image_id}_{number}.jpg"] = _Crop(
          images[image_id][0], box, context
        )
  return exports, findings


def read_objects(file: File) -> list[tuple[str, tuple[float, ...]]]:
  """Class and box of each object in a VOC annotation, but difficult ones.

  Boxes are (xmin, ymin, xmax, ymax) in VOC's pixel coordinates: the first
  pixel is 1, and the last one belongs to the box.

  Raises:
    DataError: not VOC's XML, or one with a document type (which could name
      other files, or grow without bound).
  """
  try:
    text = file.read().decode("utf-8-sig")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
      raise DataError("document types are not read")
    objects = []
    for element in ET.fromstring(text).iterfind("object"):
      name = element.findtext("name", "").strip()
      if not re.fullmatch(r"\w[\w .-]*", name):
        raise DataError(f"object of class {name!r}")
      box = tuple(
        float(element.findtext(f"bndbox/{side}", "nan"))
        for side in ("xmin", "ymin", "xmax", "ymax")
      )
      if not (box[0] <= box[2] and box[1] <= box[3]):
        raise DataError(f"{name} has box {box}")
      if element.findtext("difficult", "0").strip() != "1":
        objects.append((name, box))
    return objects
  except (DataError, ET.ParseError, ValueError) as error:
    raise DataError(f"not a VOC annotation: {error}") from None


def crop_bounds(
  box: tuple[float | int, ...], height: int, width: int, context: float
) -> tuple[int, int, int, int]:
  """Rows and columns of a crop: top, bottom, left, right; ends excluded.

  Args:
    box: (xmin, ymin, xmax, ymax), the first pixel being 1, ends included.
    height, width: of the image.
    context: share of a side that is added at both of its ends.

  Raises:
    DataError: the box lies outside the image.
  """
  left, top, right, bottom = box[0] - 1, box[1] - 1, box[2], box[3]
  more_x, more_y = context * (right - left), context * (bottom - top)
  left, right = max(0, round(left - more_x)), min(width, round(right + more_x))
  top, bottom = max(0, round(top - more_y)), min(height, round(bottom + more_y))
  if left >= right or top >= bottom:
    raise DataError(f"box {box} lies outside the image of {width}x{height}")
  return top, bottom, left, right


class _Crop:
  def __init__(self, image: File, box: tuple[float, ...], context: float):
    self._image, self._box, self._context = image, box, context

  def __call__(self) -> bytes:
    image = _decoded(self._image)
    try:
      top, bottom, left, right = crop_bounds(
        self._box, *image.shape[:2], self._context
      )
    except DataError as error:
      raise DataError(
        f"{self._image.name}: {error}; correct its annotation"
      ) from None
    stream = io.BytesIO()
    Image.fromarray(image[top:bottom, left:right]).save(
      stream, "JPEG", quality=95
    )
    return stream.getvalue()


# The crops of an image follow each other.
@functools.lru_cache(maxsize=1)
def _decoded(file: File) -> UInt8[np.ndarray, "h w 3"]:
  return decode_image(file.read(), file.name)


def is_zip(place: str | os.PathLike) -> bool:
  """Whether an export becomes a zip, by the name of its place."""
  return os.fspath(place).lower().endswith(".zip")


def check_free(place: str | os.PathLike) -> None:
  """Refuses a zip that exists, or a folder that holds anything.

  Raises:
    DataError: it is one.
  """
  root = local_path(place)
  if root.exists() and (not root.is_dir() or any(root.iterdir())):
    raise DataError(
      f"{root}: exists; nothing is overwritten, so give another place"
    )


def check_exports(place: str | os.PathLike, exports: Exports) -> None:
  """Refuses to export over files of other content.

  Args:
    place: the export's folder, or a zip.
    exports: what is to be written.

  Raises:
    DataError: names the first of them, and their number; or there is a zip of
      that name.
  """
  root = local_path(place)
  if is_zip(root):
    return check_free(root)
  other = [
    key
    for key, make in exports.items()
    if (root / key).exists()
    and (not (root / key).is_file() or (root / key).read_bytes() != make())
  ]
  if other:
    raise DataError(
      f"{root / other[0]}: exists with other content"
      + (f", and {len(other) - 1} more like it" if len(other) > 1 else "")
      + "; nothing is overwritten, so give another folder"
    )


def write_exports(place: str | os.PathLike, exports: Exports) -> int:
  """Writes the files that are not there yet; call check_exports first.

  If it fails or is interrupted, what it has written is taken away again;
  what was there before stays as it was.

  Args:
    place: the export's folder, or a zip to make.
    exports: what is to be written.

  Returns:
    The number of files written.
  """
  root = local_path(place)
  bar = tqdm.tqdm(exports.items(), f"exporting to {root}", unit=" files")
  if not is_zip(root):
    with _new_files(root) as write:
      return sum(write(root / key, make) for key, make in bar)
  root.parent.mkdir(parents=True, exist_ok=True)
  with (
    replacing(root) as temporary,
    zipfile.ZipFile(temporary, "w") as archive,
  ):
    for key, make in bar:  # images and PNGs do not shrink
      archive.writestr(key, make())
  return len(exports)


@contextlib.contextmanager
def _new_files(
  root: pathlib.Path,
) -> Iterator[Callable[[pathlib.Path, Callable[[], bytes]], bool]]:
  made: list[pathlib.Path] = []

  def make_folder(folder: pathlib.Path) -> None:
    if not folder.is_dir():
      make_folder(folder.parent)
      made.append(folder)
      folder.mkdir(exist_ok=True)

  def write(path: pathlib.Path, make: Callable[[], bytes]) -> bool:
    if path.exists():
      return False
    content = make()
    make_folder(path.parent)
    # Noted first: an interruption may come between creating and noting.
    made.append(path)
    try:
      with open(path, "xb") as stream:
        stream.write(content)
    except FileExistsError:
      made.pop()
      raise
    return True

  try:
    yield write
  except BaseException:
    for path in reversed(made):
      with contextlib.suppress(OSError):
        path.rmdir() if path.is_dir() else path.unlink()
    raise
