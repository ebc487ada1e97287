import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from small_data import label, photo, png, write

from fcn_jax.data.checks import check_pair, check_splits
from fcn_jax.data.files import File, Pair
from fcn_jax.data.labels import LabelReader

NAMES = ("ground", "thing", "sky")


@pytest.fixture
def make(tmp_path):
  """make(id, image bytes, label bytes) -> a pair on disk."""

  def make(image_id, image, label):
    write(tmp_path, {f"{image_id}.jpg": image, f"{image_id}.png": label})
    files = (f"{image_id}.jpg", f"{image_id}.png")
    return Pair(image_id, *(File(n, str(tmp_path / n)) for n in files))

  return make


def kinds(findings):
  return [(f.kind, f.file, f.warning) for f in findings]


def test_facts_by_hand(make):
  pair = make("a", photo(0, 2, 3), png([[0, 0, 1], [255, 1, 1]]))
  facts, findings = check_pair(pair, LabelReader(), 3)
  assert findings == []
  assert facts.size == (2, 3)
  assert facts.counts[[0, 1, 2, 255]].tolist() == [2, 3, 0, 1]
  assert facts.counts.sum() == 6


@pytest.mark.parametrize(
  ("image", "mask", "kind", "part"),
  [
    (photo(0)[:200], label(0, 1), "unreadable image", "cut short"),
    (photo(0), label(0, 1)[:-26], "unreadable label", "cut short"),
    (photo(0), b"", "unreadable label", "not an image"),
    (photo(0), label(0, 1, height=8, width=6), "image and label differ", "8x6"),
    (photo(0), label(0, 3), "label id outside", "3 in 24 pixels"),
    (photo(0), label(1, 2, 3), "label id outside", "begin at 1"),
    (photo(0), label(255), "label that is all void", "all 48 pixels are 255"),
    (photo(0), photo(1), "label stored with loss", "PNG"),
    (photo(0), png(np.eye(3)[None]), "label in colours", "--colormap"),
  ],
  ids=range(9),
)
def test_each_fault(make, image, mask, kind, part):
  facts, findings = check_pair(make("a", image, mask), LabelReader(), 3)
  assert facts is None
  assert sum(f.kind.startswith(kind) for f in findings) == 1
  text = " ".join(f"{f.value} {f.remedy}" for f in findings)
  assert part in text
  assert all(f.file in ("a.jpg", "a.png") for f in findings)
  assert all(f.remedy and not f.warning for f in findings)


def test_faults_of_one_pair_come_together(make):
  pair = make("a", photo(0), label(0, 9, height=3))
  _, findings = check_pair(pair, LabelReader(), 3)
  assert [f.kind for f in findings] == [
    "image and label differ in size",
    "label id outside the classes",
  ]


BLACK = np.zeros((6, 8, 3), np.uint8)


def with_tag(how, array=BLACK, form="JPEG"):
  stream, exif = io.BytesIO(), Image.Exif()
  exif[0x0112] = how
  image = Image.fromarray(np.asarray(array, np.uint8))
  image.save(stream, form, exif=exif)
  return stream.getvalue()


@pytest.mark.parametrize("how", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_every_orientation_but_1_is_told(make, how, form):
  square = np.zeros((6, 6, 3))
  pair = make("a", with_tag(how, square, form), label(0, 1, width=6))
  found = check_pair(pair, LabelReader(), 3)[1]
  assert [(f.kind[:4], f.warning) for f in found] == (how > 1) * [
    ("EXIF", False)
  ]
  assert all("--exif=apply" in f.remedy for f in found)
  assert check_pair(pair, LabelReader(), 3, exif_decided=True)[1] == []
  # A label with a tag of its own was drawn on the image as it is stored.
  alike = make(
    "b", with_tag(how, square, form), with_tag(how, np.eye(6), "PNG")
  )
  assert check_pair(alike, LabelReader(), 3)[1] == []


def test_sizes_say_how_a_label_was_drawn(make):
  turned = make("a", with_tag(6), label(0, 1, height=8, width=6))
  (finding,) = check_pair(turned, LabelReader(), 3)[1]
  assert "of the turned image: give --exif=apply" in finding.remedy
  assert "orientation 6: 6x8 when turned" in finding.value
  stored = make("b", with_tag(6), label(0, 1, height=6, width=8))
  (finding,) = check_pair(stored, LabelReader(), 3)[1]
  assert "--exif=ignore, or --exif=both" in finding.remedy


def sixteen(value, mode="PNG"):
  stream = io.BytesIO()
  array = np.zeros((6, 8), np.uint16)
  array[0, 0] = value
  Image.fromarray(array).save(stream, mode)
  return stream.getvalue()


def test_16_bit_images_of_a_small_range_are_told(make):
  dark = [make(str(i), sixteen(i), label(0, 1)) for i in (1023, 4095)]
  _, (finding,) = check_splits({"train": dark}, LabelReader(), NAMES)
  assert finding.file == "4095.jpg"
  assert finding.value == "the brightest of 2: 4095 of 65535"
  assert "--value_range=0,4095" in finding.remedy
  assert not finding.warning
  decided = check_splits(
    {"train": dark}, LabelReader(), NAMES, decided={"grey_range"}
  )
  assert decided[1] == []
  bright = make("bright", sixteen(16384), label(0, 1))
  found = check_splits({"train": [*dark, bright]}, LabelReader(), NAMES)
  assert found[1] == []


def deep_color(value):
  """A PNG of one row and 16 bits a channel, which Pillow does not write."""

  def chunk(kind, data):
    crc = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

  pixels = b"\0" + struct.pack(">H", value) * 3 * 8
  return b"\x89PNG\r\n\x1a\n" + b"".join(
    chunk(*one)
    for one in (
      (b"IHDR", struct.pack(">IIBBBBB", 8, 1, 16, 2, 0, 0, 0)),
      (b"IDAT", zlib.compress(pixels)),
      (b"IEND", b""),
    )
  )


def test_16_bit_colour_of_a_small_range_is_told(make):
  pair = make("a", deep_color(4095), label(0, 1, height=1))
  _, (finding,) = check_splits({"train": [pair]}, LabelReader(), NAMES)
  assert finding.value == "the brightest of 1: 3840 of 65535"
  assert "8 bits a channel" in finding.remedy
  bright = make("a", deep_color(65535), label(0, 1, height=1))
  assert check_splits({"train": [bright]}, LabelReader(), NAMES)[1] == []


def test_one_name_for_two_images(make, tmp_path):
  first = make("0001", photo(1), label(0, 1))
  (tmp_path / "val").mkdir()
  write(tmp_path / "val", {"0001.jpg": photo(2), "0001.png": label(0, 1)})
  files = (
    File(f"val/{n}", str(tmp_path / "val" / n))
    for n in ("0001.jpg", "0001.png")
  )
  second = Pair("0001", *files)
  splits = {"train": [first], "val": [second]}
  assert check_splits(splits, LabelReader(), NAMES)[1] == []
  write(tmp_path / "val", {"0001.jpg": photo(1)})
  _, (finding,) = check_splits(splits, LabelReader(), NAMES)
  assert finding.kind == "image in both train and val"


def test_the_digest_of_a_label_is_of_its_indices(make):
  a = make("a", photo(1), label(0, 1))
  b = make("b", photo(1), label(0, 1, 1))
  c = make("c", photo(1, 8, 6), label(0, 1, 1, height=8, width=6))
  facts = [check_pair(pair, LabelReader(), 3)[0] for pair in (a, b, c)]
  assert len({fact.label_digest for fact in facts}) == 3
  assert facts[0].digest == facts[1].digest
  saved_anew = make("d", photo(1), png(np.resize([0, 1], (6, 8))))
  again, _ = check_pair(saved_anew, LabelReader(), 3)
  assert again.label_digest == facts[0].label_digest


def test_smoothed_mask_is_named(make):
  mask = png(
    np.resize(np.arange(0, 256, 5), (6, 8)) | 255 * np.eye(6, 8, 0, int)
  )
  (finding,) = check_pair(make("a", photo(0), mask), LabelReader(), 3)[1]
  assert "threshold" in finding.remedy


def test_masks_of_0_and_255(make):
  pairs = [make(str(i), photo(i), label(0, 255)) for i in range(3)]
  splits = {"train": pairs[:2], "val": pairs[2:]}
  _, findings = check_splits(splits, LabelReader(), NAMES)
  assert [f.kind for f in findings] == [
    "label that looks like a binary mask"
  ] * 3
  assert findings[0].value == "0 in 50.0%, 255 in 50.0% of its pixels"
  assert "--binary_masks" in findings[0].remedy
  facts, findings = check_splits(
    splits, LabelReader(binary_masks=True), NAMES[:2]
  )
  assert findings == []
  assert facts[pairs[0]].counts[:2].tolist() == [24, 24]


def test_a_mask_among_indices(make):
  pairs = [make("a", photo(0), label(0, 255)), make("b", photo(1), label(0, 1))]
  splits = {"train": pairs}
  # With many classes an image of background and void is nothing odd.
  assert check_splits(splits, LabelReader(), NAMES)[1] == []
  (finding,) = check_splits(splits, LabelReader(), NAMES[:2])[1]
  assert (finding.file, finding.warning) == ("a.png", True)


def test_overlap(make):
  a, b, c = (make(i, photo(ord(i)), label(0, 1)) for i in "abc")
  twin = make("twin", photo(ord("b")), label(0, 1))
  splits = {
    "train": [a, b],
    "val": [a, twin],
    "test": [b, c],
    "trainval": [a, b, c],
  }
  _, findings = check_splits(splits, LabelReader(), NAMES)
  assert kinds(findings) == [
    ("image in both train and val", "a.jpg", False),
    ("same image under two names in train and val", "twin.jpg", True),
    ("image in both train and test", "b.jpg", True),
    ("same image under two names in val and test", "b.jpg", True),
  ]


def test_all_findings_at_once_and_each_pair_once(make, monkeypatch):
  bad = [make(f"bad{i}", photo(i), label(7)) for i in range(12)]
  good = make("good", photo(99), label(0, 1))
  reads = []
  read = LabelReader.read
  monkeypatch.setattr(
    LabelReader, "read", lambda *args: reads.append(args[2]) or read(*args)
  )
  facts, findings = check_splits(
    {"train": [*bad, good], "trainval": [good, *bad]}, LabelReader(), NAMES
  )
  assert list(facts) == [good]
  assert [f.file for f in findings] == [f"bad{i}.png" for i in range(12)]
  assert len(reads) == 13


def test_decompression_bomb_is_a_finding(make, monkeypatch):
  monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
  pair = make("a", photo(0), label(0, 1))
  _, findings = check_splits({"train": [pair]}, LabelReader(), NAMES)
  assert [f.kind for f in findings] == ["unreadable image", "unreadable label"]
  assert findings[0].value == "more than 40 pixels"
  assert findings[0].remedy == (
    "cut it into tiles, or save it as a TIFF, which scripts/predict.py takes "
    "at any size (pip install 'fcn_jax[tiff]')"
  )
