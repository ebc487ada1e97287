"""A TIFF that is segmented band by band: the labels of the whole image."""

import json

import numpy as np
import pytest
import small_network
from PIL import Image
from small_nets import random_image

from fcn_jax.data import tiff
from fcn_jax.evaluation import tiling
from fcn_jax.evaluation.tta import Tta
from fcn_jax.prediction import large
from fcn_jax.prediction.files import predict_files
from fcn_jax.prediction.folder import PredictionFolder
from fcn_jax.prediction.inputs import find_images

tifffile = pytest.importorskip("tifffile")

IMAGE = random_image(np.random.default_rng(0), 130, 97)


@pytest.fixture
def place(tmp_path, monkeypatch):
  """An image that is too large for Pillow, and a small one beside it."""
  monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
  monkeypatch.setattr(large, "OVERVIEW", 50)
  photos = tmp_path / "photos"
  photos.mkdir()
  tifffile.imwrite(
    photos / "large.tif",
    IMAGE,
    photometric="rgb",
    tile=(32, 48),
    metadata=None,
    extratags=tiff.metre_tags(0.5),
  )
  Image.fromarray(IMAGE[:30, :40]).save(photos / "small.png")
  return tmp_path


def predictor(seed=3, views=""):
  net = small_network.predictor(small_network.random(seed))
  net.tile, net.tta = 64, Tta.parse(views)
  return net


def predict(net, place):
  files, _ = find_images([str(place / "photos")], place / "out")
  folder = PredictionFolder(place / "out", files, {})
  failed = predict_files(net, files, folder)
  summary = json.loads((place / "out/summary.json").read_text())
  return failed, summary["images"]


def labels_of(path):
  with tifffile.TiffFile(path) as file:
    return file.asarray()


def test_the_mask_is_that_of_the_whole(place):
  net = predictor()
  failed, images = predict(net, place)
  assert not failed
  assert list(images) == ["large", "small"]
  record = images["large"]
  assert (record["height"], record["width"]) == (130, 97)
  assert record["mask"] == "masks/large.tif"
  labels = labels_of(place / "out" / record["mask"])
  net.tile = "off"
  whole = net(IMAGE)
  np.testing.assert_array_equal(labels, whole.labels)
  assert record["shares"] == whole.shares
  with tiff.TiffImage(place / "out" / record["mask"]) as mask:
    assert mask.geo_tags == tiff.metre_tags(0.5)
  # Every third pixel, 44 x 33, and a legend below.
  with Image.open(place / "out" / record["overlay"]) as overlay:
    assert overlay.width >= 33
    assert overlay.height > 44
  assert not list(place.glob("out/masks/*.bands"))


def test_a_stopped_run_goes_on(place, monkeypatch):
  real, seen = tiling.by_tiles, []

  def stops(scorer, source, places=None):
    seen.append(places)
    if len(seen) == 3:
      raise KeyboardInterrupt
    return real(scorer, source, places)

  monkeypatch.setattr(tiling, "by_tiles", stops)
  net = predictor()
  files, _ = find_images([str(place / "photos/large.tif")], place / "out")
  mask = place / "mask.tif"
  with pytest.raises(KeyboardInterrupt):
    large.segment(net, files[0], mask, None)
  assert not mask.exists()
  assert [p[0][0] for p in seen] == [0, 64, 128]
  seen.clear()
  seen += [None] * 3
  found = large.segment(net, files[0], mask, None)
  assert [p[0][0] for p in seen[3:]] == [128]
  net.tile = "off"
  np.testing.assert_array_equal(labels_of(mask), net(IMAGE).labels)
  assert found.overview.image.shape == (44, 33, 3)
  np.testing.assert_array_equal(found.overview.image, IMAGE[::3, ::3])


def test_bands_of_another_network_are_not_taken(place, monkeypatch):
  files, _ = find_images([str(place / "photos/large.tif")], place / "out")
  mask = place / "mask.tif"
  real = large.write_mask
  monkeypatch.setattr(large, "write_mask", lambda *_: 1 / 0)
  with pytest.raises(ZeroDivisionError):
    large.segment(predictor(3), files[0], mask, None)
  assert len(list(place.glob("mask.tif.bands/*.npz"))) == 3
  monkeypatch.setattr(large, "write_mask", real)
  other = predictor(4)
  large.segment(other, files[0], mask, None)
  other.tile = "off"
  np.testing.assert_array_equal(labels_of(mask), other(IMAGE).labels)


def test_several_views_of_a_large_image(place):
  """As of the whole, but for a grey level of scaled windows."""
  net = predictor(views="flip,0.75")
  files, _ = find_images([str(place / "photos/large.tif")], place / "out")
  large.segment(net, files[0], place / "mask.tif", None)
  net.tile = "off"
  assert (labels_of(place / "mask.tif") != net(IMAGE).labels).mean() < 0.01


def test_it_is_told_what_is_wrong(place):
  net = predictor()
  net.tile = "off"
  failed, images = predict(net, place)
  assert list(images) == ["small"]
  (message,) = failed.values()
  assert "130 x 97 pixels are computed in tiles; give --tile=auto" in message
