"""A declared sequence of layers as a Flax module."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, Key, UInt8

from fcn_jax.models import convolution, geometry, ops, pooling
from fcn_jax.models import layers as d

PRECISIONS = {
  # name: (type of the activations, precision of the products)
  "float32": (jnp.float32, "highest"),
  "tf32": (jnp.float32, "default"),
  "bfloat16": (jnp.bfloat16, "default"),
}


# Layers that may leave other values than zero beyond an image's extent: by a
# bias, a window across the border, or cells of a larger blob.
_FILLS_BEYOND = (d.Data, d.Conv, d.MaxPool, d.Crop)


_OWN_NAMES = ("layers", "precision")


class Frozen(nnx.Variable):
  """A fixed array: in every checkpoint, never in a gradient or an update."""


class ConvWeights(nnx.Module):
  """kernel [kh, kw, in / groups, out] and bias [out], both zero at first.

  Zero is Caffe's default filler; see `fcn_jax.weights` for where real ones
  come from.
  """

  def __init__(self, layer: d.Conv, channels: int):
    shape = (layer.kernel, layer.kernel, channels // layer.groups)
    self.kernel = nnx.Param(jnp.zeros((*shape, layer.features), jnp.float32))
    self.bias = nnx.Param(jnp.zeros((layer.features,), jnp.float32))


class UpscoreWeights(nnx.Module):
  """kernel1d [kernel], the bilinear filler's factor on one axis."""

  def __init__(self, layer: d.Upscore):
    kernel = ops.bilinear_kernel(layer.kernel)
    self.kernel1d = Frozen(jnp.asarray(kernel))


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
    channels = d.channels(self.layers)
    for layer, bottom in d.with_bottoms(self.layers):
      match layer:
        case d.Conv():
          below = channels[bottom] if bottom else 3
          setattr(self, layer.name, ConvWeights(layer, below))
        case d.Upscore():
          setattr(self, layer.name, UpscoreWeights(layer))

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
    offsets = geometry.crop_offsets(self.layers)
    last = self.layers[-1]
    found: dict[str, jax.Array] = {}
    with jax.default_matmul_precision(products):
      for number, (layer, bottom) in enumerate(d.with_bottoms(self.layers)):
        x = found[bottom] if bottom else None
        match layer:
          case d.Data():
            out = ops.subtract_mean(image, layer.mean_bgr).astype(dtype)
          case d.Conv():
            weights = getattr(self, layer.name)
            out = convolution.conv(
              x.astype(dtype),
              weights.kernel[...].astype(dtype),
              weights.bias[...].astype(dtype),
              layer.stride,
              layer.pad,
              layer.groups,
            )
            out = jax.nn.relu(out) if layer.relu else out
          case d.MaxPool():
            out = pooling.max_pool(x, layer.kernel, layer.stride, layer.pad)
          case d.LRN():
            out = ops.lrn(x, layer.size, layer.alpha, layer.beta, layer.k)
          case d.Dropout():
            out = x
            if dropout_keys is not None:
              fold = jax.vmap(lambda key, n=number: jax.random.fold_in(key, n))
              out = ops.dropout(x, fold(dropout_keys), layer.rate)
          case d.Upscore():
            kernel = getattr(self, layer.name).kernel1d[...]
            out = ops.upscore(x.astype(jnp.float32), kernel, layer.stride)
          case d.Crop():
            height, width = found[layer.like].shape[1:3]
            out = ops.crop(x, offsets[layer.name], height, width)
          case d.Scale():
            out = x * jnp.asarray(layer.factor, x.dtype)
          case d.Sum():
            out = x + found[layer.other]
          case _:
            raise TypeError(f"{layer.name}: no layer is a {type(layer)}")
        fills = isinstance(layer, _FILLS_BEYOND) and layer is not last
        if extents is not None and fills:
          out = ops.mask(out, extents[layer.name])
        found[layer.name] = out
    return found
