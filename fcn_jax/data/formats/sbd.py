"""SBD, the Semantic Boundaries Dataset, alone or with PASCAL VOC.

Only this file knows SciPy, which reads the labels.
"""

import dataclasses
import io
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from fcn_jax.data.files import File, Pair, list_files, own_file
from fcn_jax.data.findings import Finding
from fcn_jax.data.formats import voc
from fcn_jax.data.formats.base import Format, Found, flag
from fcn_jax.data.formats.lists import read_list
from fcn_jax.data.formats.voc_tree import open_tree
from fcn_jax.data.images import encode_label
from fcn_jax.files import DataError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sbd(Format):
  """benchmark_RELEASE: train.txt, val.txt, img/ID.jpg and cls/ID.mat.

  With VOC 2012, train is what papers call trainaug: SBD's images and those of
  VOC's list train, but for VOC's list val, which is the validation set. Labels
  are VOC's own where its lists have the image, else SBD's, which have no void.
  """

  title: ClassVar[str] = "SBD (benchmark_RELEASE), alone or with VOC"
  name: ClassVar[str] = "sbd"

  archive: str | None = flag(None, "benchmark.tgz as downloaded, or the folder")
  with_voc: str | None = flag(
    None, "VOC 2012's tar or folder: train becomes trainaug, val is VOC's"
  )
  val_list: str | None = flag(
    None, "text file: ids to score on instead of val, as seg11valid.txt"
  )

  def find(self) -> Found:
    """Pairs, class names and how to read labels, see `Format`."""
    if not self.archive:
      raise DataError(
        "--dataset=sbd: give --archive=benchmark.tgz, or the folder "
        "benchmark_RELEASE"
      )
    findings: list[Finding] = []
    lists, known = _sbd(self.archive)
    if self.with_voc:
      lists, known = _trainaug(self.with_voc, lists, known, findings)
    if self.val_list:
      lists["val"] = read_list(own_file(self.val_list))
    _refuse_trained(lists, self.val_list or "val")
    splits = {}
    for split, ids in lists.items():
      splits[split] = [known[one] for one in ids if one in known]
      findings += [
        Finding(
          "listed file that is missing",
          split,
          f"{one}: no image and label of that id",
          "fetch the archive again",
        )
        for one in ids
        if one not in known
      ]
    names = self.given_names() or voc.CLASS_NAMES
    return Found(splits, findings, names, self.reader(names), self.name)


def _sbd(place: str) -> tuple[dict[str, list[str]], dict[str, Pair]]:
  """The lists train and val, and all pairs by id."""
  files = list_files(place)
  roots = [key[: -len("train.txt")] for key in files if _is_list(key, files)]
  if len(roots) != 1:
    raise DataError(
      f"{place}: no folder with train.txt, val.txt, img and cls, as SBD's "
      "benchmark_RELEASE/dataset has them"
    )
  root = roots[0]
  lists = {s: read_list(files[f"{root}{s}.txt"]) for s in ("train", "val")}
  known = {}
  for ids in lists.values():
    for one in ids:
      image = files.get(f"{root}img/{one}.jpg")
      label = files.get(f"{root}cls/{one}.mat")
      if image and label:
        mat = MatLabel(label.name, label.path, source=label)
        known[one] = Pair(one, image, mat)
  return lists, known


def _is_list(key: str, files: Mapping[str, File]) -> bool:
  root = key.removesuffix("train.txt")
  return (
    key.split("/")[-1] == "train.txt"
    and f"{root}val.txt" in files
    and any(name.startswith(f"{root}cls/") for name in files)
  )


def _trainaug(
  place: str,
  lists: Mapping[str, list[str]],
  known: Mapping[str, Pair],
  findings: list[Finding],
) -> tuple[dict[str, list[str]], dict[str, Pair]]:
  """SBD's and VOC's images but for VOC's val, which is to be scored."""
  splits, problems = voc.find_pairs(open_tree(place, year=2012))
  if not {"train", "val"} <= splits.keys():
    raise DataError(
      f"{place}: no lists train and val with labels, as VOC 2012's"
    )
  findings += [p for p in problems if not p.warning]
  of_voc = {pair.image_id: pair for s in ("train", "val") for pair in splits[s]}
  scored = {pair.image_id for pair in splits["val"]}
  ids = [*lists["train"], *lists["val"]]
  ids += [pair.image_id for pair in splits["train"]]
  return {
    "train": sorted({*ids} - scored),
    "val": [pair.image_id for pair in splits["val"]],
  }, {**known, **of_voc}


def _refuse_trained(lists: Mapping[str, list[str]], name: str) -> None:
  """Raises DataError: an image to be scored is among those trained on."""
  trained = sorted({*lists["train"]} & {*lists["val"]})
  if trained:
    shown = ", ".join(trained[:3]) + ", ..." * (len(trained) > 3)
    raise DataError(
      f"{name}: {len(trained)} of its {len(lists['val'])} images are trained "
      f"on ({shown}), and scores would flatter; score another list, or train "
      "on SBD alone, without --with_voc"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class MatLabel(File):
  """The label in a file of MATLAB's, as an index PNG."""

  source: File

  def read(self) -> bytes:
    try:
      import scipy.io
    except ImportError:
      raise DataError(
        "SBD's labels need SciPy: pip install 'fcn_jax[sbd]'"
      ) from None
    try:
      content = scipy.io.loadmat(io.BytesIO(self.source.read()))
      label = content["GTcls"][0]["Segmentation"][0]
      return encode_label(np.ascontiguousarray(label, np.uint8))
    except DataError:
      raise
    except Exception as error:  # of many kinds
      raise DataError(
        f"{self.name}: no label of SBD's in it ({error}); fetch it again"
      ) from None
