import json

import numpy as np
import pytest
from PIL import Image

from fcn_jax.data.classes import voc_palette
from fcn_jax.files import DataError
from fcn_jax.prediction.folder import PredictionFolder, read_palette
from fcn_jax.prediction.inputs import ImageFile
from fcn_jax.prediction.result import Result

LABELS = np.array([[0, 1, 1, 1]], np.uint8)
HALVES = np.full((1, 4, 2), 0.5, np.float32)


def result():
  return Result(
    np.zeros((1, 4, 3), np.uint8),
    LABELS,
    ("sky", "cat"),
    voc_palette(),
    lambda: HALVES,
  )


@pytest.fixture
def file(tmp_path):
  return ImageFile("a/1", tmp_path / "photos/a/1.jpg")


def test_what_is_written(tmp_path, file):
  out = tmp_path / "deep/out"
  folder = PredictionFolder(out, [file], {"step": 3}, save_probabilities=True)
  assert not json.loads((out / "summary.json").read_text())["finished"]
  record = folder.write(file, result())
  folder.write_summary({file.id: record}, {"b.jpg": "broken"})

  mask = Image.open(out / "masks/a/1.png")
  np.testing.assert_array_equal(np.asarray(mask), LABELS)
  assert mask.mode == "P"
  assert mask.getpalette() == voc_palette().ravel().tolist()
  with Image.open(out / "overlays/a/1.png") as overlay:
    assert overlay.height > 1
  with np.load(out / "probabilities/a/1.npz") as stored:
    assert stored.files == ["probabilities"]
    assert stored["probabilities"].dtype == np.float16
    np.testing.assert_array_equal(stored["probabilities"], HALVES)
  summary = json.loads((out / "summary.json").read_text())
  assert summary["finished"]
  assert summary["step"] == 3
  assert summary["failed"] == {"b.jpg": "broken"}
  assert summary["images"] == {
    "a/1": {
      "image": str(file.path),
      "height": 1,
      "width": 4,
      "mask": "masks/a/1.png",
      "overlay": "overlays/a/1.png",
      "probabilities": "probabilities/a/1.npz",
      "shares": {"sky": 0.25, "cat": 0.75},
    }
  }
  assert not list(out.rglob("*.tmp"))


def test_no_more_than_asked_for(tmp_path, file):
  folder = PredictionFolder(tmp_path / "out", [file], {})
  assert "probabilities" not in folder.write(file, result())
  assert not (tmp_path / "out/probabilities").exists()


def test_masks_without_palette(tmp_path, file):
  folder = PredictionFolder(
    tmp_path / "out", [file], {}, palette_in_masks=False
  )
  folder.write(file, result())
  mask = Image.open(tmp_path / "out/masks/a/1.png")
  assert mask.mode == "L"
  np.testing.assert_array_equal(np.asarray(mask), LABELS)


def test_the_same_prediction_again_is_welcome(tmp_path, file):
  for _ in range(2):
    folder = PredictionFolder(tmp_path / "out", [file], {})
    folder.write_summary({file.id: folder.write(file, result())}, {})


def test_another_image_of_the_same_id_is_refused(tmp_path, file):
  folder = PredictionFolder(tmp_path / "out", [file], {})
  folder.write_summary({file.id: folder.write(file, result())}, {})
  other = ImageFile("a/1", tmp_path / "more/a/1.jpg")
  with pytest.raises(DataError, match=r"photos/a/1\.jpg.*--output_dir for"):
    PredictionFolder(tmp_path / "out", [other], {})


@pytest.mark.parametrize(
  "summary", [None, "no JSON", "[]", "{}", '{"written_by": "me"}']
)
def test_a_folder_of_other_files_is_refused(tmp_path, file, summary):
  (tmp_path / "masks").mkdir()
  if summary:
    (tmp_path / "summary.json").write_text(summary)
  with pytest.raises(DataError, match="no predictions; name a new or empty"):
    PredictionFolder(tmp_path, [file], {})


def test_palettes_by_name(tmp_path):
  own = np.arange(768).reshape(256, 3).astype(np.uint8)
  names = ("sky", "cat")
  assert read_palette("dataset", own, names) is own
  assert read_palette("none", own, names) is None
  np.testing.assert_array_equal(
    read_palette("voc", own, names)[:3], [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
  )


def test_palette_from_a_file(tmp_path):
  path = tmp_path / "colors.txt"
  path.write_text("1 2 3\n4,5,6\n")
  palette = read_palette(str(path), voc_palette(), ("sky", "cat"))
  assert palette[:3].tolist() == [[1, 2, 3], [4, 5, 6], [0, 128, 0]]
  assert palette[255].tolist() == [224, 224, 192]
  with pytest.raises(DataError, match="2 colours for 3 classes"):
    read_palette(str(path), voc_palette(), ("sky", "cat", "dog"))
  with pytest.raises(DataError, match="there is dataset, voc, none"):
    read_palette("Voc", voc_palette(), ("sky", "cat"))
