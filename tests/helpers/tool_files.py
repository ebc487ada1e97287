"""Images and labels as people's tools write them, of a few pixels.

Images are 6x8 (height, width). Each function gives files by path, as
`small_data.write` takes them.
"""

import base64
import io
import json

import numpy as np
from PIL import Image
from small_data import label, photo, png

COLORS = {"background": (0, 0, 0), "car": (250, 50, 83), "dog": (50, 90, 1)}


def shape(name: str, points, kind: str = "polygon", mask=None) -> dict:
  """A shape as LabelMe 5 writes it."""
  return {
    "label": name,
    "points": points,
    "group_id": None,
    "description": "",
    "shape_type": kind,
    "flags": {},
    "mask": mask and base64.b64encode(mask).decode(),
  }


def labelme(stem: str, *shapes: dict, size=(6, 8)) -> str:
  return json.dumps(
    {
      "version": "5.4.1",
      "flags": {},
      "shapes": shapes,
      "imagePath": f"{stem}.jpg",
      "imageData": None,
      "imageHeight": size[0],
      "imageWidth": size[1],
    },
    indent=2,
  )


def labelme_files() -> dict[str, bytes | str]:
  """Three images, a to c, with JSON files beside them, and labels.txt."""
  car = shape("car", [[1.0, 1.0], [3.9, 1.2], [3.5, 3.0], [1.0, 3.9]])
  dog = shape("dog", [[3.0, 0.0], [5.0, 2.0]], "rectangle")
  return {
    "labels.txt": "__ignore__\n_background_\ncar\ndog\n",
    **{f"{stem}.jpg": photo(i) for i, stem in enumerate("abc")},
    "a.json": labelme("a", car, dog),
    "b.json": labelme("b", dog),
    "c.json": labelme("c", car, shape("__ignore__", [[7, 5]], "point")),
  }


def coco(images: dict[int, str], *annotations: dict, size=(6, 8)) -> str:
  """instances.json as COCO has it."""
  return json.dumps(
    {
      "info": {"description": "made up", "year": 2024},
      "licenses": [],
      "images": [
        {
          "license": 1,
          "file_name": name,
          "coco_url": "",
          "height": size[0],
          "width": size[1],
          "id": number,
        }
        for number, name in images.items()
      ],
      "annotations": [
        {"id": 100 + i, "bbox": [], "area": 0.0, "iscrowd": 0} | annotation
        for i, annotation in enumerate(annotations)
      ],
      "categories": [
        {"supercategory": "animal", "id": 18, "name": "dog"},
        {"supercategory": "vehicle", "id": 3, "name": "car"},
      ],
    }
  )


def coco_files() -> dict[str, bytes | str]:
  """COCO's folders of two splits."""
  square = [1, 1, 4, 1, 4, 4, 1, 4]
  car = {"image_id": 7, "category_id": 3, "segmentation": [square]}
  dog = {
    "image_id": 9,
    "category_id": 18,
    "iscrowd": 1,
    # In columns: rows 2 and 3 of the first, all of the last.
    "segmentation": {"size": [6, 8], "counts": [2, 2, 38, 6]},
  }
  return {
    "train2017/000000000007.jpg": photo(7),
    "train2017/000000000008.jpg": photo(8),
    "val2017/000000000009.jpg": photo(9),
    "annotations/instances_train2017.json": coco(
      {7: "000000000007.jpg", 8: "000000000008.jpg"}, car
    ),
    "annotations/instances_val2017.json": coco({9: "000000000009.jpg"}, dog),
  }


def cvat_xml(*images: str) -> str:
  """annotations.xml of 'CVAT for images 1.1'."""
  labels = "".join(
    f"<label><name>{name}</name><color>#ff0000</color><type>any</type>"
    "<attributes></attributes></label>"
    for name in ("dog", "car")
  )
  return (
    '<?xml version="1.0" encoding="utf-8"?>\n<annotations>'
    "<version>1.1</version><meta><task><id>1</id><name>t</name>"
    f"<mode>annotation</mode><labels>{labels}</labels></task></meta>"
    f"{''.join(images)}</annotations>\n"
  )


def cvat_image(number: int, name: str, *shapes: str, subset: str = "") -> str:
  subset = f'subset="{subset}" ' if subset else ""
  return (
    f'<image id="{number}" name="{name}" {subset}width="8" height="6">'
    f"{''.join(shapes)}</image>"
  )


CVAT_CAR = (
  '<polygon label="car" source="manual" occluded="0" '
  'points="1.00,1.00;3.90,1.20;3.50,3.00;1.00,3.90" z_order="1"></polygon>'
)
CVAT_DOG = (
  '<box label="dog" source="manual" occluded="0" xtl="3.00" ytl="0.00" '
  'xbr="5.50" ybr="2.50" z_order="0"></box>'
)
CVAT_MASK = (
  '<mask label="dog" source="manual" occluded="0" rle="1, 2, 3" left="5" '
  'top="3" width="3" height="2" z_order="0"></mask>'
)


def cvat_files() -> dict[str, bytes | str]:
  """An export of a task with images."""
  return {
    "images/a.jpg": photo(1),
    "images/sub/b.jpg": photo(2),
    "annotations.xml": cvat_xml(
      cvat_image(0, "a.jpg", CVAT_CAR, CVAT_DOG),
      cvat_image(1, "sub/b.jpg", CVAT_MASK, '<tag label="car"></tag>'),
    ),
  }


def cvat_mask_files() -> dict[str, bytes | str]:
  """An export as 'Segmentation mask 1.1', without images."""
  table = np.array(list(COLORS.values()), np.uint8)
  found = {
    "labelmap.txt": "# label:color_rgb:parts:actions\n"
    + "".join(
      f"{name}:{','.join(map(str, color))}::\n"
      for name, color in COLORS.items()
    ),
    "ImageSets/Segmentation/default.txt": "a\nb\n",
  }
  for stem, values in (("a", (0, 1)), ("b", (0, 2))):
    index = np.resize(np.array(values), (6, 8))
    found[f"SegmentationClass/{stem}.png"] = png(table[index])
    found[f"SegmentationObject/{stem}.png"] = png(table[index])
  return found


def roboflow_files() -> dict[str, bytes | str]:
  """'Semantic Segmentation Masks': train and valid."""
  table = "Pixel Value, Class\n0, background\n1, car\n2, dog\n"
  found = {"README.roboflow.txt": "Exported", "README.dataset.txt": "x"}
  for split, stems in (("train", "ab"), ("valid", "c")):
    found[f"{split}/_classes.csv"] = table
    for stem in stems:
      name = f"{split}/{stem}_jpg.rf.0a1b2c3d4e5f"
      found[f"{name}.jpg"] = photo(ord(stem))
      found[f"{name}_mask.png"] = label(0, 1, 2)
  return found


def roboflow_coco_files() -> dict[str, bytes | str]:
  """'COCO Segmentation': train and valid."""
  car = {"category_id": 3, "segmentation": [[1, 1, 4, 1, 4, 4, 1, 4]]}
  return {
    "train/a_jpg.rf.0.jpg": photo(1),
    "train/_annotations.coco.json": coco(
      {0: "a_jpg.rf.0.jpg"}, {"image_id": 0, **car}
    ),
    "valid/b_jpg.rf.1.jpg": photo(2),
    "valid/_annotations.coco.json": coco(
      {0: "b_jpg.rf.1.jpg"}, {"image_id": 0, **car}
    ),
  }


def cityscapes_files() -> dict[str, bytes | str]:
  """Both downloads in one folder, with all kinds of labels."""
  found = {"license.txt": "x", "README": "x"}
  for split, city, values in (
    ("train", "aachen", (7, 11, 0)),
    ("val", "munster", (24, 33, 255)),
    ("test", "berlin", (1, 1, 3)),
  ):
    stem = f"{split}/{city}/{city}_000000_000019"
    found[f"leftImg8bit/{stem}_leftImg8bit.png"] = png(
      np.full((6, 8, 3), len(city))
    )
    found[f"gtFine/{stem}_gtFine_labelIds.png"] = label(*values)
    found[f"gtFine/{stem}_gtFine_instanceIds.png"] = label(9)
    found[f"gtFine/{stem}_gtFine_color.png"] = png(np.zeros((6, 8, 4)))
    found[f"gtFine/{stem}_gtFine_polygons.json"] = "{}"
  return found


def ade20k_files() -> dict[str, bytes | str]:
  root = "ADEChallengeData2016"
  return {
    f"{root}/objectInfo150.txt": "Idx\tRatio\n",
    f"{root}/sceneCategories.txt": "ADE_train_00000001 airport\n",
    f"{root}/images/training/ADE_train_00000001.jpg": photo(1),
    f"{root}/annotations/training/ADE_train_00000001.png": label(0, 1, 150),
    f"{root}/images/validation/ADE_val_00000001.jpg": photo(2),
    f"{root}/annotations/validation/ADE_val_00000001.png": label(3, 13, 0),
  }


def mat(array) -> bytes:
  """A label of SBD's: GTcls(1).Segmentation."""
  import scipy.io

  stream = io.BytesIO()
  content = {
    "Segmentation": np.asarray(array, np.uint8),
    "Boundaries": np.zeros((2, 1), object),
    "CategoriesPresent": np.unique(array).astype(np.uint8),
  }
  scipy.io.savemat(stream, {"GTcls": content})
  return stream.getvalue()


def sbd_files() -> dict[str, bytes | str]:
  """SBD with train a, b and val c, e."""
  root = "benchmark_RELEASE/dataset/"
  found = {root + "train.txt": "a\nb\n", root + "val.txt": "c\ne\n"}
  for i, one in enumerate("abce"):
    found[f"{root}img/{one}.jpg"] = photo(i + 1)
    found[f"{root}cls/{one}.mat"] = mat(
      np.resize([0, i + 1], (6, 8)).astype(np.uint8)
    )
    found[f"{root}inst/{one}.mat"] = b""
  return found


def masks_files() -> dict[str, bytes | str]:
  """A mask for each class of two images, as CLASS/STEM.png."""
  found = {f"images/{stem}.jpg": photo(i) for i, stem in enumerate("ab")}
  for stem in "ab":
    found[f"masks/car/{stem}.png"] = label(0, 255)
    found[f"masks/dog/{stem}.png"] = label(255, 0, 0)
  return found


def mask_png(*rows: str) -> bytes:
  """A mask of 255 where a row has '#'."""
  return png([[255 * (c == "#") for c in row] for row in rows])


def lines(index) -> list[str]:
  """A label as text: a digit a pixel, '.' for 0 and '-' for void."""
  marks = ".123456789"
  return [
    "".join("-" if v == 255 else marks[v] for v in row)
    for row in np.asarray(index).astype(int)
  ]


def drawn(file) -> list[str]:
  """What a label file reads as, as text."""
  with Image.open(io.BytesIO(file.read())) as image:
    return lines(image)
