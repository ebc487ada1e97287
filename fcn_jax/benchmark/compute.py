"""Forward passes and train steps, ours and plain, on made-up images."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from fcn_jax import models
from fcn_jax.benchmark import plain
from fcn_jax.data import pipeline
from fcn_jax.evaluation import tiling
from fcn_jax.models import losses
from fcn_jax.training import optimizers
from fcn_jax.training.step import Training, TrainState
from fcn_jax.weights import surgery

CLASSES = 21


@functools.cache
def network(
  model: str, precision: str, width: float = 1.0, classes: int = CLASSES
) -> models.Network:
  """A network with random weights."""
  declared = models.declare(model, classes, width=width)
  net = models.build(declared, precision)
  surgery.initialise(net, seed=0, head_init="gaussian")
  return net


def batch(
  height: int,
  width: int,
  images: int,
  classes: int = CLASSES,
  of_classifier: bool = False,
) -> pipeline.Part:
  """Noise, with labels of noise; a tenth of them is void.

  Those of a classifier are one pixel an image, and never void.
  """
  draw = np.random.default_rng(0)
  size = (1, 1) if of_classifier else (height, width)
  label = draw.integers(0, classes, (images, *size)).astype(np.uint8)
  if not of_classifier:
    label[draw.random(label.shape) < 0.1] = losses.VOID
  image = draw.integers(0, 256, (images, height, width, 3), np.uint8)
  extent = np.full((images, 2), (height, width), np.int32)
  made = pipeline.Part(image, label, extent, np.arange(images, dtype="i4"))
  return jax.device_put(made)


def split(net: models.Network):
  """(graphdef, params, frozen)."""
  return nnx.split(net, nnx.Param, ...)


def solver(net: models.Network, params, images: int) -> optimizers.Solver:
  """Caffe's SGD, as in the VOC recipes."""
  return functools.partial(
    optimizers.caffe_sgd,
    multipliers=optimizers.multipliers(net.layers, params),
    images=images,
    weight_decay=5e-4,
  )


# A learning rate that changes nothing.
schedule = optimizers.fixed(1e-10, total=1, steps=int)


def forward(net: models.Network, given: pipeline.Part):
  """() -> None: scores of a batch."""
  run, arrays = forward_program(net, given)
  return lambda: _wait(run(*arrays))


def forward_program(net: models.Network, given: pipeline.Part):
  """The function that scores a batch, and its arguments."""
  graphdef, params, frozen = split(net)
  function = functools.partial(tiling.forward, graphdef)
  return function, (params, frozen, given.image, given.extent)


def training(net: models.Network, images: int) -> tuple[Training, TrainState]:
  """The functions of a step for so many images, and a state of their own."""
  graphdef, params, frozen = split(net)
  update = solver(net, params, images)
  functions = Training(
    graphdef, update, schedule, losses.cross_entropy(), jax.random.key(0)
  )
  params, frozen = jax.tree.map(jnp.copy, (params, frozen))
  zero = jnp.zeros((), jnp.int32)
  opt_state = update(schedule).init(params)
  return functions, TrainState(zero, params, frozen, opt_state)


def step(net: models.Network, given: pipeline.Part):
  """() -> None: forward, backward and update, the state in place."""
  functions, first = training(net, len(given.image))
  run = jax.jit(functions.train_step, donate_argnums=0)
  state = [first]

  def take():
    state[0], each = run(state[0], given)
    _wait((state[0].params, each))

  return take


def plain_forward(net: models.Network, given: pipeline.Part):
  """() -> None: scores of a batch by `plain`, in float32."""
  params = nnx.to_pure_dict(nnx.state(net, nnx.Param))
  run = jax.jit(functools.partial(plain.scores, net.layers))
  return lambda: _wait(run(params, given.image))


def plain_step(net: models.Network, given: pipeline.Part):
  """() -> None: a step of `plain` in float32, and the same solver."""
  layers = net.layers
  params = jax.tree.map(jnp.copy, nnx.to_pure_dict(nnx.state(net, nnx.Param)))
  update = solver(net, params, len(given.image))(schedule)

  def loss(params, key):
    scores = plain.scores(layers, params, given.image, key)
    loss = losses.cross_entropy()
    return loss.image(loss.pixels(scores, given.label)).sum()

  @functools.partial(jax.jit, donate_argnums=(0, 1))
  def run(params, opt_state):
    value, grads = jax.value_and_grad(loss)(params, jax.random.key(0))
    updates, opt_state = update.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, value

  held = [params, update.init(params)]

  def take():
    held[0], held[1], value = run(*held)
    _wait((held[0], value))

  return take


def _wait(result) -> None:
  jax.block_until_ready(result)
