"""Made-up photographs with the sizes of PASCAL VOC's, as files and prepared."""

import io
import pathlib
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np
from PIL import Image

from fcn_jax import devices
from fcn_jax.benchmark import compute, startup
from fcn_jax.benchmark.machine import take_turns
from fcn_jax.data import Dataset, load_dataset, pipeline, sampling
from fcn_jax.data.augment import Sample
from fcn_jax.data.canvases import assign, choose_canvases
from fcn_jax.data.classes import voc_palette
from fcn_jax.data.formats import Folder
from fcn_jax.data.formats.voc import CLASS_NAMES
from fcn_jax.data.images import decode_image
from fcn_jax.data.prepare import Output, prepare_dataset
from fcn_jax.prediction.files import plan, predict_files
from fcn_jax.prediction.folder import PredictionFolder
from fcn_jax.prediction.inputs import find_images
from fcn_jax.prediction.predictor import Predictor, most_likely
from fcn_jax.runs.record import read_metrics
from fcn_jax.training.step import Stepper
from fcn_jax.weights import checkpoints

NAME = "voc_like"


def draw_sizes(counts: list[list[int]], images: int) -> list[tuple[int, int]]:
  """As many sizes as asked for, each as often as its share says.

  Args:
    counts: [height, width, images of that size].
    images: how many.
  """
  sizes = np.repeat(
    [row[:2] for row in counts], [row[2] for row in counts], axis=0
  )
  places = (np.arange(images) + 0.5) * len(sizes) / images
  drawn = sizes[places.astype(int)]
  order = np.random.default_rng(0).permutation(images)
  return [(int(h), int(w)) for h, w in drawn[order]]


def write(
  folder: pathlib.Path, counts: list[list[int]], images: int
) -> list[str]:
  """Writes train/{images,labels} and one image for val; returns train's stems.

  A JPEG of quality 90 has about as many bytes as one of VOC's; labels have
  three objects with void borders.
  """
  draw = np.random.default_rng(1)
  (folder / "classes.txt").write_text("\n".join(CLASS_NAMES) + "\n")
  sizes = draw_sizes(counts, images)
  stems = [f"{i:05d}" for i in range(images)]
  for split in ("train", "val"):
    for kind in ("images", "labels"):
      (folder / split / kind).mkdir(parents=True)
  pairs = [("train", *pair) for pair in zip(stems, sizes, strict=True)]
  for split, stem, (height, width) in [*pairs, ("val", "last", sizes[0])]:
    coarse = draw.integers(0, 256, (9, 12, 3)).astype(np.uint8)
    smooth = Image.fromarray(coarse).resize((width, height), Image.BICUBIC)
    noisy = np.asarray(smooth) + draw.normal(0, 12, (height, width, 3))
    image = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    image.save(folder / split / f"images/{stem}.jpg", quality=90)
    label = np.zeros((height, width), np.uint8)
    for index in draw.integers(1, len(CLASS_NAMES), 3):
      top, left = draw.integers(0, (height // 2, width // 2))
      label[top : top + height // 3, left : left + width // 3] = 255
      inside = label[top + 3 : top + height // 3 - 3, left + 3 :]
      inside[:, : width // 3 - 6] = index
    paletted = Image.fromarray(label)
    paletted.putpalette(voc_palette().tobytes())
    paletted.save(folder / split / f"labels/{stem}.png")
  return stems


def prepare(folder: pathlib.Path) -> Dataset:
  """The files of `write` as a data set below `folder`/data."""
  prepare_dataset(
    Folder(
      train_images=str(folder / "train/images"),
      train_labels=str(folder / "train/labels"),
      val_images=str(folder / "val/images"),
      val_labels=str(folder / "val/labels"),
      class_names=str(folder / "classes.txt"),
    ),
    Output(name=NAME, data_dir=str(folder / "data")),
    say=lambda *_: None,
  )
  return load_dataset(NAME, str(folder / "data"))


def read_plainly(
  folder: pathlib.Path, stem: str, canvas: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
  """Image and label of one pair on a canvas, as one would first write it."""
  data = (folder / f"train/images/{stem}.jpg").read_bytes()
  image = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
  data = (folder / f"train/labels/{stem}.png").read_bytes()
  label = np.asarray(Image.open(io.BytesIO(data)))
  height, width = label.shape
  on_canvas = np.zeros((*canvas, 3), np.uint8)
  on_canvas[:height, :width] = image
  labels = np.full(canvas, 255, np.uint8)
  labels[:height, :width] = label
  return on_canvas, labels


MAX_CANVASES = 3
EPOCHS = 8  # of reading


def loader(data: Dataset, threads: int, batch_size: int = 1) -> pipeline.Loader:
  """Of the split train, in stored order."""
  sizes = data.sizes("train")
  return pipeline.Loader(
    dataset=data,
    split="train",
    sampler=sampling.Sampler(len(sizes), batch_size, "sequential", seed=0),
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
        read_plainly(folder, stem, reading.canvases[canvas])

  return take_turns({"fcn_jax": ours, "plain loop": plainly}, repeats, 1)


def measure_epoch(data: Dataset, model: str, precision: str, repeats: int):
  """Timings of an epoch from files and from memory; compiled programs."""
  reading = loader(data, threads=2)
  steps = len(data.ids("train"))
  net = compute.network(model, precision)
  training, first = compute.training(net, 1)
  mesh = devices.data_mesh()
  stepper = Stepper(training, mesh, one_part=True)
  state = [devices.replicate(first, mesh)]

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
  about = checkpoints.ModelCard(
    model={"name": model, "classes": compute.CLASSES},
    class_names=list(CLASS_NAMES),
    palette=voc_palette().tolist(),
  )
  predictor = Predictor(net, about)
  files, _ = find_images([str(folder / "train/images")], str(folder / "out"))
  parts = plan(files, MAX_CANVASES, predictor.mesh.size)
  decoded = [
    (
      canvas,
      [
        Sample(decode_image(file.read(), str(file.path)), None)
        for file in of_part
      ],
    )
    for canvas, of_part in parts
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
    for canvas, samples in decoded:
      scores = predictor.scores(predictor.place(samples, canvas))
      np.asarray(most_likely(scores))

  timings = take_turns({"masks written": whole, "alone": alone}, repeats, 1)
  return timings, len({canvas for canvas, _ in parts})


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
          f"--config.data.name={NAME}",
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
  with tempfile.TemporaryFile() as said:
    began = time.monotonic()
    process = subprocess.Popen(
      command, env=startup.with_cache(cache), stdout=said, stderr=said
    )
    while process.poll() is None:
      records = read_metrics(workdir)
      if any(record["kind"] == "train" for record in records):
        break
      time.sleep(0.02)
    seconds = time.monotonic() - began
    if process.wait():
      said.seek(0)
      raise OSError(said.read().decode().strip().splitlines()[-1])
  return seconds
