"""Published weight files: names, checksums, sources."""

import hashlib
import http.client
import os
import pathlib
import sys
import urllib.error
import urllib.request
import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tqdm import tqdm

from fcn_jax.files import cache_dir
from fcn_jax.text import table


class Published(NamedTuple):
  """One file.

  Attributes:
    file: its name.
    what: what it is, for people.
    licence: its terms, as its publisher states them.
    megabytes: its size, about.
    digest: 'sha1:...', 'sha256:...' or 'md5:...' in hexadecimal, as its
      publisher gives it; of a SHA-256 perhaps the first digits only.  '': none
      is published.
    urls: sources, in the order in which they are tried.
    order: of an AlexNet's layers, see `models.alexnet`.
    mean_bgr, std_rgb: how its network prepares an image, where the names of
      its tensors say otherwise; see `source.Source`.
  """

  file: str
  what: str
  licence: str
  megabytes: int
  digest: str
  urls: tuple[str, ...]
  order: str = "unknown"
  mean_bgr: tuple[float, float, float] | None = None
  std_rgb: tuple[float, float, float] | None = None


_CAFFE = "http://dl.caffe.berkeleyvision.org/"
_TORCH = "https://download.pytorch.org/models/"
_ZOO = "validated/vision/classification/"
_ZOOS = (
  f"https://huggingface.co/onnxmodelzoo/legacy_models/resolve/main/{_ZOO}",
  f"https://github.com/onnx/models/raw/main/{_ZOO}",
)
_BVLC = "unrestricted use (BVLC)"
_VGG = "CC BY 4.0 (VGG authors)"
_FCN = "see the FCN authors' page"
_BSD = "BSD-3-Clause (torchvision); ImageNet's terms"
_APACHE = "Apache-2.0 (ONNX model zoo)"


def _of_zoo(path: str) -> tuple[str, ...]:
  return tuple(zoo + path for zoo in _ZOOS)


FILES = {
  "bvlc_alexnet": Published(
    "bvlc_alexnet.caffemodel",
    "AlexNet, which DIGITS' tutorial starts from",
    _BVLC,
    244,
    "sha1:9116a64c0fbe4459d18f4bb6b56d647b63920377",
    (
      f"{_CAFFE}bvlc_alexnet.caffemodel",
      # The copy that NVIDIA's jetson-inference used to fetch.
      "https://nvidia.box.com/shared/static/"
      "5j264j7mky11q8emy4q14w3r8hl5v6zh.caffemodel",
    ),
    "norm_pool",
  ),
  "bvlc_alexnet_onnx": Published(
    "bvlcalexnet-12.onnx",
    "the same weights, by way of Caffe2",
    _APACHE,
    244,
    "",
    _of_zoo("alexnet/model/bvlcalexnet-12.onnx"),
    "norm_pool",
  ),
  "bvlc_caffenet": Published(
    "bvlc_reference_caffenet.caffemodel",
    "CaffeNet, which FCN-AlexNet's paper starts from",
    _BVLC,
    244,
    "sha1:4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46",
    (f"{_CAFFE}bvlc_reference_caffenet.caffemodel",),
    "pool_norm",
  ),
  "bvlc_caffenet_onnx": Published(
    "caffenet-12.onnx",
    "the same weights, by way of Caffe2",
    _APACHE,
    244,
    "",
    _of_zoo("caffenet/model/caffenet-12.onnx"),
    "pool_norm",
  ),
  "vgg16": Published(
    "VGG_ILSVRC_16_layers.caffemodel",
    "VGG-16, the authors' own",
    _VGG,
    553,
    "sha1:9363e1f6d65f7dba68c4f27a1e62105cdf6c4e24",
    (
      "http://www.robots.ox.ac.uk/~vgg/software/very_deep/caffe/"
      "VGG_ILSVRC_16_layers.caffemodel",
    ),
  ),
  "vgg16_keras": Published(
    "vgg16_weights_tf_dim_ordering_tf_kernels.h5",
    "the same weights, from Keras Applications",
    _VGG,
    553,
    "md5:64373286793e3c8b2b4e3219cbf3544b",
    (
      "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/"
      "vgg16_weights_tf_dim_ordering_tf_kernels.h5",
      "https://github.com/fchollet/deep-learning-models/releases/download/v0.1/"
      "vgg16_weights_tf_dim_ordering_tf_kernels.h5",
    ),
  ),
  "vgg16_torch": Published(
    "vgg16-397923af.pth",
    "VGG-16, trained anew by torchvision",
    _BSD,
    553,
    "sha256:397923af",
    (f"{_TORCH}vgg16-397923af.pth",),
  ),
  "vgg16_timm": Published(
    "vgg16.tv_in1k.safetensors",
    "the same weights, from timm",
    _BSD,
    553,
    "",
    (
      "https://huggingface.co/timm/vgg16.tv_in1k/resolve/main/"
      "model.safetensors",
    ),
  ),
  "vgg16_features": Published(
    "vgg16_features-amdegroot-88682ab5.pth",
    "the authors' convolutions alone; fc6 and fc7 start afresh",
    _BSD,
    553,
    "sha256:88682ab5",
    (f"{_TORCH}vgg16_features-amdegroot-88682ab5.pth",),
    mean_bgr=(103.9992, 116.9991, 122.99925),
    std_rgb=(1 / 255, 1 / 255, 1 / 255),
  ),
  "vgg16_onnx": Published(
    "vgg16-12.onnx",
    "VGG-16, trained anew by MXNet's model zoo",
    _APACHE,
    553,
    "",
    _of_zoo("vgg/model/vgg16-12.onnx"),
  ),
  "alexnet_owt": Published(
    "alexnet-owt-7be5be79.pth",
    "torchvision's AlexNet: --model=fcn_alexnet_owt",
    _BSD,
    244,
    "sha256:7be5be79",
    (f"{_TORCH}alexnet-owt-7be5be79.pth",),
  ),
  # The FCN authors' own, trained on PASCAL VOC.
  "fcn-alexnet-pascal": Published(
    "fcn-alexnet-pascal.caffemodel",
    "FCN-AlexNet, mean IoU 48.0 on seg11valid",
    _FCN,
    235,
    "",
    (f"{_CAFFE}fcn-alexnet-pascal.caffemodel",),
    "pool_norm",
  ),
  "fcn32s-heavy-pascal": Published(
    "fcn32s-heavy-pascal.caffemodel",
    "FCN-32s, mean IoU 63.6",
    _FCN,
    545,
    "sha1:05eb922d7829c39448f57e5ab9d8cd75d6c0be6d",
    (f"{_CAFFE}fcn32s-heavy-pascal.caffemodel",),
  ),
  "fcn16s-heavy-pascal": Published(
    "fcn16s-heavy-pascal.caffemodel",
    "FCN-16s, mean IoU 65.0",
    _FCN,
    539,
    "",
    (f"{_CAFFE}fcn16s-heavy-pascal.caffemodel",),
  ),
  "fcn8s-heavy-pascal": Published(
    "fcn8s-heavy-pascal.caffemodel",
    "FCN-8s, mean IoU 65.5",
    _FCN,
    538,
    "sha1:c449ea74dd7d83751d1357d6a8c323fcf4038962",
    (f"{_CAFFE}fcn8s-heavy-pascal.caffemodel",),
  ),
  "fcn8s-atonce-pascal": Published(
    "fcn8s-atonce-pascal.caffemodel",
    "FCN-8s at once, mean IoU 65.4",
    _FCN,
    538,
    "",
    (f"{_CAFFE}fcn8s-atonce-pascal.caffemodel",),
  ),
}

_ALGORITHMS = ("sha1", "sha256", "md5")


def digests(path: str | os.PathLike) -> dict[str, str]:
  """SHA-1, SHA-256 and MD5 of a file, in hexadecimal, by their names."""
  found = [hashlib.new(name, usedforsecurity=False) for name in _ALGORITHMS]
  with open(path, "rb") as file:
    while chunk := file.read(2**22):
      for digest in found:
        digest.update(chunk)
  return {digest.name: digest.hexdigest() for digest in found}


def known_as(found: Mapping[str, str]) -> str:
  """Name of the published file with these digests; '' if there is none."""
  for name, file in FILES.items():
    if file.digest and _is(file.digest, found):
      return name
  return ""


def _is(digest: str, found: Mapping[str, str]) -> bool:
  algorithm, _, value = digest.partition(":")
  return found.get(algorithm, "").startswith(value)


def listing() -> str:
  """The table of `FILES`, for people."""
  rows = [("name", "MB", "format", "what", "licence", "digest")]
  for name, file in FILES.items():
    form = pathlib.Path(file.file).suffix.removeprefix(".")
    digest = file.digest[:20] or "not published"
    rows.append(
      (name, str(file.megabytes), form, file.what, file.licence, digest)
    )
  return table(rows, left=len(rows[0]))


_TIMEOUT = 30  # seconds without a byte
_LARGEST = 2**30  # bytes; the largest file has 553 MB


class DownloadError(OSError):
  """No source gave the file; the text says how to go on without a network."""


def fetch(
  name: str,
  mirrors: Sequence[str] = (),
  cache: str | os.PathLike | None = None,
) -> pathlib.Path:
  """The file of a published network, downloaded unless it is in the cache.

  Args:
    name: a key of `published.FILES`.
    mirrors: URLs to try before the built-in ones.
    cache: folder to keep it in; None: `cache_dir()`.

  Returns:
    The path of a file whose digest is the published one.  Where none is
    published, the file's own is printed, to be compared and kept.

  Raises:
    DownloadError: every source failed, with what each of them said.
  """
  published = FILES[name]
  file_name = published.file
  folder = pathlib.Path(cache) if cache else cache_dir()
  folder.mkdir(parents=True, exist_ok=True)
  path, part = folder / file_name, folder / f"{file_name}.part"
  if path.exists() and _is_right(published, path):
    return path
  failures = []
  for url in (*mirrors, *published.urls):
    print(f"downloading {url}", file=sys.stderr)
    if not published.digest:
      # Nothing would tell that the parts of two sources do not fit.
      part = folder / f"{file_name}.{zlib.crc32(url.encode()):08x}.part"
    # A part may be of another file: what resuming spoils is fetched anew.
    for _ in range(2 if part.exists() else 1):
      try:
        _transfer(url, part)
      except (OSError, http.client.HTTPException, ValueError) as error:
        failures.append(f"{url}: {error}")
        break
      if _is_right(published, part):
        os.replace(part, path)
        return path
      sha1 = digests(part)["sha1"]
      part.unlink()
      failures.append(f"{url}: got another file, SHA-1 {sha1}")
  known = published.digest or "its publisher gives no digest"
  raise DownloadError(
    f"{name} could not be downloaded:\n  "
    + "\n  ".join(failures)
    + f"\nFetch {file_name} ({known}) on a machine with a network, or ask "
    f"someone who has it, and either put it at {path} or name it with "
    f"--source=FILE. Another address can be given with --mirror=URL."
  )


def _is_right(published: Published, path: pathlib.Path) -> bool:
  """Whether a file is the published one; one without digest is shown."""
  found = digests(path)
  if published.digest:
    return _is(published.digest, found)
  with path.open("rb") as file:
    is_page = file.read(512).lstrip().lower().startswith((b"<!doc", b"<html"))
  if is_page:
    return False
  print(
    f"{published.file}: its publisher gives no digest, so nothing says that "
    f"this is the file. Compare and keep its SHA-256: {found['sha256']}",
    file=sys.stderr,
  )
  return True


def _transfer(url: str, part: pathlib.Path) -> None:
  """Appends to `part` what is missing of `url`, or starts it anew."""
  have = part.stat().st_size if part.exists() else 0
  headers = {"User-Agent": "fcn_jax"}
  if have:
    headers["Range"] = f"bytes={have}-"
  request = urllib.request.Request(url, headers=headers)
  try:
    reply = urllib.request.urlopen(request, timeout=_TIMEOUT)
  except urllib.error.HTTPError as error:
    error.close()
    if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
      raise
    part.unlink()  # longer than the file: no part of it
    return _transfer(url, part)
  with reply:
    content_range = reply.headers.get("Content-Range", "")
    resumes = reply.status == 206 and content_range.startswith(f"bytes {have}-")
    if have and reply.status == 206 and not resumes:
      raise OSError(f"asked for bytes from {have}, got {content_range!r}")
    have = have if resumes else 0
    length = reply.headers.get("Content-Length")
    total = have + int(length) if length else None
    with (
      open(part, "ab" if resumes else "wb") as file,
      tqdm(total=total, initial=have, unit="B", unit_scale=True) as bar,
    ):
      while chunk := reply.read(2**18):
        file.write(chunk)
        bar.update(len(chunk))
        if file.tell() > _LARGEST:
          raise OSError(f"more than {_LARGEST} bytes; this is not the file")
    size = part.stat().st_size
  if total is not None and size < total:
    raise OSError(
      f"the connection broke after {size} of {total} bytes; the same command "
      "resumes"
    )
