"""fcn_jax.training.step: one update by hand, and any division into parts."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from configs_there import load_config
from small_nets import assert_near, random_image, randomise, split
from stored_data import StoredDataset

from fcn_jax import devices, models
from fcn_jax.data.augment import Sample
from fcn_jax.data.pipeline import Batch, Part, divide, place
from fcn_jax.models import layers as d
from fcn_jax.models import losses
from fcn_jax.training import optimizers
from fcn_jax.training.recipe import default_recipe
from fcn_jax.training.step import (
  Stepper,
  Training,
  TrainState,
  kept_layers,
  make_loss,
  shown_loss,
)

VOID = 255
HEAD = d.Conv(
  "score_fr",
  features=2,
  kernel=1,
  relu=False,
  head=True,
  lr_mult=(1.0, 2.0),
  decay_mult=(1.0, 0.0),
)
BY_HAND = (d.Data("data", mean_bgr=(0.0, 0.0, 0.0)), HEAD)
# Half of 40 features are dropped, image by image.
WITH_DROPOUT = (
  d.Data("data", mean_bgr=(100.0, 110.0, 120.0)),
  d.Conv("fc6", features=40, kernel=1),
  d.Dropout("drop6"),
  HEAD,
)


def solver(declared, params, batch_size=1, weight_decay=0.0):
  return functools.partial(
    optimizers.caffe_sgd,
    multipliers=optimizers.multipliers(declared, params),
    images=batch_size,
    momentum=0.5,
    weight_decay=weight_decay,
  )


def falling(count):
  return 0.1 / (count + 1)


def start(net, batch_size=1, normalize=True, seed=0, weight_decay=0.0):
  """(Training, TrainState of step 0)."""
  graphdef, params, frozen = split(net)
  chosen = solver(net.layers, params, batch_size, weight_decay)
  training = Training(
    graphdef,
    chosen,
    falling,
    losses.cross_entropy(normalize),
    jax.random.key(seed),
  )
  state = TrainState(
    jnp.zeros((), jnp.int32), params, frozen, chosen(falling).init(params)
  )
  return training, state


def arrays(params) -> dict[str, np.ndarray]:
  found = jax.tree_util.tree_leaves_with_path(params)
  return {jax.tree_util.keystr(path): np.asarray(x) for path, x in found}


def samples(sizes, seed=0) -> list[Sample]:
  rng = np.random.default_rng(seed)
  return [
    Sample(
      random_image(rng, *size), rng.choice(np.array([0, 1, VOID], "u1"), size)
    )
    for size in sizes
  ]


def test_two_updates_by_hand():
  """One pixel of class 0 (R, G, B = 10, 20, 30), and a void one.

  Scores of 0 are a probability of 1/2 each, a loss of ln 2, and slopes of
  -1/2 and 1/2 at the scores, times the pixel (B, G, R) at the kernel. At rate
  0.1, twice that for the bias, the kernel becomes 0.05 times the pixel (1.5,
  1, 0.5), the bias 0.1; negative for class 1.

  Scores are then 30 * 1.5 + 20 * 1 + 10 * 0.5 + 0.1 = 70.1 and -70.1: a loss
  of 0, no slope to be seen. Momentum goes half as far again: 2.25, 1.5, 0.75,
  and 0.15; a decay of 0.4 takes, at a rate of 0.05, 0.02 of 1.5, 1, 0.5.
  """
  image = np.array([[[[10, 20, 30], [200, 100, 50]]]], np.uint8)
  label = np.array([[[0, VOID]]], np.uint8)
  extent, position = np.array([[1, 2]], np.int32), np.zeros(1, np.int32)
  batch = Part(image, label, extent, position)
  training, state = start(models.build(BY_HAND), weight_decay=0.4)
  step = jax.jit(training.train_step)
  state, each = step(state, batch)
  assert each.tolist() == pytest.approx([np.log(2)])
  assert state.step == 1
  head = state.params["score_fr"]
  np.testing.assert_allclose(
    head["kernel"][0, 0], [[1.5, -1.5], [1, -1], [0.5, -0.5]], rtol=1e-6
  )
  np.testing.assert_allclose(head["bias"][...], [0.1, -0.1], rtol=1e-6)
  state, each = step(state, batch)
  assert each.tolist() == pytest.approx([0], abs=1e-30)
  assert state.step == 2
  head = state.params["score_fr"]
  np.testing.assert_allclose(
    head["kernel"][0, 0],
    [[2.22, -2.22], [1.48, -1.48], [0.74, -0.74]],
    rtol=1e-6,
  )
  np.testing.assert_allclose(head["bias"][...], [0.15, -0.15], rtol=1e-6)


@pytest.mark.parametrize("normalize", [True, False])
def test_a_batch_is_the_mean_of_its_images(normalize):
  """Not of its pixels: 6 valid pixels weigh, in all, as much as 1.

  Each image is one colour; at scores of 0 each pixel's slope is half of it.
  The loss that is shown is of a valid pixel, also where a sum is minimised.
  """
  colors, valid = np.array([[2, 4, 8], [32, 64, 128]], np.uint8), (6, 1)
  label = np.full((2, 2, 3), VOID, np.uint8)
  label[0], label[1, 1, 2] = 1, 1
  image = np.empty((2, 2, 3, 3), np.uint8)
  image[:] = colors[:, None, None]
  batch = Part(
    image, label, np.full((2, 2), (2, 3), np.int32), np.arange(2, dtype="i4")
  )
  training, state = start(models.build(BY_HAND), 2, normalize)
  state, each = jax.jit(training.train_step)(state, batch)
  weights = (1, 1) if normalize else valid
  assert each.tolist() == pytest.approx([np.log(2)] * 2)
  bgr = colors[:, ::-1].astype(float)
  moved = 0.1 / 2 * sum(w * x / 2 for w, x in zip(weights, bgr, strict=True))
  np.testing.assert_allclose(
    state.params["score_fr"]["kernel"][0, 0, :, 1], moved, rtol=1e-6
  )


def test_one_part_and_many_take_the_same_steps():
  """The division is not seen: not in the dropout, nor in empty places."""
  given = samples([(6, 5), (3, 7), (6, 6), (2, 2), (5, 5)])
  whole = Batch((), (place(given, range(5), (6, 7), 5),))
  parts = Batch((), divide(given, ((3, 7), (6, 6)), 2))
  assert [len(part.position) for part in parts.parts] == [2, 2, 2]
  net = randomise(WITH_DROPOUT, seed=2)
  training, state = start(net, 5, weight_decay=0.1)
  mesh = devices.data_mesh()
  found, compiled = [], []
  for one_part, drawn in ((True, whole), (False, parts)):
    stepper = Stepper(training, mesh, one_part)
    # A copy, since steps take the arrays of the state they are given.
    now = devices.replicate(jax.tree.map(jnp.copy, state), mesh)
    losses_of = {}
    for _ in range(2):
      now, each = stepper(now, drawn)
    assert now.step == 2
    for part, values in zip(drawn.parts, each, strict=True):
      for position, value, extent in zip(
        part.position.tolist(), values.tolist(), part.extent, strict=True
      ):
        if extent.any():
          losses_of[position] = value
        else:
          assert value == 0
    found.append((arrays(now.params), losses_of))
    programs = (stepper._train_step, stepper._accumulate, stepper._update)
    compiled.append([program._cache_size() for program in programs])
  (expected, losses_of_one), (ours, losses_of_many) = found
  for name, value in expected.items():
    assert_near(ours[name], value)
  assert list(losses_of_one) == [0, 1, 2, 3, 4]
  assert losses_of_many == pytest.approx(losses_of_one)
  # One a canvas, and one that updates; none a second time.
  assert compiled == [[1, 0, 0], [0, 2, 1]]


def test_dropout_depends_on_seed_step_and_place_alone():
  """Key: of the run, then step, then place; the network adds its layer."""
  given = samples([(4, 4)])[0]
  net = randomise(WITH_DROPOUT, seed=2)
  training, state = start(net)

  @jax.jit
  def losses_of(key, step, batch):
    recipe = dataclasses.replace(training, dropout_key=key)
    return recipe.gradients(state.params, state.frozen, step, batch)[1]

  def loss(seed, step, position):
    key, step = jax.random.key(seed), jnp.asarray(step, jnp.int32)
    batch = place([given], [position], (4, 4), 1)
    return losses_of(key, step, batch).item()

  drawn = [(5, 0, 0), (5, 0, 1), (5, 1, 0), (5, 1, 1), (5, 2, 1), (6, 0, 0)]
  found = {each: loss(*each) for each in drawn}
  assert len(set(found.values())) == len(drawn)

  @jax.jit
  def by_hand(batch):
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(5), 2), 1)
    scores = net(batch.image, batch.extent, key[None])
    return losses.cross_entropy_sums(scores, batch.label)

  total, valid = by_hand(place([given], [0], (4, 4), 1))
  assert found[5, 2, 1] == pytest.approx((total / valid).item(), rel=1e-5)


def test_the_solver_of_a_recipe():
  """DIGITS': 30 steps of 1e-4, a tenth of it from each 33 % on: 10, 20."""
  config = load_config("voc_fcn_alexnet_digits")
  config.weight_decay = 0.5
  config.batch_size = 4
  params = split(models.build(BY_HAND))[1]
  schedule = optimizers.make_schedule(config, 30, 7)
  rates = [float(schedule(jnp.asarray(step))) for step in (0, 9, 10, 19, 20)]
  assert rates == pytest.approx([1e-4, 1e-4, 1e-5, 1e-5, 1e-6])
  ones = jax.tree.map(jnp.ones_like, params)
  chosen = optimizers.make_solver(config, BY_HAND, params)(schedule)
  updates, _ = chosen.update(ones, chosen.init(ones), ones)
  # (1 / 4 + 0.5 of the weight) times the rate; no decay, twice it for biases.
  head = updates["score_fr"]
  np.testing.assert_allclose(head["kernel"][...], -1e-4 * 0.75, rtol=1e-6)
  np.testing.assert_allclose(head["bias"][...], -2e-4 * 0.25, rtol=1e-6)


# DIGITS' forms: values of its page, and what is left of the rate after a
# quarter, a half and three quarters of 400 steps (s = 4 steps a percent).
DIGITS = {
  "fixed": ({}, (1, 1, 1)),
  "step": ({"lr_stepsize": "33 %", "lr_gamma": 0.1}, (1, 0.1, 0.01)),
  "multistep": (
    {"lr_stepvalues": ("50 %", "85 %"), "lr_gamma": 0.5},
    (1, 0.5, 0.5),
  ),
  "exp": ({"lr_gamma": 0.95}, (0.95**25, 0.95**50, 0.95**75)),
  "inv": (
    {"lr_gamma": 0.1, "lr_power": 0.5},
    (3.5**-0.5, 6**-0.5, 8.5**-0.5),
  ),
  "poly": ({"lr_power": 3.0}, (0.75**3, 0.5**3, 0.25**3)),
  # 1 / (1 + exp(0.1 (p - 50))) at p = 25, 50, 75 percent: it falls.
  "sigmoid": (
    {"lr_stepsize": "50 %", "lr_gamma": 0.1},
    (1 / (1 + np.exp(-2.5)), 0.5, 1 / (1 + np.exp(2.5))),
  ),
}


@pytest.mark.parametrize("policy", DIGITS)
def test_every_policy_in_digits_form(policy):
  fields, shares = DIGITS[policy]
  config = load_config("voc_fcn_alexnet_digits")
  config.update({"lr_policy": policy, "lr_gamma_per": "percent", **fields})
  rate = optimizers.make_schedule(config, 400, 100)
  found = [float(rate(jnp.asarray(step))) for step in (100, 200, 300)]
  assert found == pytest.approx([1e-4 * share for share in shares], rel=1e-5)


def test_a_batch_is_as_many_batches_as_are_accumulated():
  config = load_config("voc_fcn_alexnet_digits")
  params = split(models.build(BY_HAND))[1]
  ones = jax.tree.map(jnp.ones_like, params)
  found = []
  for batch_size, steps in ((6, 1), (2, 3), (1, 6)):
    config.batch_size, config.accumulation_steps = batch_size, steps
    schedule = optimizers.make_schedule(config, 400, 100)
    solver = optimizers.make_solver(config, BY_HAND, params)(schedule)
    updates, _ = solver.update(ones, solver.init(params), params)
    found.append(updates["score_fr"]["kernel"][...])
  np.testing.assert_allclose(found[0], -1e-4 / 6, rtol=1e-6)
  np.testing.assert_array_equal(found[0], found[1])
  np.testing.assert_array_equal(found[0], found[2])


def test_durations_of_a_recipe_may_be_epochs():
  config = load_config("voc_fcn_alexnet_digits")
  config.lr_policy = "multistep"
  config.lr_stepvalues = ("1 epoch", "12 steps", "50 %")
  schedule = optimizers.make_schedule(config, 30, 7)
  rates = {step: float(schedule(jnp.asarray(step))) for step in range(30)}
  falls = [s for s in range(1, 30) if rates[s] < 0.5 * rates[s - 1]]
  assert falls == [7, 12, 15]


@pytest.mark.parametrize("one_part", [True, False])
def test_what_was_compiled_beforehand_is_what_steps_run(one_part, caplog):
  training, state = start(randomise(BY_HAND, 0))
  mesh = devices.data_mesh()
  stepper = Stepper(training, mesh, one_part)
  state = devices.replicate(state, mesh)
  drawn = Batch((0,), divide(samples([(4, 5)]), ((4, 5),), 1))
  part = devices.shard(drawn.parts[0], mesh)
  shapes = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), part
  )
  with jax.log_compiles(), caplog.at_level("WARNING"):
    programs = stepper.compile(state, shapes)
    assert len(programs) == 2 - one_part
    before = caplog.text.count("Compiling jit(")
    assert before == len(programs)
    for _ in range(2):
      state, _ = stepper(state, drawn)
    names = ("train_step", "accumulate", "update")
    assert [caplog.text.count(f"Compiling jit({n})") for n in names] == (
      [1, 0, 0] if one_part else [0, 1, 1]
    )
  assert int(state.step) == 2


def _code(program) -> str:
  """Its text, but for where in the sources its parts come from."""
  lines = program.as_text().splitlines()
  code = [line for line in lines if re.match(r"\s*(ROOT )?%|ENTRY", line)]
  return re.sub(r", metadata=\{[^}]*\}", "", "\n".join(code))


@pytest.mark.parametrize("one_part", [True, False])
def test_another_seed_and_schedule_are_the_same_programs(one_part):
  net, mesh = randomise(WITH_DROPOUT, seed=2), devices.data_mesh()
  given = Batch((), divide(samples([(4, 5)]), ((4, 5),), 1))
  part = devices.shard(given.parts[0], mesh)
  other = {"schedule": lambda count: 0.5, "dropout_key": jax.random.key(7)}
  texts, kernels = [], []
  for change in ({}, other):
    training, state = start(net)
    training = dataclasses.replace(training, **change)
    state = devices.replicate(jax.tree.map(jnp.copy, state), mesh)
    stepper = Stepper(training, mesh, one_part)
    texts.append([_code(each) for each in stepper.compile(state, part)])
    state, _ = stepper(state, given)
    kernels.append(state.params["score_fr"]["kernel"][...])
  assert texts[0] == texts[1]
  assert np.any(kernels[0] != kernels[1])


def test_the_loss_of_a_checkpoint_is_shown_without_class_weights():
  """Two pixels of scores 0 and ln 3: shares 1/4 and 3/4; focal by gamma 1."""
  scores = jnp.tile(jnp.array([0.0, np.log(3)]), (1, 1, 2, 1))
  label = jnp.array([[[0, 1]]], jnp.uint8)

  def shown(config) -> float:
    loss = shown_loss(config)
    return float(loss.shown(loss.pixels(scores, label))[0])

  plain = (np.log(4) + np.log(4 / 3)) / 2
  weighted = {"name": "cross_entropy", "class_weights": "median_frequency"}
  assert shown({}) == pytest.approx(plain)
  assert shown({"loss": weighted | {"normalize": False}}) == pytest.approx(
    plain
  )
  focal = (3 / 4 * np.log(4) + 1 / 4 * np.log(4 / 3)) / 2
  assert shown({"loss": {"name": "focal", "gamma": 1.0}}) == pytest.approx(
    focal
  )
  with pytest.raises(ValueError, match="there is cross_entropy, dice"):
    shown_loss({"loss": {"name": "mine"}})


def test_a_moving_average_by_hand():
  """Of steps 1 and 2 at most 1/10 and 2/11 of the average before stay."""
  training, state = start(randomise(BY_HAND, 0))
  training = dataclasses.replace(training, ema_decay=0.15)
  state = state.replace(ema=jax.tree.map(jnp.copy, state.params))
  batch = divide(samples([(4, 5)]), ((4, 5),), 1)[0]
  average, step = arrays(state.params), jax.jit(training.train_step)
  for decay in (0.1, 0.15):
    state, _ = step(state, batch)
    for name, now in arrays(state.params).items():
      average[name] = decay * average[name] + (1 - decay) * now
  for name, found in arrays(state.ema).items():
    np.testing.assert_allclose(found, average[name], rtol=1e-5)
    assert np.any(found != arrays(state.params)[name])


def test_layers_computed_twice_change_no_number():
  """Nor are their values kept; of a step with dropout, in parts."""
  layers = (
    d.Data("data", mean_bgr=(100.0, 110.0, 120.0)),
    d.Conv("conv1", features=64, kernel=3, pad=1),
    d.Conv("conv2", features=64, kernel=3, pad=1),
    d.Dropout("drop2"),
    HEAD,
  )
  training, state = start(randomise(layers, 0))
  assert kept_layers(layers, ()) is None
  assert kept_layers(layers, ("conv*", "drop2")) == ("data", "score_fr")
  with pytest.raises(ValueError, match="remat: no layer is called 'pool9'"):
    kept_layers(layers, ("pool9",))
  batch = divide(samples([(60, 60)]), ((60, 60),), 1)[0]
  found, again = {}, {}
  for kept in (None, kept_layers(layers, ("conv*", "drop2"))):
    changed = dataclasses.replace(training, kept=kept)
    program = jax.jit(changed.gradients)
    given = (state.params, state.frozen, state.step, batch)
    grads, each = program(*given)
    found[kept] = arrays(grads) | {"loss": np.asarray(each)}
    again[kept] = str(jax.make_jaxpr(changed.gradients)(*given)).count("conv_")
  assert again[kept] > again[None]
  one, other = found.values()
  for name, value in one.items():
    np.testing.assert_allclose(other[name], value, rtol=1e-5, atol=1e-6)


def test_a_sum_of_losses_of_a_recipe():
  """Focal by the recipe's gamma, Dice by its defaults; focal is shown."""
  config = default_recipe(loss="focal")
  config.loss.gamma = 1.0
  config.loss.terms = {"focal": 2.0, "dice": 0.5}
  loss = make_loss(config, StoredDataset(samples([(4, 5)]), ("a", "b")))
  scores = jnp.tile(jnp.array([0.0, np.log(3)]), (1, 1, 2, 1))
  label = jnp.array([[[0, 1]]], jnp.uint8)
  sums = losses.pixel_sums(loss, scores, label)
  focal = (3 / 4 * np.log(4) + 1 / 4 * np.log(4 / 3)) / 2
  # Of class 0: 2 (1/4) / (2/4 + 1) = 1/3; of class 1: 2 (3/4) / (6/4 + 1).
  dice = 1 - (1 / 3 + 3 / 5) / 2
  assert float(loss.image(sums)[0]) == pytest.approx(2 * focal + 0.5 * dice)
  assert float(loss.shown(sums)[0]) == pytest.approx(focal)
