import io

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


def test_exif_is_named_when_it_explains_the_size(make):
  stream = io.BytesIO()
  exif = Image.Exif()
  exif[0x0112] = 6
  Image.new("RGB", (8, 6)).save(stream, "JPEG", exif=exif)
  turned = make("a", stream.getvalue(), label(0, 1, height=8, width=6))
  assert check_pair(turned, LabelReader(), 3)[1] == []
  stored = make("b", stream.getvalue(), label(0, 1, height=6, width=8))
  (finding,) = check_pair(stored, LabelReader(), 3)[1]
  assert "EXIF" in finding.remedy
  assert "8x6" in finding.value


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
  assert findings[0].remedy == "cut it into tiles"
