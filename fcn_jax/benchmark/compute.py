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
from fcn_jax.models import losses
from fcn_jax.training import optimizers
from fcn_jax.training.step import Training, TrainState
from fcn_jax.weights import surgery

CLASSES = 21


@functools.cache
def network(model: str, precision: str) -> models.Network:
  """A network with random weights."""
  net = models.build(models.declare(model, CLASSES), precision)
  surgery.initialise(net, seed=0, head_init="gaussian")
  return net


def batch(height: int, width: int, images: int) -> pipeline.Part:
  """Noise, with labels of noise; a tenth of them is void."""
  draw = np.random.default_rng(0)
  label = draw.integers(0, CLASSES, (images, height, width)).astype(np.uint8)
  label[draw.random(label.shape) < 0.1] = losses.VOID
  image = draw.integers(0, 256, (*label.shape, 3), np.uint8)
  extent = np.full((images, 2), (height, width), np.int32)
  made = pipeline.Part(image, label, extent, np.arange(images, dtype="i4"))
  return jax.device_put(made)


def split(net: models.Network):
  """(graphdef, params, frozen)."""
  return nnx.split(net, nnx.Param, ...)


def solver(net: models.Network, params, images: int):
  """Caffe's SGD, as in the VOC recipes."""
  return optimizers.caffe_sgd(
    lambda count: jnp.float32(1e-10),
    optimizers.multipliers(net.layers, params),
    images,
    weight_decay=5e-4,
  )


def forward(model: str, precision: str, given: pipeline.Part):
  """() -> None: scores of a batch."""
  graphdef, params, frozen = split(network(model, precision))
  run = jax.jit(lambda p, f, i, e: nnx.merge(graphdef, p, f)(i, e))
  return lambda: _wait(run(params, frozen, given.image, given.extent))


def step(model: str, precision: str, given: pipeline.Part):
  """() -> None: forward, backward and update, the state in place."""
  net = network(model, precision)
  graphdef, params, frozen = split(net)
  update = solver(net, params, len(given.image))
  training = Training(
    graphdef, update, losses.cross_entropy(), jax.random.key(0)
  )
  run = jax.jit(training.train_step, donate_argnums=0)
  params, frozen = jax.tree.map(jnp.copy, (params, frozen))
  zero = jnp.zeros((), jnp.int32)
  state = [TrainState(zero, params, frozen, update.init(params))]

  def take():
    state[0], each = run(state[0], given)
    _wait((state[0].params, each))

  return take


def plain_forward(model: str, precision: str, given: pipeline.Part):
  """() -> None: scores of a batch by `plain`."""
  del precision  # float32
  net = network(model, "float32")
  params = nnx.to_pure_dict(nnx.state(net, nnx.Param))
  run = jax.jit(functools.partial(plain.scores, net.layers))
  return lambda: _wait(run(params, given.image))


def plain_step(model: str, precision: str, given: pipeline.Part):
  """() -> None: a step of `plain` and the same solver."""
  del precision  # float32
  net = network(model, "float32")
  params = jax.tree.map(jnp.copy, nnx.to_pure_dict(nnx.state(net, nnx.Param)))
  update = solver(net, params, len(given.image))

  def loss(params, key):
    scores = plain.scores(net.layers, params, given.image, key)
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
