"""What every reader of a weight file returns.

Tensors under the network's layer names in Caffe's layout: BGR in 0..255 less
the mean, kernels (O, I / groups, H, W), inner products (O, C * H * W).  What
was done to bring them there, and the same layer computed from the file's own
tensors, come with them: surgery, receipt and proof know no file format.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, UInt8

from fcn_jax.models import layers as d
from fcn_jax.weights import float64

Apply = Callable[[d.Conv, float64.Chw], float64.Oyx]


class WeightFileError(ValueError):
  """A weight file that cannot be read; the text names file and fault."""


class Stored(NamedTuple):
  """One tensor as it stands in the file.

  Attributes:
    name: in the file.
    shape: in the file.
    done: how it became a blob, and then a kernel; '' where only the axes of
      Caffe's layout change place.
  """

  name: str
  shape: tuple[int, ...]
  done: str = ""


@dataclasses.dataclass(frozen=True)
class SourceLayer:
  """One layer of a weight file.

  Attributes:
    name: the layer's name in the network, such as 'conv1'.
    type: Caffe's name of its type: 'Convolution', 'InnerProduct', 'Scale',
      'Deconvolution'; '' where the file does not say.
    blobs: float32, C order, in Caffe's layout: weight, then bias.  V1 files
      give all blobs four axes: a bias is (1, 1, 1, N), an InnerProduct weight
      (1, 1, O, I).  Empty for layers without parameters.
    stored: of each blob; empty where the file stores the blobs themselves.
    apply_stored: (layer, x) -> layer(x) before its ReLU, in float64, from the
      file's own tensors in the file's own layout; None where the file stores
      the blobs themselves.
  """

  name: str
  type: str
  blobs: tuple[Float32[np.ndarray, "..."], ...] = ()
  stored: tuple[Stored, ...] = ()
  apply_stored: Apply | None = dataclasses.field(
    default=None, compare=False, repr=False
  )

  def tensor(self, index: int) -> Stored:
    """Where a blob comes from."""
    if self.stored:
      return self.stored[index]
    return Stored(f"{self.name}[{index}]", self.blobs[index].shape)

  def apply(
    self, layer: d.Conv, x: Float[np.ndarray, "c h w"]
  ) -> Float[np.ndarray, "o y x"]:
    """The layer before its ReLU, from what the file stores."""
    if self.apply_stored is not None:
      return self.apply_stored(layer, x)
    return float64.of_oihw(*self.blobs, layer, x)


@dataclasses.dataclass(frozen=True)
class Source:
  """The content of a weight file.

  Attributes:
    name: the net's name; may be empty.
    format: for people: 'V1', 'new', 'ONNX', 'PyTorch'.
    sha1: SHA-1 of the file in hexadecimal; empty if it comes from no file.
    layers: in the file's order, those without blobs included.
    known_as: name of the published file, see `published.FILES`; '' if unknown.
    order: 'norm_pool' or 'pool_norm', where the file or its name tells what
      `layers` do not; else 'unknown'.
    std_rgb: what red, green and blue in 0..1 less the mean were divided by
      before the file's network saw them; None: it takes BGR in 0..255 less the
      mean, as Caffe.
    mean_bgr: that was subtracted, in 0..255; None: the file does not tell.
  """

  name: str
  format: str
  sha1: str
  layers: tuple[SourceLayer, ...]
  known_as: str = ""
  order: str = "unknown"
  std_rgb: tuple[float, float, float] | None = None
  mean_bgr: tuple[float, float, float] | None = None

  def pixels(
    self,
    image: UInt8[np.ndarray, "h w 3"],
    mean_bgr: tuple[float, float, float],
  ) -> Float[np.ndarray, "3 h w"]:
    """An RGB image as the file's own network takes it, less this mean."""
    rgb = image.astype(np.float64) - np.array(mean_bgr[::-1])
    if self.std_rgb is None:
      return rgb[..., ::-1].transpose(2, 0, 1)
    return (rgb / 255 / np.array(self.std_rgb)).transpose(2, 0, 1)


def to_bgr_255(
  kernel: Float32[np.ndarray, "o 3 h w"], std_rgb: tuple[float, float, float]
) -> Float32[np.ndarray, "o 3 h w"]:
  """The first kernel of a network of RGB in 0..1, for BGR in 0..255.

  The mean stays a subtraction: so padding stays zero.
  """
  share = 255 * np.array(std_rgb[::-1])[:, None, None]
  return (kernel[:, ::-1] / share).astype(np.float32)
