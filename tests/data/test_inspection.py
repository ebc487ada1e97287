import io
import json

import numpy as np
import pytest
from PIL import Image
from small_data import folder_files, folder_format, label, photo, write
from small_data import soft_scene as scene
from stored_data import StoredDataset

from fcn_jax.data.augment import Sample
from fcn_jax.data.checks import Facts
from fcn_jax.data.classes import voc_palette
from fcn_jax.data.files import File, Pair
from fcn_jax.data.fingerprints import grey_cells
from fcn_jax.data.inspection import (
  check_classes,
  check_colors,
  check_likeness,
  check_palettes,
  inspect,
  inspect_dataset,
  inspect_files,
  inspect_prepared,
)
from fcn_jax.data.labels import LabelReader

NAMES = ("ground", "thing", "sky")


def pair(image_id: str) -> Pair:
  files = (File(f"{image_id}.{end}", image_id) for end in ("jpg", "png"))
  return Pair(image_id, *files)


def facts(counts: dict[int, int], palette=None, seed=None) -> Facts:
  table = np.zeros(256, np.int64)
  table[list(counts)] = list(counts.values())
  cells = np.zeros((8, 9), np.float32)
  if seed is not None:
    cells = grey_cells(np.asarray(scene(seed)))
  if palette is not None:
    palette = np.array(palette, np.uint8)
  return Facts((6, 8), table, palette, bytes([seed or 0]), cells)


def kinds(findings):
  assert all(f.warning and f.remedy for f in findings)
  return [(f.kind, f.file) for f in findings]


def test_classes_by_hand():
  a, b, c, d = map(pair, "abcd")
  known = {
    a: facts({0: 40, 2: 8}),
    b: facts({0: 48}),
    c: facts({0: 30, 1: 18}),
    d: facts({255: 48}),
  }
  names = (*NAMES, "bird")
  splits = {"train": [a, b], "val": [c], "trainval": [a, b, c, d]}
  found = check_classes(splits, known, names)
  assert kinds(found) == [
    ("class in val that train lacks", "label 1, 'thing'"),
    ("class in train that val lacks", "label 2, 'sky'"),
    ("class without a pixel", "label 3, 'bird'"),
  ]
  assert found[0].value == "18 pixels in val, none in train"
  assert found[1].value == "8 pixels in train, none in val"
  assert check_classes({"train": [a, c]}, known, NAMES) == []
  # One list alone is looked at, whatever it is called.
  assert kinds(check_classes({"trainval": [a, b]}, known, NAMES)) == [
    ("class without a pixel", "label 1, 'thing'")
  ]


def test_nothing_is_said_of_classes_where_a_label_is_unknown():
  a, b = map(pair, "ab")
  assert check_classes({"train": [a, b]}, {a: facts({0: 1})}, NAMES) == []


def test_palettes_of_labels_in_use():
  red, blue, other = (200, 0, 0), (0, 0, 200), (1, 2, 3)
  known = {
    pair("a"): facts({0: 1, 1: 1}, [red, blue, other]),
    pair("b"): facts({0: 1, 1: 1}, [red, blue]),
    pair("c"): facts({0: 1, 255: 5}, [red, other]),  # label 1 is not used
    pair("d"): facts({1: 1}),  # grey
    pair("e"): facts({0: 1, 1: 1}, [red, other]),
  }
  (finding,) = check_palettes(known)
  assert kinds([finding]) == [
    ("palette that differs from that of other labels", "e.png")
  ]
  assert finding.value == (
    "label 1 has the colour (1, 2, 3), in 2 files (0, 0, 200)"
  )


def test_colours_that_two_classes_have():
  palette = voc_palette()
  palette[2] = palette[0]
  known = {pair("a"): facts({0: 1, 2: 1})}
  (finding,) = check_colors(palette, known, NAMES)
  assert kinds([finding]) == [("colour of two classes", "label 2, 'sky'")]
  assert finding.value == "(0, 0, 0), as 'ground'"
  assert check_colors(palette, {pair("a"): facts({0: 1, 1: 1})}, NAMES) == []
  assert check_colors(voc_palette(), known, NAMES) == []


def test_images_that_look_alike():
  a, b, c, same, copy, other = map(pair, ("a", "b", "c", "same", "copy", "o"))
  known = {p: facts({0: 1}, seed=i) for i, p in enumerate((a, b, c))}
  known[same] = known[b]  # the same bytes: another check's
  near = known[c].cells + 0.1
  near[0, 0] += 1
  known[copy] = Facts((6, 8), known[c].counts, None, b"other", near)
  known[other] = facts({0: 1}, seed=99)
  splits = {"train": [a, b, c], "val": [a, same, copy, other], "test": [c]}
  found = check_likeness(splits, known)
  assert kinds(found) == [
    ("images that look alike in train and val", "copy.jpg"),
    ("images that look alike in val and test", "c.jpg"),
  ]
  assert found[0].value.startswith("0 of 64 bits")
  assert found[0].value.endswith("of c.jpg")


def test_a_mirrored_copy_is_told_as_such():
  a, copy = map(pair, ("a", "copy"))
  known = {a: facts({0: 1}, seed=1)}
  turned = grey_cells(np.asarray(scene(1))[:, ::-1])
  known[copy] = Facts((6, 8), known[a].counts, None, b"other", turned)
  (finding,) = check_likeness({"train": [a], "val": [copy]}, known)
  assert finding.value.startswith("mirrored, ")
  assert finding.value.endswith("from those of a.jpg")


def jpeg(image: Image.Image, quality: int) -> bytes:
  stream = io.BytesIO()
  image.save(stream, "JPEG", quality=quality)
  return stream.getvalue()


def test_all_of_it_on_files(tmp_path):
  whole = Image.fromarray(np.resize(np.array([0, 1], np.uint8), (120, 160)))
  whole.putpalette([9, 9, 9, 5, 6, 7])
  stream = io.BytesIO()
  whole.save(stream, "PNG")
  write(
    tmp_path,
    {
      "a.jpg": jpeg(scene(1), 95),
      "a.png": stream.getvalue(),
      "b.jpg": jpeg(scene(1), 60),
      "b.png": label(0, 1, 2, height=120, width=160),
      "c.jpg": jpeg(scene(2), 60),
      "c.png": label(255, height=120, width=160),
    },
  )
  a, b, c = (
    Pair(i, *(File(f"{i}.{e}", str(tmp_path / f"{i}.{e}")) for e in ends))
    for i in "abc"
    for ends in (("jpg", "png"),)
  )
  known, findings = inspect({"train": [a], "val": [b]}, LabelReader(), NAMES)
  assert set(known) == {a, b}
  assert kinds(findings) == [
    ("class in val that train lacks", "label 2, 'sky'"),
    ("images that look alike in train and val", "b.jpg"),
  ]
  # An error silences what may follow from it.
  _, findings = inspect({"train": [a], "val": [b, c]}, LabelReader(), NAMES)
  assert [f.kind for f in findings if not f.warning] == [
    "label that is all void"
  ]
  assert len(findings) == 2


@pytest.mark.parametrize("palette", [[], [(9, 9, 9)]])
def test_palettes_may_be_short(palette):
  palette = np.array(palette, np.uint8).reshape(-1, 3)
  known = {pair("a"): facts({0: 1, 5: 3}, palette)}
  assert check_palettes(known) == []


def test_prepared_data_and_its_colours():
  image = np.asarray(scene(4, 6, 8))
  mask = np.array([[0, 1] * 4] * 6, np.uint8)
  data = StoredDataset([Sample(image, mask), Sample(image, mask)], NAMES[:2])
  pairs, known, findings = inspect_prepared(data, ("train",))
  assert [p.image.name for p in pairs["train"]] == ["train/id0", "train/id1"]
  assert known[pairs["train"][1]].counts[:2].tolist() == [24, 24]
  # The stored palette is black all over.
  assert kinds(findings) == [("colour of two classes", "label 1, 'thing'")]


def test_files_of_a_format_and_what_is_written(tmp_path):
  """An error of the files, and one of a label of void."""
  write(
    tmp_path,
    folder_files()
    | {"train/images/alone.jpg": photo(9), "val/labels/c.png": label(255)},
  )
  said = []
  found = inspect_files(folder_format(tmp_path), said.append)
  assert said == [
    "checking 3 images and labels, 2 classes, splits: train 2, val 1"
  ]
  assert [finding.kind for finding in found.findings] == [
    "image without label",
    "label that is all void",
  ]
  assert found.errors == 2
  path = tmp_path / "deep/findings.json"
  found.write(path)
  figures = json.loads(path.read_text())
  assert list(figures) == [
    "splits",
    "class_names",
    "errors",
    "warnings",
    "findings",
  ]
  assert figures["splits"] == {"train": 2, "val": 1}
  assert (figures["errors"], figures["warnings"]) == (2, 0)
  assert figures["findings"][0]["value"].startswith("no alone.* in")


def test_a_prepared_data_set_as_a_whole():
  image = np.asarray(scene(4, 6, 8))
  mask = np.array([[0, 1] * 4] * 6, np.uint8)
  data = StoredDataset([Sample(image, mask)], NAMES[:2])
  said = []
  found = inspect_dataset(data, said.append)
  assert said == ["checking stored, splits: train 1"]
  assert found.splits == {"train": 1}
  assert found.class_names == NAMES[:2]
  assert (found.errors, len(found.findings)) == (0, 1)
