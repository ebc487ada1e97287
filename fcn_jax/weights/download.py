"""Fetches published networks; what is not the real file never stays.

The official server has been away more than once, so there may be several
sources, each file is known by its SHA-1, and a broken transfer is resumed.
"""

import hashlib
import http.client
import os
import pathlib
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence

from tqdm import tqdm

from fcn_jax.weights import published

_TIMEOUT = 30  # seconds without a byte
_LARGEST = 2**30  # bytes; the largest file has 553 MB


class DownloadError(OSError):
  """No source gave the file; the text says how to go on without a network."""


def cache_dir() -> pathlib.Path:
  """Where downloads are kept: $XDG_CACHE_HOME/fcn_jax or ~/.cache/fcn_jax."""
  base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
  return pathlib.Path(base) / "fcn_jax"


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
  file_name, sha1, urls, _ = published.FILES[name]
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
