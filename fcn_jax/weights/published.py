"""Published caffemodels: names, checksums, sources."""

import hashlib
import http.client
import os
import pathlib
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import NamedTuple

from tqdm import tqdm

from fcn_jax.files import cache_dir


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
    The path of a file whose SHA-1 is the published one.

  Raises:
    DownloadError: every source failed, with what each of them said.
  """
  file_name, sha1, urls, _ = FILES[name]
  folder = pathlib.Path(cache) if cache else cache_dir()
  folder.mkdir(parents=True, exist_ok=True)
  path, part = folder / file_name, folder / f"{file_name}.part"
  if path.exists() and _sha1(path) == sha1:
    return path
  failures = []
  for url in (*mirrors, *urls):
    print(f"downloading {url}", file=sys.stderr)
    # A part may be of another file: what resuming spoils is fetched anew.
    for _ in range(2 if part.exists() else 1):
      try:
        _transfer(url, part)
      except (OSError, http.client.HTTPException, ValueError) as error:
        failures.append(f"{url}: {error}")
        break
      found = _sha1(part)
      if found == sha1:
        os.replace(part, path)
        return path
      part.unlink()
      failures.append(f"{url}: got another file, SHA-1 {found}")
  raise DownloadError(
    f"{name} could not be downloaded:\n  "
    + "\n  ".join(failures)
    + f"\nFetch {file_name} (SHA-1 {sha1}) on a machine with a network, or ask "
    f"someone who has it, and either put it at {path} or name it with "
    f"--source=FILE. Another address can be given with --mirror=URL."
  )


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


def _sha1(path: pathlib.Path) -> str:
  with open(path, "rb") as file:
    return hashlib.file_digest(file, "sha1").hexdigest()
