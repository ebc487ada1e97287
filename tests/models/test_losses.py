"""fcn_jax.losses, by hand; Caffe's numbers: see test_parity."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from small_nets import assert_near, random_image, short_net, skip_net, split

from fcn_jax import models
from fcn_jax.models import layers as d
from fcn_jax.models import losses


@jax.jit
def sum_over_the_batch(scores, label):
  """The loss of a batch that is not divided by anything, and its gradient."""

  def total(scores):
    return losses.cross_entropy_sums(scores, label)[0].sum()

  return jax.value_and_grad(total)(scores)


def test_a_hopeless_pixel_costs_what_it_costs():
  """A departure from Caffe, which takes no more than -log(1.2e-38) = 87.3.

  Scores of 0 and 200 cost 200; the gradient, (-1, 1), is Caffe's, too.
  """
  score = jnp.array([0.0, 200])[None, None, None]
  loss, gradient = sum_over_the_batch(score, jnp.zeros((1, 1, 1), jnp.uint8))
  assert float(loss) == 200
  assert gradient.ravel().tolist() == [-1, 1]


# Shares 1/8, 2/8, 5/8 of the classes, in every pixel.
SCORES = jnp.tile(
  jnp.log(jnp.array([1.0, 2, 5]))[None, None, None], (3, 1, 3, 1)
)
LABEL = jnp.array([[[0, 1, 2]], [[0, 255, 255]], [[255] * 3]], jnp.uint8)


def of_images(loss, scores=SCORES, label=LABEL):
  """What is minimised and what is shown, of each image."""

  @jax.jit
  def run(scores, label):
    sums = losses.pixel_sums(loss, scores, label)
    return loss.image(sums), loss.shown(sums)

  return tuple(map(np.asarray, run(scores, label)))


def test_cross_entropy_by_hand():
  total, valid = losses.cross_entropy_sums(SCORES, LABEL)
  expected = np.array([math.log(8 * 8 / 2 * 8 / 5), math.log(8), 0])
  np.testing.assert_allclose(total, expected, rtol=1e-6)
  assert valid.tolist() == [3, 1, 0]
  mean = expected / [3, 1, 1]
  for normalize, minimised in ((True, mean), (False, expected)):
    image, shown = of_images(losses.cross_entropy(normalize))
    np.testing.assert_allclose(image, minimised, rtol=1e-6)
    np.testing.assert_allclose(shown, mean, rtol=1e-6)


def test_weighted_cross_entropy_by_hand():
  """Weights 4, 1, 0: (4 ln 8 + ln 4) / 5, ln 8, and nothing but void.

  What is shown has no weights.
  """
  weights = (4.0, 1.0, 0.0)
  image, shown = of_images(losses.cross_entropy(class_weights=weights))
  ln2 = math.log(2)
  np.testing.assert_allclose(image, [14 * ln2 / 5, 3 * ln2, 0], rtol=1e-6)
  plain = of_images(losses.cross_entropy())[1]
  np.testing.assert_array_equal(shown, plain)
  whole, _ = of_images(losses.cross_entropy(False, weights))
  np.testing.assert_allclose(whole, [14 * ln2, 12 * ln2, 0], rtol=1e-6)
  # Where no pixel has a weight there is nothing to learn, and no NaN.
  none, _ = of_images(losses.cross_entropy(class_weights=(0.0, 0.0, 0.0)))
  assert none.tolist() == [0, 0, 0]


def test_weights_are_one_a_class():
  loss = losses.cross_entropy(class_weights=(1.0, 2.0))
  with pytest.raises(ValueError, match="give 3 numbers, one a class"):
    loss.pixels(SCORES, LABEL)


def test_focal_by_hand():
  """(7/8)^2 ln 8, (3/4)^2 ln 4, (3/8)^2 ln 8/5, as shares of three pixels."""
  each = [(1 - p) ** 2 * -math.log(p) for p in (1 / 8, 2 / 8, 5 / 8)]
  image, shown = of_images(losses.focal())
  np.testing.assert_allclose(image, [sum(each) / 3, each[0], 0], rtol=1e-6)
  np.testing.assert_array_equal(image, shown)
  plain, _ = of_images(losses.cross_entropy())
  np.testing.assert_allclose(of_images(losses.focal(0.0))[0], plain, rtol=1e-6)


def test_focal_is_finite_where_the_label_is_certain():
  scores = jnp.array([100.0, 0, 0])[None, None, None]
  label = jnp.zeros((1, 1, 1), jnp.uint8)
  for gamma in (0.5, 1.0, 2.0):
    loss = losses.focal(gamma)
    value, slope = jax.value_and_grad(
      lambda s, loss=loss: loss.image(loss.pixels(s, label)).sum()
    )(scores)
    assert float(value) == 0
    assert np.isfinite(slope).all()


def test_dice_by_hand():
  """Of three pixels one is each class: 2 p / (3 p + 1), p its share.

  1/8: 2/11; 2/8: 2/7; 5/8: 10/23.  One pixel of class 0: 2/8 / (1/8 + 1) = 2/9;
  classes without a label do not count.
  """
  image, shown = of_images(losses.dice())
  three = 1 - (2 / 11 + 2 / 7 + 10 / 23) / 3
  np.testing.assert_allclose(image, [three, 1 - 2 / 9, 0], rtol=1e-6)
  np.testing.assert_array_equal(image, shown)
  right = 99.0 * jax.nn.one_hot(jnp.array([[[0, 1, 2]]]), 3)
  assert of_images(losses.dice(), right, LABEL[:1])[0] == pytest.approx(0)


def test_label_smoothing_by_hand():
  """Of ln 8, ln 4, ln 8/5 the label's has 0.7 + 0.1, the others 0.1."""
  each = np.log([8, 4, 8 / 5])
  smooth = 0.7 * each + 0.3 * each.mean()
  loss = losses.cross_entropy(label_smoothing=0.3)
  image, shown = of_images(loss)
  np.testing.assert_allclose(image, [smooth.mean(), smooth[0], 0], rtol=1e-6)
  np.testing.assert_allclose(shown, [each.mean(), each[0], 0], rtol=1e-6)
  weights = (4.0, 1.0, 0.0)
  image, _ = of_images(losses.cross_entropy(True, weights, 0.3))
  expected = (4 * smooth[0] + smooth[1]) / 5
  np.testing.assert_allclose(image, [expected, smooth[0], 0], rtol=1e-6)
  with pytest.raises(ValueError, match="label_smoothing = 2: give 0 to 1"):
    losses.cross_entropy(label_smoothing=2)


def test_ohem_by_hand():
  """Probabilities 1/8, 2/8, 5/8 of the three labels.

  A third is one pixel, 0.34 of three are two; below 0.3 are two.
  """
  each = np.log([8, 4, 8 / 5])
  for keep, probability, kept in (
    (1 / 3, 0.0, 1),
    (0.34, 0.0, 2),
    (1.0, 0.0, 3),
    (0.0, 0.3, 2),
    (0.34, 0.2, 2),
    (0.1, 0.7, 3),
  ):
    image, shown = of_images(losses.ohem(keep, probability))
    expected = [each[:kept].mean(), each[0], 0]
    np.testing.assert_allclose(image, expected, rtol=1e-6)
    np.testing.assert_allclose(shown, [each.mean(), each[0], 0], rtol=1e-6)
  for options, message in (
    ((1.5, 0.0), "keep = 1.5: give 0 to 1"),
    ((0.0, 0.0), "keep no pixel"),
  ):
    with pytest.raises(ValueError, match=message):
      losses.ohem(*options)


def test_lovasz_by_hand():
  """Three pixels, one of each class; p = 1/8, 2/8, 5/8 everywhere.

  Class 0: the labelled pixel has an error of 7/8 and comes first: it alone
  makes IoU 0, so the loss is 7/8; the others add nothing. So are 6/8 and, as
  5/8 of the two others come first, for class 2: IoU falls from 1 to 1/2 to 1/3
  to 0: 5/8 * 1/2 + 5/8 * 1/6 + 3/8 * 1/3.
  """
  image, shown = of_images(losses.lovasz())
  two = 5 / 8 * (1 / 2 + 1 / 6) + 3 / 8 / 3
  np.testing.assert_allclose(
    image, [(7 / 8 + 6 / 8 + two) / 3, 7 / 8, 0], rtol=1e-6
  )
  np.testing.assert_array_equal(image, shown)


def lovasz_in_float64(scores, label) -> float:
  """By the definition: what each pixel adds to 1 - IoU, one by one."""
  valid = label != losses.VOID
  p = np.exp(scores[valid] - scores[valid].max(-1, keepdims=True))
  p /= p.sum(-1, keepdims=True)
  found = []
  for c in np.unique(label[valid]):
    here = label[valid] == c
    errors = np.abs(here - p[:, c])
    wrong, lost, total = np.zeros(here.shape, bool), 0.0, 0.0
    for pixel in np.argsort(-errors, kind="stable"):
      wrong[pixel] = True
      union = (here | wrong).sum()
      now = 1 - (here & ~wrong).sum() / union
      total += errors[pixel] * (now - lost)
      lost = now
    found.append(total)
  return float(np.mean(found))


def ohem_in_float64(scores, label) -> float:
  valid = label != losses.VOID
  scores = scores[valid]
  loss = np.log(np.exp(scores).sum(-1))
  loss -= scores[np.arange(len(scores)), label[valid]]
  loss = np.sort(loss)[::-1]
  least = int(np.ceil(0.25 * len(loss)))
  return float(loss[: max(least, (loss > -np.log(0.7)).sum())].mean())


@pytest.mark.parametrize(
  ("name", "reference"),
  [("lovasz", lovasz_in_float64), ("ohem", ohem_in_float64)],
)
def test_sorted_losses_against_float64(name, reference):
  draw = np.random.default_rng(8)
  scores = draw.normal(0, 2, (2, 9, 11, 4))
  label = draw.choice(np.array([0, 1, 3, 255], np.uint8), (2, 9, 11))
  # The label is likely, so that few pixels are hard.
  scores[*np.indices(label.shape), np.where(label == 255, 0, label)] += 4
  image, _ = of_images(
    LOSSES[name], jnp.asarray(scores, jnp.float32), jnp.asarray(label)
  )
  expected = [reference(*pair) for pair in zip(scores, label, strict=True)]
  np.testing.assert_allclose(image, expected, atol=3e-5)


def test_a_sum_of_losses_by_hand():
  parts = {"cross_entropy": (1.0, losses.cross_entropy())}
  parts |= {"dice": (0.5, losses.dice())}
  image, shown = of_images(losses.weighted_sum(parts, "cross_entropy"))
  one, other = of_images(parts["cross_entropy"][1]), of_images(losses.dice())
  np.testing.assert_allclose(image, one[0] + 0.5 * other[0], rtol=1e-6)
  np.testing.assert_array_equal(shown, one[1])


def test_auxiliary_scores_by_hand():
  """Cells of conv1, of stride 2, lie on pixels 0, 2: labels 0 and 2.

  Its kernel is 0, so that each costs ln 3; the last layer's scores do, too.
  """
  net = models.build(
    (
      d.Data("data", mean_bgr=(0.0, 0.0, 0.0)),
      d.Conv("conv1", features=3, kernel=1, stride=2, relu=False),
      d.Upscore("upscore", kernel=3, stride=2),
      d.Crop("score", like="data"),
    )
  )
  net.conv1.bias[...] = jnp.log(jnp.array([1.0, 2, 5]))
  image = jnp.zeros((1, 3, 3, 3), jnp.uint8)
  label = jnp.full((1, 3, 3), 255, jnp.uint8)
  label = label.at[0, 0, 0].set(0).at[0, 2, 2].set(2).at[0, 1, 1].set(1)
  loss = losses.cross_entropy()
  given = (loss, net, image, label)
  alone, shown = losses.losses_of_images(*given)
  both, same = losses.losses_of_images(*given, auxiliary={"conv1": 0.4})
  assert shown == same
  cells = np.log([8, 8 / 5]).mean()
  assert both[0] - alone[0] == pytest.approx(0.4 * cells)
  losses.check_auxiliary(net.layers, {"conv1": 0.4}, 3)
  with pytest.raises(ValueError, match="score gives no scores of 3 classes"):
    losses.check_auxiliary(net.layers, {"score": 1.0}, 3)


def test_auxiliary_scores_do_not_depend_on_the_canvas():
  net = short_net(seed=4)
  image, label, extent, keys = given()

  @jax.jit
  def run(*batch):
    loss, auxiliary = LOSSES["cross_entropy"], {"score_fr": 0.5}
    return losses.losses_of_images(loss, net, *batch, auxiliary)[0]

  together = run(image, label, extent, keys)
  for i, (height, width) in enumerate(SIZES):
    inside = np.s_[i : i + 1, :height, :width]
    one = slice(i, i + 1)
    alone = run(image[inside], label[inside], extent[one], keys[one])
    np.testing.assert_allclose(alone[0], together[i], rtol=1e-5)


def test_a_head_of_zeros_costs_the_logarithm_of_the_classes():
  """ln 21 = 3.04452, the first loss of DIGITS' recipe."""
  label = jnp.arange(21, dtype=jnp.uint8).reshape(1, 3, 7)
  image, _ = of_images(losses.cross_entropy(), jnp.zeros((1, 3, 7, 21)), label)
  assert image[0] == pytest.approx(3.04452, abs=5e-6)


def test_void_pixels_send_nothing_back():
  """Not even where a score is not a number."""
  scores = jnp.zeros((1, 1, 2, 3)).at[0, 0, 1].set(jnp.nan)
  label = jnp.array([[[2, 255]]], jnp.uint8)
  loss, gradient = sum_over_the_batch(scores, label)
  assert float(loss) == pytest.approx(math.log(3))
  np.testing.assert_allclose(gradient[0, 0, 0], [1 / 3, 1 / 3, -2 / 3], 1e-5)
  zero = jnp.zeros((1, 1, 2, 3))
  assert not sum_over_the_batch(zero, label)[1][0, 0, 1].any()


SIZES = [(150, 40), (64, 31), (97, 40)]  # three bands of the canvas


def given():
  """Three images on a canvas of 150 x 40, a fifth of the pixels void."""
  draw = np.random.default_rng(5)
  image = np.zeros((3, 150, 40, 3), np.uint8)
  label = np.full((3, 150, 40), losses.VOID, np.uint8)
  for i, (height, width) in enumerate(SIZES):
    image[i, :height, :width] = random_image(draw, height, width)
    inside = draw.integers(0, 5, (height, width))
    void = draw.random((height, width)) < 0.2
    label[i, :height, :width] = np.where(void, losses.VOID, inside)
  keys = jax.random.split(jax.random.key(3), 3)
  return jnp.asarray(image), jnp.asarray(label), jnp.asarray(SIZES), keys


# Every loss of the table, and those with options that take another way.
LOSSES = {name: make() for name, make in losses.LOSSES.items()} | {
  "sums": losses.cross_entropy(False),
  "weighted": losses.cross_entropy(class_weights=(1.0, 4.0, 0.5, 2.0, 1.0)),
  "smooth": losses.cross_entropy(label_smoothing=0.1),
  "hardest tenth": losses.ohem(0.1, 0.0),
  "three terms": losses.weighted_sum(
    {
      "dice": (1.0, losses.dice()),
      "lovasz": (0.5, losses.lovasz()),
      "ohem": (2.0, losses.ohem()),
    },
    "dice",
  ),
  "weighted sums": losses.cross_entropy(False, (1.0, 4.0, 0.5, 2.0, 1.0)),
}


def in_bands(loss, net, image, label, extent, keys):
  return losses.image_sums(loss, net, image, label, extent, keys)


def at_once(loss, net, image, label, extent, keys):
  return losses.pixel_sums(loss, net(image, extent, keys), label)


def of(how, loss, net, *batch):
  """Losses of each image, and the gradient of their sum."""
  graphdef, params, frozen = split(net)

  @jax.jit
  @functools.partial(jax.value_and_grad, has_aux=True)
  def run(params):
    sums = how(loss, nnx.merge(graphdef, params, frozen), *batch)
    found = loss.image(sums)
    return found.sum(), (found, loss.shown(sums))

  (_, found), gradient = run(params)
  return found, jax.tree.leaves(gradient)


@pytest.mark.parametrize("name", LOSSES)
def test_bands_equal_the_whole(name):
  net = short_net(seed=4)
  found, gradient = of(in_bands, LOSSES[name], net, *given())
  whole, whole_gradient = of(at_once, LOSSES[name], net, *given())
  for ours, theirs in zip(found, whole, strict=True):
    assert_near(ours, theirs, 2e-6)
  for ours, theirs in zip(gradient, whole_gradient, strict=True):
    assert np.abs(theirs).max() > 0
    assert_near(ours, theirs, 1e-5)


def test_a_network_without_an_upscore_has_no_bands():
  net = skip_net(seed=4)
  found, gradient = of(in_bands, LOSSES["cross_entropy"], net, *given())
  whole, whole_gradient = of(at_once, LOSSES["cross_entropy"], net, *given())
  for ours, theirs in zip(
    (*found, *gradient), (*whole, *whole_gradient), strict=True
  ):
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", LOSSES)
def test_void_adds_nothing_nor_what_lies_beyond_the_extent(name):
  """Other scores there, even NaN, change neither loss nor gradient."""
  loss = LOSSES[name]
  draw = np.random.default_rng(2)
  label = given()[1]
  scores = jnp.asarray(draw.normal(size=(*label.shape, 5)), jnp.float32)
  void = (label == 255)[..., None]

  @jax.jit
  def run(scores):
    return jax.value_and_grad(
      lambda s: loss.image(losses.pixel_sums(loss, s, label)).sum()
    )(scores)

  value, slope = run(scores)
  assert not jnp.where(void, slope, 0).any()
  other, _ = run(jnp.where(void, jnp.nan, scores))
  assert float(other) == float(value)
  # Each image alone, at its own size.
  of_images = jax.jit(lambda *s: loss.image(losses.pixel_sums(loss, *s)))
  together = of_images(scores, label)
  for i, (height, width) in enumerate(SIZES):
    inside = np.s_[i : i + 1, :height, :width]
    alone = of_images(scores[inside], label[inside])
    np.testing.assert_allclose(alone[0], together[i], rtol=1e-5)


def test_scores_are_never_held_at_full_size():
  net = short_net(classes=21)
  graphdef, params, frozen = split(net)
  size = (1, 700, 120)
  image, label = jnp.zeros((*size, 3), jnp.uint8), jnp.zeros(size, jnp.uint8)
  loss = losses.cross_entropy(False)

  def temporary(how):
    def value(params):
      net = nnx.merge(graphdef, params, frozen)
      return loss.image(how(loss, net, image, label, None, None)).sum()

    program = jax.jit(jax.grad(value)).lower(params).compile()
    return program.memory_analysis().temp_size_in_bytes

  scores = 4 * 21 * 700 * 120
  assert temporary(at_once) > scores
  assert temporary(in_bands) < temporary(at_once) - scores
