"""The vocabulary in which a network is declared, once: a class a layer type.

A network is a tuple of layers, in order of execution.  A layer reads the layer
before it unless `bottom` names another one.  Everything that is known of a
layer type stands in its class: channels, size, place, weights, arithmetic and
words.  What is known of a network follows from its layers, one by one.

JAX is imported where arrays are computed, so that names and sizes do not have
to wait for it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from fcn_jax.text import number

if TYPE_CHECKING:
  import jax
  from jaxtyping import Array, Float

# A size on one axis: of one image, of many, or traced by JAX.
Size = Any


@dataclasses.dataclass(frozen=True)
class Placement:
  """Where a blob lies over the image: its cell i is centred on
  `stride * i + start` (in pixels) and sees `field` pixels.

  The field of an upscored blob is that of the cells it was made from, the
  field of a sum that of the larger one.
  """

  stride: Fraction
  start: Fraction
  field: int


class Weight(NamedTuple):
  """One array of a layer.

  Attributes:
    shape: of the array, which is float32.
    lr_mult, decay_mult: Caffe's multipliers of learning rate and weight decay.
    fill: value of a fresh array.
    drawn: a fresh array is He-normal instead; its last axis are the outputs.
    fixed: the array itself, where it is never learned.
  """

  shape: tuple[int, ...]
  lr_mult: float = 1.0
  decay_mult: float = 1.0
  fill: float = 0.0
  drawn: bool = False
  fixed: Float[np.ndarray, "..."] | None = None


class Pass(NamedTuple):
  """What a layer is told in a forward pass, besides the blobs it reads.

  Attributes:
    image: uint8 [b, h, w, 3], RGB.
    dtype: of the activations.
    weights: its arrays by name; `weights.kernel[...]` is the kernel.
    places: where every blob lies over the image, by layer name.
    keys: gives a key for each image, this layer's own; None: not in training.
  """

  image: jax.Array
  dtype: Any
  weights: Any
  places: Mapping[str, Placement]
  keys: Callable[[], jax.Array | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layer:
  """A layer type: a name, a bottom, and what is known of it.

  A new one gives `words` and `apply`, and of the rest what is not as here: a
  blob of the size and channels of the one below, without weights.  Methods that
  are given several channels, sizes, places or blobs get those of the bottom
  first, then those of `others`.

  Values that make no sense are refused when a layer is declared (ValueError).

  Attributes:
    name: the field's name of the layer, as in a caffemodel (conv1, score_fr).
    bottom: name of the layer that is read; None: the one declared before.
    head: its features are the classes; it has no counterpart in the weights of
      a classifier.
    fills_beyond: it may leave other values than zero beyond an image's extent:
      by a bias, a window across the border, or cells of a larger blob.
    adds_others: the values of `others` are read; else their size alone.
    acts: in prediction, too.
    local: a cell of its blob follows from the cells that `reads` names; else
      from all of them, and an image cannot be computed tile by tile.
  """

  name: str = dataclasses.field(kw_only=False)
  bottom: str | None = None
  head: ClassVar[bool] = False
  fills_beyond: ClassVar[bool] = True
  adds_others: ClassVar[bool] = True
  acts: ClassVar[bool] = True
  local: ClassVar[bool] = True

  @property
  def others(self) -> tuple[str, ...]:
    """Names of the layers it looks at besides its bottom."""
    return ()

  @property
  def words(self) -> str:
    """What it does, for people."""
    raise NotImplementedError(f"{type(self).__name__} has no words")

  def apply(
    self, given: Pass, *blobs: Float[Array, "b h w c"]
  ) -> Float[Array, "b y x d"]:
    """Its blob; beyond an image's extent there are zeros in what it reads."""
    raise NotImplementedError(f"{type(self).__name__} computes nothing")

  def out_channels(self, below: int, *others: int) -> int:
    """Number of channels of its blob.

    Raises:
      ValueError: the channels do not go together.
    """
    return below

  def out_size(self, below: Size, *others: Size) -> Size:
    """Size of its blob on one axis, of that of what it reads."""
    return below

  def misfit(
    self, places: tuple[Placement, ...], *sizes: Size
  ) -> tuple[bool | np.ndarray, str]:
    """Where sizes do not go together, and why and what would help."""
    return False, ""

  def place(self, below: Placement, *others: Placement) -> Placement:
    """Where its blob lies over the image.

    Raises:
      ValueError: the places do not go together.
    """
    return below

  def reads(
    self, first: int, last: int, here: Placement, *below: Placement
  ) -> tuple[tuple[int, int], ...]:
    """First and last cell of each blob it reads, for its own first to last.

    They are the cells in reach of its field, as `place` says, and may lie
    beyond the blob, where there are zeros.

    Args:
      first, last: cells of its blob on one axis.
      here, below: where its blob lies, and those that it reads.

    Raises:
      ValueError: its blob is finer than one it reads; such a layer has to say
        it itself.
    """
    found = []
    for blob in below:
      if here.stride < blob.stride:
        raise ValueError(
          f"{self.name}: {type(self).__name__} makes cells every {here.stride} "
          f"pixels of cells every {blob.stride} and does not say in `reads` "
          "which ones"
        )
      half = Fraction(here.field - blob.field) / (2 * blob.stride)
      ends = (
        (here.stride * cell + here.start - blob.start) / blob.stride
        for cell in (first, last)
      )
      before, after = (
        end + side for end, side in zip(ends, (-half, half), strict=True)
      )
      found.append((math.floor(before), math.ceil(after)))
    return tuple(found)

  def derivation(
    self, here: Placement, below: Placement, *others: Placement
  ) -> tuple[str, str]:
    """How `place` comes about: the sums for its start and its stride.

    Of a layer that is placed by others, how far from them; '' for a stride that
    stays.
    """
    start = f"{number(below.start)} to {number(here.start)}"
    moved = below.stride != here.stride
    return start, f"{number(below.stride)} to {number(here.stride)}" * moved

  def nonnegative(self, *reads: bool) -> bool:
    """Whether its values are at least 0, if so are those it reads.

    Raises:
      ValueError: it must not read others.
    """
    return False

  def weights(self, channels: int) -> dict[str, Weight]:
    """Its arrays by name, where its bottom has so many channels."""
    return {}

  def parameters(self, channels: int) -> int:
    """Learnable numbers, where its bottom has so many channels."""
    learned = [w for w in self.weights(channels).values() if w.fixed is None]
    return sum(math.prod(weight.shape) for weight in learned)

  def flops(self, channels: int, cells_below: int, cells: int) -> int:
    """Operations of a forward pass, if they are worth counting.

    Args:
      channels: of its bottom.
      cells_below, cells: of its bottom and of its own blob.
    """
    return 0

  def _require(self, **conditions: bool) -> None:
    wrong = [name for name, holds in conditions.items() if not holds]
    if wrong:
      values = ", ".join(f"{n} = {getattr(self, n)!r}" for n in wrong)
      raise ValueError(f"layer {self.name!r}: {values} makes no sense")


class _Window:
  """What a convolution and a pooling layer share: kernel, stride and pad."""

  def place(self, below: Placement) -> Placement:
    centre = Fraction(self.kernel - 1, 2) - self.pad
    return Placement(
      below.stride * self.stride,
      below.start + below.stride * centre,
      below.field + int(below.stride * (self.kernel - 1)),
    )

  def derivation(self, here: Placement, below: Placement) -> tuple[str, str]:
    pad = f" − {self.pad}" if self.pad else ""
    start = (
      f"{number(below.start)} + {number(below.stride)} × "
      f"(({self.kernel} − 1) / 2{pad}) = {number(here.start)}"
    )
    stride = f"{number(below.stride)} × {self.stride} = {number(here.stride)}"
    return start, stride if self.stride > 1 else ""


def _window_words(kind: str, layer: Conv | MaxPool | Upscore) -> str:
  words = f"{kind} {layer.kernel} × {layer.kernel}"
  words += f", stride {layer.stride}" if layer.stride > 1 else ""
  return words + (f", pad {layer.pad}" if layer.pad else "")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data(Layer):
  """The image: RGB uint8 in, BGR float with the mean subtracted out.

  Attributes:
    mean_bgr: what is subtracted from blue, green and red, in 0..255.
    size: side of the square images that a classifier takes; None: any size.
  """

  mean_bgr: tuple[float, float, float]
  size: int | None = None

  @property
  def words(self) -> str:
    return "image, mean subtracted"

  def apply(self, given):
    from fcn_jax.models import ops

    return ops.subtract_mean(given.image, self.mean_bgr).astype(given.dtype)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conv(_Window, Layer):
  """Convolution, followed by a ReLU unless `relu` is False.

  Attributes:
    features: output channels.
    kernel: side of the square kernel.
    stride, pad: the same on both axes; padding is zeros on all four sides.
    groups: input and output channels are split into this many groups.
    lr_mult, decay_mult: Caffe's multipliers for (weight, bias).
    head: see `Layer`.
  """

  features: int
  kernel: int
  stride: int = 1
  pad: int = 0
  groups: int = 1
  relu: bool = True
  lr_mult: tuple[float, float] = (1.0, 1.0)
  decay_mult: tuple[float, float] = (1.0, 1.0)
  head: bool = False

  def __post_init__(self):
    self._require(
      features=self.features >= 1,
      kernel=self.kernel >= 1,
      stride=self.stride >= 1,
      pad=self.pad >= 0,
      groups=self.groups >= 1 and self.features % self.groups == 0,
    )

  @property
  def words(self) -> str:
    groups = f", {self.groups} groups" if self.groups > 1 else ""
    return _window_words("convolution", self) + groups

  def out_channels(self, below):
    if below % self.groups:
      raise ValueError(
        f"{self.name} divides the {below} channels of {self.bottom} into "
        f"{self.groups} groups"
      )
    return self.features

  def out_size(self, below):
    """Rounded down, as Caffe does."""
    return (below + 2 * self.pad - self.kernel) // self.stride + 1

  def nonnegative(self, below):
    return self.relu

  def weights(self, channels):
    """kernel [kh, kw, in / groups, out] and bias [out]."""
    shape = (self.kernel, self.kernel, channels // self.groups, self.features)
    of_kernel, of_bias = zip(self.lr_mult, self.decay_mult, strict=True)
    return {
      "kernel": Weight(shape, *of_kernel, drawn=True),
      "bias": Weight((self.features,), *of_bias),
    }

  def flops(self, channels, cells_below, cells):
    products = self.kernel**2 * channels // self.groups
    return 2 * cells * products * self.features

  def apply(self, given, x):
    import jax

    from fcn_jax.models.convolution import conv

    out = conv(
      x.astype(given.dtype),
      given.weights.kernel[...].astype(given.dtype),
      given.weights.bias[...].astype(given.dtype),
      self.stride,
      self.pad,
      self.groups,
    )
    return jax.nn.relu(out) if self.relu else out


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaxPool(_Window, Layer):
  """Max pooling; sizes round up, windows are cut at the edge.

  Its bottom must not be negative (a ReLU before): beyond an image's extent
  there are zeros, and they must not win.
  """

  kernel: int
  stride: int
  pad: int = 0

  def __post_init__(self):
    # Every cell is in a window, and every window holds a cell.
    self._require(
      stride=1 <= self.stride <= self.kernel, pad=0 <= self.pad < self.kernel
    )

  @property
  def words(self) -> str:
    return _window_words("max pooling", self)

  def out_size(self, below):
    """Rounded up, as Caffe does."""
    windows = -((self.kernel - below - 2 * self.pad) // self.stride) + 1
    if self.pad:
      # A last window that would lie in the padding alone is left out.
      windows = windows - ((windows - 1) * self.stride >= below + self.pad)
    return windows

  def nonnegative(self, below):
    if not below:
      raise ValueError(
        f"{self.name} pools {self.bottom}, which may be negative: give the "
        "convolution before it its ReLU (the maximum of ReLUs is the ReLU of "
        "the maximum)"
      )
    return True

  def apply(self, given, x):
    from fcn_jax.models.pooling import max_pool

    return max_pool(x, self.kernel, self.stride, self.pad)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LRN(Layer):
  """Local response normalisation across channels."""

  size: int = 5
  alpha: float = 1e-4
  beta: float = 0.75
  k: float = 1.0
  fills_beyond: ClassVar[bool] = False

  def __post_init__(self):
    self._require(size=self.size >= 1 and self.size % 2 == 1)

  @property
  def words(self) -> str:
    return f"normalisation over {self.size} channels"

  def nonnegative(self, below):
    return below

  def apply(self, given, x):
    from fcn_jax.models import ops

    return ops.lrn(x, self.size, self.alpha, self.beta, self.k)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dropout(Layer):
  """In training, zeroes a share `rate` and scales the rest by 1/(1-rate)."""

  rate: float = 0.5
  fills_beyond: ClassVar[bool] = False
  acts: ClassVar[bool] = False

  def __post_init__(self):
    self._require(rate=0 <= self.rate < 1)

  @property
  def words(self) -> str:
    return f"dropout {self.rate:g}"

  def nonnegative(self, below):
    return below

  def apply(self, given, x):
    from fcn_jax.models import ops

    keys = given.keys()
    return x if keys is None else ops.dropout(x, keys, self.rate)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Upscore(Layer):
  """Transposed convolution by one fixed bilinear kernel per channel."""

  kernel: int
  stride: int
  pad: ClassVar[int] = 0
  fills_beyond: ClassVar[bool] = False

  def __post_init__(self):
    self._require(stride=1 <= self.stride <= self.kernel)

  @property
  def words(self) -> str:
    return _window_words("upscore", self)

  def out_size(self, below):
    return self.stride * (below - 1) + self.kernel

  def place(self, below):
    stride = below.stride / self.stride
    centre = Fraction(self.kernel - 1, 2)
    return Placement(stride, below.start - stride * centre, below.field)

  def reads(self, first, last, here, below):
    """Cell i of its bottom is laid over its own cells from stride * i on."""
    return ((-((self.kernel - 1 - first) // self.stride), last // self.stride),)

  def derivation(self, here, below):
    start = (
      f"{number(below.start)} − {number(here.stride)} × "
      f"({self.kernel} − 1) / 2 = {number(here.start)}"
    )
    stride = f"{number(below.stride)} / {self.stride} = {number(here.stride)}"
    return start, stride

  def nonnegative(self, below):
    return below

  def weights(self, channels):
    """kernel1d [kernel], the bilinear filler's factor on one axis."""
    from fcn_jax.models.ops import bilinear_kernel

    return {
      "kernel1d": Weight((self.kernel,), fixed=bilinear_kernel(self.kernel))
    }

  def flops(self, channels, cells_below, cells):
    return 2 * cells_below * self.kernel**2 * channels

  def apply(self, given, x):
    import jax.numpy as jnp

    from fcn_jax.models import ops

    kernel = given.weights.kernel1d[...]
    return ops.upscore(x.astype(jnp.float32), kernel, self.stride)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Crop(Layer):
  """Cut to the size of the blob `like`, where the two lie over each other."""

  like: str = "data"
  adds_others: ClassVar[bool] = False

  @property
  def others(self) -> tuple[str, ...]:
    return (self.like,)

  @property
  def words(self) -> str:
    return f"cut to {self.like}"

  def offset(self, below: Placement, like: Placement) -> int:
    """The first cell that is kept.

    Raises:
      ValueError: the strides differ, or it is not a whole number from 0 on.
    """
    offset = (like.start - below.start) / below.stride
    if below.stride != like.stride or offset.denominator != 1 or offset < 0:
      raise ValueError(
        f"{self.name} cannot be laid over {self.like}: strides {below.stride} "
        f"and {like.stride}, offset {offset}; the offset must be a whole "
        "number of cells, at least 0. Change a pad or a kernel."
      )
    return int(offset)

  def out_size(self, below, like):
    return like

  def misfit(self, places, below, like):
    return like + self.offset(*places) > below, (
      f"{self.name} would reach beyond {self.bottom}; a larger pad in the "
      "first convolution gives it room"
    )

  def place(self, below, like):
    start = below.start + self.offset(below, like) * below.stride
    return Placement(below.stride, start, below.field)

  def derivation(self, here, below, like):
    begin = number(below.start)
    begin = f"({begin})" if below.start < 0 else begin
    return (
      f"({number(like.start)} − {begin}) / {number(below.stride)} = "
      f"{self.offset(below, like)}"
    ), ""

  def nonnegative(self, below, like):
    return below

  def apply(self, given, x, like):
    from fcn_jax.models import ops

    below = given.places[self.bottom]
    offset = self.offset(below, given.places[self.like])
    return ops.crop(x, offset, *like.shape[1:3])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale(Layer):
  """Multiplication by one fixed number above 0."""

  factor: float
  fills_beyond: ClassVar[bool] = False

  def __post_init__(self):
    self._require(factor=self.factor > 0)

  @property
  def words(self) -> str:
    return f"× {self.factor:g}"

  def nonnegative(self, below):
    return below

  def apply(self, given, x):
    import jax.numpy as jnp

    return x * jnp.asarray(self.factor, x.dtype)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sum(Layer):
  """The bottom plus `other`, of the same shape and place (Caffe's Eltwise)."""

  other: str
  fills_beyond: ClassVar[bool] = False

  @property
  def others(self) -> tuple[str, ...]:
    return (self.other,)

  @property
  def words(self) -> str:
    return f"sum of {self.bottom} and {self.other}"

  def out_channels(self, below, other):
    if other != below:
      raise ValueError(
        f"{self.name} adds {self.bottom} and {self.other}, which have {below} "
        f"and {other} channels"
      )
    return below

  def misfit(self, places, below, other):
    return other != below, (
      f"{self.name} adds {self.bottom} and {self.other}, whose sizes differ; "
      "crop one of them to the other"
    )

  def place(self, below, other):
    if (below.stride, below.start) != (other.stride, other.start):
      raise ValueError(
        f"{self.name} adds {self.bottom} and {self.other}, whose cells lie "
        f"elsewhere: every {below.stride} and {other.stride} pixels from "
        f"{below.start} and {other.start} on; crop one of them to the other"
      )
    field = max(below.field, other.field)
    return dataclasses.replace(below, field=field)

  def reads(self, first, last, here, below, other):
    return (first, last), (first, last)

  def nonnegative(self, below, other):
    return below and other

  def apply(self, given, x, other):
    return x + other


Layers = tuple[Layer, ...]


def with_bottoms(layers: Layers) -> list[tuple[Layer, str | None]]:
  """Pairs each layer with the name of the one it reads (None for Data).

  The layers name it as their `bottom`, too.

  Raises:
    ValueError: two layers of one name, or a bottom not declared before.
  """
  seen: list[str] = []
  pairs = []
  for layer in layers:
    bottom = layer.bottom or (seen[-1] if seen else None)
    if layer.name in seen:
      raise ValueError(f"two layers are called {layer.name!r}")
    for name in (bottom, *layer.others):
      if name is not None and name not in seen:
        raise ValueError(
          f"layer {layer.name!r} reads {name!r}, which is not declared before "
          f"it; declared: {', '.join(seen) or 'nothing'}"
        )
    pairs.append((dataclasses.replace(layer, bottom=bottom), bottom))
    seen.append(layer.name)
  return pairs


def along(layers: Layers, first: Any, value: Callable[..., Any]) -> dict:
  """A value of every layer, by its name, each from those it reads.

  Args:
    layers: the declaration.
    first: the value of the first layer.
    value: (layer, value of its bottom, *values of its others) -> its value.
  """
  found: dict[str, Any] = {}
  for layer, bottom in with_bottoms(layers):
    if bottom is None:
      found[layer.name] = first
    else:
      names = (bottom, *layer.others)
      found[layer.name] = value(layer, *(found[name] for name in names))
  return found


def channels(layers: Layers) -> dict[str, int]:
  """Number of channels of every blob, by layer name.

  Raises:
    ValueError: a Sum of blobs that differ in it, or groups that do not divide
      it.
  """
  return along(layers, 3, lambda layer, *below: layer.out_channels(*below))


def weights(layers: Layers) -> dict[str, dict[str, Weight]]:
  """The arrays of every layer that has any, by its name and theirs."""
  found = channels(layers)
  every = {
    layer.name: layer.weights(found[bottom])
    for layer, bottom in with_bottoms(layers)
    if bottom
  }
  return {name: arrays for name, arrays in every.items() if arrays}


def check_pooling(layers: Layers) -> None:
  """Refuses max pooling of what may be negative.

  Raises:
    ValueError: a MaxPool whose bottom is not behind a ReLU.
  """
  along(layers, False, lambda layer, *reads: layer.nonnegative(*reads))


def score(name: str, classes: int, bottom: str | None = None) -> Conv:
  """One score per class and cell; the bias learns twice as fast, undecayed."""
  return Conv(
    name,
    bottom=bottom,
    features=classes,
    kernel=1,
    relu=False,
    head=True,
    lr_mult=(1.0, 2.0),
    decay_mult=(1.0, 0.0),
  )


def scaled(
  published: tuple[int, ...], width: float | tuple[int, ...], names: str
) -> tuple[int, ...]:
  """Features of a network's layers.

  Args:
    published: those of the paper.
    width: share of them, rounded to even numbers; or the features themselves.
    names: the layers, for the error.

  Raises:
    ValueError: not as many features as published, or one below 1.
  """
  features: tuple[int, ...] = ()
  if isinstance(width, tuple | list):
    features = tuple(width)
  elif 0 < width < float("inf"):
    features = tuple(max(2, 2 * round(n * width / 2)) for n in published)
  if len(features) != len(published) or min(features) < 1:
    raise ValueError(
      f"width {width!r}: give a share of the published features, or "
      f"{len(published)} numbers, those of {names}"
    )
  return features
