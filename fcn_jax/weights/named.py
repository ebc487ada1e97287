"""Tensors with names, from a dict-like file, become a `Source`.

Three ways of naming are known: torchvision's, timm's, and this package's own,
LAYER.kernel (HWIO) or LAYER.weight (OIHW) and LAYER.bias.
"""

import functools
import os
import re
from collections.abc import Mapping

import numpy as np

from fcn_jax.weights import float64
from fcn_jax.weights.source import (
  Source,
  SourceLayer,
  Stored,
  WeightFileError,
  to_bgr_255,
)

FULLY_CONNECTED = ("fc6", "fc7", "fc8")
ALEXNET = ("conv1", "conv2", "conv3", "conv4", "conv5", *FULLY_CONNECTED)
VGG16 = (
  *("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2"),
  *("conv3_3", "conv4_1", "conv4_2", "conv4_3", "conv5_1", "conv5_2"),
  *("conv5_3", *FULLY_CONNECTED),
)

# How torchvision and timm prepare an image: RGB in 0..1, less this mean,
# divided by this.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MEAN_BGR = tuple(round(255 * mean, 3) for mean in reversed(IMAGENET_MEAN))

# The places of the convolutions in torchvision's `features`.
_FEATURES = {
  (0, 3, 6, 8, 10): ALEXNET,
  (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28): VGG16,
}
# torchvision's `classifier` of AlexNet and of VGG-16, and timm's VGG.
_CLASSIFIERS = (
  ("classifier.1", "classifier.4", "classifier.6"),
  ("classifier.0", "classifier.3", "classifier.6"),
  ("pre_logits.fc1", "pre_logits.fc2", "head.fc"),
)
_FEATURE = re.compile(r"features\.(\d+)$")


def from_named(
  tensors: Mapping[str, np.ndarray], path: str | os.PathLike, form: str
) -> Source:
  """A source from the tensors of a file.

  Args:
    tensors: of floating-point types, by name, in the file's own layout.
    path: for errors.
    form: the file's format, for people.

  Raises:
    WeightFileError: the names are of no known network, or a tensor has a shape
      that no layer's has.
  """
  groups = _by_layer(tensors, path)
  names = _torch_names(groups, path)
  is_torch = names is not None
  names = names or {group: group for group in groups}
  layers = [
    _layer(names[group], parts, is_torch, path)
    for group, parts in groups.items()
  ]
  layers.sort(key=lambda layer: _place(layer.name))
  return Source(
    name="",
    format=form,
    sha1="",
    layers=tuple(layers),
    std_rgb=IMAGENET_STD if is_torch else None,
    mean_bgr=MEAN_BGR if is_torch else None,
  )


def restandardised(
  source: Source, mean_bgr: tuple[float, ...], std_rgb: tuple[float, ...]
) -> Source:
  """A source whose pixels were prepared in another way than its names say."""
  layers = []
  for layer in source.layers:
    blobs, stored = layer.blobs, layer.stored
    if layer.name in ("conv1", "conv1_1"):
      factor = np.array(source.std_rgb) / np.array(std_rgb)
      kernel = blobs[0] * factor[::-1, None, None].astype(np.float32)
      blobs = (kernel, *blobs[1:])
      done = _rgb_words(stored[0].done.partition("RGB")[0], std_rgb)
      stored = (stored[0]._replace(done=done), *stored[1:])
    layers.append(
      SourceLayer(layer.name, layer.type, blobs, stored, layer.apply_stored)
    )
  return Source(
    source.name,
    source.format,
    source.sha1,
    tuple(layers),
    mean_bgr=mean_bgr,
    std_rgb=std_rgb,
  )


def as_float32(array: np.ndarray, name: str, path) -> np.ndarray:
  """A tensor as blobs are.

  Raises:
    WeightFileError: it is not of a floating-point type, or beyond float32.
  """
  if not np.issubdtype(array.dtype, np.floating):
    raise WeightFileError(
      f"{path}: {name} is of {array.dtype}; only weights of floating-point "
      "types are read, so give the network before it was quantised"
    )
  with np.errstate(over="ignore"):
    narrowed = array.astype(np.float32, copy=False)
  if np.any(np.isinf(narrowed) & ~np.isinf(array)):
    raise WeightFileError(
      f"{path}: {name} holds values beyond the range of float32"
    )
  return narrowed


def _place(name: str) -> int:
  for order in (ALEXNET, VGG16):
    if name in order:
      return order.index(name)
  return len(VGG16)


def _by_layer(tensors, path) -> dict[str, dict[str, tuple[str, np.ndarray]]]:
  """{layer: {weight, kernel, bias, ...: (name, tensor)}}, names as given."""
  groups: dict[str, dict[str, tuple[str, np.ndarray]]] = {}
  for name, array in tensors.items():
    group, _, part = name.removeprefix("module.").rpartition(".")
    if not group or part not in ("weight", "kernel", "bias", "kernel1d"):
      raise _strangers(tensors, path)
    groups.setdefault(group, {})[part] = (name, array)
  if not groups:
    raise WeightFileError(f"{path}: holds no tensors")
  return groups


def _torch_names(groups, path) -> dict[str, str] | None:
  """Our name of each of torchvision's or timm's layers; None: not theirs."""
  places = sorted(
    int(match[1]) for name in groups if (match := _FEATURE.match(name))
  )
  if not places:
    return None
  ours = _FEATURES.get(tuple(places))
  others = {name for name in groups if not _FEATURE.match(name)}
  for theirs in _CLASSIFIERS:
    if ours is not None and others <= set(theirs):
      features = (f"features.{place}" for place in places)
      named = dict(zip(features, ours, strict=False))
      named |= dict(zip(theirs, FULLY_CONNECTED, strict=True))
      return {name: named[name] for name in groups}
  raise _strangers(groups, path)


def _strangers(names, path) -> WeightFileError:
  shown = ", ".join(list(names)[:8])
  return WeightFileError(
    f"{path}: its {len(names)} tensors ({shown}{', ...' * (len(names) > 8)}) "
    "have the names of no network that is known: torchvision's or timm's "
    "AlexNet or VGG-16 (features.0.weight, ...), or this package's "
    "(conv1.kernel in HWIO or conv1.weight in OIHW, and conv1.bias, ...). "
    "Rename them and save them as .npz"
  )


def _rgb_words(renamed: str, std_rgb) -> str:
  stds = ", ".join(f"{255 * std:.6g}" for std in std_rgb)
  return f"{renamed}RGB to BGR, divided by {stds} (RGB), OIHW to HWIO"


def _layer(name: str, parts, is_torch: bool, path) -> SourceLayer:
  """One layer, with what was done to it in words."""
  if set(parts) == {"kernel1d"}:
    return _upscore(name, *parts["kernel1d"], path)
  kernel = "kernel" if "kernel" in parts else "weight"
  if set(parts) != {kernel, "bias"}:
    raise WeightFileError(
      f"{path}: {name} has {', '.join(sorted(parts))}; a layer has a weight "
      "(or kernel) and a bias"
    )
  weight_name, raw = parts[kernel]
  bias_name, raw_bias = parts["bias"]
  if raw.ndim not in (2, 4) or raw_bias.ndim != 1:
    raise WeightFileError(
      f"{path}: {weight_name} {raw.shape}, {bias_name} {raw_bias.shape}: a "
      "layer's weight has 2 or 4 axes, its bias 1"
    )
  weight = as_float32(raw, weight_name, path)
  bias = as_float32(raw_bias, bias_name, path)
  renamed = "renamed, " if is_torch else ""
  if kernel == "kernel":
    if weight.ndim != 4:
      raise WeightFileError(f"{path}: {weight_name} {raw.shape} is not HWIO")
    weight = np.ascontiguousarray(weight.transpose(3, 2, 0, 1))
    done, apply = "HWIO, as stored", float64.of_hwio
  else:
    apply = float64.of_oihw
    done = "OIHW to HWIO" if weight.ndim == 4 else "O x (I x H x W) to HWIO"
    done = renamed + done
    if is_torch and name in ("conv1", "conv1_1") and weight.shape[1:2] == (3,):
      weight = to_bgr_255(weight, IMAGENET_STD)
      done = _rgb_words(renamed, IMAGENET_STD)
  if raw.dtype != np.float32:
    done += f", {raw.dtype} to float32"
  return SourceLayer(
    name,
    "Convolution" if weight.ndim == 4 else "InnerProduct",
    (weight, bias),
    (
      Stored(weight_name, raw.shape, done),
      Stored(bias_name, raw_bias.shape, renamed.rstrip(", ")),
    ),
    functools.partial(apply, raw, raw_bias),
  )


def _upscore(name: str, stored: str, raw: np.ndarray, path) -> SourceLayer:
  """One factor of a bilinear kernel, as this package stores it."""
  if raw.ndim != 1:
    raise WeightFileError(f"{path}: {stored} {raw.shape} has more than 1 axis")
  factor = as_float32(raw, stored, path)
  kernel = np.outer(factor, factor)[None, None]
  return SourceLayer(
    name, "Deconvolution", (kernel,), (Stored(stored, raw.shape),)
  )
