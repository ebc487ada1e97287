"""Which images a list or a split names, and how large they are."""

import dataclasses
import os
import pathlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from fcn_jax.data.dataset import Dataset
from fcn_jax.data.files import DataError, File, list_folder
from fcn_jax.data.findings import Finding, report
from fcn_jax.data.formats import voc
from fcn_jax.prediction.inputs import ImageFile, image_sizes

Size = tuple[int, int]  # height, width


@dataclasses.dataclass(frozen=True)
class ImageSet:
  """Images by their ids.

  Attributes:
    source: where the ids are from, for messages.
    name: as VOC calls it: 'test'.
    ids: in order.
    sizes: of the images, by id; empty where nobody told them.
  """

  source: str
  name: str
  ids: tuple[str, ...]
  sizes: Mapping[str, Size]


def read_image_set(
  path: str | os.PathLike, images: str | os.PathLike | None = None
) -> ImageSet:
  """The images of a list, one id per line, as ImageSets/Segmentation/test.txt.

  Args:
    path: of the list. A list that is none of train, val and trainval is called
      test.
    images: their folder, JPEGImages; only headers are read.

  Raises:
    DataError: no such file, no ids, or images that are missing or unreadable
      (all of them in the message).
  """
  path = os.path.expanduser(os.fspath(path))
  ids = voc.read_list(File(path, path))
  findings = [
    Finding(
      "line that is no image id",
      path,
      repr(name),
      "write one id per line, as 2008_000006",
    )
    for name in ids
    if not re.fullmatch(r"\w[\w-]*", name)
  ]
  findings += [
    Finding("id listed twice", path, name, "take one line out")
    for name, times in Counter(ids).items()
    if times > 1
  ]
  if not ids:
    findings.append(
      Finding("empty list", path, "no image id", "give another list")
    )
  sizes = {}
  if images is not None and not findings:
    sizes, findings = _sizes(ids, os.path.expanduser(os.fspath(images)))
  if findings:
    raise DataError(f"{path} cannot be used:\n{report(findings)}")
  stem = pathlib.PurePath(path).stem
  name = stem if stem in ("train", "val", "trainval") else "test"
  return ImageSet(path, name, tuple(ids), sizes)


def image_set_of(dataset: Dataset, split: str) -> ImageSet:
  """The images of a split of a prepared data set."""
  ids = dataset.ids(split)
  sizes = map(tuple, dataset.sizes(split).tolist())
  source = f"{dataset.name}/{split}"
  return ImageSet(source, split, ids, dict(zip(ids, sizes, strict=True)))


def _sizes(
  ids: Sequence[str], folder: str
) -> tuple[dict[str, Size], list[Finding]]:
  stored = {
    os.path.splitext(key)[0]: pathlib.Path(file.path)
    for key, file in list_folder(folder).items()
  }
  findings = [
    Finding(
      "missing image",
      folder,
      f"no {image_id}.jpg",
      "give the folder that holds all images of the list",
    )
    for image_id in ids
    if image_id not in stored
  ]
  files = [ImageFile(name, stored[name]) for name in ids if name in stored]
  found = map(tuple, image_sizes(files).tolist())
  sizes = {file.id: size for file, size in zip(files, found, strict=True)}
  findings += [
    Finding(
      "unreadable image",
      str(stored[name]),
      "its header tells no size",
      "fetch it again",
    )
    for name, size in sizes.items()
    if 0 in size
  ]
  return sizes, findings
