"""Gradients, learning rates and whole runs of the solver."""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from fcn_jax import devices, models
from fcn_jax.data import augment, pipeline
from fcn_jax.models import losses
from fcn_jax.models.options import options_of
from fcn_jax.parity.comparison import Comparison, near
from fcn_jax.parity.golden import (
  GRADIENT,
  HISTORY,
  LEARNING_RATE,
  LOSS,
  NORM,
  WEIGHT,
  Golden,
  declare,
  fill,
)
from fcn_jax.parity.nets import differences
from fcn_jax.training import optimizers, step


def compare(golden: Golden) -> Iterator[Comparison]:
  """Every run of sgd.json, image by image; those with batches both ways."""
  runs = Runs(golden)
  yield differences("sgd", runs.layers, runs.described["net"])
  gradient, _ = runs.gradients(runs.described["gradients"]["normalize"])(
    runs.start(), runs.described["gradients"]["image"]
  )
  for name in runs.described["params"]:
    theirs = runs.arrays[f"grad/{name}"]
    ours = parameter(gradient, name)
    yield near("gradients", name, ours, theirs, GRADIENT)
  for run in runs.described["runs"]:
    name = run["name"]
    rate = learning_rate(run)
    rates = [float(rate(jnp.asarray(i))) for i in range(run["iterations"])]
    theirs = runs.arrays[f"{name}/lr"]
    yield near("learning rates", name, rates, theirs, LEARNING_RATE)
    yield from runs.compare(run, runs.one_by_one(run), "")
    if run["solver"].get("iter_size", 1) > 1:
      yield from runs.compare(run, runs.in_batches(run), ", drawn as a batch")


def learning_rate(run: dict):
  """The schedule of a run."""
  solver = run["solver"]
  function = optimizers.SCHEDULES[solver["lr_policy"]]
  given = {
    "gamma": solver.get("gamma", 1.0),
    "stepsize": solver.get("stepsize", 1),
    "stepvalues": tuple(solver.get("stepvalue", ())),
    "power": solver.get("power", 1.0),
  }
  return function(
    solver["base_lr"],
    total=solver.get("max_iter", run["iterations"]),
    steps=int,
    **{name: given[name] for name in options_of(function) if name in given},
  )


def caffes_loss(normalize: bool) -> losses.Loss:
  """The loss of a run; what is minimised is shown, as Caffe does."""
  loss = losses.cross_entropy(normalize)
  return loss._replace(shown=loss.image)


def parameter(tree, name: str) -> np.ndarray:
  """A parameter, by Caffe's name (conv1_0) and in Caffe's shape."""
  layer, number = name.rsplit("_", 1)
  if number == "1":
    return np.asarray(tree[layer]["bias"][...])
  return np.asarray(tree[layer]["kernel"][...]).transpose(3, 2, 0, 1)


class Runs:
  """The runs of a folder.

  A run of ours yields, after each update, (params, history, losses of the
  update's images).
  """

  def __init__(self, golden: Golden):
    self.described, self.arrays = golden.load("sgd")
    self.layers = declare(
      "fcn_alexnet", self.described["net"], self.described["preprocessing"]
    )
    self.samples = [
      augment.Sample(self.arrays[f"image/{i}"], self.arrays[f"label/{i}"])
      for i in range(len(self.described["sizes"]))
    ]
    self.net = fill(
      models.build(self.layers), lambda key: self.arrays[f"init/{key}"]
    )

  def training(self, run: dict) -> step.Training:
    """The functions of a run."""
    solver = run["solver"]
    graphdef, params, _ = nnx.split(self.net, nnx.Param, ...)
    return step.Training(
      graphdef,
      functools.partial(
        optimizers.caffe_sgd,
        multipliers=optimizers.multipliers(self.layers, params),
        images=solver.get("iter_size", 1),
        momentum=solver["momentum"],
        weight_decay=solver["weight_decay"],
        clip_gradients=solver.get("clip_gradients", 0.0),
      ),
      learning_rate(run),
      caffes_loss(run["normalize"]),
      jax.random.key(0),
    )

  def start(self) -> step.TrainState:
    """Where every run starts from; a copy, since steps take its arrays."""
    _, params, frozen = nnx.split(self.net, nnx.Param, ...)
    params, frozen = jax.tree.map(jnp.copy, (params, frozen))
    zeros = jax.tree.map(jnp.zeros_like, params)
    count = jnp.zeros((), jnp.int32)
    return step.TrainState(
      jnp.zeros((), jnp.int32),
      params,
      frozen,
      optimizers.SolverState(count, zeros),
    )

  @functools.cache  # noqa: B019  one program for all runs
  def gradients(self, normalize: bool):
    """(state, image number) -> (gradients, losses); every image alone."""
    canvas = tuple(np.array(self.described["sizes"]).max(0).tolist())
    batches = [pipeline.place([s], [0], canvas, 1) for s in self.samples]
    run = self.described["runs"][0] | {"normalize": normalize}
    function = jax.jit(self.training(run).gradients)

    def of(state, image: int):
      return function(state.params, state.frozen, state.step, batches[image])

    return of

  def one_by_one(self, run: dict):
    """As Caffe does it: the gradients of iter_size images, added up."""
    state, of = self.start(), self.gradients(run["normalize"])
    update = jax.jit(self.training(run).update)
    for images in _updates(run):
      found = [of(state, image) for image in images]
      total = jax.tree.map(lambda *g: sum(g), *[grads for grads, _ in found])
      state = update(state, total)
      yield state, [float(loss[0]) for _, loss in found]

  def in_batches(self, run: dict):
    """As training does it: a batch, divided by canvas into parts."""
    mesh = devices.data_mesh()
    sizes = np.array(self.described["sizes"])
    tall = tuple(sizes[sizes[:, 0].argmax()].tolist())
    canvases = (tall, tuple(sizes.max(0).tolist()))
    stepper = step.Stepper(self.training(run), mesh, one_part=False)
    state = devices.replicate(self.start(), mesh)
    part_size = devices.divisible(1, mesh)
    for images in _updates(run):
      chosen = [self.samples[image] for image in images]
      parts = pipeline.divide(chosen, canvases, part_size)
      state, found = stepper(state, pipeline.Batch(tuple(images), parts))
      losses = np.zeros(len(images))
      for part, each in zip(parts, found, strict=True):
        real = part.extent.any(1)
        losses[part.position[real]] = np.asarray(each)[real]
      yield state, losses.tolist()

  def compare(self, run: dict, ours, how: str) -> Iterator[Comparison]:
    """A run of ours with Caffe's."""
    name = run["name"]
    losses, state = [], self.start()
    for i, (state, each) in enumerate(ours):
      losses += each
      for j, key in enumerate(self.described["params"]):
        array = parameter(state.params, key).astype(np.float64)
        norm = self.arrays[f"{name}/param_l2"][i, j]
        total = self.arrays[f"{name}/param_sum"][i, j]
        case = f"{name}, {key}, update {i + 1}"
        found = np.linalg.norm(array)
        yield near(f"norms of weights{how}", case, found, norm, NORM)
        yield near(
          f"sums of weights{how}",
          case,
          array.sum(),
          total,
          NORM,
          norm * np.sqrt(array.size),
        )
    theirs = self.arrays[f"{name}/loss_every_forward"]
    for i, pair in enumerate(zip(losses, theirs, strict=True)):
      yield near(f"losses{how}", f"{name}, forward {i + 1}", *pair, LOSS)
    for key in self.described["params"]:
      theirs = self.arrays.get(f"{name}/w/{key}")
      if theirs is not None:
        final = parameter(state.params, key)
        what = f"weights at the end{how}"
        yield near(what, f"{name}, {key}", final, theirs, WEIGHT)
      theirs = self.arrays.get(f"{name}/history/{key}")
      if theirs is not None:
        final = parameter(state.opt_state.history, key)
        what = f"history at the end{how}"
        yield near(what, f"{name}, {key}", final, theirs, HISTORY)


def _updates(run: dict) -> list[list[int]]:
  """The images of each update."""
  images, each = run["image_order"], run["solver"].get("iter_size", 1)
  return [images[i : i + each] for i in range(0, len(images), each)]
