"""Whole networks: every blob, at each size alone, and all sizes in a batch."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from fcn_jax import models
from fcn_jax.parity.comparison import Comparison, equal, near
from fcn_jax.parity.golden import (
  BLOB,
  LEAD,
  Golden,
  declare,
  fill,
  nhwc,
  size_name,
)
from fcn_jax.weights import caffemodel, export
from fcn_jax.weights import surgery as surgery_lib


def compare_fcn_alexnet(golden: Golden) -> Iterator[Comparison]:
  """FCN-AlexNet."""
  described, arrays = golden.load("fcn_alexnet")
  layers = declare("fcn_alexnet", described["net"], described["preprocessing"])
  yield differences("fcn_alexnet", layers, described["net"])
  net = fill(models.build(layers), lambda name: arrays[f"w/{name}"])
  # Our image has the mean subtracted already.
  names = {"data_preprocessed": "data"} | {
    layer.name: layer.name for layer in layers[1:]
  }
  stored = [
    (ours, f"blob/{theirs}", described["blob_stride"].get(theirs, 1))
    for theirs, ours in names.items()
    if f"blob/{theirs}" in arrays
  ]
  yield from _compare_sizes(
    "", net, described["cases"], described["blobs_case"], stored, arrays
  )


def compare_fcn_vgg(golden: Golden) -> Iterator[Comparison]:
  """FCN-32s, 16s, 8s and 8s at once."""
  described, arrays = golden.load("fcn_vgg")
  for name, about in described["nets"].items():
    layers = declare(name, about["net"], described["preprocessing"])
    yield differences(name, layers, about["net"])

    def array(key, name=name):
      own = f"w/{name}/{key}"
      return arrays[own if own in arrays else f"w/{key}"]

    net = fill(models.build(layers), array)
    stored = [
      (layer.name, key, 1)
      for layer in layers[1:]
      for key in (f"{name}/blob/{layer.name}", f"blob/{layer.name}")
      if key in arrays
    ]
    yield from _compare_sizes(
      f"{name}/", net, about["cases"], described["blobs_case"], stored, arrays
    )


def compare_alexnet(golden: Golden) -> Iterator[Comparison]:
  """The classifier, and the FCN-AlexNet that surgery makes of its file."""
  described, arrays = golden.load("alexnet")
  layers = declare("alexnet", described["net"], described["preprocessing"])
  net = fill(models.build(layers), lambda name: arrays[f"w/{name}"])
  blobs = _blobs(net)(arrays["image"][None])
  blobs["prob"] = jax.nn.softmax(blobs["fc8"].ravel())[None]
  for key in arrays:
    if key.startswith("blob/"):
      name = key.removeprefix("blob/")
      stride = described["blob_stride"].get(name, 1)
      pair = _pair(blobs[name], arrays[key], stride)
      yield near("classifier's blobs", name, *pair)
  if not golden.has("fcn_alexnet"):
    return
  surgery = described["surgery"]
  target, _ = golden.load("fcn_alexnet")
  net = models.build(
    declare("fcn_alexnet", target["net"], surgery["preprocessing"])
  )
  for file in described["files"].values():
    source = caffemodel.read_caffemodel(golden.folder / file)
    surgery_lib.surgery(source, net)
    head = net.score_fr
    kernel = arrays["surgery/head_weight"].transpose(2, 3, 1, 0)
    head.kernel[...] = jnp.asarray(kernel)
    head.bias[...] = jnp.asarray(arrays["surgery/head_bias"])
    blobs = _blobs(net)(arrays["surgery/image"][None])
    for name in ("pool5", "fc6", "fc7", "score_fr", "score"):
      stride = surgery["score_stride"] if name == "score" else 1
      pair = _pair(blobs[name], arrays[f"surgery/{name}"], stride)
      yield near("blobs after surgery", f"{name}, {file}", *pair)
    yield _argmax(
      f"surgery, {file}", blobs["score"][0], arrays["surgery/argmax"]
    )


def differences(name: str, layers, net: list[dict]) -> Comparison:
  """Counts the layers whose declaration differs from Caffe's description."""
  ours = {fields["name"]: fields for fields in map(_flat, _deployed(layers))}
  wrong = [
    layer["name"]
    for layer in net
    if not _same(ours.get(layer["name"], {}), layer)
  ]
  wrong += ours.keys() - {layer["name"] for layer in net}
  case = f"{name}: {', '.join(sorted(wrong))}" if wrong else name
  return Comparison("declared layers", case, len(wrong), len(net))


def _deployed(layers) -> list[dict]:
  """Our layers in Caffe's terms, the image's own blob left out."""
  return [x for x in export.caffe_layers(layers) if x["type"] != "Input"]


def _flat(fields: dict) -> dict:
  """Caffe's nested fields in one dict."""
  flat = {key: fields[key] for key in ("name", "type", "bottom", "top")}
  for param in fields.get("param", ()):
    flat.setdefault("lr_mult", []).append(param["lr_mult"])
    flat.setdefault("decay_mult", []).append(param["decay_mult"])
  for key, inner in fields.items():
    if key.endswith("_param"):
      for name, value in inner.items():
        flat[name] = value[0] if isinstance(value, list) else value
  return flat


def _same(ours: dict, theirs: dict) -> bool:
  """Whether all that both of them say is the same."""
  meaningless = set()
  if theirs["type"] == "Deconvolution":
    # One kernel a class, or one from each class to each, zero but for its own.
    meaningless.add("group")
  if ours.get("lr_mult") == theirs.get("lr_mult") == [0]:
    meaningless.add("decay_mult")
  return {"name", "type", "bottom", "top"} <= ours.keys() and all(
    ours[key] == value
    for key, value in theirs.items()
    if key in ours and key not in meaningless | {"weight_filler"}
  )


def _blobs(net: models.Network):
  """(image, extent) -> blobs, compiled once a shape."""
  graphdef, params, frozen = nnx.split(net, nnx.Param, ...)

  @jax.jit
  def blobs(params, frozen, image, extent):
    return nnx.merge(graphdef, params, frozen).blobs(image, extent)

  return lambda image, extent=None: blobs(params, frozen, image, extent)


def _compare_sizes(
  prefix: str, net: models.Network, cases, blobs_case: str, stored, arrays
) -> Iterator[Comparison]:
  """Each image alone, without extents; then all of them on one canvas.

  Args:
    prefix: of the keys of what is this net's own.
    net: with Caffe's weights.
    cases: the sizes.
    blobs_case: the size whose blobs are stored.
    stored: (name of our blob, key, stride) of each that is stored.
    arrays: all of them.
  """
  forward = _blobs(net)
  for case in cases:
    size = size_name(case["size"])
    blobs = forward(arrays[f"image/{size}"][None])
    key = f"{prefix}score_fr/{size}"
    yield near("scores", key, *_pair(blobs["score_fr"], arrays[key]))
    yield from _compare_score("", prefix, case, blobs["score"][0], arrays)
    if size == blobs_case:
      for name, key, stride in stored:
        pair = _pair(blobs[name], arrays[key], stride)
        yield near("blobs", f"{prefix}{name}", *pair)
  sizes = np.array([case["size"] for case in cases])
  canvas = np.zeros((len(cases), *sizes.max(0), 3), np.uint8)
  for image, case in zip(canvas, cases, strict=True):
    height, width = case["size"]
    image[:height, :width] = arrays[f"image/{size_name(case['size'])}"]
  blobs = forward(canvas, jnp.asarray(sizes))
  for score, case in zip(blobs["score"], cases, strict=True):
    height, width = case["size"]
    yield from _compare_score(
      " in a batch", prefix, case, score[:height, :width], arrays
    )


def _compare_score(where: str, prefix: str, case, score, arrays):
  """The scores at the image's size: all, their sums, and the labels."""
  size = size_name(case["size"])
  stride = case["score_stride"]
  key = f"{prefix}score/{size}"
  if stride and key in arrays:
    ours = np.asarray(score)[None, ::stride, ::stride]
    yield near(f"scores{where}", key, ours, nhwc(arrays[key]), BLOB)
  each = np.asarray(score, np.float64)
  sums = np.stack([each.sum((0, 1)), np.abs(each).sum((0, 1))])
  key = f"{prefix}score_sums/{size}"
  yield near(f"sums of scores{where}", key, sums, arrays[key], BLOB)
  key = f"{prefix}argmax/{size}"
  yield _argmax(key, score, arrays[key], where)


def _argmax(case: str, score, theirs, where: str = "") -> Comparison:
  """Counts the labels that differ where the highest score leads clearly."""
  score = np.asarray(score)
  second, best = np.sort(score, -1)[..., -2:].transpose(2, 0, 1)
  sure = best - second > LEAD * np.abs(score).max()
  return equal(
    f"labels{where}", case, score.argmax(-1)[sure], theirs[sure].astype(int)
  )


def _pair(ours, theirs, stride: int = 1):
  """(ours, theirs, tolerance), in one shape; theirs has every stride-th."""
  ours = np.asarray(ours)
  if theirs.ndim == 4:
    theirs = nhwc(theirs)
    ours = ours[:, ::stride, ::stride]
  elif ours.size == theirs.size:  # a classifier's one cell
    ours = ours.reshape(theirs.shape)
  return ours, theirs, BLOB
