"""A network's parameters as a caffemodel."""

from collections.abc import Iterable

import numpy as np

from fcn_jax import caffe
from fcn_jax import declaration as d
from fcn_jax.models import Network


def to_caffe(
  network: Network, inner_product: Iterable[str] = ()
) -> caffe.CaffeNet:
  """The layers with weights, in Caffe's types and axes.

  Args:
    network: its kernels are HWIO.
    inner_product: convolutions to be written as InnerProduct, (O, C * H * W),
      as in a classifier.

  Returns:
    Convolution (O, I / groups, H, W), InnerProduct, and Deconvolution with the
    2-D bilinear kernel (classes, 1, k, k), one group per class.
  """
  layers = []
  classes = 0
  for layer in network.layers:
    match layer:
      case d.Conv():
        weights = getattr(network, layer.name)
        kernel = np.asarray(weights.kernel[...]).transpose(3, 2, 0, 1)
        kind = "Convolution"
        if layer.name in inner_product:
          kernel, kind = kernel.reshape(kernel.shape[0], -1), "InnerProduct"
        blobs = (np.ascontiguousarray(kernel), np.asarray(weights.bias[...]))
        classes = layer.features
      case d.Upscore():
        factor = np.asarray(getattr(network, layer.name).kernel1d[...])
        kernel = np.outer(factor, factor)[None, None]
        kind = "Deconvolution"
        blobs = (np.repeat(kernel, classes, axis=0),)
      case _:
        continue
    layers.append(caffe.CaffeLayer(layer.name, kind, blobs))
  return caffe.CaffeNet(
    name="fcn_jax", format="new", sha1="", layers=tuple(layers)
  )
