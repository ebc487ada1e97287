"""A network as an ONNX graph, straight from its declaration."""

import dataclasses
import json
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64

from fcn_jax.models import Network, geometry, ops
from fcn_jax.models import layers as d
from fcn_jax.weights.named import IMAGENET_MEAN, IMAGENET_STD
from fcn_jax.weights.onnx_file import Graph, Node, Value

OPSETS = (13, 22)  # from, to: what is used here has not changed in between
JETSON_CELL = 8  # pixels on a side of a cell of the scores that segNet gets


@dataclasses.dataclass(frozen=True)
class Size:
  """The size of the images.

  Attributes:
    batch, height, width: a number, or a name where it is free.
  """

  batch: int | str = "batch"
  height: int | str = "height"
  width: int | str = "width"


class _Builder:
  """Nodes and constants, as they are added."""

  def __init__(self):
    self.nodes: list[Node] = []
    self.tensors: dict[str, np.ndarray] = {}

  def add(self, op: str, inputs: Sequence[str], output: str, **attributes):
    """One node; returns the name of its output."""
    self.nodes.append(Node(op, tuple(inputs), (output,), attributes))
    return output

  def constant(self, name: str, values, dtype: str = "float32") -> str:
    """A constant; returns its name."""
    self.tensors[name] = np.asarray(values, dtype)
    return name


def to_graph(
  network: Network, size: Size = Size(), *, argmax: bool = False
) -> Graph:
  """The network for images as they are: uint8, RGB, [batch, height, width, 3].

  Args:
    network: any network of this package.
    size: of the images; a classifier has its own height and width.
    argmax: whether class ids are put out in place of scores.

  Returns:
    Its input is 'image'; its output 'scores', float32 [batch, classes, height,
    width], or 'labels', uint8 [batch, height, width].
  """
  layers = network.layers
  if layers[0].size is not None:
    size = Size(size.batch, layers[0].size, layers[0].size)
  made = _Builder()
  cast = made.add("Cast", ["image"], "image_float", to=1)
  planar = made.add("Transpose", [cast], "image_rgb", perm=[0, 3, 1, 2])
  bgr = made.add(
    "Gather",
    [planar, made.constant("bgr", [2, 1, 0], "int64")],
    "image_bgr",
    axis=1,
  )
  mean = np.reshape(layers[0].mean_bgr, (1, 3, 1, 1))
  data = made.add("Sub", [bgr, made.constant("mean_bgr", mean)], layers[0].name)
  last = _add_layers(made, network, layers, data)
  cells: tuple[int | str, ...] = (size.height, size.width)
  if layers[0].size is not None:
    cells = (1, 1)
  classes = d.channels(layers)[layers[-1].name]
  if argmax:
    ids = made.add("ArgMax", [last], "ids", axis=1, keepdims=0)
    made.add("Cast", [ids], "labels", to=2)
    output = Value("labels", "uint8", (size.batch, *cells))
  else:
    made.add("Identity", [last], "scores")
    output = Value("scores", "float32", (size.batch, classes, *cells))
  image = Value("image", "uint8", (size.batch, size.height, size.width, 3))
  return Graph(tuple(made.nodes), made.tensors, (image,), (output,))


def to_jetson_graph(network: Network, height: int, width: int) -> Graph:
  """The network as segNet of jetson-inference takes it.

  segNet gives planar RGB, in 0..1 less ImageNet's mean and divided by its
  standard deviation, of one size, and stretches whatever cells it gets over the
  image.  So the scores are sampled at the middles of cells of 8 x 8 pixels that
  tile it: what Crop would keep of what Upscore gives is never made.

  Args:
    network: a segmentation network that ends in Upscore and Crop.
    height, width: of the images, multiples of 8.

  Returns:
    Its input is 'input_0', float32 [1, 3, height, width]; its output
    'output_0', float32 [1, classes, height / 8, width / 8].

  Raises:
    ValueError: another size, or a network that ends in other layers.
  """
  *layers, upscore, crop = network.layers
  if not (isinstance(upscore, d.Upscore) and isinstance(crop, d.Crop)):
    raise ValueError(
      f"segNet's network has to end in Upscore and Crop; this one ends in "
      f"{upscore.name} and {crop.name}"
    )
  for side in (height, width):
    if side % JETSON_CELL:
      raise ValueError(
        f"--size={height}x{width}: segNet's image has sides that are multiples "
        f"of {JETSON_CELL}"
      )
  made = _Builder()
  # In its own units, back to 0..255, and less our mean: then zeros are padded.
  std = 255 * np.reshape(IMAGENET_STD, (1, 3, 1, 1))
  shift = 255 * np.reshape(IMAGENET_MEAN, (1, 3, 1, 1))
  shift = shift - np.reshape(layers[0].mean_bgr[::-1], (1, 3, 1, 1))
  scaled = made.add("Mul", ["input_0", made.constant("std", std)], "scaled")
  rgb = made.add("Add", [scaled, made.constant("shift", shift)], "rgb")
  data = made.add(
    "Gather",
    [rgb, made.constant("bgr", [2, 1, 0], "int64")],
    layers[0].name,
    axis=1,
  )
  last = _add_layers(made, network, tuple(layers), data)
  rows, columns = (_at_cells(network.layers, n) for n in (height, width))
  tall = made.add("MatMul", [made.constant("rows", rows), last], "scores_rows")
  made.add("MatMul", [tall, made.constant("columns", columns.T)], "output_0")
  classes = d.channels(network.layers)[crop.name]
  cells = (height // JETSON_CELL, width // JETSON_CELL)
  return Graph(
    tuple(made.nodes),
    made.tensors,
    (Value("input_0", "float32", (1, 3, height, width)),),
    (Value("output_0", "float32", (1, classes, *cells)),),
  )


def _at_cells(layers: d.Layers, n: int) -> Float64[np.ndarray, "cells n"]:
  """What the middle of each cell takes of the blob that is upscored.

  A middle lies between two pixels: it is their mean, which is what a bilinear
  kernel gives there.
  """
  *_, bottom, upscore, crop = layers
  below = geometry.sizes(layers, n)[bottom.name]
  kernel = ops.bilinear_kernel(upscore.kernel).astype(np.float64)
  pixels = np.zeros((upscore.stride * (below - 1) + upscore.kernel, below))
  for cell in range(below):
    first = upscore.stride * cell
    pixels[first : first + upscore.kernel, cell] = kernel
  offset = geometry.crop_offsets(layers)[crop.name]
  middle = offset + JETSON_CELL // 2
  middles = middle + JETSON_CELL * np.arange(n // JETSON_CELL)
  return (pixels[middles - 1] + pixels[middles]) / 2


def _add_layers(
  made: _Builder, network: Network, layers: d.Layers, data: str
) -> str:
  """The layers behind Data; the name of the last one's blob."""
  channels = d.channels(layers)
  offsets = geometry.crop_offsets(layers)
  tops = {layers[0].name: data}
  for layer, bottom in d.with_bottoms(layers)[1:]:
    name, below = layer.name, tops[bottom]
    match layer:
      case d.Conv():
        weights = getattr(network, name)
        kernel = np.asarray(weights.kernel[...]).transpose(3, 2, 0, 1)
        inputs = [
          below,
          made.constant(f"{name}.weight", kernel),
          made.constant(f"{name}.bias", weights.bias[...]),
        ]
        top = made.add(
          "Conv",
          inputs,
          f"{name}_linear" if layer.relu else name,
          kernel_shape=[layer.kernel] * 2,
          strides=[layer.stride] * 2,
          pads=[layer.pad] * 4,
          group=layer.groups,
        )
        tops[name] = made.add("Relu", [top], name) if layer.relu else top
      case d.MaxPool():
        tops[name] = made.add(
          "MaxPool",
          [below],
          name,
          kernel_shape=[layer.kernel] * 2,
          strides=[layer.stride] * 2,
          pads=[layer.pad] * 4,
          ceil_mode=1,
        )
      case d.LRN():
        tops[name] = made.add(
          "LRN",
          [below],
          name,
          size=layer.size,
          alpha=layer.alpha,
          beta=layer.beta,
          bias=layer.k,
        )
      case d.Dropout():
        tops[name] = below
      case d.Upscore():
        factor = np.asarray(getattr(network, name).kernel1d[...])
        kernel = np.tile(np.outer(factor, factor), (channels[name], 1, 1, 1))
        tops[name] = made.add(
          "ConvTranspose",
          [below, made.constant(f"{name}.weight", kernel)],
          name,
          kernel_shape=[layer.kernel] * 2,
          strides=[layer.stride] * 2,
          group=channels[name],
        )
      case d.Crop():
        tops[name] = _add_crop(
          made, name, below, tops[layer.like], offsets[name]
        )
      case d.Scale():
        factor = made.constant(f"{name}.factor", layer.factor)
        tops[name] = made.add("Mul", [below, factor], name)
      case d.Sum():
        tops[name] = made.add("Add", [below, tops[layer.other]], name)
      case _:
        raise TypeError(f"{name}: no ONNX operation is known for {type(layer)}")
  return tops[layers[-1].name]


def _add_crop(made: _Builder, name: str, below: str, like: str, offset: int):
  """A Slice as high and wide as another blob."""
  axes = made.constant("crop_axes", [2, 3], "int64")
  starts = made.constant(f"{name}.starts", [offset, offset], "int64")
  shape = made.add("Shape", [like], f"{name}_like")
  first = made.constant("crop_first", [2], "int64")
  last = made.constant("crop_last", [4], "int64")
  size = made.add("Slice", [shape, first, last], f"{name}_size")
  ends = made.add("Add", [size, starts], f"{name}_ends")
  return made.add("Slice", [below, starts, ends, axes], name)


def metadata(
  layers: d.Layers,
  class_names: Sequence[str],
  palette: Sequence[Sequence[int]],
  more: Mapping[str, str],
) -> dict[str, str]:
  """Words that a file carries: classes, colours, how an image is prepared."""
  return {
    "class_names": json.dumps(list(class_names)),
    "palette": json.dumps([list(c) for c in palette[: len(class_names)]]),
    "mean_bgr": json.dumps(list(layers[0].mean_bgr)),
    **more,
  }
