"""Files that may be overwritten: those that carry our mark."""

import os
import pathlib

from fcn_jax.data.files import DataError


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
  path = pathlib.Path(path).expanduser().absolute()
  if path.exists() and not _has(path, mark):
    raise DataError(
      f"{path} is no {what} that fcn_jax has written; name another file, so "
      "that nothing of yours is overwritten"
    )
  path.parent.mkdir(parents=True, exist_ok=True)
  return path


def _has(path: pathlib.Path, mark: str) -> bool:
  if not path.is_file():
    return False
  with path.open("rb") as stream:
    return mark.encode() in stream.read(1000)
