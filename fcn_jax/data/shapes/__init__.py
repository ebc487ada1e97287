"""A small made-up world, written as a genuine VOC-style tar.

As in PASCAL VOC, every image has object boxes, but only a few have a
segmentation: a classifier pretrained on the boxes' crops has more to learn
from than a network that sees the segmentations alone.

    python -m fcn_jax.data.shapes --output=shapes_voc.tar
    python -m fcn_jax.data.shapes --images=FOLDER --count=12 --seed=1
    python -m fcn_jax.data.shapes --mosaic=FILE.tif --side=20000
"""

import concurrent.futures
import contextlib
import io
import os
import pathlib
import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from fcn_jax.data import tiff
from fcn_jax.data.classes import voc_palette
from fcn_jax.data.shapes.scenes import (
  CLASS_NAMES,
  DIAMETERS,
  Scene,
  boxes_of,
  draw_scene,
  label_of,
)
from fcn_jax.files import replacing

# (height, width); the first two are drawn more often, as 375x500 is in VOC.
SIZES = (
  (160, 208),
  (208, 160),
  (144, 192),
  (192, 144),
  (168, 224),
  (224, 168),
  (176, 176),
  (151, 201),
  (135, 203),
  (197, 149),
)
ROOT = "VOCdevkit/VOC2012"
FOLDERS = (
  "Annotations",
  "ImageSets",
  "ImageSets/Main",
  "ImageSets/Segmentation",
  "JPEGImages",
  "SegmentationClass",
)


def _annotation(image_id: str, scene: Scene, segmented: bool) -> bytes:
  def put(parent, tag, text=None):
    element = ET.SubElement(parent, tag)
    element.text = None if text is None else str(text)
    return element

  height, width, depth = scene.image.shape
  root = ET.Element("annotation")
  put(root, "folder", "VOC2012")
  put(root, "filename", f"{image_id}.jpg")
  source = put(root, "source")
  put(source, "database", "Made-up shapes")
  put(source, "annotation", "Made-up shapes")
  put(source, "image", "drawn")
  size = put(root, "size")
  put(size, "width", width)
  put(size, "height", height)
  put(size, "depth", depth)
  put(root, "segmented", int(segmented))
  flags = zip(scene.truncated, scene.occluded, strict=True)
  for class_id, box, (truncated, occluded) in zip(
    scene.classes, boxes_of(scene), flags, strict=True
  ):
    item = put(root, "object")
    put(item, "name", CLASS_NAMES[class_id])
    put(item, "pose", "Unspecified")
    put(item, "truncated", int(truncated))
    put(item, "occluded", int(occluded))
    bndbox = put(item, "bndbox")
    for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True):
      put(bndbox, tag, value)
    put(item, "difficult", 0)
  ET.indent(root, "\t")
  return ET.tostring(root) + b"\n"


def _scene(seed, index, sizes, diameters) -> Scene:
  """The index-th scene of a seed's world, of one of the sizes."""
  rng = np.random.default_rng([seed, 1, index])
  odds = np.array([4, 2, *[1] * len(sizes)][: len(sizes)], np.float64)
  size = sizes[rng.choice(len(sizes), p=odds / odds.sum())]
  return draw_scene(rng, *size, diameters)


def _jpeg(scene: Scene) -> bytes:
  stream = io.BytesIO()
  Image.fromarray(scene.image).save(stream, "JPEG", quality=90)
  return stream.getvalue()


class _Drawn(NamedTuple):
  """A scene's files, and the ids of the classes in it; no label, no png."""

  jpeg: bytes
  xml: bytes
  png: bytes | None
  classes: frozenset[int]


def _draw_all(draw, numbers: Iterable[int]) -> Iterator[_Drawn]:
  """draw(number) of each, in their order, by all cores."""
  pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
  try:
    yield from pool.map(draw, numbers)
  finally:
    pool.shutdown(cancel_futures=True)


def _label_png(scene: Scene) -> bytes:
  label = Image.fromarray(label_of(scene))
  label.putpalette(voc_palette().tobytes())
  stream = io.BytesIO()
  label.save(stream, "PNG")
  return stream.getvalue()


def write_voc_tar(
  path: str | os.PathLike,
  seed: int = 0,
  train: int = 100,
  val: int = 60,
  main_train: int = 1200,
  main_val: int = 90,
  sizes: Sequence[tuple[int, int]] = SIZES,
  diameters: tuple[float, float] = DIAMETERS,
) -> None:
  """Draws the world and writes it as a tar of the VOC 2012 layout.

  The same arguments (and library versions) give the same bytes.

  Args:
    path: the tar to write; its folder must exist. A file of that name is
      replaced, once the new one is complete.
    seed: of everything drawn.
    train, val: images with a segmentation (ImageSets/Segmentation), chosen
      from those of main_train and main_val.
    main_train, main_val: images with object boxes (ImageSets/Main); the two
      are disjoint.
    sizes: (height, width) of images; the first two are drawn more often.
    diameters: least and largest diameter of an object, in pixels.

  Raises:
    ValueError: if more segmentations than images are asked for.
  """
  for name, part, whole in (
    ("train", train, main_train),
    ("val", val, main_val),
  ):
    if not 0 < part <= whole:
      raise ValueError(
        f"{name}={part} images with a segmentation cannot be chosen from "
        f"main_{name}={whole}: ask for 1 to {whole}"
      )
  count = main_train + main_val
  ids = [f"2012_{number:06d}" for number in range(1, count + 1)]
  rng = np.random.default_rng([seed, 0])
  order = rng.permutation(count)
  members = {"train": order[:main_train], "val": order[main_train:]}
  segmented = {"train": members["train"][:train], "val": members["val"][:val]}
  with_label = {int(i) for part in segmented.values() for i in part}

  def draw(index: int) -> _Drawn:
    scene = _scene(seed, index, sizes, diameters)
    has_label = index in with_label
    return _Drawn(
      _jpeg(scene),
      _annotation(ids[index], scene, has_label),
      _label_png(scene) if has_label else None,
      frozenset(scene.classes),
    )

  present: list[frozenset[int]] = []

  def write(tar: tarfile.TarFile) -> None:
    def add(name: str, data: bytes | None) -> None:
      info = tarfile.TarInfo(f"{ROOT}/{name}" if name else ROOT)
      info.type = tarfile.DIRTYPE if data is None else tarfile.REGTYPE
      info.mode = 0o755 if data is None else 0o644
      info.size = len(data or b"")
      info.mtime = 1_337_000_000  # any fixed time: equal worlds, equal bytes
      tar.addfile(info, io.BytesIO(data or b""))

    for folder in ("", *FOLDERS):
      add(folder, None)
    add("classes.txt", "".join(f"{name}\n" for name in CLASS_NAMES).encode())
    bar = tqdm(ids, desc="drawing", unit="image", disable=None)
    with contextlib.closing(_draw_all(draw, range(count))) as scenes:
      for image_id, drawn in zip(bar, scenes, strict=True):
        present.append(drawn.classes)
        add(f"JPEGImages/{image_id}.jpg", drawn.jpeg)
        add(f"Annotations/{image_id}.xml", drawn.xml)
        if drawn.png is not None:
          add(f"SegmentationClass/{image_id}.png", drawn.png)
    for kind, lists in (("Main", members), ("Segmentation", segmented)):
      everything = np.concatenate([lists["train"], lists["val"]])
      for split, chosen in (*lists.items(), ("trainval", everything)):
        chosen = sorted(int(i) for i in chosen)
        text = "".join(f"{ids[i]}\n" for i in chosen)
        add(f"ImageSets/{kind}/{split}.txt", text.encode())
        for class_id, name in enumerate(CLASS_NAMES):
          if kind == "Main" and class_id:
            text = "".join(
              f"{ids[i]} {1 if class_id in present[i] else -1:2d}\n"
              for i in chosen
            )
            add(f"ImageSets/Main/{name}_{split}.txt", text.encode())

  target = pathlib.Path(path)
  partial = target.with_name(target.name + ".partial")
  try:
    with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
      write(tar)
    partial.replace(target)
  finally:
    partial.unlink(missing_ok=True)


def write_images(
  folder: str | os.PathLike,
  count: int = 12,
  seed: int = 1,
  sizes: Sequence[tuple[int, int]] = SIZES,
  diameters: tuple[float, float] = DIAMETERS,
) -> None:
  """Draws images alone, for a network to be tried on: folder/new_01.jpg ...

  A tar of another seed holds none of them. Files of those names are replaced.
  """
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  for index in range(count):
    scene = _scene(seed, index, sizes, diameters)
    (folder / f"new_{index + 1:02d}.jpg").write_bytes(_jpeg(scene))


def write_mosaic(
  path: str | os.PathLike, side: int, seed: int = 1, scenes: int = 64
) -> None:
  """Draws a square image of any size: a JPEG-compressed, tiled TIFF.

  A few scenes lie in it again and again, in any order, some of them mirrored.
  It says to lie on the earth, half a metre a pixel.

  Args:
    path: of the file.
    side: of the image, in pixels.
    seed: of the scenes and their order.
    scenes: how many are drawn.
  """
  rng = np.random.default_rng((seed, 1))
  drawn = [_scene(seed, i, ((192, 192),), DIAMETERS) for i in range(scenes)]
  pictures = [scene.image for scene in drawn]

  def bands():
    across = -(-side // 192)
    for top in range(0, side, 192):
      row = [
        pictures[rng.integers(scenes)][:, :: rng.choice((1, -1))]
        for _ in range(across)
      ]
      yield np.concatenate(row, 1)[: side - top, :side]

  with replacing(pathlib.Path(path)) as temporary:
    tiff.write_rgb(temporary, (side, side), bands(), tiff.metre_tags(0.5))
