"""Published caffemodels: names, checksums, sources."""

from typing import NamedTuple


class Published(NamedTuple):
  """One file.

  Attributes:
    file: its name.
    sha1: in hexadecimal.
    urls: sources, in the order in which they are tried.
    order: of an AlexNet's layers, see `models.alexnet`.
  """

  file: str
  sha1: str
  urls: tuple[str, ...]
  order: str = "unknown"


_CAFFE = "http://dl.caffe.berkeleyvision.org/"

FILES = {
  "bvlc_alexnet": Published(
    "bvlc_alexnet.caffemodel",
    "9116a64c0fbe4459d18f4bb6b56d647b63920377",
    (
      f"{_CAFFE}bvlc_alexnet.caffemodel",
      # The copy that NVIDIA's jetson-inference used to fetch.
      "https://nvidia.box.com/shared/static/"
      "5j264j7mky11q8emy4q14w3r8hl5v6zh.caffemodel",
    ),
    "norm_pool",
  ),
  "bvlc_caffenet": Published(
    "bvlc_reference_caffenet.caffemodel",
    "4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46",
    (f"{_CAFFE}bvlc_reference_caffenet.caffemodel",),
    "pool_norm",
  ),
  "vgg16": Published(
    "VGG_ILSVRC_16_layers.caffemodel",
    "9363e1f6d65f7dba68c4f27a1e62105cdf6c4e24",
    (
      "http://www.robots.ox.ac.uk/~vgg/software/very_deep/caffe/"
      "VGG_ILSVRC_16_layers.caffemodel",
    ),
  ),
  # The FCN authors' own, trained on PASCAL VOC.
  "fcn32s-heavy-pascal": Published(
    "fcn32s-heavy-pascal.caffemodel",
    "05eb922d7829c39448f57e5ab9d8cd75d6c0be6d",
    (f"{_CAFFE}fcn32s-heavy-pascal.caffemodel",),
  ),
  "fcn8s-heavy-pascal": Published(
    "fcn8s-heavy-pascal.caffemodel",
    "c449ea74dd7d83751d1357d6a8c323fcf4038962",
    (f"{_CAFFE}fcn8s-heavy-pascal.caffemodel",),
  ),
}


def known_as(sha1: str) -> tuple[str, str]:
  """(name, order) of the file with this SHA-1, or ('', 'unknown')."""
  for name, file in FILES.items():
    if file.sha1 == sha1:
      return name, file.order
  return "", "unknown"
