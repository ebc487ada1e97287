"""Reading files by name, out of a folder or straight out of a tar."""

import dataclasses
import os
import pathlib
import tarfile

from fcn_jax.files import DataError


@dataclasses.dataclass(frozen=True)
class File:
  """A stretch of bytes on disk: a whole file, or a member of a tar.

  It is a name and three numbers, so lists of it stay small, and it can be read
  from any thread or process.
  """

  name: str  # what messages call it, e.g. 'JPEGImages/2007_000033.jpg'
  path: str  # the file that is opened
  offset: int = 0
  size: int | None = None  # None: up to the end

  @property
  def stem(self) -> str:
    return os.path.splitext(os.path.basename(self.name))[0]

  @property
  def extension(self) -> str:
    return os.path.splitext(self.name)[1].lower()

  def read(self) -> bytes:
    """The bytes of the file.

    Raises:
      DataError: the file cannot be opened, or is shorter than it was.
    """
    try:
      with open(self.path, "rb") as stream:
        stream.seek(self.offset)
        data = stream.read(-1 if self.size is None else self.size)
    except OSError as error:
      raise DataError(
        f"{self.name}: cannot be read ({error.strerror})"
      ) from None
    if self.size is not None and len(data) != self.size:
      raise DataError(
        f"{self.name}: {self.path} ends after {len(data)} of its "
        f"{self.size} bytes; fetch the archive again"
      )
    return data


def is_hidden(name: str) -> bool:
  """Whether a path has a part such as '.DS_Store', '._a.jpg', '__MACOSX'."""
  parts = pathlib.PurePosixPath(name).parts
  return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def list_folder(folder: str | os.PathLike) -> dict[str, File]:
  """All files below a folder, by their path within it, in sorted order.

  Hidden files and folders are left out; links are followed to files, not to
  folders.

  Raises:
    DataError: the folder does not exist.
  """
  folder = os.path.expanduser(os.fspath(folder))
  if not os.path.isdir(folder):
    raise DataError(f"{folder}: no such folder; check the path")
  found = {}
  for parent, folders, names in os.walk(folder):
    folders[:] = [name for name in folders if not is_hidden(name)]
    for name in names:
      path = os.path.join(parent, name)
      key = pathlib.PurePath(os.path.relpath(path, folder)).as_posix()
      if not is_hidden(key) and os.path.isfile(path):
        found[key] = File(path, path)
  return dict(sorted(found.items()))


def list_tar(archive: str | os.PathLike) -> dict[str, File]:
  """All regular files in an uncompressed tar, by their path in it, sorted.

  Nothing is extracted: a member is a stretch of the archive. Links, devices
  and other special members are left out, and no path is ever written to.

  Raises:
    DataError: not a tar, a cut one, or a compressed one.
  """
  archive = os.path.expanduser(os.fspath(archive))
  if not os.path.isfile(archive):
    raise DataError(f"{archive}: no such file; check the path")
  found = {}
  try:
    with tarfile.open(archive, "r:") as tar:
      for member in tar:
        key = str(pathlib.PurePosixPath(member.name))
        if member.isreg() and not member.issparse() and not is_hidden(key):
          found[key] = File(key, archive, member.offset_data, member.size)
  except tarfile.TarError as error:
    raise DataError(
      f"{archive}: {_tar_fault(archive)} ({error}); fetch it again, or unpack "
      "it and give the folder with --devkit=DIR"
    ) from None
  end = os.path.getsize(archive)
  for file in found.values():
    if file.offset + file.size > end:
      raise DataError(
        f"{archive}: cut short, {file.name} reaches byte "
        f"{file.offset + file.size} of {end}; fetch it again"
      )
  return dict(sorted(found.items()))


def _tar_fault(archive: str) -> str:
  with open(archive, "rb") as stream:
    start = stream.read(6)
  compressed = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"PK", b"\x28\xb5\x2f\xfd")
  if start.startswith(compressed):
    return "compressed, which cannot be read in place"
  return "not a readable tar"


@dataclasses.dataclass(frozen=True)
class Pair:
  """An image and its label, as found on disk."""

  image_id: str
  image: File
  label: File


def read_text(path: str | os.PathLike) -> str:
  """A small text file of a user's, in UTF-8 with or without a mark.

  Raises:
    DataError: it cannot be read, or is in another encoding.
  """
  try:
    with open(os.path.expanduser(path), encoding="utf-8-sig") as stream:
      return stream.read()
  except OSError as error:
    raise DataError(f"{path}: cannot be read ({error.strerror})") from None
  except UnicodeDecodeError:
    raise DataError(
      f"{path}: not a text file in UTF-8; save it as such"
    ) from None
