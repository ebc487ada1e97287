import gc
import io
import pathlib
import struct
import tarfile
import zipfile

import pytest

from fcn_jax.data import files
from fcn_jax.data.files import File, list_files, list_folder, list_tar
from fcn_jax.files import DataError


def make_tar(path, members, mode="w"):
  with tarfile.open(path, mode) as tar:
    for name, data in members.items():
      info = tarfile.TarInfo(name)
      info.size = len(data)
      tar.addfile(info, io.BytesIO(data))
  return path


def test_stretch_of_a_file(tmp_path):
  (tmp_path / "all").write_bytes(b"0123456789")
  file = File("x/a.b.PNG", str(tmp_path / "all"), 3, 4)
  assert file.read() == b"3456"
  assert (file.stem, file.extension) == ("a.b", ".png")
  with pytest.raises(DataError, match=r"ends after 1 of its 4 bytes"):
    File("x", str(tmp_path / "all"), 9, 4).read()
  with pytest.raises(DataError, match="cannot be read"):
    File("x", str(tmp_path / "none")).read()


def test_folder(tmp_path):
  for name in ("b.png", "sub/a.png", ".hidden", "._b.png", "__MACOSX/b.png"):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(name.encode())
  found = list_folder(tmp_path)
  assert list(found) == ["b.png", "sub/a.png"]
  assert found["sub/a.png"].read() == b"sub/a.png"
  with pytest.raises(DataError, match="no such folder"):
    list_folder(tmp_path / "none")


def test_tar_is_read_in_place(tmp_path):
  path = make_tar(
    tmp_path / "a.tar", {"./d/one": b"1" * 700, "d/two": b"22", "d/._x": b""}
  )
  with tarfile.open(path, "a") as tar:
    link = tarfile.TarInfo("d/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    tar.addfile(link)
  found = list_tar(path)
  assert list(found) == ["d/one", "d/two"]
  assert found["d/one"].read() == b"1" * 700
  assert found["d/two"].read() == b"22"
  assert [entry.name for entry in tmp_path.iterdir()] == ["a.tar"]


def test_bad_tars(tmp_path):
  (tmp_path / "b.tar").write_bytes(b"no tar at all" * 99)
  with pytest.raises(DataError, match=r"b\.tar: not a readable tar"):
    list_tar(tmp_path / "b.tar")
  whole = make_tar(tmp_path / "c.tar", {"x": b"1" * 5000}).read_bytes()
  (tmp_path / "c.tar").write_bytes(whole[:3000])
  with pytest.raises(DataError, match="fetch it again"):
    list_tar(tmp_path / "c.tar")
  with pytest.raises(DataError, match="no such file"):
    list_tar(tmp_path / "none.tar")


def test_links_to_folders_are_followed(tmp_path):
  write = {"images/a.png": b"a", "far/more/b.png": b"b"}
  for name, data in write.items():
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(data)
  (tmp_path / "images/linked").symlink_to(tmp_path / "far")
  # A folder that leads back to itself, and two that lead to each other.
  (tmp_path / "far/loop").symlink_to(tmp_path / "images")
  (tmp_path / "far/more/self").symlink_to(tmp_path / "far/more")
  found = list_folder(tmp_path / "images")
  assert list(found) == ["a.png", "linked/more/b.png"]
  assert found["linked/more/b.png"].read() == b"b"


def test_links_within_a_tar_are_followed(tmp_path):
  path = make_tar(tmp_path / "a.tar", {"d/one": b"1", "d/sub/two": b"22"})
  with tarfile.open(path, "a") as tar:
    for name, kind, target in (
      ("hard", tarfile.LNKTYPE, "d/one"),
      ("e/soft", tarfile.SYMTYPE, "../d/one"),
      ("f", tarfile.SYMTYPE, "d"),
      ("g", tarfile.SYMTYPE, "f/sub"),
      ("d/loop", tarfile.SYMTYPE, "../d"),
      ("dangling", tarfile.SYMTYPE, "nowhere"),
      ("out", tarfile.SYMTYPE, "../../etc/passwd"),
    ):
      link = tarfile.TarInfo(name)
      link.type, link.linkname = kind, target
      tar.addfile(link)
  found = {key: file.read() for key, file in list_tar(path).items()}
  assert found == {
    "d/one": b"1",
    "d/sub/two": b"22",
    "hard": b"1",
    "e/soft": b"1",
    "f/one": b"1",
    "f/sub/two": b"22",
    "g/two": b"22",
  }


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_compressed_tar_is_unpacked_for_a_while(tmp_path, kind, monkeypatch):
  monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
  path = make_tar(tmp_path / "a.tar.x", {"d/one": b"1" * 700}, f"w:{kind}")
  found = list_files(path)
  assert found["d/one"].read() == b"1" * 700
  whole = pathlib.Path(found["d/one"].path)
  assert whole.parent == tmp_path
  assert whole.exists()
  del found
  gc.collect()
  assert not whole.exists()
  path.write_bytes(path.read_bytes()[:-30])
  with pytest.raises(DataError, match=r"a\.tar\.x: (cannot be unpacked|not a)"):
    list_files(path)


def test_a_zip_is_read_in_place(tmp_path):
  path = tmp_path / "a.zip"
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("d/stored", b"1" * 700)
    archive.writestr("d/deflated", b"2" * 700, zipfile.ZIP_DEFLATED)
    archive.writestr("__MACOSX/x", b"")
  found = list_files(path)
  assert list(found) == ["d/deflated", "d/stored"]
  assert found["d/stored"].read() == b"1" * 700
  assert found["d/deflated"].read() == b"2" * 700
  damaged = path.read_bytes().replace(b"1" * 700, b"1" * 699 + b"0")
  path.write_bytes(damaged)
  with pytest.raises(DataError, match="d/stored: damaged"):
    found["d/stored"].read()


def test_zips_that_are_not_read(tmp_path):
  path = tmp_path / "a.zip"
  with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
    archive.writestr("x", b"1")
  with pytest.raises(DataError, match="x is compressed by another method"):
    list_files(path)


def test_sparse_members_are_refused(tmp_path):
  path = make_tar(tmp_path / "a.tar", {})
  with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
    member = tarfile.TarInfo("d/holes.png")
    member.type = tarfile.GNUTYPE_SPARSE
    tar.addfile(member)
  with pytest.raises(DataError, match=r"a\.tar: d/holes\.png is stored sparse"):
    list_tar(path)


@pytest.mark.parametrize("bits", [60, 64])
def test_members_of_absurd_size(tmp_path, bits):
  path = make_tar(tmp_path / "a.tar", {"x": b"1"})
  data = bytearray(path.read_bytes())
  # The size in base 256, as GNU tar writes large ones; then the checksum.
  data[124:136] = b"\x80" + struct.pack(">3xQ", 2**bits - 1)
  data[148:156] = b" " * 8
  data[148:156] = b"%06o\0 " % sum(data[:512])
  path.write_bytes(data)
  with pytest.raises(DataError, match=r"a\.tar: (cut short|not a readable)"):
    list_tar(path)


def test_texts_are_small(tmp_path, monkeypatch):
  monkeypatch.setattr(files, "MOST_TEXT", 5)
  (tmp_path / "a.txt").write_text("123456")
  with pytest.raises(DataError, match="6 bytes, at most 5 of a text are read"):
    File("a.txt", str(tmp_path / "a.txt")).text()
