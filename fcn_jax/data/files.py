"""Reading files by name, out of a folder or straight out of an archive."""

import bisect
import bz2
import dataclasses
import gzip
import lzma
import os
import pathlib
import shutil
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

from fcn_jax.files import DataError

_ZIPPED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
MOST_TEXT = 64 << 20  # bytes of a list or a file of names


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

  def bytes_on_disk(self) -> int:
    """About how many bytes `read` returns; the file is not read."""
    return os.path.getsize(self.path) if self.size is None else self.size

  def text(self) -> str:
    """A small text file, in UTF-8 with or without a mark.

    Raises:
      DataError: it cannot be read, is in another encoding, or larger than
        MOST_TEXT.
    """
    try:
      size = self.bytes_on_disk()
    except OSError as error:
      raise DataError(
        f"{self.name}: cannot be read ({error.strerror})"
      ) from None
    if size > MOST_TEXT:
      raise DataError(
        f"{self.name}: {size} bytes, at most {MOST_TEXT} of a text are read; "
        "is it another file?"
      )
    try:
      return self.read().decode("utf-8-sig")
    except UnicodeDecodeError:
      raise DataError(
        f"{self.name}: not a text file in UTF-8; save it as such"
      ) from None


def is_hidden(name: str) -> bool:
  """Whether a path has a part such as '.DS_Store', '._a.jpg', '__MACOSX'."""
  parts = pathlib.PurePosixPath(name).parts
  return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def list_files(place: str | os.PathLike) -> dict[str, File]:
  """All files in a folder, a tar or a zip, by their path in it, sorted.

  See `list_folder`, `list_tar` and `list_zip`.

  Raises:
    DataError: there is none, or it is broken.
  """
  place = os.path.expanduser(os.fspath(place))
  if os.path.isdir(place):
    return list_folder(place)
  if not os.path.isfile(place):
    raise DataError(f"{place}: no such folder or archive; check the path")
  return list_zip(place) if zipfile.is_zipfile(place) else list_tar(place)


def list_folder(folder: str | os.PathLike) -> dict[str, File]:
  """All files below a folder, by their path within it, in sorted order.

  Hidden files and folders are left out. Links are followed, but for those to a
  folder that they lie in.

  Raises:
    DataError: the folder does not exist.
  """
  folder = os.path.expanduser(os.fspath(folder))
  if not os.path.isdir(folder):
    raise DataError(f"{folder}: no such folder; check the path")
  found = {}
  above = {folder: frozenset({os.path.realpath(folder)})}
  for parent, folders, names in os.walk(folder, followlinks=True):
    entered = above.pop(parent)
    for name in list(folders):
      path = os.path.join(parent, name)
      real = os.path.realpath(path)
      if is_hidden(name) or real in entered:
        folders.remove(name)
      else:
        above[path] = entered | {real}
    for name in names:
      path = os.path.join(parent, name)
      key = pathlib.PurePath(os.path.relpath(path, folder)).as_posix()
      if not is_hidden(key) and os.path.isfile(path):
        found[key] = File(path, path)
  return dict(sorted(found.items()))


def list_tar(archive: str | os.PathLike) -> dict[str, File]:
  """All files in a tar, by their path in it, sorted.

  A member is a stretch of the archive; no path in it is ever written to. A
  compressed tar (gz, bz2, xz) is unpacked into a temporary file first, which
  goes when the last of its files goes. Links within the archive are followed;
  those out of it, devices and other special members are left out.

  Raises:
    DataError: not a tar, a cut one, or one with sparse members.
  """
  archive = os.path.expanduser(os.fspath(archive))
  if not os.path.isfile(archive):
    raise DataError(f"{archive}: no such file; check the path")
  unpacked = _unpacked(archive)
  path = unpacked.name if unpacked else archive
  found, links = {}, {}
  try:
    with tarfile.open(path, "r:") as tar:
      for member in tar:
        key = os.path.normpath(member.name)
        if is_hidden(key):
          continue
        if member.issparse():
          raise DataError(
            f"{archive}: {key} is stored sparse, in pieces; make the archive "
            "without --sparse (-S)"
          )
        if member.isreg():
          found[key] = TarMember(
            key, path, member.offset_data, member.size, unpacked
          )
        elif member.issym():
          folder = os.path.dirname(key)
          links[key] = os.path.normpath(os.path.join(folder, member.linkname))
        elif member.islnk():
          links[key] = os.path.normpath(member.linkname)
  except DataError:
    raise
  except (tarfile.TarError, ValueError, OverflowError, OSError) as error:
    raise DataError(
      f"{archive}: not a readable tar or zip ({error}); fetch it again, or "
      "unpack it and give the folder"
    ) from None
  end = os.path.getsize(path)
  for file in found.values():
    if file.offset + file.size > end:
      raise DataError(
        f"{archive}: cut short, {file.name} reaches byte "
        f"{file.offset + file.size} of {end}; fetch it again"
      )
  return dict(sorted(_with_links(found, links).items()))


def _unpacked(archive: str) -> Any:
  """The temporary file with what a compressed tar holds; None of another."""
  openers = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
  with open(archive, "rb") as stream:
    start = stream.read(6)
  if start.startswith(b"\x28\xb5\x2f\xfd"):
    raise DataError(
      f"{archive}: compressed by zstd, which is not read; unpack it and give "
      "the folder"
    )
  opener = next((o for m, o in openers.items() if start.startswith(m)), None)
  if opener is None:
    return None
  whole = tempfile.NamedTemporaryFile(prefix="unpacked_", suffix=".tar")  # noqa: SIM115
  try:
    with opener(archive, "rb") as stream:
      shutil.copyfileobj(stream, whole, 1 << 20)
    whole.flush()
  except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
    whole.close()
    raise DataError(
      f"{archive}: cannot be unpacked to {tempfile.gettempdir()} ({error}); "
      "fetch it again, or unpack it and give the folder"
    ) from None
  return whole


def _with_links(
  found: dict[str, File], links: Mapping[str, str]
) -> dict[str, File]:
  """The files of an archive, and those that links in it lead to.

  Each round follows links to what the rounds before have found, so a link to a
  folder that it lies in ends.
  """
  left = dict(links)
  while left:
    names, ready = sorted(found), {}
    for key, target in left.items():
      if target in found:
        ready[key] = {key: target}
      elif not key.startswith(target + "/"):
        # '0' follows '/'.
        start = bisect.bisect_left(names, target + "/")
        stop = bisect.bisect_left(names, target + "0")
        below = names[start:stop]
        if below:
          ready[key] = {key + name[len(target) :]: name for name in below}
    if not ready:
      break
    for key, targets in ready.items():
      del left[key]
      for name, target in targets.items():
        found.setdefault(name, dataclasses.replace(found[target], name=name))
  return found


def list_zip(archive: str | os.PathLike) -> dict[str, File]:
  """All files in a zip, by their path in it, sorted; it is read in place.

  Raises:
    DataError: a broken zip, an encrypted one, or one compressed by a method
      other than deflate.
  """
  archive = os.path.expanduser(os.fspath(archive))
  found = {}
  try:
    with zipfile.ZipFile(archive) as members:
      for member in members.infolist():
        key = os.path.normpath(member.filename)
        if member.is_dir() or is_hidden(key):
          continue
        if member.flag_bits & 1:
          raise DataError(
            f"{archive}: {key} is encrypted; unpack it and give the folder"
          )
        if member.compress_type not in (
          zipfile.ZIP_STORED,
          zipfile.ZIP_DEFLATED,
        ):
          raise DataError(
            f"{archive}: {key} is compressed by another method than deflate; "
            "unpack it and give the folder"
          )
        found[key] = ZipMember(
          key,
          archive,
          member.header_offset,
          member.file_size,
          packed=member.compress_size,
          deflated=member.compress_type == zipfile.ZIP_DEFLATED,
          crc=member.CRC,
        )
  except DataError:
    raise
  except (zipfile.BadZipFile, OSError, ValueError) as error:
    raise DataError(
      f"{archive}: not a readable zip ({error}); fetch it again"
    ) from None
  return dict(sorted(found.items()))


@dataclasses.dataclass(frozen=True)
class TarMember(File):
  """A stretch of a tar.

  Attributes:
    unpacked: the temporary file that it is a stretch of, kept as long as this.
  """

  unpacked: Any = dataclasses.field(default=None, compare=False, repr=False)


@dataclasses.dataclass(frozen=True)
class ZipMember(File):
  """A member of a zip, from its local header on; `size` when unpacked.

  Attributes:
    packed: bytes in the archive.
    deflated: whether they are compressed.
    crc: CRC-32 of the unpacked bytes.
  """

  packed: int = 0
  deflated: bool = False
  crc: int = 0

  def read(self) -> bytes:
    head = File(self.name, self.path, self.offset, 30).read()
    start = self.offset + 30 + sum(struct.unpack("<HH", head[26:]))
    data = File(self.name, self.path, start, self.packed).read()
    try:
      if self.deflated:
        data = zlib.decompressobj(-15).decompress(data, self.size + 1)
      if len(data) == self.size and zlib.crc32(data) == self.crc:
        return data
    except zlib.error:
      pass
    raise DataError(f"{self.name}: damaged in {self.path}; fetch it again")


@dataclasses.dataclass(frozen=True)
class Pair:
  """An image and its label, as found on disk."""

  image_id: str
  image: File
  label: File


def own_file(path: str | os.PathLike) -> File:
  """A file of the user's, called as the user calls it."""
  return File(os.fspath(path), os.path.expanduser(os.fspath(path)))


def read_text(path: str | os.PathLike) -> str:
  """What `File.text` does, of a file of the user's."""
  return own_file(path).text()
