"""What looks at pairs told, on disk until a data set is made of them.

Preparation decodes every image and label before it writes anything. Where it
was stopped, or there were findings to mend, the same command need not look
again at files that are as they were.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import sqlite3
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fcn_jax.data.checks import Facts
from fcn_jax.data.files import File, Pair
from fcn_jax.files import cache_dir

_AT_ONCE = 256  # facts that a kill may lose
_KEPT = 30 * 24 * 3600  # seconds
_FORMAT = 1  # raise it when Facts, or what a check finds, change


class Looks:
  """Facts of sound pairs by their keys, of this run and earlier ones.

  Args:
    path: of the file; made if absent.
    how: how pairs are looked at.

  Raises:
    OSError, sqlite3.Error: the file cannot be made.
  """

  def __init__(self, path: pathlib.Path, *how: Any):
    self._path = path
    self._how = b"".join(_told((_FORMAT, *how)))
    self._waiting = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    self._table = sqlite3.connect(path)
    try:
      self._table.execute("PRAGMA journal_mode = WAL")
      self._table.execute("PRAGMA synchronous = OFF")
      self._table.execute(
        "CREATE TABLE IF NOT EXISTS looks (pair BLOB PRIMARY KEY, facts TEXT)"
      )
    except sqlite3.Error:
      self._table.close()
      raise

  def key(self, pair: Pair) -> bytes | None:
    """What tells whether a pair is as it was; None: nothing can.

    It covers the places, sizes and times of its files, the change time too,
    which no program sets back.
    """
    whole = hashlib.sha256(self._how)
    try:
      for part in _told((pair.image, pair.label)):
        whole.update(part)
    except (OSError, TypeError):  # gone, or unpacked for this run only
      return None
    return whole.digest()

  def __contains__(self, key: bytes) -> bool:
    chosen = "SELECT 1 FROM looks WHERE pair = ?"
    return self._table.execute(chosen, (key,)).fetchone() is not None

  def __getitem__(self, key: bytes) -> Facts:
    chosen = "SELECT facts FROM looks WHERE pair = ?"
    return _decoded(self._table.execute(chosen, (key,)).fetchone()[0])

  def __setitem__(self, key: bytes, facts: Facts) -> None:
    added = "INSERT OR REPLACE INTO looks VALUES (?, ?)"
    self._table.execute(added, (key, _encoded(facts)))
    self._waiting += 1
    if self._waiting >= _AT_ONCE:
      self._table.commit()
      self._waiting = 0

  def close(self) -> None:
    """Keeps what was looked at."""
    self._table.commit()
    self._table.close()

  def forget(self) -> None:
    """Removes the file."""
    self._table.close()
    for ending in ("", "-wal", "-shm"):
      place = self._path.with_name(self._path.name + ending)
      place.unlink(missing_ok=True)


@contextlib.contextmanager
def looks_of(name: str, *how: Any) -> Iterator[Looks | None]:
  """The looks of a command, forgotten when it comes to its end.

  Args:
    name: of the data set that is made.
    how: see `Looks`.

  Yields:
    None: there is no place to keep them.
  """
  path = cache_dir() / "looks" / f"{name}.sqlite"
  try:
    _clear(path.parent)
    looks = Looks(path, *how)
  except (OSError, sqlite3.Error):
    yield None
    return
  try:
    yield looks
  except BaseException:
    looks.close()
    raise
  looks.forget()


def _clear(folder: pathlib.Path) -> None:
  """Removes what nobody came back to."""
  for old in folder.glob("*.sqlite"):
    if time.time() - old.stat().st_mtime > _KEPT:
      old.unlink(missing_ok=True)


def _told(value: Any) -> Iterator[bytes]:
  """Bytes that differ where values do, or the files that they name."""
  if isinstance(value, File):
    at = os.stat(value.path)
    times = (at.st_mtime_ns, at.st_ctime_ns)
    yield repr((at.st_ino, at.st_size, *times)).encode()
  if dataclasses.is_dataclass(value):
    yield f"{type(value).__qualname__}(".encode()
    for field in dataclasses.fields(value):
      yield from _told(getattr(value, field.name))
  elif isinstance(value, Mapping):
    yield from _told(list(value.items()))
  elif isinstance(value, list | tuple):
    yield f"{len(value)}[".encode()
    for item in value:
      yield from _told(item)
  elif isinstance(value, np.ndarray):
    yield f"{value.dtype}{value.shape}".encode() + value.tobytes()
  elif isinstance(value, str | bytes | int | float | None):
    yield f"{value!r},".encode()
  else:
    raise TypeError(f"a {type(value).__name__} cannot be told from others")


def _encoded(facts: Facts) -> str:
  labels = np.flatnonzero(facts.counts)
  kept = {
    "size": [int(n) for n in facts.size],
    "labels": labels.tolist(),
    "counts": facts.counts[labels].tolist(),
    "palette": None if facts.palette is None else facts.palette.tolist(),
    "digest": facts.digest.hex(),
    "cells": facts.cells.astype("<f4").tobytes().hex(),
    "label_digest": facts.label_digest.hex(),
    "highest": facts.highest,
    "highest_color": facts.highest_color,
  }
  return json.dumps(kept)


def _decoded(text: str) -> Facts:
  kept = json.loads(text)
  counts = np.zeros(256, np.int64)
  counts[kept.pop("labels")] = kept["counts"]
  palette = kept["palette"]
  cells = np.frombuffer(bytes.fromhex(kept["cells"]), "<f4")
  return Facts(
    **kept
    | {
      "size": tuple(kept["size"]),
      "counts": counts,
      "palette": None if palette is None else np.array(palette, np.uint8),
      "digest": bytes.fromhex(kept["digest"]),
      "cells": cells.reshape(8, 9),
      "label_digest": bytes.fromhex(kept["label_digest"]),
    }
  )
