import io
import tarfile

import pytest

from fcn_jax.data.files import File, list_folder, list_tar
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
  path = make_tar(tmp_path / "a.tgz", {"x": b"1"}, "w:gz")
  with pytest.raises(DataError, match=r"compressed.*--devkit"):
    list_tar(path)
  (tmp_path / "b.tar").write_bytes(b"no tar at all" * 99)
  with pytest.raises(DataError, match=r"b\.tar: not a readable tar"):
    list_tar(tmp_path / "b.tar")
  whole = make_tar(tmp_path / "c.tar", {"x": b"1" * 5000}).read_bytes()
  (tmp_path / "c.tar").write_bytes(whole[:3000])
  with pytest.raises(DataError, match="fetch it again"):
    list_tar(tmp_path / "c.tar")
  with pytest.raises(DataError, match="no such file"):
    list_tar(tmp_path / "none.tar")
