"""fcn_jax.evaluate: counts of a small network, and figures by hand."""

import json
import math

import numpy as np
import pytest
from small_nets import random_image, random_net, reference, split
from stored_data import StoredDataset

from fcn_jax.data.pipeline import Sample
from fcn_jax.evaluate import Evaluation, Evaluator, evaluate

NAMES = ("ground", "cat", "dog", "bird", "boat")
SIZES = ((40, 33), (33, 40), (39, 33), (40, 33), (20, 31))


@pytest.fixture(scope="module")
def dataset() -> StoredDataset:
  samples = []
  for seed, size in enumerate(SIZES):
    rng = np.random.default_rng(seed)
    label = random_image(rng, *size)[..., 0] % 6
    label[label == 5] = 255
    samples.append(Sample(random_image(rng, *size), label))
  samples[4].label[:] = 255  # nothing to score here
  return StoredDataset(samples, NAMES)


@pytest.fixture(scope="module")
def net():
  return random_net(seed=1)


@pytest.fixture(scope="module")
def evaluator(dataset) -> Evaluator:
  return Evaluator(dataset, "train", max_canvases=2, part_size=2)


def test_every_image_is_counted_under_its_name(net, dataset, evaluator):
  """Against one image at a time, at its own size, in numpy."""
  told = []
  found = evaluator(*split(net), progress=lambda *n: told.append(n))
  assert [done for done, _ in told][-1] == 5
  assert {total for _, total in told} == {5}
  assert found.image_ids == ("id0", "id1", "id2", "id3", "id4")
  assert found.pixels.tolist() == [h * w for h, w in SIZES]
  for i, sample in enumerate(dataset.samples):
    scores = reference(net, sample.image)
    valid = sample.label != 255
    assert found.valid[i] == valid.sum()
    label, prediction = sample.label[valid], scores.argmax(-1)[valid]
    histogram = np.zeros((5, 5), int)
    np.add.at(histogram, (label, prediction), 1)
    assert np.abs(found.confusions[i] - histogram).sum() <= 2  # near ties
    assert abs(found.right[i] - np.trace(histogram)) <= 1
    shifted = scores - scores.max(-1, keepdims=True)
    shares = np.exp(shifted) / np.exp(shifted).sum(-1, keepdims=True)
    of_label = np.take_along_axis(shares[valid], label[:, None], -1)
    loss = -np.log(of_label).sum()
    assert found.total_loss[i] == pytest.approx(loss, rel=1e-4)


def test_part_size_and_canvases_change_nothing(net, dataset, evaluator):
  one = evaluator(*split(net))
  other = evaluate(net, dataset, "train", max_canvases=1, part_size=5)
  assert np.abs(one.confusions - other.confusions).sum() <= 4  # near ties
  np.testing.assert_allclose(one.total_loss, other.total_loss, rtol=1e-5)
  np.testing.assert_array_equal(one.valid, other.valid)


def test_what_is_to_be_kept_is_what_was_counted(net, dataset, evaluator):
  """At each image's own size, in a batch of another canvas' or not."""
  plain = evaluator(*split(net))
  assert plain.predictions == {}
  found = evaluator(*split(net), keep={"id1", "id2", "id4"})
  np.testing.assert_array_equal(found.confusions, plain.confusions)
  np.testing.assert_array_equal(found.total_loss, plain.total_loss)
  assert sorted(found.predictions) == ["id1", "id2", "id4"]
  for image_id, prediction in found.predictions.items():
    place = found.image_ids.index(image_id)
    label = dataset.samples[place].label
    assert prediction.dtype == np.uint8
    assert prediction.shape == label.shape
    histogram = np.zeros((5, 5), int)
    valid = label != 255
    np.add.at(histogram, (label[valid], prediction[valid]), 1)
    np.testing.assert_array_equal(histogram, found.confusions[place])


def test_it_stops_when_asked(net, evaluator):
  asked = []

  def stop() -> bool:
    asked.append(None)
    return len(asked) > 1

  assert evaluator(*split(net), stop=stop) is None
  assert len(asked) == 2


def evaluation(*confusions, **arrays) -> Evaluation:
  """Of images of three classes."""
  confusions = np.array(confusions)
  valid = confusions.sum((1, 2))
  fields = {
    "class_names": NAMES[:3],
    "image_ids": tuple(f"id{i}" for i in range(len(confusions))),
    "confusions": confusions,
    "total_loss": 0.5 * valid,
    "valid": valid,
    "right": np.trace(confusions, axis1=1, axis2=2),
    "pixels": valid + 3,
  }
  return Evaluation(**(fields | arrays))


def test_figures_by_hand():
  """Two images: 3 of 4 pixels right, then 1 of 2; 3 void pixels in each.

  Together ground 4 of 5 found, and seen once too often: IU 4 / 6; the cat's
  only pixel is not: IU 0; there is no dog.  DIGITS' mean is over the images.
  """
  found = evaluation(
    [[3, 1, 0], [0, 0, 0], [0, 0, 0]], [[1, 0, 0], [1, 0, 0], [0, 0, 0]]
  )
  figures = found.figures()
  assert figures["pixel_accuracy"] == pytest.approx(4 / 6)
  assert figures["mean_accuracy"] == pytest.approx((4 / 5 + 0) / 2)
  assert figures["mean_iu"] == pytest.approx((4 / 6 + 0) / 2)
  assert figures["fw_iu"] == pytest.approx(5 / 6 * 4 / 6)
  assert figures["digits_accuracy"] == pytest.approx((3 / 4 + 1 / 2) / 2)
  assert figures["loss"] == pytest.approx(0.5)
  assert figures["majority_baseline"] == {
    "class": "ground",
    "pixel_accuracy": pytest.approx(5 / 6),
    "mean_accuracy": pytest.approx(1 / 2),
    "mean_iu": pytest.approx(5 / 12),
    "fw_iu": pytest.approx(25 / 36),
  }
  ious = figures["per_class_iu"]
  assert list(ious) == ["ground", "cat", "dog"]
  assert ious["ground"] == pytest.approx(2 / 3)
  assert ious["cat"] == 0
  assert math.isnan(ious["dog"])
  assert (figures["images"], figures["void_pixels"]) == (2, 6)
  json.dumps(figures)


def test_the_loss_is_a_mean_over_images():
  """An image of void alone counts as 0, as in Caffe."""
  empty = np.zeros((3, 3), int)
  found = evaluation(
    np.eye(3, dtype=int) * 2, empty, total_loss=np.array([3, 0.0])
  )
  assert found.loss == pytest.approx((3 / 6 + 0) / 2)
  assert found.digits_accuracy == 1


def test_the_line_and_the_table_show_the_baseline():
  found = evaluation([[2, 1, 0], [1, 4, 0], [0, 0, 0]])
  line = found.summary()
  # IU 2 / 4 and 4 / 6; of cats alone: 0 and 5 / 8.
  assert line.startswith(
    "mean IU 0.5833, pixel accuracy 0.7500 (only cat: 0.3125, 0.6250)"
  )
  table = found.table().splitlines()
  assert table[0].split() == ["class", "IU", "found", "pixels"]
  assert table[2].split() == ["cat", "0.6667", "0.8000", "5"]
  assert table[3].split() == ["dog", "-", "-", "0"]
  assert table[6].split() == ["mean", "IU", "0.5833", "0.3125"]


def test_a_network_that_predicts_one_class_has_collapsed():
  everything = [[900, 0, 0], [100, 0, 0], [0, 0, 0]]
  assert evaluation(everything).collapsed_to == "ground"
  nearly = [[900, 0, 0], [98, 2, 0], [0, 0, 0]]
  assert evaluation(nearly).collapsed_to is None
  rightly = [[1000, 0, 0], [5, 0, 0], [0, 0, 0]]
  assert evaluation(rightly).collapsed_to is None
