"""evaluation.evaluator: counts of a small network against a plain one's."""

import jax.numpy as jnp
import numpy as np
import pytest
from small_nets import random_image, random_net, reference, split
from stored_data import StoredDataset

from fcn_jax.data.augment import Sample
from fcn_jax.evaluation import metrics
from fcn_jax.evaluation.evaluator import Evaluator, evaluate
from fcn_jax.evaluation.per_image import PerImage
from fcn_jax.evaluation.tta import Tta
from fcn_jax.models import losses

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


def assert_same(one: PerImage, other: PerImage) -> None:
  np.testing.assert_array_equal(np.stack([*one]), np.stack([*other]))


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
    assert found.losses[i] == pytest.approx(
      loss / max(valid.sum(), 1), rel=1e-4
    )


def test_part_size_and_canvases_change_nothing(net, dataset, evaluator):
  one = evaluator(*split(net))
  other = evaluate(net, dataset, "train", max_canvases=1, part_size=5)
  off = one.confusions.sum() - other.confusions.sum()
  assert np.abs(off).sum() <= 8  # near ties
  np.testing.assert_allclose(one.losses, other.losses, rtol=1e-5)
  np.testing.assert_array_equal(one.valid, other.valid)


def test_tiles_change_nothing(net, dataset, evaluator):
  """Each image divided in four, two devices' worth of them or none left."""
  one = evaluator(*split(net))
  other = evaluate(net, dataset, "train", tile=32, part_size=2, worst=2)
  off = one.confusions.sum() - other.confusions.sum()
  assert np.abs(off).sum() <= 8  # near ties
  np.testing.assert_allclose(one.losses, other.losses, rtol=1e-5)
  np.testing.assert_array_equal(one.valid, other.valid)
  assert np.abs(one.right - other.right).max() <= 2
  for name in one.counted:
    assert np.abs(one.counted[name].sum() - other.counted[name].sum()).max() < 9
  assert other.predictions
  for image_id, predicted in other.predictions.items():
    scores = reference(net, dataset.samples[int(image_id[2:])].image)
    assert (predicted != scores.argmax(-1)).mean() < 0.01


def test_tiles_do_not_change_what_a_loss_selects(net, dataset):
  """Errors are in order over the whole image, not over each tile."""
  loss = losses.lovasz()
  one, other = (
    evaluate(net, dataset, "train", loss=loss, tile=tile)
    for tile in ("off", 32)
  )
  np.testing.assert_allclose(other.losses, one.losses, rtol=1e-5)


def test_several_views_are_counted_as_their_mean(net, dataset):
  """Loss and labels of the mean of an image's softmax and its mirror's."""
  found = evaluate(net, dataset, "train", views=Tta(flip=True), worst=5)

  def softmax(scores):
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)

  for i, sample in enumerate(dataset.samples[:2]):
    turned = softmax(reference(net, sample.image[:, ::-1]))[:, ::-1]
    mean = (softmax(reference(net, sample.image)) + turned) / 2
    valid = sample.label != 255
    of_label = np.take_along_axis(mean[valid], sample.label[valid][:, None], -1)
    loss = -np.log(of_label).mean()
    assert found.losses[i] == pytest.approx(loss, rel=1e-4)
    right = (mean.argmax(-1) == sample.label)[valid].sum()
    assert abs(found.right[i] - right) <= 1


def test_what_is_to_be_kept_is_what_was_counted(net, dataset, evaluator):
  """At each image's own size, in a batch of another canvas' or not."""
  plain = evaluator(*split(net))
  assert plain.predictions == {}
  found = evaluator(*split(net), keep={"id1", "id2", "id4"})
  assert_same(found.confusions, plain.confusions)
  np.testing.assert_array_equal(found.losses, plain.losses)
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


def test_the_worst_images_are_predicted_again(net, dataset):
  """They are what was counted, whatever batch mates they had."""
  plain = evaluate(net, dataset, "train", max_canvases=2, part_size=2)
  found = evaluate(net, dataset, "train", worst=2, max_canvases=2, part_size=2)
  assert_same(found.confusions, plain.confusions)
  places = plain.ranking.worst_by_any(2)
  assert list(plain.predictions) == []
  assert sorted(found.predictions) == [f"id{place}" for place in places]
  assert 2 <= len(places) <= 4
  for place in places:
    label, prediction = (
      dataset.samples[place].label,
      found.predictions[f"id{place}"],
    )
    counted = metrics.confusion(
      jnp.array(label[None]), jnp.array(prediction[None]), 5
    )
    np.testing.assert_array_equal(counted[0], found.confusions[place])


def test_only_their_batches_go_through_the_network(net, dataset, monkeypatch):
  evaluator = Evaluator(dataset, "train", max_canvases=2, part_size=1)
  went, step = [], evaluator._step
  monkeypatch.setattr(
    evaluator, "_step", lambda *a: went.append(a[-1].extent) or step(*a)
  )
  found = evaluator.predictions(*split(net), ["id4", "id1"])
  assert {name: labels.shape for name, labels in found.items()} == {
    "id1": SIZES[1],
    "id4": SIZES[4],
  }
  assert sorted(tuple(e[0].tolist()) for e in went) == [SIZES[4], SIZES[1]]


def test_it_stops_when_asked(net, evaluator):
  asked = []

  def stop() -> bool:
    asked.append(None)
    return len(asked) > 1

  assert evaluator(*split(net), stop=stop) is None
  assert len(asked) == 2


def test_what_metrics_ask_for_and_the_given_loss(dataset, monkeypatch):
  """A counter of the labels' area by class; 1 - Dice of each image, in numpy.

  The loss of an image of void alone is 0.
  """

  def area(label, prediction, classes, extent):
    ids = jnp.arange(classes)[None, None, None]
    return (label[..., None] == ids).sum((1, 2))

  ground = metrics.Metric(
    "ground", lambda counts: float(counts.sums["area"][0]), "", {"area": area}
  )
  monkeypatch.setitem(metrics.METRICS, "ground", ground)
  net = random_net()
  evaluator = Evaluator(
    dataset, "train", loss=losses.dice(), max_canvases=1, part_size=2
  )
  found = evaluator(*split(net))
  expected = []
  for i, sample in enumerate(dataset.samples):
    area = [(sample.label == k).sum() for k in range(5)]
    np.testing.assert_array_equal(found.counted["area"][i], area)
    scores = reference(net, sample.image)
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    valid = sample.label != 255
    dice = []
    for k in np.unique(sample.label[valid]):
      here = (sample.label == k)[valid]
      p = shares[valid][:, k]
      dice.append(2 * p[here].sum() / (p.sum() + here.sum()))
    expected.append(1 - np.mean(dice) if dice else 0)
  of_ground = sum((sample.label == 0).sum() for sample in dataset.samples)
  assert found.figures()["ground"] == of_ground
  np.testing.assert_allclose(found.losses, expected, atol=1e-5)
  assert found.loss == pytest.approx(np.mean(expected), abs=1e-5)
  assert 0 < found.scores["boundary_iou"] < 1
