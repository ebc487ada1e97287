"""Files written whole, and never over a stranger's."""

import contextlib
import fcntl
import functools
import json
import logging
import math
import os
import pathlib
import platform
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from typing import Any

_log = logging.getLogger(__name__)


class DataError(ValueError):
  """A mistake in the user's files or arguments, with its remedy."""


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """A path to write to, which becomes `path` once that has succeeded."""
  temporary = path.with_name(path.name + ".tmp")
  try:
    yield temporary
    os.replace(temporary, path)
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
def held(path: pathlib.Path, refusal: str) -> Iterator[None]:
  """Holds a lock file, which the kernel takes back when the process dies.

  The file stays; what counts is its lock. It says who holds it.

  Args:
    path: of the file, in an existing folder.
    refusal: what follows 'process 12 of HOST', if that has it.

  Raises:
    DataError: another process has it.
  """
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


def check_writable(path: str | os.PathLike, folder: bool = False) -> None:
  """Whether a file (or folder) can be made here or written to; makes nothing.

  Raises:
    DataError: it cannot, for what is in the way or for lack of permission.
  """
  path = pathlib.Path(path).expanduser().absolute()
  place = path
  while not place.exists() and place != place.parent:
    place = place.parent
  if (folder or place != path) and not place.is_dir():
    raise DataError(f"{path} cannot be written: {place} is no folder")
  if not folder and place == path and place.is_dir():
    raise DataError(f"{path} cannot be written: it is a folder")
  if not os.access(place, os.W_OK | (os.X_OK if place.is_dir() else 0)):
    raise DataError(f"{path} cannot be written: no permission in {place}")


def write_json(path: str | os.PathLike, value: Any) -> None:
  """Writes JSON, NaN and infinity as null, complete or not at all."""
  text = json.dumps(without_nan(value), indent=2) + "\n"
  with replacing(pathlib.Path(path)) as temporary:
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
  path = pathlib.Path(path).expanduser().absolute()
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
