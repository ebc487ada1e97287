import dataclasses
import json

import jax
import numpy as np
import pytest
import small_network
from PIL import Image

from fcn_jax.data import canvases
from fcn_jax.prediction import predictor
from fcn_jax.prediction.files import plan, predict_files
from fcn_jax.prediction.folder import PredictionFolder
from fcn_jax.prediction.inputs import ImageFile, find_images


@pytest.fixture(scope="module")
def net():
  return small_network.predictor(small_network.random(3))


@pytest.fixture
def photos(tmp_path):
  """Images of all modes, two of them unreadable."""
  folder = tmp_path / "photos"
  folder.mkdir()
  draw = np.random.default_rng(0)
  rgb = Image.fromarray(draw.integers(0, 256, (30, 40, 3), np.uint8))
  exif = Image.Exif()
  exif[0x0112] = 6
  rgb.save(folder / "rgb.png")
  rgb.convert("RGBA").save(folder / "rgba.png")
  rgb.convert("L").save(folder / "grey.png")
  rgb.convert("CMYK").save(folder / "cmyk.tif")
  rgb.save(folder / "turned.jpg", exif=exif)
  sixteen = draw.integers(0, 65536, (9, 64), np.uint16)
  Image.fromarray(sixteen).save(folder / "sixteen.png")
  (folder / "cut.png").write_bytes((folder / "rgb.png").read_bytes()[:999])
  (folder / "text.jpg").write_text("no image")
  return [
    ImageFile(path.stem, path)
    for path in sorted(folder.iterdir(), key=lambda path: path.name)
  ]


def test_every_image_is_segmented_as_it_is_alone(net, photos, tmp_path):
  out = tmp_path / "out"
  told = []
  failed = predict_files(
    net,
    photos,
    PredictionFolder(out, photos, {}, save_probabilities=True),
    progress=lambda: told.append(1),
  )
  assert len(told) == len(photos) == 8
  assert {path.rsplit("/", 1)[1] for path in failed} == {"cut.png", "text.jpg"}
  assert "broken or cut short" in failed[str(photos[1].path)]
  summary = json.loads((out / "summary.json").read_text())
  assert summary["finished"]
  assert summary["failed"] == failed
  assert list(summary["images"]) == [
    "cmyk",
    "grey",
    "rgb",
    "rgba",
    "sixteen",
    "turned",
  ]
  for name, record in summary["images"].items():
    alone = net(record["image"])
    with Image.open(out / "masks" / f"{name}.png") as mask:
      np.testing.assert_array_equal(np.asarray(mask), alone.labels)
    with np.load(out / "probabilities" / f"{name}.npz") as stored:
      np.testing.assert_allclose(
        stored["probabilities"], alone.probabilities, atol=1e-3
      )
    assert (record["height"], record["width"]) == alone.labels.shape
    assert record["shares"] == alone.shares
    assert sum(record["shares"].values()) == pytest.approx(1)
    with Image.open(out / "overlays" / f"{name}.png") as overlay:
      np.testing.assert_array_equal(
        np.asarray(overlay), np.asarray(alone.overlay())
      )
  assert summary["images"]["turned"]["height"] == 40


def test_another_palette(net, photos, tmp_path):
  palette = np.full((256, 3), 77, np.uint8)
  folder = PredictionFolder(tmp_path / "out", photos, {})
  predict_files(net, photos[2:3], folder, palette=palette)
  with Image.open(tmp_path / "out/masks/grey.png") as mask:
    assert mask.getpalette() == [77] * 768


def test_what_the_devices_cannot_do_stops_nothing(
  net, photos, tmp_path, monkeypatch
):
  real = predictor.Predictor.scores

  def scores(self, part):
    if part.extent[0, 0] == 9:
      raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 9 TB\nmore")
    return real(self, part)

  monkeypatch.setattr(predictor.Predictor, "scores", scores)
  folder = PredictionFolder(tmp_path / "out", photos, {})
  failed = predict_files(net, photos[3:6], folder)
  (message,) = failed.values()
  assert "sixteen.png: could not be computed (RESOURCE_EXHAUSTED: 9" in message


def test_a_disk_that_cannot_be_written_to_stops_it(
  net, photos, tmp_path, monkeypatch
):
  def full(*_):
    raise OSError("no space left")

  folder = PredictionFolder(tmp_path / "out", photos, {})
  monkeypatch.setattr(PredictionFolder, "write", full)
  with pytest.raises(OSError, match="no space"):
    predict_files(net, photos, folder)


def test_all_files_unreadable(net, photos, tmp_path):
  folder = PredictionFolder(tmp_path / "out", photos, {})
  bad = [photos[1], photos[-2]]
  assert len(predict_files(net, bad, folder)) == 2


def test_a_plan_holds_each_file_once_on_a_canvas_that_holds_it(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(canvases, "_WORTH_COMPILING", 0)
  sizes = [(10, 500), (500, 10), (12, 400), (375, 20), (64, 64)]
  files = []
  for i, (height, width) in enumerate(sizes):
    path = tmp_path / f"{i}.png"
    Image.new("1", (width, height)).save(path)
    files.append(ImageFile(str(i), path))
  files.append(ImageFile("absent", tmp_path / "absent.png"))
  parts = plan(files, max_canvases=3, part_size=2)
  assert [(canvas, [file.id for file in some]) for canvas, some in parts] == [
    ((64, 64), ["4", "absent"]),
    ((64, 512), ["0", "2"]),
    ((512, 64), ["1", "3"]),
  ]
  assert {canvas for canvas, _ in plan(files, 1, 2)} == {(512, 512)}


class Onlooker:
  """Remembers what it is told; labels are the dark pixels, a corner void."""

  def __init__(self):
    self.told = {}

  def label_of(self, file):
    rgb = predictor.as_rgb(file.path)
    label = (rgb[..., 0] < 128).astype(np.uint8)
    label[:3, :4] = 255
    return label

  def see(self, seen):
    self.told[seen.file.id] = seen

  def found(self):
    return None

  def join(self, others):
    assert not others


def test_an_observer_is_told_what_was_computed_once(
  net, photos, tmp_path, monkeypatch
):
  """Of images on one canvas, in parts of one: as many passes as images."""
  passes = []
  real = predictor.Predictor.scores
  monkeypatch.setattr(
    predictor.Predictor,
    "scores",
    lambda *of: passes.append(1) or real(*of),
  )
  onlooker = Onlooker()
  folder = PredictionFolder(tmp_path / "out", photos, {})
  failed = predict_files(net, photos, folder, observer=onlooker)
  assert len(failed) == 2
  assert len(passes) == 6
  assert set(onlooker.told) == {
    "cmyk",
    "grey",
    "rgb",
    "rgba",
    "sixteen",
    "turned",
  }
  for seen in onlooker.told.values():
    alone = net(seen.file.path)
    np.testing.assert_array_equal(seen.result.labels, alone.labels)
    np.testing.assert_array_equal(seen.top_ids[..., 0], alone.labels)
    height, width = alone.labels.shape
    assert seen.top_ids.shape == (height, width, 3)
    np.testing.assert_allclose(
      np.take_along_axis(alone.probabilities, seen.top_ids.astype(int), -1),
      seen.top_probabilities,
      atol=1e-6,
    )
    assert (np.diff(seen.top_probabilities, axis=-1) <= 0).all()
    label = onlooker.label_of(seen.file)
    np.testing.assert_array_equal(seen.label, label)
    expected = np.zeros((3, 3), int)
    valid = label != 255
    np.add.at(expected, (label[valid], alone.labels[valid]), 1)
    np.testing.assert_array_equal(seen.confusion, expected)


def test_an_observer_without_labels(net, photos, tmp_path, monkeypatch):
  onlooker = Onlooker()
  monkeypatch.setattr(onlooker, "label_of", lambda file: None)
  folder = PredictionFolder(tmp_path / "out", photos, {})
  predict_files(net, photos[3:4], folder, observer=onlooker)
  (seen,) = onlooker.told.values()
  assert seen.label is None
  assert seen.confusion is None
  assert seen.top_ids.shape == (30, 40, 3)


def test_pages_and_the_range_of_the_training_data(tmp_path):
  about = dataclasses.replace(small_network.about(), value_range=[0, 4095])
  net = predictor.Predictor(small_network.random(3), about)
  pages = [
    Image.fromarray(np.full((9, 64), value, np.uint16)) for value in (0, 4095)
  ]
  path = tmp_path / "in/stack.tif"
  path.parent.mkdir()
  pages[0].save(path, save_all=True, append_images=pages[1:])
  files, _ = find_images([str(path)], tmp_path / "out")
  folder = PredictionFolder(tmp_path / "out", files, {})
  onlooker = Onlooker()
  onlooker.label_of = lambda file: None
  assert predict_files(net, files, folder, observer=onlooker) == {}
  shown = {i: s.result.image[0, 0, 0] for i, s in onlooker.told.items()}
  assert shown == {"stack#001": 0, "stack#002": 255}
