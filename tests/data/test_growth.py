"""Work on n and on 4 n images: memory and operations, counted and not timed.

What grows as n log n grows by a little more than 4, what grows as n² by 16.
"""

import functools
import sys
import tarfile
import tracemalloc

import numpy as np
import pytest
import tool_files
from made_up_dataset import MadeUpDataset
from small_data import label, photo, write

from fcn_jax.data import classes
from fcn_jax.data.checks import check_splits
from fcn_jax.data.files import File, Pair, list_tar
from fcn_jax.data.formats import FORMATS, Folder, Format, Voc
from fcn_jax.data.prepare import Output, prepare_dataset, unique_ids
from fcn_jax.data.statistics import SplitStatistics
from fcn_jax.reports import dataset as dataset_page
from fcn_jax.reports.thumbnails import Thumbnail, Thumbnails

MOST = 5.5  # times, for 4 times the images


def peak(work) -> int:
  """Bytes that a piece of work holds at once, at most."""
  tracemalloc.start()
  try:
    work()
    return tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()


def calls(work) -> int:
  """Calls of functions, Python's and built-in ones, in this thread."""
  count = 0

  def tell(frame, event, argument):
    nonlocal count
    count += event in ("call", "c_call")

  sys.setprofile(tell)
  try:
    work()
  finally:
    sys.setprofile(None)
  return count


def explore(folder, images: int) -> int:
  """Bytes that the page of a data set takes, its images having been counted."""
  dataset = MadeUpDataset(train=1, val=1)
  files = [File(f"train/{i}", "x") for i in range(images)]
  pairs = [Pair(file.name, file, file) for file in files]
  counts = np.zeros((images, 256), np.int64)
  counts[:, 0] = 1
  statistics = SplitStatistics(
    dataset.class_names,
    tuple(file.name for file in files),
    np.ones((images, 2), np.int64),
    counts,
  )
  shown = tuple(Thumbnail(i, (1, 1), "", "") for i in range(images))
  return peak(
    lambda: dataset_page.write_dataset(
      folder / f"{images}.html",
      dataset,
      {"train": pairs},
      {"train": statistics},
      [],
      Thumbnails(shown, images, 1),
    )
  )


def test_a_page_of_many_images(tmp_path):
  explore(tmp_path, 10)  # what is made once
  few, many = (explore(tmp_path, images) for images in (75, 300))
  assert many < MOST * few
  assert many < 5_000 * 300 + 5_000_000


def folders(root, images: int) -> Folder:
  for split, numbers in (("train", range(images)), ("val", range(4))):
    write(
      root,
      {f"{split}/images/{split}{i}.jpg": photo(i) for i in numbers}
      | {f"{split}/labels/{split}{i}.png": label(0, 1) for i in numbers},
    )
  write(root, {"classes.txt": "ground\nthing\n"})
  return Folder(
    class_names=str(root / "classes.txt"),
    train_images=str(root / "train/images"),
    train_labels=str(root / "train/labels"),
    val_images=str(root / "val/images"),
    val_labels=str(root / "val/labels"),
  )


def test_preparing_many_images(tmp_path, monkeypatch):
  """Each file is opened a fixed number of times, and lookups stay few."""
  reads = []
  read = File.read
  monkeypatch.setattr(File, "read", lambda f: reads.append(f.path) or read(f))

  def prepare(images: int) -> tuple[int, int]:
    root = tmp_path / str(images)
    source, reads[:] = folders(root, images), []
    output = Output(name="grown", data_dir=str(root / "sets"))
    made = calls(lambda: prepare_dataset(source, output, say=lambda line: None))
    of_images = [path for path in reads if path.endswith((".jpg", ".png"))]
    return made, len(of_images)

  prepare(4)
  few, many = prepare(16), prepare(64)
  assert many[0] < MOST * few[0]
  # 20 and 68 pairs: an image twice, and a label's head besides.
  assert (few[1], many[1]) == (5 * 20, 5 * 68)


def voc_tree(root, images: int) -> Voc:
  lists = "ImageSets/Segmentation/"
  ids = [f"image_{i}" for i in range(images)]
  write(
    root,
    {f"JPEGImages/{i}.jpg": b"" for i in ids}
    | {f"SegmentationClass/{i}.png": b"" for i in ids}
    | {lists + "train.txt": "\n".join(ids), lists + "val.txt": ids[0]}
    | {"classes.txt": "ground\nthing\n"},
  )
  return Voc(devkit=str(root))


def coco_tree(root, images: int) -> Format:
  names = {i: f"{i}.jpg" for i in range(images)}
  square = {"category_id": 3, "segmentation": [[1, 1, 4, 1, 4, 4]]}
  text = tool_files.coco(names, *[{"image_id": i, **square} for i in names])
  write(root, dict.fromkeys(names.values(), b"") | {"all.json": text})
  return FORMATS["coco"](train_images=str(root), val_percent=10.0)


def labelme_tree(root, images: int) -> Format:
  one = tool_files.shape("car", [[0, 0], [1, 0], [1, 1]])
  for i in range(images):
    write(root, {f"{i}.jpg": b"", f"{i}.json": tool_files.labelme("x", one)})
  return FORMATS["labelme"](train_images=str(root), val_percent=10.0)


def cvat_tree(root, images: int) -> Format:
  names = [f"{i}.jpg" for i in range(images)]
  xml = tool_files.cvat_xml(
    *[tool_files.cvat_image(0, name, tool_files.CVAT_CAR) for name in names]
  )
  write(root, dict.fromkeys(names, b"") | {"annotations.xml": xml})
  return FORMATS["cvat"](archive=str(root), val_percent=10.0)


def masks_tree(root, images: int) -> Format:
  for i in range(images):
    write(root, {f"i/{i}.jpg": b"", f"m/car/{i}.png": b"", f"m/b/{i}.png": b""})
  flags = {"train_images": str(root / "i"), "train_labels": str(root / "m")}
  return FORMATS["masks"](**flags, val_percent=10.0)


@pytest.mark.parametrize(
  "make", [voc_tree, folders, coco_tree, labelme_tree, cvat_tree, masks_tree]
)
def test_finding_many_images(tmp_path, make):
  few, many = (
    calls(make(tmp_path / str(images), images).find) for images in (50, 200)
  )
  assert many < MOST * few


def linked_tar(path, images: int):
  with tarfile.open(path, "w") as tar:
    for i in range(images):
      tar.addfile(tarfile.TarInfo(f"images/{i}.png"))
      for target in (f"images/{i}.png", f"none/{i}.png"):
        link = tarfile.TarInfo(f"links/{target.replace('/', '_')}")
        link.type, link.linkname = tarfile.SYMTYPE, f"../{target}"
        tar.addfile(link)
  return path


def test_links_in_a_tar(tmp_path):
  few, many = (
    calls(functools.partial(list_tar, linked_tar(tmp_path / f"{n}.tar", n)))
    for n in (50, 200)
  )
  assert many < MOST * few


def test_class_files_without_end():
  with pytest.raises(classes.DataError, match="at most 255 classes fit"):
    classes.parse_class_file("\n".join(map(str, range(100_000))), "names")


def test_facts_of_many_images(tmp_path):
  """What stays of an image is a few kilobytes, however large it was."""
  source = folders(tmp_path, 100)
  found = source.find()
  few = {"train": found.splits["train"][:25]}
  kept = [
    peak(lambda splits=s: check_splits(splits, found.reader, ("a", "b")))
    for s in (few, few, {"train": found.splits["train"]})
  ]
  assert kept[2] < MOST * kept[1]
  assert np.median(kept) < 2_000_000
  assert calls(lambda: unique_ids(found.splits)) < 20 * 104
