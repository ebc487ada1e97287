"""Predictions as PASCAL VOC's evaluation server takes them: one tar, checked.

The layout is that of the VOC2012 devkit (VOCinit.m, VOCopts.seg.clsrespath):
results/VOC2012/Segmentation/comp6_test_cls/ID.png, indexed PNGs of class ids.
"""

import contextlib
import dataclasses
import gzip
import io
import os
import pathlib
import re
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from fcn_jax.data.classes import VOID, voc_palette
from fcn_jax.data.dataset import Dataset
from fcn_jax.data.files import File, list_folder
from fcn_jax.data.findings import Finding, report
from fcn_jax.data.formats import voc
from fcn_jax.data.images import open_image
from fcn_jax.data.pictures import index_image
from fcn_jax.files import DataError, local_path, replacing
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


COMPETITIONS = {
  "comp5": "trained on VOC's own images of the year alone",
  "comp6": "trained on whatever images but the test set's",
}
ENDINGS = (".tar.gz", ".tgz", ".tar")
_MOST = len(voc.CLASS_NAMES) - 1
_AGAIN = "segment the image again with scripts/predict.py"


@dataclasses.dataclass(frozen=True)
class Predictions:
  """Files found in a folder.

  Attributes:
    folder: of the masks.
    masks: the file of each prediction, by image id.
    others: files that are no prediction of the image set.
  """

  folder: pathlib.Path
  masks: Mapping[str, File]
  others: tuple[File, ...]


def find_predictions(
  folder: str | os.PathLike, images: ImageSet
) -> Predictions:
  """The predictions for `images`, and whatever else is in the folder.

  Args:
    folder: what scripts/predict.py wrote, or its masks/.
    images: of which predictions are looked for.

  Raises:
    DataError: no such folder.
  """
  folder = pathlib.Path(folder).expanduser()
  if (folder / "masks").is_dir():
    folder = folder / "masks"
  files = list_folder(folder)
  names = {f"{image_id}.png": image_id for image_id in images.ids}
  return Predictions(
    folder,
    {names[key]: file for key, file in files.items() if key in names},
    tuple(file for key, file in files.items() if key not in names),
  )


@dataclasses.dataclass(frozen=True)
class Submission:
  """What is handed in, and where it lies in the archive.

  Attributes:
    images: each needs a prediction.
    predictions: from `find_predictions`.
    competition: 'comp5' or 'comp6'.
    year: of the challenge.
    leave_out_others: whether predictions of other images are left out; else
      they are mistakes.
  """

  images: ImageSet
  predictions: Predictions
  competition: str = "comp6"
  year: int = 2012
  leave_out_others: bool = False

  def member(self, image_id: str) -> str:
    """Path of a prediction in the archive."""
    folder = f"{self.competition}_{self.images.name}_cls"
    return f"results/VOC{self.year}/Segmentation/{folder}/{image_id}.png"

  def findings(self) -> list[Finding]:
    """All that keeps the predictions from being handed in."""
    masks, folder = self.predictions.masks, self.predictions.folder
    findings = [
      Finding(
        "missing prediction",
        self.images.source,
        f"{image_id}: no {folder / image_id}.png",
        _AGAIN,
      )
      for image_id in self.images.ids
      if image_id not in masks
    ]
    if not self.leave_out_others:
      findings += [
        Finding(
          f"file that is no prediction of {self.images.source}",
          file.path,
          "not ID.png of an id there",
          "take it out of the folder, or give --leave_out_others",
        )
        for file in self.predictions.others
      ]
    for image_id, file in masks.items():
      findings += _read(file, self.images.sizes.get(image_id))[1]
    return findings

  def write(self, output: str | os.PathLike) -> pathlib.Path:
    """Checks all predictions, then writes the archive.

    The same predictions give the same bytes: members are in the order of their
    ids, with no owner and no time.

    Args:
      output: a new file that ends in .tar.gz, .tgz or .tar.

    Returns:
      Its absolute path.

    Raises:
      DataError: `output` is there already or ends in something else, or there
        are findings (all of them in the message). Nothing has been written
        then.
      OSError: the archive cannot be written.
    """
    output = local_path(output).absolute()
    if not output.name.endswith(ENDINGS):
      raise DataError(
        f"--output={output}: the server takes a tar; end the name in "
        f"{' or '.join(ENDINGS)}"
      )
    if output.exists():
      raise DataError(
        f"--output={output} is there already; remove it or name another file"
      )
    _stop_at(self.findings())
    output.parent.mkdir(parents=True, exist_ok=True)
    compress = not output.name.endswith(".tar")
    with replacing(output) as temporary, _tar(temporary, compress) as tar:
      for image_id, file in sorted(self.predictions.masks.items()):
        labels, findings = _read(file, self.images.sizes.get(image_id))
        _stop_at(findings)  # it has changed since
        stream = io.BytesIO()
        index_image(labels, voc_palette()).save(stream, "PNG")
        member = tarfile.TarInfo(self.member(image_id))
        member.size = stream.tell()
        stream.seek(0)
        tar.addfile(member, stream)
    return output


def _read(
  file: File, size: Size | None
) -> tuple[UInt8[np.ndarray, "h w"], list[Finding]]:
  """The class ids of a prediction, and what is wrong with it."""
  none = np.zeros((0, 0), np.uint8)
  try:
    image = open_image(file.read(), file.path)
  except DataError as error:
    value = str(error).removeprefix(f"{file.path}: ")
    return none, [Finding("unreadable prediction", file.path, value, _AGAIN)]
  if image.format != "PNG" or image.mode not in ("P", "L"):
    finding = Finding(
      "prediction that holds no class ids",
      file.path,
      f"{image.format} of mode {image.mode}",
      "give the masks that scripts/predict.py writes: PNGs of mode P or L "
      "whose pixels are class ids",
    )
    return none, [finding]
  labels = np.array(image)
  return labels, list(_faults(file.path, labels, size or labels.shape))


def _faults(
  path: str, labels: UInt8[np.ndarray, "h w"], size: Size
) -> Iterator[Finding]:
  if labels.shape != size:
    yield Finding(
      "prediction of another size than its image",
      path,
      f"{labels.shape[1]}x{labels.shape[0]}, the image {size[1]}x{size[0]}",
      "segment the image itself, not a scaled one",
    )
  counts = np.bincount(labels.ravel(), minlength=VOID + 1)
  if counts[VOID]:
    yield Finding(
      "void in a prediction",
      path,
      f"{VOID} in {counts[VOID]} pixels",
      "predict a class for every pixel; this looks like a label",
    )
  beyond = np.flatnonzero(counts[:VOID])
  beyond = beyond[beyond > _MOST]
  if beyond.size:
    yield Finding(
      f"class id beyond VOC's 0..{_MOST}",
      path,
      f"{', '.join(map(str, beyond[:5]))} in {counts[beyond].sum()} pixels",
      f"hand in what a network of VOC's {_MOST + 1} classes predicts",
    )


def _stop_at(findings: Sequence[Finding]) -> None:
  if findings:
    raise DataError(
      f"{len(findings)} mistakes; nothing was written:\n{report(findings)}"
    )


@contextlib.contextmanager
def _tar(path: pathlib.Path, compress: bool) -> Iterator[tarfile.TarFile]:
  """A new tar; compressed without a name and a time in the header."""
  with contextlib.ExitStack() as stack:
    stream = stack.enter_context(path.open("wb"))
    if compress:
      stream = stack.enter_context(
        gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0)
      )
    yield stack.enter_context(
      tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT)
    )
