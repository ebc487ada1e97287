"""A declared sequence of layers as a Flax module."""

import functools
from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float, Int, Key, UInt8

from fcn_jax.models import geometry, ops
from fcn_jax.models import layers as d

PRECISIONS = {
  # name: (type of the activations, precision of the products)
  "float32": (jnp.float32, "highest"),
  "tf32": (jnp.float32, "default"),
  "bfloat16": (jnp.bfloat16, "default"),
}


_OWN_NAMES = ("layers", "precision")


class Frozen(nnx.Variable):
  """A fixed array: in every checkpoint, never in a gradient or an update."""


class LayerWeights(nnx.Module):
  """The arrays of one layer, as its `weights` says; learned ones are zero.

  Zero is Caffe's default filler; see `fcn_jax.weights` for where real ones
  come from.
  """

  def __init__(
    self, arrays: Mapping[str, d.Weight], zeros: Iterator[jax.Array]
  ):
    for name, weight in arrays.items():
      if weight.fixed is None:
        array = nnx.Param(next(zeros))
      else:
        array = Frozen(jnp.asarray(weight.fixed))
      setattr(self, name, array)


@functools.partial(jax.jit, static_argnums=0)
def _zeros(shapes: tuple[tuple[int, ...], ...]) -> list[jax.Array]:
  """One program, not one for each shape."""
  return [jnp.zeros(shape, jnp.float32) for shape in shapes]


class Network(nnx.Module):
  """A network made from its declaration, one attribute per layer with weights.

  Attributes:
    layers: the declaration.
    precision: a name of `PRECISIONS`; parameters are float32 in all of them.
  """

  def __init__(self, declared: d.Layers, precision: str = "float32"):
    if precision not in PRECISIONS:
      raise ValueError(
        f"precision {precision!r} is unknown; there is {', '.join(PRECISIONS)}"
      )
    d.check_pooling(declared)
    taken = [x.name for x in declared if hasattr(Network, x.name)]
    if taken := taken + [x.name for x in declared if x.name in _OWN_NAMES]:
      raise ValueError(f"a layer cannot be called {', '.join(taken)}")
    self.layers = tuple(declared)
    self.precision = precision
    of_layers = d.weights(self.layers)
    every = [w for arrays in of_layers.values() for w in arrays.values()]
    zeros = iter(_zeros(tuple(w.shape for w in every if w.fixed is None)))
    for name, arrays in of_layers.items():
      setattr(self, name, LayerWeights(arrays, zeros))

  def __call__(
    self,
    image: UInt8[Array, "b h w 3"],
    extent: Int[Array, "b 2"] | None = None,
    dropout_keys: Key[Array, " b"] | None = None,
  ) -> Float[Array, "b y x c"]:
    """The last blob: scores at the image's size, for a segmentation network.

    Args:
      image: RGB, each image at the top left of its canvas.
      extent: true (height, width) of each image; None: the whole canvas.
      dropout_keys: one key per image in training; None: no dropout.

    Returns:
      float32; beyond an image's extent without meaning.

    Raises:
      ValueError: the canvas is too small for this network.
    """
    return self.blobs(image, extent, dropout_keys)[self.layers[-1].name]

  def blobs(
    self,
    image: UInt8[Array, "b h w 3"],
    extent: Int[Array, "b 2"] | None = None,
    dropout_keys: Key[Array, " b"] | None = None,
  ) -> dict[str, Float[Array, "..."]]:
    """Every blob by its layer's name; a Conv's is the value after its ReLU."""
    dtype, products = PRECISIONS[self.precision]
    for side in image.shape[1:3]:
      geometry.sizes(self.layers, side)
    extents = None if extent is None else geometry.sizes(self.layers, extent)
    places = geometry.placements(self.layers)
    found: dict[str, jax.Array] = {}
    with jax.default_matmul_precision(products):
      for number, (layer, bottom) in enumerate(d.with_bottoms(self.layers)):
        given = d.Pass(
          image,
          dtype,
          getattr(self, layer.name, None),
          places,
          functools.partial(_keys_of_layer, dropout_keys, number),
        )
        names = (bottom, *layer.others) if bottom else ()
        out = layer.apply(given, *(found[name] for name in names))
        fills = layer.fills_beyond and number + 1 < len(self.layers)
        if extents is not None and fills:
          out = ops.mask(out, extents[layer.name])
        # A name by which a gradient may keep it, see training.step.
        found[layer.name] = checkpoint_name(out, layer.name)
    return found


def _keys_of_layer(
  keys: Key[Array, " b"] | None, number: int
) -> Key[Array, " b"] | None:
  """Keys of the layer of that place in the sequence."""
  if keys is None:
    return None
  return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)
