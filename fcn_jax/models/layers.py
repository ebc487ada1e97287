"""The vocabulary in which a network is declared, once.

A network is a tuple of the layers below, in order of execution.  Parameters,
forward pass, sizes, crop offset, extents and the names in a caffemodel are all
derived from that tuple.  A layer reads the layer before it unless `bottom`
names another one.
"""

import dataclasses
from typing import ClassVar


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layer:
  """What every layer has: a name and, where it is not the one before, a bottom.

  Values that make no sense are refused when a layer is declared (ValueError).

  Attributes:
    name: the field's name of the layer, as in a caffemodel (conv1, score_fr).
    bottom: name of the layer that is read; None: the one declared before.
  """

  name: str = dataclasses.field(kw_only=False)
  bottom: str | None = None

  @property
  def others(self) -> tuple[str, ...]:
    """Names of the layers it looks at besides its bottom."""
    return ()

  def _require(self, **conditions: bool) -> None:
    wrong = [name for name, holds in conditions.items() if not holds]
    if wrong:
      values = ", ".join(f"{n} = {getattr(self, n)!r}" for n in wrong)
      raise ValueError(f"layer {self.name!r}: {values} makes no sense")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data(Layer):
  """The image: RGB uint8 in, BGR float with the mean subtracted out.

  Attributes:
    mean_bgr: what is subtracted from blue, green and red, in 0..255.
    size: side of the square images that a classifier takes; None: any size.
  """

  mean_bgr: tuple[float, float, float]
  size: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conv(Layer):
  """Convolution, followed by a ReLU unless `relu` is False.

  Attributes:
    features: output channels.
    kernel: side of the square kernel.
    stride, pad: the same on both axes; padding is zeros on all four sides.
    groups: input and output channels are split into this many groups.
    lr_mult, decay_mult: Caffe's multipliers for (weight, bias).
    head: True for a layer whose features are the classes; it has no
      counterpart in a classifier's weights.
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaxPool(Layer):
  """Max pooling; sizes round up, windows are cut at the edge.

  Its bottom must not be negative (a ReLU before): see `check_pooling`.
  """

  kernel: int
  stride: int
  pad: int = 0

  def __post_init__(self):
    # Every cell is in a window, and every window holds a cell.
    self._require(
      stride=1 <= self.stride <= self.kernel, pad=0 <= self.pad < self.kernel
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LRN(Layer):
  """Local response normalisation across channels."""

  size: int = 5
  alpha: float = 1e-4
  beta: float = 0.75
  k: float = 1.0

  def __post_init__(self):
    self._require(size=self.size >= 1 and self.size % 2 == 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dropout(Layer):
  """In training, zeroes a share `rate` and scales the rest by 1/(1-rate)."""

  rate: float = 0.5

  def __post_init__(self):
    self._require(rate=0 <= self.rate < 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Upscore(Layer):
  """Transposed convolution by one fixed bilinear kernel per channel."""

  kernel: int
  stride: int
  pad: ClassVar[int] = 0

  def __post_init__(self):
    self._require(stride=1 <= self.stride <= self.kernel)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Crop(Layer):
  """Cut to the size of the blob `like`, where the two lie over each other."""

  like: str = "data"

  @property
  def others(self) -> tuple[str, ...]:
    return (self.like,)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale(Layer):
  """Multiplication by one fixed number above 0."""

  factor: float

  def __post_init__(self):
    self._require(factor=self.factor > 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sum(Layer):
  """The bottom plus `other`, of the same shape and place (Caffe's Eltwise)."""

  other: str

  @property
  def others(self) -> tuple[str, ...]:
    return (self.other,)


Layers = tuple[Layer, ...]


def with_bottoms(layers: Layers) -> list[tuple[Layer, str | None]]:
  """Pairs each layer with the name of the one it reads (None for Data).

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
    pairs.append((layer, bottom))
    seen.append(layer.name)
  return pairs


def channels(layers: Layers) -> dict[str, int]:
  """Number of channels of every blob, by layer name.

  Raises:
    ValueError: a Sum of blobs that differ in it, or groups that do not divide
      it.
  """
  found: dict[str, int] = {}
  for layer, bottom in with_bottoms(layers):
    below = found[bottom] if bottom else 3
    if isinstance(layer, Conv) and below % layer.groups:
      raise ValueError(
        f"{layer.name} divides the {below} channels of {bottom} into "
        f"{layer.groups} groups"
      )
    if isinstance(layer, Sum) and found[layer.other] != below:
      raise ValueError(
        f"{layer.name} adds {bottom} and {layer.other}, which have {below} and "
        f"{found[layer.other]} channels"
      )
    found[layer.name] = layer.features if isinstance(layer, Conv) else below
  return found


def check_pooling(layers: Layers) -> None:
  """Refuses max pooling of what may be negative.

  Beyond an image's extent there are zeros, and they must not win.

  Raises:
    ValueError: a MaxPool whose bottom is not behind a ReLU.
  """
  nonnegative: set[str] = set()
  for layer, bottom in with_bottoms(layers):
    match layer:
      case Conv():
        holds = layer.relu
      case Data():
        holds = False
      case _:
        holds = {bottom, *layer.others} - _only_size(layer) <= nonnegative
    if isinstance(layer, MaxPool) and not holds:
      raise ValueError(
        f"{layer.name} pools {bottom}, which may be negative: give the "
        "convolution before it its ReLU (the maximum of ReLUs is the ReLU of "
        "the maximum)"
      )
    if holds:
      nonnegative.add(layer.name)


def _only_size(layer: Layer) -> set[str]:
  """What a layer looks at for its size alone."""
  return {layer.like} if isinstance(layer, Crop) else set()


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
