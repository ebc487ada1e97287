"""fcn_jax.checkpoints: what is written comes back, and which is the best."""

import dataclasses
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import small_network
from flax import nnx
from small_nets import randomise, split

from fcn_jax import models
from fcn_jax.models import layers as d
from fcn_jax.weights import checkpoints

LAYERS = (
  d.Data("data", mean_bgr=(1.0, 2.0, 3.0)),
  d.Conv("score_fr", features=2, kernel=1, relu=False, head=True),
  d.Upscore("upscore", kernel=3, stride=2),
)


@pytest.fixture
def states():
  """params and frozen of a network of a single convolution."""
  _, params, frozen = split(randomise(LAYERS, seed=1))
  return params, frozen


def scaled(params, factor: float):
  return jax.tree.map(lambda x: x * factor, params)


def save(saved, states, step, mean_iu=None, factor=1.0, solver=None):
  params, frozen = states
  solver = {"count": jnp.asarray(step)} if solver is None else solver
  about = small_network.about()
  saved.save(step, scaled(params, factor), frozen, about, solver, mean_iu)


def steps(directory) -> list[int]:
  return sorted(int(p.name) for p in (directory / "checkpoints").iterdir())


def test_a_model_comes_back_bit_for_bit(tmp_path):
  """Among its weights: the least number above 0, and the last of a third."""
  about = dataclasses.replace(
    small_network.about(),
    config={"base_lr": 1e-10, "data": {"name": "voc"}, "steps": [1, 2]},
    source="a made-up one",
  )
  net = small_network.random(seed=3)
  odd = np.array([np.float32(1) / 3, np.float32(1e-45)])
  net.conv1.bias[...] = jnp.asarray(odd)
  checkpoints.save_model(tmp_path / "model", net, about)
  found, told, step = checkpoints.load_model(tmp_path / "model")
  assert step == 0
  assert told == about
  assert found.layers == net.layers
  for ours, theirs in zip(
    jax.tree.leaves(split(net)[1:]),
    jax.tree.leaves(split(found)[1:]),
    strict=True,
  ):
    assert ours.dtype == theirs.dtype
    assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes()
  assert found.upscore.kernel1d[31] == 1
  assert checkpoints.load_about(tmp_path / "model") == (0, about)


@pytest.mark.parametrize("width", [0.02, [2, 4, 6, 8, 10, 12, 14]])
def test_a_width_is_a_share_or_the_features_of_each_layer(width):
  """96 * 0.02 is 1.9, an even number near it 2; of 4096: 82."""
  about = small_network.about()
  about.model["width"] = width
  convs = [x for x in about.declaration() if isinstance(x, d.Conv)]
  features = [layer.features for layer in convs]
  if width == 0.02:
    assert features == [2, 6, 8, 8, 6, 82, 82, 3]
  else:
    assert features == [2, 4, 6, 8, 10, 12, 14, 3]


def test_a_precision_is_chosen_when_loading(tmp_path):
  net = small_network.constant([0, 1, 2])
  checkpoints.save_model(tmp_path / "model", net, small_network.about())
  found, *_ = checkpoints.load_model(tmp_path / "model", precision="bfloat16")
  assert found.precision == "bfloat16"
  assert found.score_fr.bias[...].dtype == jnp.float32


def test_a_model_is_not_written_over_another(tmp_path):
  checkpoints.save_model(
    tmp_path, small_network.constant([1, 0, 0]), small_network.about()
  )
  with pytest.raises(FileExistsError, match="already holds a model"):
    checkpoints.save_model(
      tmp_path, small_network.constant([2, 0, 0]), small_network.about()
    )
  net, *_ = checkpoints.load_model(tmp_path)
  assert net.score_fr.bias[0] == 1


def test_the_latest_few_and_the_best_are_kept(tmp_path, states):
  with checkpoints.Checkpoints(tmp_path, keep_latest=2) as saved:
    assert saved.latest is None
    for step, mean_iu in ((10, 0.3), (20, 0.5), (30, 0.2), (40, 0.4)):
      save(saved, states, step, mean_iu)
      assert saved.latest == step
  assert steps(tmp_path) == [20, 30, 40]
  assert checkpoints.find_step(tmp_path) == 20
  assert checkpoints.find_step(tmp_path, "best") == 20
  assert checkpoints.find_step(tmp_path, "latest") == 40
  assert checkpoints.find_step(tmp_path, 30) == 30
  assert checkpoints.find_step(tmp_path, "30") == 30
  with checkpoints.Checkpoints(tmp_path) as saved:
    assert saved.latest == 40


@pytest.mark.parametrize(
  ("scores", "best"),
  [
    ((None, None), 2),  # none was scored: the latest
    ((0.0, None), 1),  # the only one that was
    ((0.25, 0.25), 2),  # the later of equals
  ],
)
def test_the_best_where_it_is_no_matter_of_course(
  tmp_path, states, scores, best
):
  with checkpoints.Checkpoints(tmp_path, keep_latest=2) as saved:
    for step, mean_iu in enumerate(scores, 1):
      save(saved, states, step, mean_iu)
  assert checkpoints.find_step(tmp_path) == best


def test_a_score_is_added_later_and_only_then(tmp_path, states):
  """Of the tripled weights only those with the first score are written."""
  with checkpoints.Checkpoints(tmp_path, keep_latest=9) as saved:
    save(saved, states, 1, mean_iu=0.1)
    save(saved, states, 2)
    assert checkpoints.find_step(tmp_path) == 1
    save(saved, states, 2, factor=3)
    assert conv_of(tmp_path, 2) == conv_of(tmp_path, 1)
    save(saved, states, 2, mean_iu=0.2, factor=3)
    save(saved, states, 2, mean_iu=0.0, factor=9)
  assert checkpoints.find_step(tmp_path) == 2
  assert conv_of(tmp_path, 2) == pytest.approx(3 * conv_of(tmp_path, 1))
  assert steps(tmp_path) == [1, 2]


def test_unscored_checkpoints_go_after_a_resumption_too(tmp_path, states):
  with checkpoints.Checkpoints(tmp_path) as saved:
    save(saved, states, 0, mean_iu=0.1)
    save(saved, states, 3, mean_iu=0.5)
    save(saved, states, 4, mean_iu=float("nan"))
    save(saved, states, 5)
  with checkpoints.Checkpoints(tmp_path) as saved:
    save(saved, states, 6)
    save(saved, states, 7)
  assert steps(tmp_path) == [3, 7]
  assert checkpoints.find_step(tmp_path) == 3


def test_a_kill_while_a_score_is_added_loses_nothing(
  tmp_path, states, monkeypatch
):
  class Killed(BaseException):
    pass

  def die(*_, **__):
    raise Killed

  with checkpoints.Checkpoints(tmp_path) as saved:
    save(saved, states, 4)
    before = conv_of(tmp_path, 4)
    # Orbax deletes the step, then writes it again: killed in between.
    monkeypatch.setattr(saved._orbax, "save_checkpointables", die)
    with pytest.raises(Killed):
      save(saved, states, 4, mean_iu=0.5, factor=3)
  shutil.rmtree(tmp_path / "checkpoints" / "4")
  assert conv_of(tmp_path, 4) == before
  with checkpoints.Checkpoints(tmp_path) as saved:
    save(saved, states, 4, mean_iu=0.5, factor=3)
  assert conv_of(tmp_path, 4) == pytest.approx(3 * before)
  assert [p.name for p in tmp_path.iterdir()] == ["checkpoints"]


def conv_of(directory, step) -> float:
  """One weight of a stored step."""
  _, params, frozen = split(models.build(LAYERS))
  with checkpoints.Checkpoints(directory, keep_latest=9) as saved:
    params, _, solver = saved.restore(
      step, params, frozen, {"count": jnp.asarray(0)}
    )
  assert solver["count"] == step
  return float(params["score_fr"]["kernel"][0, 0, 0, 0])


def test_what_trains_on_comes_back_with_its_place(tmp_path, states):
  """The solver's tree keeps its classes, which the file does not know."""
  params, frozen = states
  solver = optax.adam(0.1)
  _, state = solver.update(params, solver.init(params))
  count = jnp.asarray(7, jnp.int32)
  with checkpoints.Checkpoints(tmp_path) as saved:
    save(saved, states, 7, solver=(count, state))
    empty = jax.tree.map(jnp.zeros_like, (params, frozen, (count, state)))
    found = saved.restore(7, *empty)
  assert jax.tree.structure(found) == jax.tree.structure(
    (params, frozen, (count, state))
  )
  for ours, theirs in zip(
    jax.tree.leaves((params, frozen, (count, state))),
    jax.tree.leaves(found),
    strict=True,
  ):
    np.testing.assert_array_equal(ours, theirs)
    assert ours.sharding == theirs.sharding
  assert isinstance(found[0], nnx.State)
  assert found[2][0] == 7


def test_half_written_checkpoints_are_no_checkpoints(tmp_path, states):
  with checkpoints.Checkpoints(tmp_path) as saved:
    save(saved, states, 1, mean_iu=0.1)
  half = tmp_path / "checkpoints/7.orbax-checkpoint-tmp"
  os.mkdir(half)
  (half / "model").mkdir()
  assert checkpoints.find_step(tmp_path, "latest") == 1
  assert half.exists(), "reading cleans nothing up: another run may write"
  with checkpoints.Checkpoints(tmp_path) as saved:
    assert saved.latest == 1
    save(saved, states, 2, mean_iu=0.2)
  assert steps(tmp_path) == [2], "the half one is gone, and the worse one"


def test_what_is_not_there_is_said(tmp_path, states):
  with pytest.raises(FileNotFoundError) as error:
    checkpoints.load_model(tmp_path / "absent")
  assert str(error.value).startswith(
    f"{tmp_path / 'absent'} holds no checkpoints folder; --checkpoint= takes "
  )
  assert not (tmp_path / "absent").exists()
  with checkpoints.Checkpoints(tmp_path, keep_latest=2) as saved:
    with pytest.raises(FileNotFoundError, match="no finished checkpoint yet"):
      checkpoints.find_step(tmp_path)
    save(saved, states, 3)
    save(saved, states, 12)
  for wrong in (4, "4", "-3", "last", "3.0"):
    with pytest.raises(FileNotFoundError) as error:
      checkpoints.find_step(tmp_path, wrong)
    assert str(error.value) == (
      f"{tmp_path} has no checkpoint {wrong}; there is best, latest, 3, 12"
    )
