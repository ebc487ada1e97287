"""prediction.voc_submission: an archive read back, and every mistake."""

import io
import os
import tarfile

import numpy as np
import pytest
from PIL import Image
from small_data import label, photo, png, voc_files, write
from stored_data import StoredDataset

from fcn_jax.data.augment import Sample
from fcn_jax.data.classes import voc_palette
from fcn_jax.files import DataError
from fcn_jax.prediction.voc_submission import (
  ImageSet,
  Submission,
  find_predictions,
  image_set_of,
  read_image_set,
)

IMAGES = ImageSet(
  "test.txt", "test", ("2008_2", "2008_1"), {"2008_1": (6, 8), "2008_2": (5, 9)}
)
GOOD = {
  "2008_1.png": label(0, 20, 3),
  "2008_2.png": label(7, height=5, width=9),
}


@pytest.fixture
def masks(tmp_path):
  return write(tmp_path / "masks", GOOD)


def submission(folder, images=IMAGES, **options) -> Submission:
  return Submission(images, find_predictions(folder, images), **options)


def mistakes(folder, output, images=IMAGES, **options) -> str:
  with pytest.raises(DataError) as raised:
    submission(folder, images, **options).write(output)
  assert not os.path.exists(os.path.dirname(output))
  return str(raised.value)


def test_the_archive_holds_what_was_predicted(masks, tmp_path):
  output = submission(masks).write(tmp_path / "new/results.tar.gz")
  assert [path.name for path in output.parent.iterdir()] == ["results.tar.gz"]
  place = "results/VOC2012/Segmentation/comp6_test_cls"
  with tarfile.open(output, "r:gz") as tar:
    members = tar.getmembers()
    assert [member.name for member in members] == [
      f"{place}/2008_1.png",
      f"{place}/2008_2.png",
    ]
    for member in members:
      assert (member.mtime, member.uid, member.gid) == (0, 0, 0)
      assert (member.uname, member.gname, member.mode) == ("", "", 0o644)
      with Image.open(tar.extractfile(member)) as image:
        assert (image.format, image.mode) == ("PNG", "P")
        assert image.getpalette() == voc_palette().ravel().tolist()
        given = GOOD[os.path.basename(member.name)]
        with Image.open(io.BytesIO(given)) as mask:
          np.testing.assert_array_equal(np.array(image), np.array(mask))


def test_the_same_bytes_from_whatever_kind_of_mask(masks, tmp_path):
  """Grey or in other colours, of another time, under another name."""
  one = submission(masks).write(tmp_path / "one.tar.gz").read_bytes()
  with Image.open(masks / "2008_1.png") as grey:
    paletted = grey.copy()
  paletted.putpalette([i // 3 for i in range(768)])
  paletted.save(masks / "2008_1.png")
  os.utime(masks / "2008_2.png", (1, 1))
  other = submission(masks).write(tmp_path / "other.tgz").read_bytes()
  assert one == other


def test_competition_year_and_set_are_in_the_path(masks, tmp_path):
  images = ImageSet("val.txt", "val", IMAGES.ids, {})
  output = submission(masks, images, competition="comp5", year=2011).write(
    tmp_path / "results.tar"
  )
  with tarfile.open(output, "r:") as tar:
    assert tar.getnames()[0] == (
      "results/VOC2011/Segmentation/comp5_val_cls/2008_1.png"
    )


def test_the_folder_that_predict_writes(masks, tmp_path):
  write(tmp_path, {"summary.json": "{}", "overlays/2008_1.png": photo(1)})
  found = find_predictions(tmp_path, IMAGES)
  assert found.folder == masks
  assert sorted(found.masks) == ["2008_1", "2008_2"]
  assert found.others == ()


def test_all_mistakes_at_once(masks, tmp_path):
  ids = tuple("abcdefgh")
  images = ImageSet("test.txt", "test", ids, dict.fromkeys(ids, (6, 8)))
  for path in masks.iterdir():
    path.unlink()
  write(
    masks,
    {
      "a.png": label(0, 1),
      "b.png": b"cut short",
      "c.png": label(1, height=8, width=6),
      "d.png": label(0, 255),
      "e.png": label(0, 21, 150),
      "f.png": png(np.zeros((6, 8, 3))),
      "g.png": photo(1),
      "deep/h.png": label(0),
      "a.txt": "notes",
      ".hidden": "left out",
    },
  )
  said = mistakes(masks, tmp_path / "new/out.tar", images)
  assert said.startswith("9 mistakes; nothing was written:\n")
  for part in (
    f"missing prediction (1)\n  test.txt: h: no {masks}/h.png; segment",
    "file that is no prediction of test.txt (2)\n"
    f"  {masks}/a.txt: not ID.png of an id there; take it out",
    f"  {masks}/deep/h.png: not ID.png",
    f"unreadable prediction (1)\n  {masks}/b.png: not an image",
    f"{masks}/c.png: 6x8, the image 8x6; segment the image itself",
    f"{masks}/d.png: 255 in 24 pixels; predict a class",
    f"{masks}/e.png: 21, 150 in 32 pixels; hand in",
    f"{masks}/f.png: PNG of mode RGB; give the masks",
    f"{masks}/g.png: JPEG of mode RGB; give the masks",
  ):
    assert part in said


def test_others_may_be_left_out(masks, tmp_path):
  write(masks, {"2009_9.png": label(200)})
  assert "2009_9.png: not ID.png" in mistakes(masks, tmp_path / "new/out.tar")
  output = submission(masks, leave_out_others=True).write(tmp_path / "out.tar")
  with tarfile.open(output) as tar:
    assert len(tar.getnames()) == 2


def test_a_mask_that_changes_while_it_is_packed(masks, tmp_path, monkeypatch):
  monkeypatch.setattr(Submission, "findings", lambda _: [])
  write(masks, {"2008_2.png": label(0, 255, height=5, width=9)})
  with pytest.raises(DataError, match="void in a prediction"):
    submission(masks).write(tmp_path / "out.tar")
  assert [path.name for path in tmp_path.iterdir()] == ["masks"]


@pytest.mark.parametrize(
  ("name", "part"), [("out.zip", "end the name in"), ("old.tar", "is there")]
)
def test_an_output_that_cannot_be(masks, tmp_path, name, part):
  write(tmp_path, {"old.tar": "precious"})
  with pytest.raises(DataError, match=part):
    submission(masks).write(tmp_path / name)
  assert (tmp_path / "old.tar").read_text() == "precious"


def test_no_such_folder(tmp_path):
  with pytest.raises(DataError, match="no such folder"):
    find_predictions(tmp_path / "nowhere", IMAGES)


LISTS = "ImageSets/Segmentation/"


@pytest.fixture
def tree(tmp_path):
  return write(tmp_path, voc_files(root="") | {"JPEGImages/e.jpg": photo(5)})


def test_a_list_with_its_images(tree):
  found = read_image_set(tree / LISTS / "trainval.txt", tree / "JPEGImages")
  assert found.ids == ("a", "b", "c")
  assert found.sizes == {"a": (6, 8), "b": (5, 9), "c": (6, 8)}
  assert found.name == "trainval"
  assert found.source == str(tree / LISTS / "trainval.txt")


def test_a_list_alone_is_a_test_set_by_any_name(tree):
  write(tree, {"mine.txt": "d\ne\n"})
  found = read_image_set(tree / "mine.txt")
  assert (found.name, found.ids, found.sizes) == ("test", ("d", "e"), {})


def test_a_split(tmp_path):
  shape = (2, 3)
  samples = [Sample(np.zeros((*shape, 3), "u1"), np.zeros(shape, "u1"))] * 2
  found = image_set_of(StoredDataset(samples, ("a", "b")), "train")
  assert found.ids == ("id0", "id1")
  assert found.sizes == {"id0": shape, "id1": shape}
  assert (found.name, found.source) == ("train", "stored/train")


def test_all_bad_lines_are_told_at_once(tree):
  write(tree, {"bad.txt": "a\nb 1\n../c\na\n"})
  with pytest.raises(DataError) as raised:
    read_image_set(tree / "bad.txt", tree / "nowhere")
  said = str(raised.value)
  assert "line that is no image id (2)" in said
  assert "'b 1'" in said
  assert "'../c'" in said
  assert "id listed twice (1)" in said


def test_an_empty_list(tree):
  write(tree, {"bad.txt": "\n \n"})
  with pytest.raises(DataError, match="no image id; give another list"):
    read_image_set(tree / "bad.txt")


def test_missing_and_broken_images(tree):
  write(tree, {"JPEGImages/d.jpg": b"no image", "some.txt": "d\nf\nb\n"})
  with pytest.raises(DataError) as raised:
    read_image_set(tree / "some.txt", tree / "JPEGImages")
  said = str(raised.value)
  assert "JPEGImages: no f.jpg; give the folder" in said
  assert "JPEGImages/d.jpg: its header tells no size; fetch it again" in said
  assert "b.jpg" not in said
