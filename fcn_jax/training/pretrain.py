"""Training an AlexNet classifier, for its weights to be turned into an FCN."""

import json
import logging
import pathlib
import time

import jax
import numpy as np
import optax
from flax import nnx
from ml_collections import ConfigDict
from tqdm.auto import tqdm

from fcn_jax import devices, models
from fcn_jax.data import class_folders, sampling
from fcn_jax.data.classes import voc_palette
from fcn_jax.evaluation import metrics
from fcn_jax.evaluation.evaluator import evaluation_step
from fcn_jax.training import optimizers, progress
from fcn_jax.training.recipe import check
from fcn_jax.training.step import Stepper, Training, TrainState
from fcn_jax.weights import caffemodel, checkpoints, export, surgery

SIDE = models.declare("alexnet", classes=1)[0].size

FILE = "classifier.caffemodel"
FIELDS = {
  "seed": int,
  "precision": str,
  "model.width": float,
  "model.order": str,
  "model.mean_bgr": tuple,
  "data.directory": str,
  "data.resize": int,
  "data.num_threads": int,
  "batch_size": int,
  "duration": str,
  "learning_rate": float,
  "warmup_steps": int,
  "weight_decay": float,
  "clip_gradients": float,
}

_log = logging.getLogger(__name__)


def train_classifier(recipe: ConfigDict, workdir: str) -> float:
  """Trains a classifier and writes it as workdir/classifier.caffemodel.

  Beside it: classes.txt, one name per line.  Nothing is written before the
  end; an interrupted run starts anew.

  Args:
    recipe: see configs/shapes_alexnet_classifier.py.
    workdir: made if absent.

  Returns:
    Accuracy on val, 0..1.

  Raises:
    ValueError: the recipe or the data make no sense.
    FileExistsError: the workdir holds a classifier.
    progress.NotFinite: the loss or a weight became NaN or infinite.
  """
  check(recipe, FIELDS)
  folder = pathlib.Path(workdir).expanduser()
  output = folder / FILE
  if output.exists():
    raise FileExistsError(f"{output} is there; name another --workdir")
  mesh = devices.data_mesh()
  if recipe.batch_size % mesh.size:
    raise ValueError(
      f"config.batch_size = {recipe.batch_size}: must be a multiple of the "
      f"{mesh.size} devices"
    )
  splits = class_folders.find_classes(recipe.data.directory)
  names = splits["train"].class_names
  loader = _loader(recipe, splits["train"], "shuffle")
  epoch = loader.sampler.steps_per_epoch
  total = optimizers.steps_in(recipe.duration, None, epoch)
  _log.info(
    "%s: %d training crops of %s; %d steps",
    recipe.data.directory,
    len(splits["train"].files),
    ", ".join(names),
    total,
  )
  layers = models.declare(
    "alexnet",
    classes=len(names),
    width=recipe.model.width,
    order=recipe.model.order,
    mean_bgr=tuple(recipe.model.mean_bgr),
  )
  net = models.build(layers, recipe.precision)
  surgery.initialise(net, recipe.seed, "gaussian")
  graphdef, params, frozen = nnx.split(net, nnx.Param, ...)
  solver = _solver(recipe, total)
  state = devices.replicate(
    TrainState(
      jax.numpy.zeros((), "int32"), params, frozen, solver.init(params)
    ),
    mesh,
  )
  key = jax.random.key(recipe.seed)
  training = Training(graphdef, solver, True, key)
  stepper = Stepper(training, mesh, one_part=True)
  losses = []
  began = time.monotonic()
  bar = tqdm(loader.steps(0, total), total=total, unit="step", disable=None)
  for step, drawn in enumerate(bar, 1):
    state, (each,) = stepper(state, drawn)
    losses.append(each)
    if step % 50 == 0 or step == total:
      loss = float(np.mean(jax.device_get(losses)))
      losses = []
      if not np.isfinite(loss):
        raise _not_finite(step, "loss")
      bar.set_postfix_str(f"loss {loss:.4f}")
      if bar.disable:
        _log.info(
          "step %d of %d: loss %.4f, %.0f s",
          step,
          total,
          loss,
          time.monotonic() - began,
        )
  params = jax.device_get(state.params)
  if not all(np.isfinite(x).all() for x in jax.tree.leaves(params)):
    raise _not_finite(total, "weights")
  folder.mkdir(parents=True, exist_ok=True)
  net = nnx.merge(graphdef, params, frozen)
  (folder / "classes.txt").write_text("".join(f"{name}\n" for name in names))
  (folder / "config.json").write_text(json.dumps(recipe.to_dict(), indent=2))
  caffemodel.write_caffemodel(
    output, export.to_caffe(net, inner_products=("fc6", "fc7", "fc8"))
  )
  accuracy = _accuracy(recipe, splits["val"], graphdef, state, mesh)
  _log.info(
    "accuracy on %d val crops: %.4f (chance: %.4f)",
    len(splits["val"].files),
    accuracy,
    np.bincount(splits["val"].classes).max() / len(splits["val"].files),
  )
  return accuracy


def load_classifier(
  workdir: str | pathlib.Path,
) -> tuple[models.Network, checkpoints.ModelCard]:
  """The classifier that `train_classifier` wrote, ready to be called.

  >>> net, about = load_classifier("runs/quickstart/classifier")
  >>> scores = net(images)  # uint8 [b, 227, 227, 3] to float32 [b, 1, 1, 5]

  Raises:
    FileNotFoundError: the workdir holds none.
    ValueError: its files do not belong together.
  """
  folder = pathlib.Path(workdir).expanduser()
  for name in (FILE, "classes.txt", "config.json"):
    if not (folder / name).is_file():
      raise FileNotFoundError(
        f"{folder} holds no {name}; give the workdir of "
        "scripts/pretrain_classifier.py"
      )
  recipe = json.loads((folder / "config.json").read_text())
  names = (folder / "classes.txt").read_text().splitlines()
  source = caffemodel.read_caffemodel(folder / FILE)
  about = checkpoints.ModelCard(
    model={"name": "alexnet", "classes": len(names), **recipe["model"]},
    class_names=names,
    palette=voc_palette().tolist(),
    config=recipe,
    source=f"{FILE}, SHA-1 {source.sha1}",
  )
  net = models.build(about.declaration())
  surgery.surgery(source, net, file=str(folder / FILE))
  return net, about


def _not_finite(step: int, what: str) -> progress.NotFinite:
  return progress.NotFinite(
    f"step {step}: the {what} became NaN or infinite; lower "
    "config.learning_rate, or raise config.warmup_steps"
  )


def _solver(recipe: ConfigDict, total: int) -> optax.GradientTransformation:
  """AdamW with warm-up and cosine decay, on a sum of gradients.

  Adam, since a short training from nothing needs steps that fit every layer.
  """
  total = max(1, total)
  schedule = optax.warmup_cosine_decay_schedule(
    0.0, recipe.learning_rate, min(recipe.warmup_steps, total - 1), total
  )
  return optax.chain(
    optax.scale(1 / recipe.batch_size),
    optax.clip_by_global_norm(recipe.clip_gradients),
    optax.adamw(schedule, weight_decay=recipe.weight_decay),
  )


def _loader(recipe, folders: class_folders.ClassFolders, order: str):
  sampler = sampling.Sampler(
    images=len(folders.files),
    batch_size=recipe.batch_size,
    order=order,
    seed=recipe.seed,
  )
  red_green_blue = tuple(round(x) for x in reversed(recipe.model.mean_bgr))
  return class_folders.CropLoader(
    folders=folders,
    sampler=sampler,
    side=SIDE,
    fill=red_green_blue,
    resize=recipe.data.resize,
    augment=order == "shuffle",
    num_threads=recipe.data.num_threads,
  )


def _accuracy(recipe, folders, graphdef, state, mesh) -> float:
  """Share of val images that are named rightly."""
  loader = _loader(recipe, folders, "sequential")
  step = jax.jit(evaluation_step, static_argnums=0)
  classes = len(folders.class_names)
  histogram = np.zeros((classes, classes), np.int64)
  left = len(folders.files)
  for drawn in loader.steps(0, loader.sampler.steps_per_epoch):
    part = devices.shard(drawn.parts[0], mesh)
    found, *_ = step(graphdef, state.params, state.frozen, part)
    # The last batch is filled up with the first images again.
    histogram += jax.device_get(found)[:left].sum(0)
    left -= len(drawn.indices)
  return metrics.scores(histogram).pixel_accuracy
