"""benchmark.plain: what is fast computes what is plain, forward and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from small_nets import (
  assert_near,
  each_network,
  random_image,
  randomise,
)

from fcn_jax import models
from fcn_jax.benchmark import plain
from fcn_jax.models import losses, ops

WIDTHS = {
  "alexnet": (6, 8, 10, 12, 8, 14, 10),
  "alexnet_owt": (6, 8, 10, 12, 8, 14, 10),
  "vgg16": (4, 6, 6, 8, 8, 12, 10),
}


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
@pytest.mark.parametrize("name", each_network())
def test_every_network_is_the_plain_one(name, backend, monkeypatch):
  """Scores and gradients, in the forms of every backend."""
  monkeypatch.setattr(jax, "default_backend", lambda: backend)
  width = WIDTHS[models.NETWORKS[name].classifier or name]
  net = randomise(models.declare(name, 5, width=width), seed=2)
  graphdef, params, frozen = nnx.split(net, nnx.Param, ...)
  size = net.layers[0].size
  rng = np.random.default_rng(0)
  images = [random_image(rng, size or 43, size or 61) for _ in range(2)]
  image = jnp.asarray(np.stack(images))
  cells = (2, 1, 1) if size else image.shape[:3]
  label = jnp.asarray(rng.integers(0, 5, cells), jnp.uint8)

  def loss(scores):
    return losses.cross_entropy_sums(scores, label)[0].sum(), scores

  @jax.jit
  def ours(params):
    def of_scores(params):
      return loss(nnx.merge(graphdef, params, frozen)(image))

    return jax.grad(of_scores, has_aux=True)(params)

  @jax.jit
  def theirs(params):
    with jax.default_matmul_precision("highest"):
      return jax.grad(
        lambda p: loss(plain.scores(net.layers, p, image)), has_aux=True
      )(params)

  found, scores = ours(params)
  expected, plain_scores = theirs(nnx.to_pure_dict(params))
  assert_near(scores, plain_scores)
  for path, value in jax.tree_util.tree_leaves_with_path(expected):
    layer, part = (key.key for key in path)
    assert_near(found[layer][part][...], value, 3e-5)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_normalisation_and_its_gradient(size):
  x = jax.random.normal(jax.random.key(0), (2, 3, 4, 9)) * 3
  dy = jax.random.normal(jax.random.key(1), x.shape)
  for constants in ((0.5, 0.75, 1.0), (0.1, 0.6, 2.0)):
    y, back = jax.vjp(lambda x, c=constants: ops.lrn(x, size, *c), x)
    their, theirs_back = jax.vjp(
      lambda x, c=constants: plain.lrn(x, size, *c), x
    )
    assert_near(y, their)
    assert_near(back(dy)[0], theirs_back(dy)[0])


def test_dropout_is_half():
  net = randomise(models.declare("fcn_alexnet", 5, width=0.02), seed=2)
  params = nnx.to_pure_dict(nnx.state(net, nnx.Param))
  image = jnp.zeros((1, 30, 30, 3), jnp.uint8)
  still = plain.scores(net.layers, params, image)
  moved = plain.scores(net.layers, params, image, jax.random.key(0))
  assert np.any(still != moved)
