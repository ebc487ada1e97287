"""What a kill at any file operation would leave: copies of a folder.

Instead of killing a process again and again, the folder is copied before each
operation on it. Python's audit events tell of them, in every thread; what C++
writes lies in files that were opened in between.
"""

import contextlib
import pathlib
import shutil
import sys
import threading
from collections.abc import Iterator

_EVENTS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir")
_lock, _inside = threading.Lock(), threading.local()
_copy = None


def _hook(event: str, arguments: tuple) -> None:
  if _copy is None or event not in _EVENTS or hasattr(_inside, "busy"):
    return
  if event == "open" and not _writes(arguments):
    return
  _inside.busy = True
  try:
    with _lock:
      if _copy is not None:
        _copy(arguments[0])
  finally:
    del _inside.busy


def _writes(arguments: tuple) -> bool:
  mode = arguments[1]
  return isinstance(mode, str) and any(letter in mode for letter in "wax+")


sys.addaudithook(_hook)


@contextlib.contextmanager
def copies_of(folder: pathlib.Path, to: pathlib.Path) -> Iterator[list]:
  """A list that gets a copy of `folder` before each operation in it."""
  global _copy
  copies: list[pathlib.Path] = []

  def copy(path) -> None:
    # Parts of a tree are deleted by names relative to an open folder.
    inside = not str(path).startswith("/") or str(path).startswith(str(folder))
    if not isinstance(path, int) and inside:
      place = to / f"{len(copies):04d}"
      # What another thread is just renaming is in this copy or in the next.
      with contextlib.suppress(shutil.Error):
        shutil.copytree(folder, place)
      copies.append(place)

  _copy = copy
  try:
    yield copies
  finally:
    _copy = None
