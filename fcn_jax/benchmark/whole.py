"""Work from files on: reading them, an epoch of them, segmenting a folder."""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np

from fcn_jax import devices
from fcn_jax.benchmark import compute
from fcn_jax.benchmark import files as files_lib
from fcn_jax.benchmark.turns import take_turns
from fcn_jax.data import Dataset, pipeline
from fcn_jax.data.canvases import assign, choose_canvases
from fcn_jax.data.classes import voc_palette
from fcn_jax.data.formats.voc import CLASS_NAMES
from fcn_jax.data.images import decode_image
from fcn_jax.prediction import predictor as predictor_lib
from fcn_jax.prediction.files import plan, predict_files
from fcn_jax.prediction.folder import PredictionFolder
from fcn_jax.prediction.inputs import find_images
from fcn_jax.runs import record as record_lib
from fcn_jax.training.step import Stepper, Training, TrainState
from fcn_jax.weights import checkpoints

MAX_CANVASES = 3
EPOCHS = 8  # of reading


def loader(data: Dataset, threads: int, batch_size: int = 1) -> pipeline.Loader:
  """Of the split train, in stored order."""
  sizes = data.sizes("train")
  return pipeline.Loader(
    dataset=data,
    split="train",
    drawing=pipeline.Drawing(len(sizes), batch_size, "sequential", seed=0),
    canvases=choose_canvases(sizes, MAX_CANVASES),
    part_size=1,
    num_threads=threads,
  )


def measure_input(folder: pathlib.Path, data: Dataset, repeats: int):
  """Timings of reading every image in one thread, ours and plainly.

  Each time `EPOCHS` times over, so that opening the files does not count.
  """
  reading = loader(data, threads=0)
  stems = data.ids("train")
  which = assign(data.sizes("train"), reading.canvases)

  def ours():
    for _ in reading.steps(0, EPOCHS * len(stems)):
      pass

  def plainly():
    for _ in range(EPOCHS):
      for stem, canvas in zip(stems, which, strict=True):
        files_lib.read_plainly(folder, stem, reading.canvases[canvas])

  return take_turns({"fcn_jax": ours, "plain loop": plainly}, repeats, 1)


def measure_epoch(data: Dataset, model: str, precision: str, repeats: int):
  """Timings of an epoch from files and from memory; compiled programs."""
  reading = loader(data, threads=2)
  steps = len(data.ids("train"))
  net = compute.network(model, precision)
  graphdef, params, frozen = compute.split(net)
  update = compute.solver(net, params, 1)
  training = Training(graphdef, update, True, jax.random.key(0))
  mesh = devices.data_mesh()
  stepper = Stepper(training, mesh, one_part=True)
  zero = jax.numpy.zeros((), jax.numpy.int32)
  params, frozen = jax.tree.map(jax.numpy.copy, (params, frozen))
  state = [
    devices.replicate(
      TrainState(zero, params, frozen, update.init(params)), mesh
    )
  ]

  def epoch(batches):
    for drawn in batches:
      state[0], each = stepper(state[0], drawn)
      jax.block_until_ready(each)
    jax.block_until_ready(state[0].params)

  held = list(reading.steps(0, steps))
  timings = take_turns(
    {
      "from files": lambda: epoch(reading.steps(0, steps)),
      "from memory": lambda: epoch(held),
    },
    repeats,
    1,
  )
  return timings, stepper._train_step._cache_size(), reading.canvases


def measure_predict(
  folder: pathlib.Path, model: str, precision: str, repeats: int
):
  """Timings of segmenting a folder, masks written, and of scores alone."""
  net = compute.network(model, precision)
  about = checkpoints.About(
    model={"name": model, "classes": compute.CLASSES},
    class_names=list(CLASS_NAMES),
    palette=voc_palette().tolist(),
  )
  predictor = predictor_lib.Predictor(net, about)
  files, _ = find_images([str(folder / "train/images")], str(folder / "out"))
  parts = plan(files, MAX_CANVASES, predictor.mesh.size)
  decoded = [
    (part, [decode_image(file.read(), str(file.path)) for file in part.files])
    for part in parts
  ]

  def whole():
    with tempfile.TemporaryDirectory() as output:
      target = PredictionFolder(
        f"{output}/predictions",
        files,
        {"class_names": list(CLASS_NAMES)},
        palette_in_masks=True,
        save_probabilities=False,
      )
      predict_files(
        predictor, files, target, max_canvases=MAX_CANVASES, num_threads=2
      )

  def alone():
    for part, images in decoded:
      scores = predictor.scores(images, part.canvas)
      np.asarray(predictor_lib.most_likely(scores))

  timings = take_turns({"masks written": whole, "alone": alone}, repeats, 1)
  return timings, len({part.canvas for part in parts})


def seconds_to_first_step(
  root: pathlib.Path, folder: pathlib.Path, model: str
) -> dict[str, float]:
  """From the command to the first step, with an empty cache and a full one.

  The one image of val is scored before it.
  """
  found = {}
  with tempfile.TemporaryDirectory() as cache:
    for name in ("empty cache", "full cache"):
      with tempfile.TemporaryDirectory() as workdir:
        command = [
          sys.executable,
          str(root / "scripts/train.py"),
          f"--config={root / f'configs/voc_{model}.py'}",
          f"--workdir={workdir}/run",
          "--config.init.source=random",
          f"--config.data.name={files_lib.NAME}",
          f"--config.data.data_dir={folder / 'data'}",
          "--config.batch_size=1",
          "--config.duration=1 step",
          "--config.log_every=1 step",
        ]
        found[name] = _until_first_step(
          command, cache, pathlib.Path(workdir) / "run"
        )
  return found


def _until_first_step(command, cache: str, workdir: pathlib.Path) -> float:
  environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": cache}
  with tempfile.TemporaryFile() as said:
    began = time.monotonic()
    process = subprocess.Popen(
      command, env=environment, stdout=said, stderr=said
    )
    while process.poll() is None:
      records = record_lib.read_metrics(workdir)
      if any(record["kind"] == "train" for record in records):
        break
      time.sleep(0.02)
    seconds = time.monotonic() - began
    if process.wait():
      said.seek(0)
      raise OSError(said.read().decode().strip().splitlines()[-1])
  return seconds
