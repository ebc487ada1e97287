"""Single layers, forward and backward."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from fcn_jax.evaluation import metrics
from fcn_jax.models import convolution, losses, ops, pooling
from fcn_jax.parity.comparison import Comparison, equal, near
from fcn_jax.parity.golden import BLOB, Golden, hwio, nhwc
from fcn_jax.weights import initialise
from fcn_jax.weights.source import SourceLayer

_FILLER = 1e-6  # of a bilinear kernel


def compare(golden: Golden) -> Iterator[Comparison]:
  """Every case of layers.json."""
  described, arrays = golden.load("layers")
  for case in described["cases"]:
    compared = _BY_TYPE[case["layer"]["type"]]

    def array(name, case=case):
      shared = case.get(name)  # a score or a label of several cases
      key = shared if isinstance(shared, str) else f"{case['name']}/{name}"
      return arrays[key]

    yield from compared(case, array)


def _forward_and_back(function: Callable, inputs, dy):
  """(output, gradients of the inputs) for a gradient dy at the output."""

  @jax.jit
  def run(inputs, dy):
    with jax.default_matmul_precision("highest"):
      y, back = jax.vjp(function, *inputs)
      return y, back(dy)

  return run([jnp.asarray(x) for x in inputs], jnp.asarray(dy))


def _pooling(case, array):
  layer = case["layer"]
  y, (dx,) = _forward_and_back(
    lambda x: pooling.max_pool(
      x, layer["kernel_size"], layer["stride"], layer["pad"]
    ),
    [nhwc(array("x"))],
    nhwc(array("dy")),
  )
  yield equal("pooling", case["name"], y, nhwc(array("y")))
  yield equal("pooling, gradient", case["name"], dx, nhwc(array("dx")))


def _lrn(case, array):
  layer = case["layer"]
  constants = [layer[key] for key in ("local_size", "alpha", "beta", "k")]
  y, (dx,) = _forward_and_back(
    lambda x: ops.lrn(x, constants[0], *map(float, constants[1:])),
    [nhwc(array("x"))],
    nhwc(array("dy")),
  )
  yield near("LRN", case["name"], y, nhwc(array("y")), BLOB)
  yield near("LRN, gradient", case["name"], dx, nhwc(array("dx")), BLOB)


def _convolution(case, array):
  layer = case["layer"]
  options = layer["stride"], layer["pad"], layer["group"]
  y, gradients = _forward_and_back(
    lambda x, w, b: convolution.conv(x, w, b, *options),
    [nhwc(array("x")), hwio(array("w")), array("b")],
    nhwc(array("dy")),
  )
  yield near("convolution", case["name"], y, nhwc(array("y")), BLOB)
  theirs = nhwc(array("dx")), hwio(array("dw")), array("db")
  for ours, their, of in zip(
    gradients, theirs, ("input", "weight", "bias"), strict=True
  ):
    what = f"convolution, gradient of {of}"
    yield near(what, case["name"], ours, their, BLOB)


def _deconvolution(case, array):
  layer, name = case["layer"], case["name"]
  stored = SourceLayer("", "Deconvolution", (array("w"),))
  if layer["bias_term"] or not initialise.is_bilinear(stored):
    yield Comparison(
      "upscore", name, left_out="not bilinear; no network here has such a layer"
    )
    return
  kernel = jnp.asarray(ops.bilinear_kernel(layer["kernel_size"]))

  def upscore(x):
    y = ops.upscore(x, kernel, layer["stride"])
    if "crop" not in case:
      return y
    return ops.crop(y, case["crop"]["offset"], *case["crop"]["size"])

  y, (dx,) = _forward_and_back(upscore, [nhwc(array("x"))], nhwc(array("dy")))
  yield near("upscore and crop", name, y, nhwc(array("y")), BLOB)
  yield near("upscore and crop, gradient", name, dx, nhwc(array("dx")), BLOB)


def _filler(case, array):
  factor = ops.bilinear_kernel(case["layer"]["kernel_size"])
  ours = np.outer(factor, factor)
  yield near("bilinear filler", case["name"], ours, array("w")[0, 0], _FILLER)


def _relu(case, array):
  y, (dx,) = _forward_and_back(jax.nn.relu, [array("x")], array("dy"))
  yield equal("ReLU", case["name"], y, array("y"))
  yield equal("ReLU, gradient", case["name"], dx, array("dx"))


def _softmax_loss(case, array):
  """Caffe divides a batch's sum by one number, in every normalisation."""
  layer, name = case["layer"], case["name"]
  scores = jnp.asarray(nhwc(array("score")))
  label = jnp.asarray(array("label").reshape(scores.shape[:3]))
  mode = layer.get("normalization") or layer.get("normalize", True)
  divisor = {
    True: max(1, case["valid_pixels"]),
    False: len(label),
    "FULL": label.size,
    "NONE": 1,
  }[mode]

  @jax.jit
  def sum_and_gradient(scores):
    return jax.value_and_grad(
      lambda s: losses.cross_entropy_sums(s, label)[0].sum() / divisor
    )(scores)

  _, valid = losses.cross_entropy_sums(scores, label)
  yield equal("softmax loss, valid", name, valid.sum(), case["valid_pixels"])
  loss, gradient = sum_and_gradient(scores)
  if _has_capped_pixel(scores, label):
    yield Comparison(
      "softmax loss",
      name,
      left_out="Caffe caps a pixel's loss at 87.3; ours does not",
    )
  else:
    yield near("softmax loss", name, loss, case["loss"], BLOB)
  theirs = nhwc(array("dscore"))
  yield near("softmax loss, gradient", name, gradient, theirs, BLOB)


def _has_capped_pixel(scores, label) -> bool:
  """Whether a probability is below the smallest normal float32."""
  valid = np.asarray(label) != losses.VOID
  target = np.where(valid, label, 0)[..., None].astype(int)
  logarithm = np.asarray(jax.nn.log_softmax(scores.astype(jnp.float32)))
  of_label = np.take_along_axis(logarithm, target, -1)[..., 0]
  return bool((of_label[valid] < np.log(np.finfo(np.float32).tiny)).any())


def _accuracy(case, array):
  name = case["name"]
  if case["layer"]["top_k"] != 1:
    yield Comparison("accuracy", name, left_out="top_k; only top 1 is here")
    return
  scores = jnp.asarray(nhwc(array("score")))
  label = jnp.asarray(array("label").reshape(scores.shape[:3]))
  right, valid = metrics.caffe_accuracy_counts(scores, label)
  ours = float(right.sum() / max(1, valid.sum()))
  yield equal("accuracy, valid", name, valid.sum(), case["valid_pixels"])
  yield near("accuracy", name, ours, case["accuracy"], BLOB)


_BY_TYPE = {
  "Pooling": _pooling,
  "LRN": _lrn,
  "Convolution": _convolution,
  "Deconvolution": _deconvolution,
  "bilinear filler": _filler,
  "ReLU": _relu,
  "SoftmaxWithLoss": _softmax_loss,
  "Accuracy": _accuracy,
}
