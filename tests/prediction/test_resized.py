"""Networks that have learned resized images: masks of the image's own size."""

import dataclasses

import numpy as np
import pytest
import small_network
from flax import nnx
from PIL import Image
from small_nets import random_image
from stored_data import StoredDataset

from fcn_jax.data.augment import Sample
from fcn_jax.data.resizing import MODES, Resize
from fcn_jax.evaluation.evaluator import evaluate
from fcn_jax.evaluation.tta import Tta, as_trained
from fcn_jax.prediction import scoring
from fcn_jax.prediction.activations import inspect
from fcn_jax.prediction.files import predict_files
from fcn_jax.prediction.folder import PredictionFolder
from fcn_jax.prediction.inputs import ImageFile
from fcn_jax.prediction.predictor import Predictor
from fcn_jax.weights import checkpoints

NET = small_network.random(3)


def card(mode: str, height: int, width: int) -> checkpoints.ModelCard:
  resize = dataclasses.asdict(Resize(mode, height, width))
  return dataclasses.replace(small_network.about(), resize=resize)


def predictor(mode, height, width, net=NET, **options) -> Predictor:
  return Predictor(net, card(mode, height, width), **options)


def expected(mode: str, size: tuple[int, int], image) -> np.ndarray:
  """Probabilities of the image at that size, each enlarged by Pillow."""
  there = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
  shares = small_network.predictor(NET)(np.asarray(there)).probabilities
  planes = [
    Image.fromarray(plane).resize(image.shape[1::-1], Image.Resampling.BILINEAR)
    for plane in np.moveaxis(shares, -1, 0)
  ]
  return np.stack(planes, -1)


# Of 90 x 70 to 60 x 40 (ratios 1.5 and 1.75): what training cuts off is there.
SEEN = {
  "squash": (60, 40),
  "crop": (60, 47),
  "fill": (51, 40),
  "half_crop": (55, 43),
}


@pytest.mark.parametrize("mode", MODES)
def test_scores_come_back_to_the_image(mode):
  image = random_image(np.random.default_rng(0), 90, 70)
  found = predictor(mode, 60, 40)(image)
  shares = expected(mode, SEEN[mode], image)
  np.testing.assert_allclose(found.probabilities, shares, atol=1e-3)
  best = np.sort(shares, -1)
  clear = best[..., -1] - best[..., -2] > 2e-3
  assert found.labels.shape == (90, 70)
  assert clear.mean() > 0.9
  assert (found.labels == shares.argmax(-1))[clear].all()


def test_what_training_cuts_off_is_segmented():
  """Of 64 x 192 pixels it sees the middle 64 columns; light is at the end."""
  image = np.zeros((64, 192, 3), np.uint8)
  image[:, 96:, 0] = 250
  net = predictor("crop", 64, 64, small_network.sees_light())
  found = net(image).labels
  assert (found[:, 140:] == 1).all()
  assert (found[:, :40] == 0).all()


def test_a_network_of_images_as_they_are_is_none_the_wiser():
  net = small_network.predictor(NET)
  assert net.views is None
  assert net.scorer((64, 64)) is None
  assert as_trained(Tta(flip=True), None) == Tta(flip=True)


def test_tiles_of_the_image_give_the_same():
  image = random_image(np.random.default_rng(1), 150, 130)
  whole = predictor("half_crop", 90, 90)(image).probabilities
  tiled = predictor("half_crop", 90, 90, tile=64)(image).probabilities
  np.testing.assert_allclose(tiled, whole, atol=5e-3)


def test_mirrored_too():
  image = random_image(np.random.default_rng(2), 50, 70)
  one = predictor("squash", 40, 40, tta=Tta(flip=True))(image)
  other = predictor("squash", 40, 40, tta=Tta(flip=True))(image[:, ::-1])
  np.testing.assert_allclose(
    one.probabilities, other.probabilities[:, ::-1], atol=1e-3
  )


def test_files_and_evaluation_agree_with_it(tmp_path):
  """Pixels of the true label are counted at the image's own size."""
  net, samples, files = predictor("fill", 40, 40), [], []
  for seed, size in enumerate(((60, 80), (90, 50), (7, 20))):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 4, size, np.uint8)
    label[label == 3] = 255
    samples.append(Sample(random_image(rng, *size), label))
    path = tmp_path / f"{seed}.png"
    Image.fromarray(samples[-1].image).save(path)
    files.append(ImageFile(str(seed), path))
  assert not predict_files(
    net, files, PredictionFolder(tmp_path / "out", files, {})
  )
  dataset = StoredDataset(samples, small_network.CLASS_NAMES)
  views = as_trained(None, net.about.resize)
  counts = evaluate(NET, dataset, "train", views=views)
  for i, sample in enumerate(samples):
    labels = net(sample.image).labels
    mask = np.asarray(Image.open(tmp_path / f"out/masks/{i}.png"))
    assert mask.shape == sample.size
    assert (mask != labels).mean() < 0.01
    valid = sample.label != 255
    assert counts.valid[i] == valid.sum()
    histogram = np.zeros((3, 3), int)
    np.add.at(histogram, (sample.label[valid], labels[valid]), 1)
    assert np.abs(counts.confusions[i] - histogram).sum() <= 4  # near ties


def test_a_model_directory_says_it(tmp_path):
  """Stored and read again; what knows of no resizing refuses."""
  about = card("squash", 32, 48)
  checkpoints.save_model(tmp_path / "model", NET, about)
  net, again, _ = checkpoints.load_model(tmp_path / "model")
  assert again == about
  assert isinstance(net, nnx.Module)
  assert (again.size, again.resizing) == ((32, 48), "squash to 32 x 48")
  with pytest.raises(ValueError, match="--grid_bound: the network sees"):
    scoring.score(str(tmp_path / "model"), bound=True)
  path = tmp_path / "photo.png"
  Image.fromarray(random_image(np.random.default_rng(0), 20, 60)).save(path)
  found = inspect(str(tmp_path / "model"), str(path))
  assert "squash to 32 x 48" in found.note
  assert "60 × 20 pixels at 48 × 32" in found.note
  assert found.image.shape == (32, 48, 3)
  assert found.result.labels.shape == (32, 48)
