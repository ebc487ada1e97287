"""All scripts after one another, as a user starts them, on a tiny world."""

import dataclasses
import json
import pathlib
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from places import ROOT

from fcn_jax.data import load_dataset, shapes
from fcn_jax.data.shapes.scenes import CLASS_NAMES
from fcn_jax.evaluation import metrics
from fcn_jax.runs.album import read
from fcn_jax.runs.record import read_metrics, read_sessions
from fcn_jax.weights import caffemodel, checkpoints

STEPS = 6


@dataclasses.dataclass
class World:
  """A folder, the scripts run in it, and what they said."""

  folder: pathlib.Path
  said: dict[str, str] = dataclasses.field(default_factory=dict)

  def command(self, script: str, *arguments: str) -> dict:
    """Arguments of `subprocess.Popen`."""
    return {
      "args": [sys.executable, str(ROOT / "scripts" / script), *arguments],
      "cwd": self.folder,
      "stdout": subprocess.PIPE,
      "stderr": subprocess.PIPE,
      "text": True,
    }

  def run(self, script: str, *arguments: str) -> None:
    done = subprocess.run(**self.command(script, *arguments), timeout=300)
    assert done.returncode == 0, f"{script}:\n{done.stderr}"
    self.said[script] = done.stdout + done.stderr


TRAIN = (
  f"--config={ROOT / 'configs/shapes_fcn_alexnet.py'}",
  "--workdir=run",
  "--config.init.path=converted",
  "--config.data.data_dir=data",
  "--config.model.width=0.02",
  "--config.data.max_canvases=1",
  "--config.batch_size=2",
  "--config.data.part_size=1",
  f"--config.duration={STEPS} steps",
  "--config.lr_warmup=0 steps",
  "--config.validate_every=50 %",
  "--config.checkpoint_every=50 %",
  "--config.log_every=1 step",
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
  folder = tmp_path_factory.mktemp("world")
  world = World(folder)
  shapes.write_voc_tar(
    folder / "voc.tar",
    train=6,
    val=4,
    main_train=8,
    main_val=4,
    sizes=((48, 64),),
    diameters=(24.0, 36.0),
  )
  world.run(
    "prepare_dataset.py",
    "--dataset=voc",
    "--name=shapes",
    "--archive=voc.tar",
    "--data_dir=data",
    "--export_crops=crops",
    "--export=folders",
    "--export_to=folders",
  )
  world.run(
    "pretrain_classifier.py",
    f"--config={ROOT / 'configs/shapes_alexnet_classifier.py'}",
    "--workdir=classifier",
    "--config.data.directory=crops",
    "--config.model.width=0.02",
    "--config.batch_size=1",
    "--config.duration=2 steps",
  )
  world.run(
    "convert_weights.py",
    "--source=classifier/classifier.caffemodel",
    "--output=converted",
    f"--num_classes={len(CLASS_NAMES)}",
    "--width=0.02",
  )
  interrupt_training(world)
  world.run("train.py", *TRAIN)
  world.run(
    "evaluate.py", "--checkpoint=run", "--split=val", "--output=metrics.json"
  )
  world.run(
    "predict.py",
    "--checkpoint=run",
    "--images=folders/val/images",
    "--output_dir=predictions",
    "--report=pages/folder.html",
    "--labels=folders/val/labels",
  )
  world.run(
    "predict.py",
    "--checkpoint=run",
    "--data=shapes",
    "--output_dir=of_data",
    "--report=pages/data.html",
  )
  world.run(
    "export_caffemodel.py",
    "--checkpoint=run",
    "--output=fcn.caffemodel",
    "--size=48x64",
  )
  return world


def interrupt_training(world: World) -> None:
  """Starts the training, and presses Ctrl-C after its first record."""
  process = subprocess.Popen(**world.command("train.py", *TRAIN))
  stop = time.monotonic() + 300
  while not any(
    record["kind"] == "train" for record in read_metrics(world.folder / "run")
  ):
    assert process.poll() is None, process.communicate()[1]
    assert time.monotonic() < stop
    time.sleep(0.01)
  process.send_signal(signal.SIGINT)
  world.said["interrupted"] = "".join(process.communicate(timeout=300))
  assert process.returncode == 130, world.said["interrupted"]
  step = checkpoints.find_step(world.folder / "run", "latest")
  assert 0 < step < STEPS
  world.said["stopped at"] = str(step)


def records(world, kind):
  found = read_metrics(world.folder / "run")
  return [record for record in found if record["kind"] == kind]


def test_the_classifier_gave_the_weights(world):
  folder = world.folder
  source = caffemodel.read_caffemodel(
    folder / "classifier/classifier.caffemodel"
  )
  names = (folder / "classifier/classes.txt").read_text().split()
  assert set(names) <= set(CLASS_NAMES[1:])
  assert "proof   holds: fc7" in world.said["convert_weights.py"]
  net, about, _ = checkpoints.load_model(folder / "converted")
  assert source.sha1 in about.source
  stored = {layer.name: layer.blobs for layer in source.layers}
  np.testing.assert_array_equal(
    net.conv5.kernel[...], stored["conv5"][0].transpose(2, 3, 1, 0)
  )
  receipt = (folder / "run/receipt.txt").read_text()
  assert receipt.startswith("source  converted/checkpoints/0\n")


def test_a_stopped_training_goes_on_where_it_stopped(world):
  stopped_at = int(world.said["stopped at"])
  said = world.said["interrupted"]
  assert "SIGINT: saving and stopping after this step" in said
  assert "Stopped; the same command resumes." in said
  assert "Traceback" not in said
  assert f"resuming from step {stopped_at} of run" in world.said["train.py"]
  steps = [record["step"] for record in records(world, "train")]
  assert steps == list(range(1, STEPS + 1))
  assert [r["step"] for r in records(world, "val")] == [0, STEPS // 2, STEPS]
  first = records(world, "val")[0]
  # A head of zeros gives each of the classes the same score.
  assert first["loss"] == pytest.approx(np.log(len(CLASS_NAMES)), rel=1e-5)
  rates = [record["lr"] for record in records(world, "train")]
  falling = [5e-4 * (1 + np.cos(np.pi * i / STEPS)) for i in range(STEPS)]
  assert rates == pytest.approx(falling, rel=1e-5)


def test_its_report_tells_of_both_halves(world):
  page = (world.folder / "run/report.html").read_text()
  assert f"Finished at step {STEPS} of {STEPS} (100 %)" in page
  for record in records(world, "val"):
    assert f">{record['mean_iu']:.4f}<" in page
  stopped, finished = read_sessions(world.folder / "run")
  assert (stopped.outcome, finished.outcome) == ("stopped", "finished")
  assert str(stopped.last_step) == world.said["stopped at"]
  _, script, config, *_ = shlex.split(finished.command)
  assert script.endswith("scripts/train.py")
  assert config.startswith("--config=")
  album = read(world.folder / "run")
  assert len(album.pictures) == 4
  for picture in album.pictures:
    assert list(picture.predictions) == [0, STEPS // 2, STEPS]
  assert "not up to date" not in world.said["train.py"]


def test_the_scores_are_those_of_the_best_record(world):
  found = json.loads((world.folder / "metrics.json").read_text())
  best = max(records(world, "val"), key=lambda r: (r["mean_iu"], r["step"]))
  assert found["step"] == best["step"]
  assert found["mean_iu"] == pytest.approx(best["mean_iu"], rel=1e-6)
  assert found["pixel_accuracy"] == pytest.approx(best["pixel_accuracy"])
  assert found["loss"] == pytest.approx(best["loss"], rel=1e-5)
  assert found["majority_baseline"] == best["majority_baseline"]
  assert found["images"] == 4
  assert f"{found['mean_iu']:.4f}" in world.said["evaluate.py"]


def test_the_masks_score_what_the_scores_say(world):
  """Mean IU anew, from the PNGs of the predictions and the labels."""
  folder = world.folder
  dataset = load_dataset("shapes", str(folder / "data"))
  summary = json.loads((folder / "predictions/summary.json").read_text())
  assert summary["class_names"] == list(CLASS_NAMES)
  assert sorted(summary["images"]) == sorted(dataset.ids("val"))
  classes = len(CLASS_NAMES)
  counts = np.zeros((classes, classes), np.int64)
  for image_id, image in summary["images"].items():
    with (
      Image.open(folder / "predictions" / image["mask"]) as mask,
      Image.open(folder / f"folders/val/labels/{image_id}.png") as label,
    ):
      predicted, expected = np.asarray(mask), np.asarray(label)
    assert predicted.shape == expected.shape
    valid = expected != 255
    np.add.at(counts, (expected[valid], predicted[valid]), 1)
    shares = np.bincount(predicted.ravel(), minlength=classes) / predicted.size
    assert list(image["shares"].values()) == pytest.approx(shares, abs=1e-6)
  scores = json.loads((folder / "metrics.json").read_text())
  found = metrics.figures(metrics.Counts(counts))
  for key in ("mean_iu", "pixel_accuracy", "mean_dice"):
    assert found[key] == pytest.approx(scores[key])


@pytest.mark.parametrize("name", ["folder", "data"])
def test_the_page_of_predictions_says_what_the_scores_say(world, name):
  scores = json.loads((world.folder / "metrics.json").read_text())
  text = (world.folder / f"pages/{name}.html").read_text()
  baseline = scores["majority_baseline"]
  for key in ("mean_iu", "pixel_accuracy"):
    only = f"only {baseline['class']}: {baseline[key]:.4f}"
    assert f"<dd>{scores[key]:.4f} <small>{only}</small></dd>" in text
  assert text.count('<section class="viewer"') == scores["images"]


def test_the_exported_file_is_the_best_checkpoint(world):
  net, _, step = checkpoints.load_model(world.folder / "run")
  said = world.said["export_caffemodel.py"]
  assert f"step {step} of run" in said
  source = caffemodel.read_caffemodel(world.folder / "fcn.caffemodel")
  assert source.sha1 in said
  stored = {layer.name: layer.blobs for layer in source.layers}
  for name in ("conv1", "fc6", "score_fr"):
    np.testing.assert_array_equal(
      getattr(net, name).kernel[...], stored[name][0].transpose(2, 3, 1, 0)
    )
  text = (world.folder / "fcn.prototxt").read_text()
  assert f"class 1: {CLASS_NAMES[1]}" in text
