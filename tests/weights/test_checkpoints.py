"""weights.checkpoints: what is written comes back, and which is the best."""

import dataclasses
import gc
import resource
import shutil
import signal
import zlib

import jax
import jax.numpy as jnp
import kills
import numpy as np
import optax
import orbax.checkpoint.experimental.v1 as ocp
import pytest
import small_network
from flax import nnx
from small_nets import randomise, split

from fcn_jax import models
from fcn_jax.files import DataError
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
  names = [p.name for p in (directory / "checkpoints").iterdir()]
  return sorted(int(name) for name in names if name != "scores.json")


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
  saved = checkpoints.Checkpoints(tmp_path, keep_latest=2)
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
  assert checkpoints.Checkpoints(tmp_path).latest == 40
  assert checkpoints.mean_iu(tmp_path, 20) == 0.5
  assert checkpoints.mean_iu(tmp_path, 10) is None


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
  saved = checkpoints.Checkpoints(tmp_path, keep_latest=2)
  for step, mean_iu in enumerate(scores, 1):
    save(saved, states, step, mean_iu)
  assert checkpoints.find_step(tmp_path) == best


def contents(folder) -> dict[str, bytes]:
  paths = [path for path in folder.rglob("*") if path.is_file()]
  return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_score_is_added_later_and_nothing_written_again(tmp_path, states):
  """Neither the tripled weights are written, nor a second score."""
  saved = checkpoints.Checkpoints(tmp_path, keep_latest=9)
  save(saved, states, 1, mean_iu=0.1)
  save(saved, states, 2)
  assert checkpoints.find_step(tmp_path) == 1
  before = contents(tmp_path / "checkpoints/2")
  save(saved, states, 2, mean_iu=0.2, factor=3)
  save(saved, states, 2, mean_iu=0.0, factor=9)
  assert checkpoints.mean_iu(tmp_path, 2) == 0.2
  assert checkpoints.find_step(tmp_path) == 2
  assert contents(tmp_path / "checkpoints/2") == before
  assert conv_of(tmp_path, 2) == conv_of(tmp_path, 1)


def test_unscored_checkpoints_go_after_a_resumption_too(tmp_path, states):
  saved = checkpoints.Checkpoints(tmp_path)
  save(saved, states, 0, mean_iu=0.1)
  save(saved, states, 3, mean_iu=0.5)
  save(saved, states, 4, mean_iu=float("nan"))
  save(saved, states, 5)
  saved = checkpoints.Checkpoints(tmp_path)
  save(saved, states, 6)
  save(saved, states, 7)
  assert steps(tmp_path) == [3, 7]
  assert checkpoints.find_step(tmp_path) == 3


def test_checkpoints_of_earlier_versions_have_their_scores(tmp_path, states):
  """They lie beside the weights, in a file that Orbax wrote."""
  params, frozen = states
  parts = {"model": checkpoints._model(params, frozen)}
  card = dataclasses.asdict(small_network.about())
  with ocp.training.Checkpointer(tmp_path / "checkpoints") as orbax:
    for step, mean_iu in ((1, 0.25), (2, 0.75), (3, None)):
      orbax.save_checkpointables(
        step,
        parts | {"solver": {"['count']": jnp.asarray(step)}},
        metrics={} if mean_iu is None else {"mean_iu": mean_iu},
        custom_metadata=card,
        force=True,
      )
  assert checkpoints.find_step(tmp_path) == 2
  assert checkpoints.mean_iu(tmp_path, 1) == 0.25
  assert checkpoints.load_about(tmp_path, 3) == (3, small_network.about())
  assert conv_of(tmp_path, 3) == params["score_fr"]["kernel"][0, 0, 0, 0]
  save(checkpoints.Checkpoints(tmp_path), states, 4, mean_iu=0.5)
  assert steps(tmp_path) == [2, 4]
  save(checkpoints.Checkpoints(tmp_path), states, 5, mean_iu=1.0)
  assert steps(tmp_path) == [5]


def test_what_earlier_versions_put_aside_takes_its_place(tmp_path, states):
  """The half-deleted one gives way to the whole copy beside it."""
  save(checkpoints.Checkpoints(tmp_path), states, 4)
  place = tmp_path / "checkpoints/4"
  shutil.copytree(place, tmp_path / "aside_4")
  shutil.rmtree(place / "model")
  assert checkpoints.Checkpoints(tmp_path).steps == [4]
  assert conv_of(tmp_path, 4) == states[0]["score_fr"]["kernel"][0, 0, 0, 0]
  assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]


# Saves in order, as (step, score); the latest and the best are kept.
SAVES = ((1, 0.5), (2, None), (2, 0.25), (3, None), (3, 0.75), (4, 0.0))


def killed_and_resumed(tmp_path, states, one_in: int) -> int:
  """Returns the number of kills, of which one in so many was looked at."""
  folder = tmp_path / "run"
  folder.mkdir()
  done = []  # number of copies when each save was over
  with kills.copies_of(folder, tmp_path / "copies") as copies:
    saved = checkpoints.Checkpoints(folder)
    for step, mean_iu in SAVES:
      save(saved, states, step, mean_iu, factor=step)
      done.append(len(copies))
  whole = float(states[0]["score_fr"]["kernel"][0, 0, 0, 0])
  for number, left in list(enumerate(copies))[::one_in]:
    over = sum(n <= number for n in done)
    saved = checkpoints.Checkpoints(left)
    latest = saved.latest or 0
    assert latest >= max([step for step, _ in SAVES[:over]], default=0), left
    for step in saved.steps:
      assert conv_of(left, step) == np.float32(step) * np.float32(whole), left
    # On from the latest: also the score that the kill may have cut off.
    for step, mean_iu in SAVES:
      if step >= latest:
        save(saved, states, step, mean_iu, factor=step)
    assert steps(left) == [3, 4], left
    assert checkpoints.find_step(left) == 3, left
    assert conv_of(left, 4) == np.float32(4) * np.float32(whole), left
    names = {path.name for path in (left / "checkpoints").iterdir()}
    assert names == {"3", "4", "scores.json"}, left
  return len(copies)


def test_a_kill_at_some_file_operations_of_saves_loses_nothing(
  tmp_path, states
):
  assert killed_and_resumed(tmp_path, states, one_in=29) > 100


@pytest.mark.exhaustive
def test_a_kill_at_any_file_operation_of_saves_loses_nothing(tmp_path, states):
  assert killed_and_resumed(tmp_path, states, one_in=1) > 100


def conv_of(directory, step) -> float:
  """One weight of a stored step."""
  _, params, frozen = split(models.build(LAYERS))
  params, _, solver = checkpoints.Checkpoints(directory).restore(
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
  saved = checkpoints.Checkpoints(tmp_path)
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


def test_half_written_and_half_deleted_ones_are_no_checkpoints(
  tmp_path, states
):
  save(checkpoints.Checkpoints(tmp_path), states, 1, mean_iu=0.1)
  half = tmp_path / "checkpoints/7.orbax-checkpoint-tmp"
  (half / "model").mkdir(parents=True)
  (tmp_path / "checkpoints/deleted_0").mkdir()
  assert checkpoints.find_step(tmp_path, "latest") == 1
  assert half.exists(), "reading cleans nothing up: another run may write"
  saved = checkpoints.Checkpoints(tmp_path)
  assert saved.latest == 1
  save(saved, states, 2, mean_iu=0.2)
  assert steps(tmp_path) == [2], "the half ones are gone, and the worse one"


def network_of(directory, step, factor):
  """Writes a step with all weights multiplied."""
  net = small_network.random(seed=3)
  _, params, frozen = split(net)
  params = scaled(params, factor)
  saved = checkpoints.Checkpoints(directory, keep_latest=9)
  saved.save(step, params, frozen, small_network.about())


def cut(path):
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def largest(folder):
  return max(
    (p for p in folder.rglob("*") if p.is_file()),
    key=lambda p: p.stat().st_size,
  )


DAMAGES = {
  "a file of tensors cut": lambda step: cut(largest(step / "model")),
  "a file of tensors empty": lambda step: largest(step / "model").write_bytes(
    b""
  ),
  "a file of tensors gone": lambda step: largest(step / "model").unlink(),
  "copied no further than one file": lambda step: [
    shutil.rmtree(p) for p in step.iterdir() if p.is_dir()
  ],
  "metadata cut": lambda step: cut(step / "_CHECKPOINT_METADATA"),
  "metadata gone": lambda step: (step / "_CHECKPOINT_METADATA").unlink(),
  "an empty folder": lambda step: [shutil.rmtree(step), step.mkdir()],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_named_and_a_whole_one(
  tmp_path, capfd, caplog, damage
):
  for step in (1, 2, 3):
    network_of(tmp_path, step, step)
  damage(tmp_path / "checkpoints/3")
  with pytest.raises(checkpoints.DamagedCheckpoint) as error:
    checkpoints.load_model(tmp_path)
  said = str(error.value)
  assert said.startswith(
    f"{tmp_path}/checkpoints/3: the checkpoint is damaged ["
  )
  assert said.endswith("]; the newest whole one is step 2")
  assert "\n" not in said
  _, _, step = checkpoints.load_model(tmp_path, 2)
  assert step == 2
  damage(tmp_path / "checkpoints/2")
  with pytest.raises(
    checkpoints.DamagedCheckpoint, match="whole one is step 1"
  ):
    checkpoints.load_model(tmp_path)
  damage(tmp_path / "checkpoints/1")
  with pytest.raises(checkpoints.DamagedCheckpoint, match="no other is whole"):
    checkpoints.load_model(tmp_path)
  gc.collect()
  assert "Traceback" not in capfd.readouterr().err
  assert not caplog.records


def test_other_tensors_than_were_written_are_found(tmp_path, monkeypatch):
  """Of the weights of conv1 one bit differs from what was summed."""
  checksums = checkpoints._checksums

  def of_one_bit_less(parts):
    params = parts["model"]["params"]
    kernel = np.array(params["conv1"]["kernel"])
    kernel.reshape(-1).view(np.uint8)[5] ^= 1
    conv1 = params["conv1"] | {"kernel": kernel}
    return checksums({"model": {"params": params | {"conv1": conv1}}})

  with monkeypatch.context() as patched:
    patched.setattr(checkpoints, "_checksums", of_one_bit_less)
    network_of(tmp_path, 1, 1)
  with pytest.raises(checkpoints.DamagedCheckpoint) as error:
    checkpoints.load_model(tmp_path)
  assert (
    "[the CRC-32 of ['model']['params']['conv1']['kernel'] is not the one "
    "stored]"
  ) in str(error.value)


def test_the_sum_is_that_of_the_bytes():
  """The CRC-32 of '123456789' is CBF43926; order and class do not matter."""
  digits = np.frombuffer(b"123456789", np.uint8)
  two = np.array([0x34333231], np.uint32)
  found = checkpoints._checksums(
    {"a": jnp.asarray(digits), "b": np.asfortranarray(two)}
  )
  assert found == {"['a']": 0xCBF43926, "['b']": zlib.crc32(b"1234")}


def test_a_damaged_one_is_set_aside_with_its_score(tmp_path, states):
  saved = checkpoints.Checkpoints(tmp_path, keep_latest=2)
  save(saved, states, 1, mean_iu=0.25)
  save(saved, states, 2, mean_iu=0.5)
  place = saved.set_aside(2)
  assert place == tmp_path / "checkpoints/damaged_2"
  assert saved.steps == [1]
  assert checkpoints.find_step(tmp_path) == 1
  save(saved, states, 2, mean_iu=0.125)
  assert checkpoints.find_step(tmp_path) == 1
  saved = checkpoints.Checkpoints(tmp_path)
  assert place.exists()


@pytest.mark.parametrize("text", ['{"1": 0.5', '{"1": "a"}', "[1]", '{"a": 1}'])
def test_scores_that_are_none_are_said(tmp_path, states, text):
  save(checkpoints.Checkpoints(tmp_path), states, 1)
  path = tmp_path / "checkpoints/scores.json"
  path.write_text(text)
  with pytest.raises(DataError) as error:
    checkpoints.find_step(tmp_path)
  assert str(error.value).startswith(f"{path}: not the scores of checkpoints [")
  path.unlink()
  assert checkpoints.find_step(tmp_path) == 1


def test_a_checkpoint_that_cannot_be_written_is_one_line(
  tmp_path, states, capfd
):
  """Its folder is taken away; what is there already stays whole."""
  saved = checkpoints.Checkpoints(tmp_path)
  save(saved, states, 1)
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
  resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
  try:
    with pytest.raises(OSError, match="cannot be written") as error:
      save(saved, states, 2)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, before)
  assert "\n" not in str(error.value)
  assert saved.latest == 1
  assert conv_of(tmp_path, 1)
  assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
  ("limits", "set_to"),
  [((24, 4096), [(128, 4096)]), ((24, -1), [(128, -1)]), ((1024, 4096), [])],
)
def test_as_many_files_as_needed_may_be_open(
  tmp_path, monkeypatch, limits, set_to
):
  calls = []
  monkeypatch.setattr(resource, "getrlimit", lambda kind: limits)
  monkeypatch.setattr(resource, "setrlimit", lambda kind, to: calls.append(to))
  checkpoints.Checkpoints(tmp_path)
  assert calls == set_to
  monkeypatch.setattr(resource, "getrlimit", lambda kind: (24, 127))
  with pytest.raises(
    DataError, match=r"may have 127 open files, .* up to 128;"
  ):
    checkpoints.Checkpoints(tmp_path)


def test_what_is_not_there_is_said(tmp_path, states):
  with pytest.raises(FileNotFoundError) as error:
    checkpoints.load_model(tmp_path / "absent")
  assert str(error.value).startswith(
    f"{tmp_path / 'absent'} holds no checkpoints folder; --checkpoint= takes "
  )
  assert not (tmp_path / "absent").exists()
  saved = checkpoints.Checkpoints(tmp_path, keep_latest=2)
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
