"""Training runs of a tiny network on six made-up images of several sizes."""

import json
import logging
import os
import shutil
import signal
import tempfile

import jax
import numpy as np
import pytest
import small_nets
import small_network
from configs_there import load_config
from flax import nnx
from small_data import label, photo, prepared

import fcn_jax
from fcn_jax import models
from fcn_jax.data import load_dataset, pipeline
from fcn_jax.evaluation.evaluator import Evaluation, Evaluator
from fcn_jax.files import DataError
from fcn_jax.models import layers
from fcn_jax.prediction import scoring
from fcn_jax.runs import album
from fcn_jax.runs import config as config_lib
from fcn_jax.runs.record import read_metrics, read_sessions
from fcn_jax.training import input, loop, progress, start
from fcn_jax.weights import checkpoints

SIZES = {"a": (24, 30), "b": (30, 24), "c": (25, 31), "d": (20, 20)}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  root = tmp_path_factory.mktemp("training")
  files = {"classes.txt": "ground\nthing\nwater\n"}
  for i, (name, (height, width)) in enumerate(SIZES.items()):
    split = "val" if name == "d" else "train"
    files[f"{split}/images/{name}.jpg"] = photo(i, height, width)
    rows = label(0, 1, 1, 2, 255, height=height, width=width)
    files[f"{split}/labels/{name}.png"] = rows
  return prepared(root, files, name="tiny")


@pytest.fixture
def config(data_dir):
  """DIGITS' recipe for a network that is compiled sooner."""
  config = load_config("voc_fcn_alexnet_digits")
  config.model = {"name": "short", "mean_bgr": (116.0, 116.0, 116.0)}
  config.init.source = "random"
  config.init.head = "gaussian"
  config.data.name = "tiny"
  config.data.data_dir = data_dir
  config.data.order = "shuffle"
  config.data.mirror = True
  config.data.max_canvases = 1
  config.batch_size = 1
  config.duration = "4 steps"
  config.validate_every = "2 steps"
  config.checkpoint_every = "1 step"
  config.log_every = "1 step"
  config.base_lr = 1e-3
  config.report = False
  with pytest.MonkeyPatch.context() as patched:
    registered = models.Registered(small_nets.short)
    patched.setitem(models.NETWORKS, "short", registered)
    yield config


def params_of(result):
  leaves = jax.tree_util.tree_leaves_with_path(result.state.params)
  return {jax.tree_util.keystr(path): np.asarray(x) for path, x in leaves}


def run(config, workdir):
  return loop.train_and_evaluate(config, str(workdir))


def test_a_run_stopped_and_resumed_is_bit_identical(
  config, tmp_path, monkeypatch
):
  whole = run(config, tmp_path / "whole")
  monkeypatch.setattr(progress.Progress, "step", stopping_after(3))
  first = run(config, tmp_path / "parts")
  assert first.stopped_by == signal.SIGTERM
  assert int(first.state.step) == 3
  monkeypatch.undo()
  second = run(config, tmp_path / "parts")
  assert second.stopped_by is None
  assert int(second.state.step) == 4
  expected = params_of(whole)
  for path, value in params_of(second).items():
    np.testing.assert_array_equal(value, expected[path], err_msg=path)
  for name in expected:
    if name.startswith("['conv1']"):
      assert np.any(expected[name] != params_of(first)[name]), "it trains on"
  records = [
    [
      {k: v for k, v in r.items() if k not in ("seconds", "images_per_second")}
      for r in read_metrics(tmp_path / name)
    ]
    for name in ("whole", "parts")
  ]
  assert records[0] == records[1]
  # Finished: the same command again changes nothing.
  again = run(config, tmp_path / "parts")
  assert int(again.state.step) == 4
  assert again.evaluation is None


def test_a_dry_run_takes_the_first_step_and_leaves_nothing(
  config, tmp_path, monkeypatch
):
  """The loss is that of the first step of a run; 3 images, 4 steps."""
  config.batch_size, config.data.part_size = 3, 2
  run(config, tmp_path / "run")
  first = next(
    r for r in read_metrics(tmp_path / "run") if r["kind"] == "train"
  )
  empty = tmp_path / "empty"
  empty.mkdir()
  monkeypatch.chdir(empty)
  monkeypatch.setattr(tempfile, "tempdir", str(empty))
  said = []
  loop.dry_run(config, said.append)
  assert not list(empty.iterdir())
  data, weights, memory, step, whole = said
  assert data == (
    "data: tiny, 3 images for training and 1 for validation, 3 classes"
  )
  count = sum(x.size for x in params_of_declared(config).values())
  assert weights == f"weights: {count:,} to learn, from random"
  assert memory.startswith("memory: 2 images at a time on 30x31: ")
  assert f"loss {first['loss']:.4f};" in step
  assert step.startswith("step: 3 images in ")
  assert whole.startswith("run: 4 steps would take ")
  assert ", an epoch of 1 " in whole


def test_a_dry_run_stops_at_a_loss_that_is_not_finite(config, monkeypatch):
  config.model.mean_bgr = (float("inf"),) * 3
  with pytest.raises(progress.NotFinite, match="step 1: the loss is NaN"):
    loop.dry_run(config, lambda line: None)


def params_of_declared(config):
  net = models.build(models.declare(**config.model.to_dict(), classes=3))
  leaves = jax.tree_util.tree_leaves_with_path(nnx.state(net, nnx.Param))
  return {jax.tree_util.keystr(path): x for path, x in leaves}


def test_a_resumed_run_goes_on_with_its_report(
  config, tmp_path, monkeypatch, caplog
):
  """Stopped after step 3 of 4, with validations at 0, 2 and 4."""
  config.report = True
  step = progress.Progress.step

  def kill_after_three(self, number, drawn, each):
    step(self, number, drawn, each)
    if number == 3:
      os.kill(os.getpid(), signal.SIGTERM)

  def text() -> str:
    return (tmp_path / "report.html").read_text()

  def pictures() -> dict[int, np.ndarray]:
    """What is kept of the only validation image, by step."""
    (only,) = album.read(tmp_path).pictures
    return only.predictions

  caplog.set_level(logging.INFO, "fcn_jax")
  with monkeypatch.context() as patched:
    patched.setattr(progress.Progress, "step", kill_after_three)
    run(config, tmp_path)
  assert "Stopped at step 3 of 4 (75 %)" in text()
  first = pictures()
  assert list(first) == [0, 2]
  # A validation whose checkpoint was not written any more.
  labels = {"d": np.zeros((20, 20), np.uint8)}
  album.add(tmp_path, 4, labels, [0, 2, 4], 4)
  run(config, tmp_path)
  assert f"{tmp_path}/report.html: the curves" in caplog.text
  assert "not up to date" not in caplog.text
  assert "Finished at step 4 of 4 (100 %)" in text()
  found = pictures()
  assert list(found) == [0, 2, 4]
  np.testing.assert_array_equal(found[2], first[2])
  net, *_ = checkpoints.load_model(tmp_path, "latest")
  data = load_dataset("tiny", config.data.data_dir)
  graphdef, params, frozen = nnx.split(net, nnx.Param, ...)
  evaluator = Evaluator(data, "val")
  last = evaluator(graphdef, params, frozen, keep={"d"})
  np.testing.assert_array_equal(found[4], last.predictions["d"])
  for record in read_metrics(tmp_path):
    if record["kind"] == "val":
      assert f'<td class="number">{record["mean_iu"]:.4f}</td>' in text()
  one, two = read_sessions(tmp_path)
  assert (one.outcome, one.last_step) == ("stopped", 3)
  assert (two.outcome, two.from_step, two.last_step) == ("finished", 3, 4)


def test_how_a_run_failed_is_in_its_report(config, tmp_path):
  config.report = True
  config.base_lr = 1e30
  config.validate_every = config.checkpoint_every = "4 steps"
  with pytest.raises(progress.NotFinite):
    run(config, tmp_path)
  (session,) = read_sessions(tmp_path)
  assert session.outcome == "failed"
  assert "Lower base_lr" in session.message
  assert "Lower base_lr" in (tmp_path / "report.html").read_text()


def test_what_a_run_leaves_behind(config, tmp_path):
  config.keep_latest = 1
  result = run(config, tmp_path)
  steps = checkpoints.Checkpoints(tmp_path).steps
  records = read_metrics(tmp_path)
  scored = {r["step"]: r["mean_iu"] for r in records if r["kind"] == "val"}
  assert list(scored) == [0, 2, 4]
  best = max(scored, key=lambda s: (scored[s], s))
  assert steps == sorted({4, best})
  assert checkpoints.find_step(tmp_path, "latest") == 4
  assert checkpoints.find_step(tmp_path) == best
  with pytest.raises(FileNotFoundError, match="no checkpoint 9; there is"):
    checkpoints.find_step(tmp_path, 9)
  net, about, step = checkpoints.load_model(tmp_path, "latest")
  assert step == 4
  assert about.class_names == ["ground", "thing", "water"]
  assert about.config["base_lr"] == 1e-3
  assert about.palette[255] == [224, 224, 192]
  np.testing.assert_array_equal(
    net.conv1.kernel[...], params_of(result)["['conv1']['kernel'].value"]
  )
  # Label rows repeat 0 1 1 2 255 over 20 x 20 pixels: 80 void of 400.
  val = [r for r in records if r["kind"] == "val"][-1]
  assert val["void_pixels"] == 80
  assert val["majority_baseline"]["class"] == "thing"
  assert val["majority_baseline"]["pixel_accuracy"] == 0.5
  assert "He-normal" in (tmp_path / "receipt.txt").read_text()
  assert list((tmp_path / "tensorboard").iterdir())


def test_training_learns_the_shares_of_the_classes(config, tmp_path):
  config.init.head = "zero"
  config.duration = "30 steps"
  config.validate_every = config.checkpoint_every = "30 steps"
  config.base_lr = 1e-2
  config.clip_gradients = 1.0
  run(config, tmp_path)
  records = read_metrics(tmp_path)
  first, last = (r["loss"] for r in records if r["kind"] == "val")
  # A zero head gives every class the same score: ln 3.  Knowing that the
  # classes have 1/4, 1/2 and 1/4 of the pixels is worth 1.5 ln 2 = 1.040.
  assert first == pytest.approx(np.log(3), rel=1e-5)
  assert 1.0 < last < 1.08


def test_nan_stops_and_names_step_and_image(config, tmp_path):
  config.base_lr = 1e30
  config.validate_every = config.checkpoint_every = "4 steps"
  with pytest.raises(progress.NotFinite) as error:
    run(config, tmp_path)
  text = str(error.value)
  assert "step 2" in text or "step 1" in text
  assert any(f" {name}" in text for name in "abc") or "parameter" in text
  assert "Lower base_lr" in text
  net, _, step = checkpoints.load_model(tmp_path, "latest")
  assert step == 0
  assert np.isfinite(net.conv1.kernel[...]).all()


def test_a_workdir_of_another_config_is_refused(config, tmp_path):
  run(config, tmp_path)
  config.data.num_threads = 1  # does not enter a result
  run(config, tmp_path)
  config.base_lr = 5e-4
  with pytest.raises(ValueError, match="another config") as error:
    run(config, tmp_path)
  assert "-base_lr = 0.001" in str(error.value)
  assert "+base_lr = 0.0005" in str(error.value)
  stored = json.loads((tmp_path / "config.json").read_text())
  assert stored["base_lr"] == 1e-3


def test_nothing_starts_silently_from_nothing(config, tmp_path):
  config.init.source = "checkpoint"
  with pytest.raises(ValueError, match=r"config\.init\.path is empty"):
    run(config, tmp_path)


def test_init_from_a_checkpoint_with_other_classes(config, tmp_path):
  run(config, tmp_path / "first")
  config.init.source = "checkpoint"
  config.init.path = str(tmp_path / "first")
  config.init.head = "zero"
  config.duration = "0 steps"
  same = run(config, tmp_path / "same")
  trained = checkpoints.load_model(tmp_path / "first")[0]
  for name in ("conv1", "fc6", "score_fr"):
    np.testing.assert_array_equal(
      getattr(trained, name).kernel[...],
      params_of(same)[f"['{name}']['kernel'].value"],
    )


def test_where_images_are_kept_changes_no_parameter(config, tmp_path):
  config.data.mirror, config.data.random_crop = True, 2
  found = []
  for cache in ("none", "host"):
    config.data.cache = cache
    found.append(params_of(run(config, tmp_path / cache)))
  for name, array in found[0].items():
    np.testing.assert_array_equal(array, found[1][name])


def test_images_are_not_kept_on_a_device(config, tmp_path):
  config.data.cache = "device"
  with pytest.raises(ValueError, match="'device': there is auto, none, host"):
    run(config, tmp_path)


def test_accumulated_batches_are_one_batch(config, tmp_path):
  """To the bit: 4 = 2 x 2 = 1 x 4 images an update, of several sizes."""
  config.data.max_canvases = 2
  config.data.part_size = 1
  config.duration = "2 steps"
  config.validate_every = "100 %"
  found = []
  for batch_size, steps in ((4, 1), (2, 2), (1, 4)):
    config.batch_size, config.accumulation_steps = batch_size, steps
    result = run(config, tmp_path / str(batch_size))
    found.append(params_of(result))
    records = read_metrics(tmp_path / str(batch_size))
    # Three images: an epoch is one update.
    assert [r["step"] for r in records if r["kind"] == "train"] == [1, 2]
  for other in found[1:]:
    for name, value in found[0].items():
      np.testing.assert_array_equal(value, other[name], err_msg=name)


def test_an_image_that_is_too_small_is_refused_before_training(
  config, tmp_path, monkeypatch
):
  def no_padding(classes):
    return (
      layers.Data("data", mean_bgr=(0.0, 0.0, 0.0)),
      layers.Conv("conv1", features=2, kernel=4, stride=4),
      layers.Conv("score", features=classes, kernel=1, head=True),
      layers.Upscore("up", kernel=4, stride=4),
      layers.Crop("crop", like="data"),
    )

  monkeypatch.setitem(models.NETWORKS, "bare", models.Registered(no_padding))
  config.model = {"name": "bare"}
  with pytest.raises(ValueError, match="25 pixels does not fit: crop would"):
    run(config, tmp_path)
  monkeypatch.undo()
  config.model = {"name": "vgg16", "width": 0.02, "mean_bgr": (1.0, 2.0, 3.0)}
  with pytest.raises(ValueError, match="vgg16 classifies images: give config"):
    run(config, tmp_path)
  assert not (tmp_path / "checkpoints").exists()


HEAVY = ("fcn32s", "fcn16s", "fcn8s", "fcn8s_atonce")


@pytest.fixture(scope="module")
def stages(data_dir, tmp_path_factory):
  """Each heavy recipe, narrow and short, from the stage before it."""
  root = tmp_path_factory.mktemp("stages")
  for name in HEAVY:
    config = load_config(f"voc_{name}")
    config.model.width = 0.02
    config.data.name = "tiny"
    config.data.data_dir = data_dir
    config.data.max_canvases = 1
    config.duration = "20 steps"
    config.validate_every = config.checkpoint_every = "100 %"
    config.log_every = "5 steps"
    config.report = False
    # So few steps on so few pixels: as far as 100,000 on VOC's.
    config.base_lr = 1e-5
    config.momentum = 0.9
    before = {"fcn16s": "fcn32s", "fcn8s": "fcn16s"}.get(name)
    if before:
      config.init.path = str(root / before)
    else:
      config.init.source = "random"
    run(config, root / name)
  return root


@pytest.mark.parametrize("name", HEAVY)
def test_the_heavy_recipes_train(name, stages):
  """The loss, by the pixel, falls: from ln 3, or from the stage before's."""
  records = read_metrics(stages / name)
  first, last = (r["loss"] for r in records if r["kind"] == "val")
  assert 0.9 < last < first
  if name in ("fcn32s", "fcn8s_atonce"):
    assert first == pytest.approx(np.log(3), rel=1e-5)
    assert last < first - 0.02
  shown = [r["loss"] for r in records if r["kind"] == "train"]
  assert all(0.5 < loss < 1.5 for loss in shown), "of a pixel, not of an image"
  net, about, _ = checkpoints.load_model(stages / name, "latest")
  assert about.model["name"] == name
  if name != "fcn32s":
    assert np.any(net.score_pool4.kernel[...]), "the skip is learned"
  receipt = (stages / name / "receipt.txt").read_text()
  assert ("0.0001, never learned" in receipt) == (name == "fcn8s_atonce")


@pytest.mark.parametrize(("before", "after"), [HEAVY[:2], HEAVY[1:3]])
def test_a_stage_begins_where_the_one_before_ended(before, after, stages):
  """New scores of zero: only the way of upscoring differs."""
  ended = read_metrics(stages / before)[-1]
  began = read_metrics(stages / after)[0]
  assert (ended["kind"], began["kind"], began["step"]) == ("val", "val", 0)
  assert began["loss"] == pytest.approx(ended["loss"], abs=0.02)
  assert (
    "bilinear, of another stride"
    in (stages / after / "receipt.txt").read_text()
  )


def test_a_failed_start_binds_no_workdir(config, tmp_path):
  config.data.name = "tinny"
  with pytest.raises(ValueError, match="no data set 'tinny'"):
    run(config, tmp_path)
  config.data.name = "tiny"
  config.duration = "0 steps"
  assert run(config, tmp_path).stopped_by is None


def test_data_prepared_anew_are_no_resumption(config, tmp_path, monkeypatch):
  config.duration = "0 steps"
  run(config, tmp_path)
  monkeypatch.setattr(start, "_digest", lambda *_: "ids:other")
  with pytest.raises(ValueError, match="its data_digest differs"):
    run(config, tmp_path)


def test_a_converted_model_is_no_workdir(config, tmp_path):
  net, about = small_network.constant([1, 0, 0]), small_network.about()
  checkpoints.save_model(tmp_path, net, about)
  with pytest.raises(ValueError, match="something else than a training run"):
    run(config, tmp_path)
  assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]


def test_a_config_that_is_cut_or_gone_is_in_the_checkpoint(config, tmp_path):
  config.duration = "0 steps"
  run(config, tmp_path)
  path = tmp_path / "config.json"
  whole = path.read_text()
  path.write_text(whole[:100])
  with pytest.raises(DataError) as error:
    run(config, tmp_path)
  assert str(error.value).startswith(f"{path} is damaged [")
  assert str(error.value).endswith(
    "delete it, and the config in the last checkpoint takes its place"
  )
  path.unlink()
  config.base_lr = 0.5
  with pytest.raises(ValueError, match=r"-base_lr = 0\.001"):
    run(config, tmp_path)
  assert json.loads(path.read_text()) == json.loads(whole)


def largest(folder):
  files = [path for path in folder.rglob("*") if path.is_file()]
  return max(files, key=lambda path: path.stat().st_size)


def test_a_damaged_checkpoint_gives_way_to_the_newest_whole_one(
  config, tmp_path, caplog
):
  """Steps 2 and 1 of 2 are cut; from 0 on the same comes again."""
  config.duration, config.keep_latest = "2 steps", 3
  whole = params_of(run(config, tmp_path))
  folder = tmp_path / "checkpoints"
  for step in (1, 2):
    path = largest(folder / str(step) / "model")
    path.write_bytes(path.read_bytes()[:100])
  again = run(config, tmp_path)
  lines = [
    record.getMessage()
    for record in caplog.records
    if "damaged" in record.getMessage()
  ]
  assert [line.split(": the checkpoint is damaged [")[0] for line in lines] == [
    f"{folder}/2",
    f"{folder}/1",
  ]
  assert lines[0].endswith(f"; it is {folder}/damaged_2 now, step 0 is taken")
  for path, value in params_of(again).items():
    np.testing.assert_array_equal(value, whole[path], err_msg=path)
  assert checkpoints.Checkpoints(tmp_path).steps == [0, 1, 2]
  for step in (0, 1, 2):
    largest(folder / str(step) / "model").unlink()
  with pytest.raises(
    DataError, match="no other is whole: name another"
  ) as error:
    run(config, tmp_path)
  assert str(error.value).startswith(f"{folder}/2: the checkpoint is damaged [")
  assert checkpoints.Checkpoints(tmp_path).steps == [0, 1, 2]


def test_a_run_may_become_longer(config, tmp_path):
  """At a fixed rate, bit for bit the run that was as long from the start."""
  config.lr_policy = "fixed"
  config.duration = "2 steps"
  whole = params_of(run(config, tmp_path / "whole"))
  config.duration = "1 step"
  run(config, tmp_path / "parts")
  config.duration = "2 steps"
  parts = run(config, tmp_path / "parts")
  assert int(parts.state.step) == 2
  for path, value in params_of(parts).items():
    np.testing.assert_array_equal(value, whole[path], err_msg=path)
  stored = json.loads((tmp_path / "parts/config.json").read_text())
  assert stored["duration"] == "2 steps"
  config.duration = "1 step"
  with pytest.raises(ValueError, match="a run can only be made longer"):
    run(config, tmp_path / "parts")


def test_a_schedule_is_laid_anew_when_asked(config, tmp_path, caplog):
  """The rate falls along a line to 0 at the end: 1, 1/2 and 1, 2/3, 1/3."""
  config.lr_policy = "poly"
  config.duration = "2 steps"
  run(config, tmp_path)
  config.duration = "3 steps"
  with pytest.raises(ValueError, match="its learning rate depends on") as error:
    run(config, tmp_path)
  assert "begun with '2 steps'" in str(error.value)
  assert "--extend" in str(error.value)
  stored = json.loads((tmp_path / "config.json").read_text())
  assert stored["duration"] == "2 steps"
  loop.train_and_evaluate(config, str(tmp_path), extend=True)
  rates = [r["lr"] for r in read_metrics(tmp_path) if r["kind"] == "train"]
  assert rates == pytest.approx([1e-3, 1e-3 / 2, 1e-3 / 3])
  assert (
    "the schedule is laid over 3 steps instead of 2: the learning rate of step "
    "2 is 0.000667 now, and was 0.0005"
  ) in caplog.text


@pytest.mark.parametrize("threads", [0, 2])
def test_damaged_records_end_a_run_in_one_line(
  config, data_dir, tmp_path, threads
):
  shutil.copytree(data_dir, tmp_path / "data")
  config.data.data_dir = str(tmp_path / "data")
  config.data.num_threads = threads
  (shard,) = (tmp_path / "data").glob("tiny/1.0.0/*train*")
  shard.write_bytes(shard.read_bytes()[:1000])
  with pytest.raises(DataError) as error:
    run(config, tmp_path / "run")
  assert str(error.value).startswith(f"{shard.parent}: record")
  assert "\n" not in str(error.value)


def test_a_full_disk_is_told_before_the_first_step(
  config, tmp_path, monkeypatch
):
  """The kernel of fc6 alone has over 1000 bytes."""
  usage = shutil._ntuple_diskusage(total=10**9, used=10**9, free=1000)
  monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
  with pytest.raises(DataError) as error:
    run(config, tmp_path)
  assert str(error.value).startswith(f"{tmp_path}: a checkpoint takes ")
  assert "free there; make room, or name another --workdir" in str(error.value)
  assert not read_metrics(tmp_path)


def test_a_workdir_in_use_is_refused(config, tmp_path):
  with (
    config_lib.in_use(tmp_path),
    pytest.raises(DataError, match=f"process {os.getpid()} of .* trains in"),
  ):
    run(config, tmp_path)
  assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_records_of_a_run_without_a_checkpoint_are_not_taken_for_ours(
  config, tmp_path
):
  stale = {"step": 0, "kind": "val", "mean_iu": 0.99}
  config.duration = "0 steps"
  config_lib.write(config, tmp_path)
  (tmp_path / "metrics.jsonl").write_text(json.dumps(stale) + "\n")
  result = run(config, tmp_path)
  (record,) = read_metrics(tmp_path)
  assert record["mean_iu"] == result.evaluation.scores["mean_iu"] != 0.99


def test_no_more_images_go_through_at_once_than_a_batch_has(config, data_dir):
  data = load_dataset("tiny", data_dir)
  mesh = loop.devices.data_mesh()
  config.batch_size, config.data.part_size = 2, 8
  config.accumulation_steps = 3
  loader = input.make_loader(config, data, mesh)
  assert loader.part_size == loop.devices.divisible(2, mesh)
  assert loader.sampler.batch_size == 6


def test_what_random_cuts_may_leave_is_looked_at_too(config, data_dir):
  """Of 24, 25, 30, 31 pixels a cut of up to 1 at each end; of val's 20 none."""
  data = load_dataset("tiny", data_dir)
  assert set(loop._lengths(config, data)) == {20, 24, 25, 30, 31}
  config.data.random_crop = 1
  expected = {20, *range(22, 26), *range(28, 32)}
  assert set(loop._lengths(config, data)) == expected
  config.data.random_crop = 99
  assert set(loop._lengths(config, data)) == set(range(1, 32))


def test_frozen_layers_stay_and_averages_are_saved_beside(config, tmp_path):
  """A run of both, stopped and resumed, is one that was not."""
  config.freeze = ("conv1", "fc*")
  config.ema_decay = 0.5
  whole = run(config, tmp_path / "whole")
  begun, _ = start.network(config, start.about(config, load_tiny(config)))
  trained = whole.network
  for name in ("conv1", "fc6"):
    np.testing.assert_array_equal(
      getattr(trained, name).kernel[...], getattr(begun, name).kernel[...]
    )
  assert np.any(trained.conv2.kernel[...] != begun.conv2.kernel[...])
  # What is frozen has no momentum.
  history = nnx.to_pure_dict(whole.state.opt_state.history)
  assert "conv1" not in history
  assert "conv2" in history
  averaged, _, step = checkpoints.load_model(tmp_path / "whole/ema", "latest")
  assert step == 4
  plain, _, _ = checkpoints.load_model(tmp_path / "whole", "latest")
  np.testing.assert_array_equal(
    averaged.conv1.kernel[...], plain.conv1.kernel[...]
  )
  assert np.any(averaged.conv2.kernel[...] != plain.conv2.kernel[...])
  records = [r for r in read_metrics(tmp_path / "whole") if r["kind"] == "val"]
  assert 0 < records[-1]["ema"]["pixel_accuracy"] < 1
  # As if it had been killed before its last checkpoint.
  shutil.rmtree(tmp_path / "whole/checkpoints/4")
  resumed = run(config, tmp_path / "whole")
  for ours, theirs in zip(
    jax.tree.leaves((resumed.state.params, resumed.state.ema)),
    jax.tree.leaves((whole.state.params, whole.state.ema)),
    strict=True,
  ):
    np.testing.assert_array_equal(ours, theirs)


def load_tiny(config):
  return load_dataset(config.data.name, config.data.data_dir)


def test_a_run_ends_when_it_gets_no_better(config, tmp_path, monkeypatch):
  """Scores 0.1, 0.3, 0.2, 0.3: two are no better than the second."""
  scores, figures, seen = iter([0.1, 0.3, 0.2, 0.3]), Evaluation.figures, {}

  def scored(evaluation):
    if id(evaluation) not in seen:
      seen[id(evaluation)] = evaluation, next(scores)
    return figures(evaluation) | {"mean_iu": seen[id(evaluation)][1]}

  monkeypatch.setattr(Evaluation, "figures", scored)
  config.patience = 2
  config.duration = "20 steps"
  config.validate_every = "1 step"
  first = run(config, tmp_path)
  assert first.stopped_by is None
  assert int(first.state.step) == 3
  assert read_sessions(tmp_path)[-1].outcome == "finished"
  again = run(config, tmp_path)
  assert int(again.state.step) == 3
  assert len(seen) == 4  # nothing was validated once more


def test_resized_images_are_undone_for_scores(
  config, tmp_path, data_dir, monkeypatch
):
  """Canvases of one size; scores at the images' own; resumed bit for bit."""
  config.data.resize_mode = "crop"
  config.data.resize_height, config.data.resize_width = 18, 22
  whole = run(config, tmp_path / "whole")
  monkeypatch.setattr(progress.Progress, "step", stopping_after(2))
  assert run(config, tmp_path / "parts").stopped_by == signal.SIGTERM
  monkeypatch.undo()
  again = params_of(run(config, tmp_path / "parts"))
  for path, value in params_of(whole).items():
    np.testing.assert_array_equal(value, again[path], err_msg=path)
  made = loop._Run(config, tmp_path / "run", load_dataset("tiny", data_dir))
  assert made.loader.canvases == ((18, 22),)
  assert {b.parts[0].image.shape for b in made.loader.steps(0, 3)} == {
    (1, 18, 22, 3)
  }
  net = fcn_jax.load(tmp_path / "whole", "latest")
  assert net.about.resize == {"mode": "crop", "height": 18, "width": 22}
  (scored,) = scoring.score(str(tmp_path / "whole"), 4).evaluation.confusions
  image = pipeline.Reader(load_dataset("tiny", data_dir), "val")(0)
  labels = net(image.image).labels
  assert labels.shape == SIZES["d"]
  valid = image.label != 255
  histogram = np.zeros((3, 3), int)
  np.add.at(histogram, (image.label[valid], labels[valid]), 1)
  assert np.abs(scored - histogram).sum() <= 2  # near ties
  (last,) = (
    r
    for r in read_metrics(tmp_path / "whole")
    if (r["kind"], r["step"]) == ("val", 4)
  )
  assert last["pixel_accuracy"] == pytest.approx(
    np.trace(scored) / scored.sum(), abs=1e-6
  )


def stopping_after(steps: int):
  """Progress.step that ends the run by a signal after so many of its steps."""
  step = progress.Progress.step

  def kill(self, number, drawn, each):
    step(self, number, drawn, each)
    if number == steps:
      os.kill(os.getpid(), signal.SIGTERM)

  return kill
