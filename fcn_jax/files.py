"""Files written whole, and never over a stranger's.

Also where they lie in an object store, as gs://BUCKET/..., by etils.epath.
"""

import contextlib
import fcntl
import functools
import json
import logging
import math
import os
import pathlib
import platform
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

_log = logging.getLogger(__name__)

# A pathlib.Path, or an epath.Path of an object store, see `path`.
AnyPath = pathlib.PurePath

_STORES = re.compile(r"(gs|s3|az|hf)://")  # those that epath knows
# Seconds between two signs of life of who has a lock in an object store, and
# without one after which it is taken for dead.
_HEARTBEAT, _DEAD = 20, 120


def is_remote(place: str | os.PathLike) -> bool:
  """Whether it is in an object store: 'gs://BUCKET/...'."""
  return bool(_STORES.match(os.fspath(place)))


def path(place: str | os.PathLike) -> AnyPath:
  """A path of this machine, '~' for the home folder, or of an object store.

  pathlib.Path alone would make 'gs:/bucket' of 'gs://bucket'.

  Raises:
    DataError: what reads that object store is not installed.
  """
  if is_remote(place):
    import fsspec
    from etils import epath

    try:
      fsspec.get_filesystem_class(os.fspath(place).partition("://")[0])
    except ImportError as error:
      raise DataError(f"{os.fspath(place)}: {error} (pip install)") from None
    return epath.Path(place)
  return pathlib.Path(place).expanduser()


def local_path(place: str | os.PathLike) -> pathlib.Path:
  """A path of this machine, where something is written that goes nowhere else.

  Raises:
    DataError: it is in an object store.
  """
  if is_remote(place):
    raise DataError(
      f"{os.fspath(place)} is in an object store, where this is not written; "
      "name a place on this machine, and copy it"
    )
  return pathlib.Path(place).expanduser()


def absolute(place: str | os.PathLike) -> AnyPath:
  """`path`, from the root."""
  found = path(place)
  return found if is_remote(place) else found.absolute()


def remove_tree(folder: AnyPath) -> None:
  """Removes a folder and all in it."""
  if is_remote(folder):
    folder.rmtree()
  else:
    shutil.rmtree(folder)


def modified(file: AnyPath) -> float:
  """When a file was last written, in seconds since 1970."""
  found = file.stat()
  return found.mtime if is_remote(file) else found.st_mtime


def appending(file: AnyPath):
  """A text file to write to at its end; what was flushed is there."""
  return _Appended(file) if is_remote(file) else file.open("a")


class _Appended:
  """The same of an object, which is written anew: nothing is added to one."""

  def __init__(self, file: AnyPath):
    self._file = file
    self._text = file.read_text() if file.exists() else ""

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()

  def write(self, text: str) -> None:
    self._text += text

  def flush(self) -> None:
    self._file.write_text(self._text)

  close = flush


class DataError(ValueError):
  """A mistake in the user's files or arguments, with its remedy."""


@contextlib.contextmanager
def replacing(path: AnyPath) -> Iterator[AnyPath]:
  """A path to write to, which becomes `path` once that has succeeded."""
  temporary = path.with_name(path.name + ".tmp")
  try:
    yield temporary
    temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def making(folder: pathlib.Path) -> Iterator[pathlib.Path]:
  """A folder to fill, which becomes `folder` once that has succeeded.

  It has another name until then, so that a half of it is never taken for one;
  folders above it are made.
  """
  folder.parent.mkdir(parents=True, exist_ok=True)
  unfinished = pathlib.Path(
    tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent)
  )
  try:
    yield unfinished
    unfinished.chmod(0o755)
    unfinished.rename(folder)
  except BaseException:
    shutil.rmtree(unfinished)
    raise


@contextlib.contextmanager
def held(path: AnyPath, refusal: str) -> Iterator[None]:
  """Holds a lock file, which the kernel takes back when the process dies.

  The file stays; what counts is its lock. It says who holds it. In an object
  store it is made by one, who renews it, and removed: one that has not been
  renewed for two minutes is a dead one's.

  Args:
    path: of the file, in an existing folder.
    refusal: what follows 'process 12 of HOST', if that has it.

  Raises:
    DataError: another process has it.
  """
  if is_remote(path):
    with _held_there(path, refusal):
      yield
    return
  with path.open("a+") as stream:
    try:
      fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      stream.seek(0)
      who = stream.read().strip() or "another process"
      raise DataError(f"{who} {refusal}") from None
    except OSError as error:  # a file system without locks
      _log.warning("%s cannot be locked [%s]; see to it yourself", path, error)
    stream.truncate(0)
    stream.write(f"process {os.getpid()} of {platform.node()}\n")
    stream.flush()
    yield


@contextlib.contextmanager
def _held_there(path: AnyPath, refusal: str) -> Iterator[None]:
  import fsspec

  store, place = fsspec.core.url_to_fs(os.fspath(path))
  who = f"process {os.getpid()} of {platform.node()}"

  def renew(mode: str = "overwrite") -> None:
    sign = json.dumps({"who": who, "time": time.time()})
    store.pipe_file(place, sign.encode(), mode=mode)

  try:
    renew("create")
  except FileExistsError:
    there = json.loads(store.cat_file(place))
    if time.time() - there["time"] < _DEAD:
      raise DataError(f"{there['who']} {refusal}") from None
    store.rm_file(place)
    renew("create")
  ended = threading.Event()

  def beat() -> None:
    while not ended.wait(_HEARTBEAT):
      try:
        renew()
      except OSError as error:
        _log.warning("%s cannot be renewed [%s]", path, error)

  heart = threading.Thread(target=beat, daemon=True)
  heart.start()
  try:
    yield
  finally:
    ended.set()
    heart.join()
    store.rm_file(place)


def check_writable(path: str | os.PathLike, folder: bool = False) -> None:
  """Whether a file (or folder) can be made here or written to; makes nothing.

  Raises:
    DataError: it cannot, for what is in the way or for lack of permission.
  """
  path = local_path(path).absolute()
  place = path
  while not place.exists() and place != place.parent:
    place = place.parent
  if (folder or place != path) and not place.is_dir():
    raise DataError(f"{path} cannot be written: {place} is no folder")
  if not folder and place == path and place.is_dir():
    raise DataError(f"{path} cannot be written: it is a folder")
  if not os.access(place, os.W_OK | (os.X_OK if place.is_dir() else 0)):
    raise DataError(f"{path} cannot be written: no permission in {place}")


def write_json(place: str | os.PathLike, value: Any) -> None:
  """Writes JSON, NaN and infinity as null, complete or not at all."""
  text = json.dumps(without_nan(value), indent=2) + "\n"
  with replacing(path(place)) as temporary:
    temporary.write_text(text)


def claim(path: str | os.PathLike, mark: str, what: str) -> pathlib.Path:
  """The absolute path of a file to come; folders above it are made.

  Args:
    path: of the file; '~' stands for the home folder.
    mark: what stands in the first 1000 bytes of a file of ours.
    what: the kind of file, for errors: 'page'.

  Raises:
    DataError: it holds something else, which is not overwritten.
    OSError: its folder cannot be made.
  """
  return _claim(path, functools.partial(_has_mark, mark=mark), what)


def claim_json(
  path: str | os.PathLike, keys: Collection[str], what: str
) -> pathlib.Path:
  """The same for a JSON file to come, whose object has these keys."""
  return _claim(path, functools.partial(_has_keys, keys=keys), what)


def _claim(
  path: str | os.PathLike, is_ours: Callable[[pathlib.Path], bool], what: str
) -> pathlib.Path:
  path = local_path(path).absolute()
  if path.exists() and not is_ours(path):
    raise DataError(
      f"{path} is no {what} that fcn_jax has written; name another file, so "
      "that nothing of yours is overwritten"
    )
  check_writable(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  return path


def _has_mark(path: pathlib.Path, mark: str) -> bool:
  if not path.is_file():
    return False
  with path.open("rb") as stream:
    return mark.encode() in stream.read(1000)


def _has_keys(path: pathlib.Path, keys: Collection[str]) -> bool:
  try:
    found = json.loads(path.read_bytes())
  except (OSError, ValueError):
    return False
  return isinstance(found, dict) and found.keys() >= set(keys)


def one_line(error: Exception) -> str:
  """What an error says, or its kind; of a long text the beginning."""
  text = " ".join(str(error).split()) or type(error).__name__
  return text if len(text) <= 400 else f"{text[:400]} ..."


def without_nan(value: Any) -> Any:
  """The value, or tree of dicts and lists, with None for NaN and inf."""
  if isinstance(value, dict):
    return {key: without_nan(item) for key, item in value.items()}
  if isinstance(value, list | tuple):
    return [without_nan(item) for item in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value


def cache_dir() -> pathlib.Path:
  """Where downloads are kept: $XDG_CACHE_HOME/fcn_jax or ~/.cache/fcn_jax."""
  base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
  return pathlib.Path(base) / "fcn_jax"
