"""The images to segment, the names of what is made from them, their labels."""

import dataclasses
import glob
import io
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from fcn_jax.data import dataset as dataset_lib
from fcn_jax.data import decode_label, readings, tiff
from fcn_jax.data.checks import Facts, check_masks, check_pair
from fcn_jax.data.classes import VOID
from fcn_jax.data.dataset import Dataset, FilesDataset, RecordFile
from fcn_jax.data.files import File, Pair, is_hidden, list_files, list_folder
from fcn_jax.data.findings import Finding, report
from fcn_jax.data.formats.names import (
  BY_STEM,
  PLAIN,
  GivenLabels,
  Suffixes,
  key_of,
  proposal,
)
from fcn_jax.data.images import open_header, turned_size
from fcn_jax.data.labels import LabelReader
from fcn_jax.files import DataError

SUMMARY = "summary.json"  # of a folder of predictions
WRITTEN_BY = "scripts/predict.py"  # its mark
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")


@dataclasses.dataclass(frozen=True)
class ImageFile:
  """An image to segment.

  Attributes:
    id: its path below the folder that holds all of the files, as 'a/0001',
      without its extension unless only that tells two files apart.
    path: where it lies, absolute; of an image of a prepared data set only its
      name in messages, of a page of several with its number behind, in an
      archive as if that were a folder.
    record: where the bytes of an image of a prepared data set are.
    part: where the bytes of a page, or in an archive, are.
    is_large: it is a TIFF that is not decoded as a whole, see `data.tiff`.
  """

  id: str
  path: pathlib.Path
  record: RecordFile | None = None
  part: File | None = None
  is_large: bool = False

  @property
  def file(self) -> File:
    """Where its bytes are."""
    whole = File(str(self.path), str(self.path))
    return self.record or self.part or whole

  def read(self) -> bytes:
    """The file's bytes.

    Raises:
      DataError: it cannot be read.
    """
    return self.file.read()

  def header(self) -> pathlib.Path | io.BytesIO:
    """What Pillow can open; a file is not read as a whole."""
    if self.record or self.part:
      return io.BytesIO(self.read())
    return self.path


def images_of(dataset: Dataset, split: str) -> list[ImageFile]:
  """The images of a split of a prepared data set, by their ids.

  Raises:
    DataError: no such split, or an id that cannot name a file below a folder.
  """
  for image_id in dataset.ids(split):
    parts = image_id.split("/")
    if {"", ".", ".."} & set(parts) or "\\" in image_id or "\0" in image_id:
      raise DataError(
        f"{dataset.name}, {split}: the id {image_id!r} cannot name a file "
        "below the output folder; prepare the data again with other names"
      )
  folder = pathlib.Path(dataset.name, split)
  return [
    ImageFile(pair.image_id, folder / pair.image_id, pair.image)
    for pair in dataset_lib.pairs(dataset, split)
  ]


def find_images(
  arguments: Sequence[str],
  output_dir: str | os.PathLike | None,
  suffixes: Suffixes = BY_STEM,
  labels: str | None = None,
) -> tuple[list[ImageFile], list[str]]:
  """The image files that a user means.

  Args:
    arguments: each a file, a folder (everything below it), a zip or tar of one
      or a glob pattern ('**' for any depth), or several of these with commas
      between.
    output_dir: nothing in it is taken for an input; nor is what folders and
      patterns find in other folders of predictions. None: there is none.
    suffixes: how the names of those that folders and patterns give end.
    labels: a folder that holds labels, perhaps beside images.

  Returns:
    The files, each once, in order of the arguments and then of names, those of
    several pages page by page as NAME#001, NAME#002, ...; and the
    paths that folders and patterns gave but that are no images by their
    extension. Hidden files are in neither.

  Raises:
    DataError: an argument that stands for nothing, or that lies in output_dir;
      a broken archive.
  """
  output = output_dir and os.path.abspath(os.path.expanduser(output_dir))
  roots: list[str] = []
  found: dict[str, File] = {}
  others: dict[str, None] = {}
  for argument in arguments:
    for text in _split(argument):
      root, there = _look_up(text, output)
      roots += root
      for path, file in there.items():
        named = path == os.path.abspath(os.path.expanduser(text))
        if named or (_is_image(path) and _chosen(path, suffixes, labels)):
          found[path] = file
        else:
          others[path] = None
  if not found:
    what = f"only {len(others)} other files, as {min(others)}" if others else ""
    raise DataError(
      f"--images={','.join(arguments)}: no image in it; {what or 'check it'}"
    )
  common = os.path.commonpath(roots)
  ids = _ids([os.path.relpath(path, common) for path in found])
  files = [
    image
    for i, (path, file) in zip(ids, found.items(), strict=True)
    for image in _pages(i, path, file)
  ]
  return files, list(others)


def _chosen(path: str, suffixes: Suffixes, labels: str | None) -> bool:
  """Whether a file is an image by its name."""
  if labels and os.path.isdir(labels) and _is_below(path, labels):
    return suffixes.is_image(path)
  return key_of(path, suffixes.image_suffix) is not None


def _pages(image_id: str, path: str, file: File) -> list[ImageFile]:
  is_alone = path == file.path
  if is_alone and tiff.is_large(path):
    return [ImageFile(image_id, pathlib.Path(path), is_large=True)]
  files = readings.pages(file)
  if len(files) == 1:
    part = None if is_alone else file
    return [ImageFile(image_id, pathlib.Path(path), part=part)]
  return [
    ImageFile(f"{image_id}#{i:03}", pathlib.Path(page.name), part=page)
    for i, page in enumerate(files, 1)
  ]


def image_sizes(
  files: Sequence[ImageFile],
) -> Int[np.ndarray, "n 2"]:
  """Height and width of images, turned as EXIF says, from their headers.

  Returns:
    The sizes, (0, 0) of a file without a readable header.
  """
  sizes = np.zeros((len(files), 2), np.int64)
  for i, file in enumerate(files):
    # Pillow's plugins raise all kinds of errors; decoding will tell which.
    try:
      with open_header(file.header()) as image:
        sizes[i] = turned_size(image)
    except Exception:
      continue
  return sizes


def read_summary(folder: str | os.PathLike) -> dict[str, Any] | None:
  """summary.json of a folder of predictions; None if it is none."""
  try:
    summary = json.loads((pathlib.Path(folder) / SUMMARY).read_text())
    return summary if summary["written_by"] == WRITTEN_BY else None
  except (OSError, ValueError, KeyError, TypeError):
    return None


def _split(argument: str) -> list[str]:
  """Parts between commas; a file whose own name has a comma is one part."""
  if os.path.exists(os.path.expanduser(argument)):
    return [argument]
  return [part for part in argument.split(",") if part]


def _look_up(
  text: str, output: str | None
) -> tuple[list[str], dict[str, File]]:
  """The folders to name files by, and the files by their absolute paths."""
  path = os.path.abspath(os.path.expanduser(text))
  if output and os.path.exists(path) and _is_below(path, output):
    raise DataError(
      f"--images: {text} lies in --output_dir={output}; name another folder "
      "to write to"
    )
  if os.path.isdir(path):
    inside = [file.path for file in list_folder(path).values()]
    return [path], _as_files(_without_predictions(inside, output))
  if os.path.isfile(path):
    if path.lower().endswith(_ARCHIVES):
      return [path], _members(path)
    return [os.path.dirname(path)], _as_files([path])
  if not glob.has_magic(text):
    raise DataError(f"--images: {text}: no such file or folder")
  found = sorted(glob.glob(os.path.expanduser(text), recursive=True))
  matches = [
    os.path.abspath(match)
    for match in found
    if os.path.isfile(match) and not is_hidden(os.path.basename(match))
  ]
  matches = _without_predictions(matches, output)
  if not matches:
    raise DataError(f"--images: no file matches {text}")
  return [os.path.dirname(match) for match in matches], _as_files(matches)


def _as_files(paths: Iterable[str]) -> dict[str, File]:
  return {path: File(path, path) for path in paths}


def _members(archive: str) -> dict[str, File]:
  """What is in an archive, by its path as if that were a folder."""
  files = {
    os.path.join(archive, name): file
    for name, file in list_files(archive).items()
    if not name.startswith(("../", "/"))  # it would lie elsewhere
  }
  return {
    path: dataclasses.replace(file, name=path) for path, file in files.items()
  }


def _without_predictions(paths: list[str], output: str | None) -> list[str]:
  """The paths that lie neither in `output` nor in a folder of predictions."""
  parents = {
    str(parent) for path in paths for parent in pathlib.Path(path).parents
  }
  folders = {parent for parent in parents if read_summary(parent) is not None}
  if output:
    folders.add(output)
  return [
    path
    for path in paths
    if not any(_is_below(path, folder) for folder in folders)
  ]


def _is_below(path: str, folder: str) -> bool:
  real, folder = os.path.realpath(path), os.path.realpath(folder)
  return os.path.commonpath([real, folder]) == folder


def _is_image(path: str) -> bool:
  kind = Image.registered_extensions().get(os.path.splitext(path)[1].lower())
  return kind in Image.OPEN


def _ids(paths: list[str]) -> list[str]:
  """Different ones for different paths, on disks that ignore case too."""
  whole: set[int] = set()
  while True:
    ids = [
      pathlib.PurePath(
        path if i in whole else os.path.splitext(path)[0]
      ).as_posix()
      for i, path in enumerate(paths)
    ]
    places: dict[str, list[int]] = {}
    for i, name in enumerate(ids):
      places.setdefault(name.casefold(), []).append(i)
    clashing = {i for same in places.values() if len(same) > 1 for i in same}
    if clashing <= whole:
      return ids
    whole |= clashing


# Class ids of an image's pixels, 255 = void.
LabelOf = Callable[[ImageFile], UInt8[np.ndarray, "h w"]]


def labels_of(dataset: Dataset, class_names: Sequence[str]) -> LabelOf:
  """The labels of images from `images_of`.

  Raises:
    DataError: its classes are not these.
  """
  if list(dataset.class_names) != list(class_names):
    raise DataError(
      f"the classes of {dataset.name} ({', '.join(dataset.class_names)}) are "
      f"not the network's ({', '.join(class_names)}), so its labels say "
      "nothing of the predictions; leave them out with --labels=none"
    )

  def label_of(file: ImageFile) -> UInt8[np.ndarray, "h w"]:
    return decode_label(file.record.source[file.record.index].label)

  return label_of


def find_labels(
  folder: str | os.PathLike,
  files: Sequence[ImageFile],
  class_names: Sequence[str],
  num_threads: int = 1,
  given: GivenLabels = PLAIN,
) -> LabelOf:
  """Label images in a folder, paired with images by name, and all checked.

  Args, Raises: see `find_pairs`; images that cannot be read are no error here,
    they are reported when they are segmented.
  """
  pairs, reader, _ = find_pairs(
    folder, files, class_names, num_threads, given, "unreadable image"
  )

  def label_of(file: ImageFile) -> UInt8[np.ndarray, "h w"]:
    label = pairs[file].label
    return reader.read(label.read(), label.name).index.astype(np.uint8)

  return label_of


def dataset_of(
  folder: str | os.PathLike,
  files: Sequence[ImageFile],
  class_names: Sequence[str],
  palette: UInt8[np.ndarray, "256 3"],
  given: GivenLabels = PLAIN,
) -> FilesDataset:
  """Images and their labels in a folder as a data set of one split.

  It is called as the folder that the labels' folder lies in, the split as the
  labels' folder.

  Args, Raises: see `find_pairs`.
  """
  threads = min(8, os.cpu_count() or 1)
  pairs, reader, facts = find_pairs(folder, files, class_names, threads, given)
  place, split = os.path.split(os.path.normpath(os.fspath(folder)))
  found = list(pairs.values())
  sizes = np.array([facts[pair].size for pair in found], np.int32)
  return FilesDataset(
    name=place or ".",
    directory=os.fspath(folder),
    class_names=tuple(class_names),
    palette=palette,
    void=VOID,
    _ids={split: tuple(pair.image_id for pair in found)},
    _sizes={split: sizes.reshape(-1, 2)},
    files=tuple(found),
    reader=reader,
  )


def find_pairs(
  folder: str | os.PathLike,
  files: Sequence[ImageFile],
  class_names: Sequence[str],
  num_threads: int,
  given: GivenLabels,
  ignored: str = "",
) -> tuple[dict[ImageFile, Pair], LabelReader, dict[Pair, Facts]]:
  """Images with their label images, which are all checked.

  'a/0001.png' in the folder is the label of the image whose id is 'a/0001', or
  'a/0001_mask.png' with that suffix. Labels of other images do not matter.

  Args:
    folder: of index images (PNG of mode P, L or 1), or an archive of them.
    files: the images.
    class_names: of the class ids.
    num_threads: for decoding.
    given: how names end, and what values mean.
    ignored: a kind of finding that is none here.

  Returns:
    The pairs, how their labels are read, and facts of those that are sound.

  Raises:
    DataError: labels that are missing, unreadable, of another size or with ids
      that are no class; all of them in the message.
  """
  folder = os.path.expanduser(os.fspath(folder))
  reader = given.reader(tuple(class_names))
  known = list_files(folder)
  by_key: dict[str, list[File]] = {}
  for name, label in known.items():
    key = key_of(name, given.label_suffix)
    found = readings.pages(label) if key is not None else []
    for i, page in enumerate(found, 1):
      name = key if len(found) == 1 else f"{key}#{i:03}"
      by_key.setdefault(name, []).append(page)
  keys = {file: _key(file, given.image_suffix) for file in files}
  hint = None
  if not by_key.keys() & set(keys.values()):
    flags = proposal([_name(file)[0] for file in files], known)
    hint = flags and f"names pair with {flags}"
  pairs, findings = {}, []
  for file in files:
    key = keys[file]
    found = by_key.get(key, [])
    image = file.file
    if len(found) == 1:
      pairs[file] = Pair(file.id, image, found[0])
    elif found:
      names = ", ".join(label.name for label in found)
      findings.append(
        Finding("several labels of one image", image.name, names, "keep one")
      )
    else:
      findings.append(
        Finding(
          "image without label",
          image.name,
          f"no {key}{given.label_suffix or '.*'} in {folder}",
          hint or "add its label, or take the image out",
        )
      )
  facts, problems = _check_labels(
    list(pairs.values()), class_names, num_threads, reader
  )
  findings += [found for found in problems if found.kind != ignored]
  if findings:
    raise DataError(
      f"--labels={folder} does not fit:\n{report(findings)}\nA flag that this "
      "script lacks is one of scripts/prepare_dataset.py: prepare the data "
      "with it, and give --data"
    )
  return pairs, reader, facts


def _name(file: ImageFile) -> tuple[str, str]:
  """An image's path with its extension, and its page: ('a/1.tif', '#003')."""
  page = file.id[-4:] if isinstance(file.part, readings.Page) else ""
  stem = file.id.removesuffix(page)
  extension = os.path.splitext(str(file.path).removesuffix(page))[1]
  return stem.removesuffix(extension) + extension, page


def _key(file: ImageFile, suffix: str | None) -> str:
  """What an image's name shares with its label's."""
  name, page = _name(file)
  key = key_of(name, suffix)
  return (key if key is not None else name) + page


def _check_labels(
  pairs: Sequence[Pair],
  class_names: Sequence[str],
  num_threads: int,
  reader: LabelReader,
) -> tuple[dict[Pair, Facts], list[Finding]]:
  findings, facts = [], {}
  with ThreadPoolExecutor(num_threads) as pool:
    looks = pool.map(
      lambda pair: check_pair(pair, reader, len(class_names)), pairs
    )
    for pair, (found, problems) in zip(pairs, looks, strict=True):
      findings += problems
      if found:
        facts[pair] = found
  masks = check_masks({"": pairs}, facts, class_names)
  return facts, findings + [mask for mask in masks if not mask.warning]
