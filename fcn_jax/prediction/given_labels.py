"""The labels that a user has for images, to hold predictions against."""

import os
import pathlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import UInt8

from fcn_jax.data import decode_label
from fcn_jax.data.builder import Pair
from fcn_jax.data.checks import check_masks, check_pair
from fcn_jax.data.dataset import Dataset
from fcn_jax.data.files import DataError, File, list_folder
from fcn_jax.data.findings import Finding, report
from fcn_jax.data.labels import LabelReader
from fcn_jax.prediction.inputs import ImageFile, StoredImage

# Class ids of an image's pixels, 255 = void.
LabelOf = Callable[[ImageFile], UInt8[np.ndarray, "h w"]]

_READER = LabelReader()


def labels_of(dataset: Dataset, class_names: Sequence[str]) -> LabelOf:
  """The labels of a prepared data set's `image_files.images_of`.

  Raises:
    DataError: its classes are not these.
  """
  if list(dataset.class_names) != list(class_names):
    raise DataError(
      f"the classes of {dataset.name} ({', '.join(dataset.class_names)}) are "
      f"not the network's ({', '.join(class_names)}), so its labels say "
      "nothing of the predictions; leave them out with --labels=none"
    )

  def label_of(file: StoredImage) -> UInt8[np.ndarray, "h w"]:
    return decode_label(file.source[file.index].label)

  return label_of


def find_labels(
  folder: str | os.PathLike,
  files: Sequence[ImageFile],
  class_names: Sequence[str],
  num_threads: int = 1,
) -> LabelOf:
  """Label images in a folder, paired with images by stem, and all checked.

  'a/0001.png' in the folder is the label of the image whose id is 'a/0001'.
  Labels of other images do not matter, nor do images that cannot be read.

  Args:
    folder: of index images (PNG of mode P, L or 1).
    files: the images.
    class_names: of the class ids.
    num_threads: for decoding.

  Raises:
    DataError: labels that are missing, unreadable, of another size or with ids
      that are no class; all of them in the message.
  """
  folder = os.path.expanduser(os.fspath(folder))
  by_stem: dict[str, list[File]] = {}
  for key, label in list_folder(folder).items():
    by_stem.setdefault(os.path.splitext(key)[0], []).append(label)
  pairs, findings = {}, []
  for file in files:
    stem = _stem(file)
    found = by_stem.get(stem, [])
    image = File(str(file.path), str(file.path))
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
          f"no {stem}.* in {folder}",
          "add its label, or take the image out",
        )
      )
  findings += _check(list(pairs.values()), class_names, num_threads)
  if findings:
    raise DataError(
      f"--labels={folder} does not fit:\n{report(findings)}\nIf a flag is "
      "named above, it is one of scripts/prepare_dataset.py: prepare the data "
      "with it, and give --data"
    )

  def label_of(file: ImageFile) -> UInt8[np.ndarray, "h w"]:
    label = pairs[file].label
    return _READER.read(label.read(), label.name).index.astype(np.uint8)

  return label_of


def _stem(file: ImageFile) -> str:
  """An image's id, without the extension that tells it from another's."""
  extension = pathlib.PurePath(file.path).suffix
  return file.id.removesuffix(extension) if extension else file.id


def _check(
  pairs: Sequence[Pair], class_names: Sequence[str], num_threads: int
) -> list[Finding]:
  findings, facts = [], {}
  with ThreadPoolExecutor(num_threads) as pool:
    looks = pool.map(
      lambda pair: check_pair(pair, _READER, len(class_names)), pairs
    )
    for pair, (found, problems) in zip(pairs, looks, strict=True):
      # Images that cannot be read are reported when they are segmented.
      findings += [p for p in problems if p.kind != "unreadable image"]
      if found:
        facts[pair] = found
  masks = check_masks({"": pairs}, facts, class_names)
  return findings + [mask for mask in masks if not mask.warning]
