"""fcn_jax.files: places of this machine and of an object store."""

import importlib.util
import json
import pathlib
import time

import object_store
import pytest

from fcn_jax import files


@pytest.fixture
def store():
  with object_store.store() as objects:
    yield objects


def test_a_place_stays_where_it_is(store):
  assert str(files.path("s3://b/x") / "y") == "s3://b/x/y"
  assert str(files.absolute("s3://b/x")) == "s3://b/x"
  assert files.path("~/x") == pathlib.Path.home() / "x"
  assert type(files.path("x")) is type(pathlib.Path())
  assert files.absolute("x") == pathlib.Path.cwd() / "x"
  assert not files.is_remote("s3:/b")


def test_json_is_written_whole(store):
  files.write_json("s3://b/run/x.json", {"a": float("nan")})
  assert list(store) == ["/b/run/x.json"]
  assert json.loads(store["/b/run/x.json"].getvalue()) == {"a": None}


@pytest.mark.parametrize("place", ["s3://b/x", "{}/x"])
def test_lines_are_added_and_there_when_flushed(store, tmp_path, place):
  path = files.path(place.format(tmp_path))
  path.write_text("one\n")
  stream = files.appending(path)
  stream.write("two\n")
  stream.flush()
  assert path.read_text() == "one\ntwo\n"
  stream.write("three\n")
  stream.close()
  assert path.read_text() == "one\ntwo\nthree\n"


def test_a_folder_is_removed_with_all_in_it(store):
  for name in ("1/a", "1/b/c", "12/a"):
    files.path(f"s3://b/{name}").write_text("x")
  before = time.time()
  assert before - 60 < files.modified(files.path("s3://b/1/a"))
  files.remove_tree(files.path("s3://b/1"))
  assert list(store) == ["/b/12/a"]


def test_a_lock_in_an_object_store(store, monkeypatch):
  """Held by one, renewed, and given back; a dead one's is taken."""
  monkeypatch.setattr(files, "_HEARTBEAT", 0.01)
  path = files.path("s3://b/.lock")

  def renewed() -> float:
    return json.loads(store["/b/.lock"].getvalue())["time"]

  with files.held(path, "trains here"):
    with (
      pytest.raises(files.DataError, match=r"process \d+ of .* trains here"),
      files.held(path, "trains here"),
    ):
      pass
    began = renewed()
    until = time.monotonic() + 5
    while renewed() == began and time.monotonic() < until:
      time.sleep(0.01)
    assert renewed() > began
  assert not store
  path.write_text(json.dumps({"who": "x", "time": time.time() - 121}))
  with files.held(path, "trains here"):
    assert renewed() > time.time() - 60
  assert not store


def test_what_goes_to_this_machine_alone_is_not_written_elsewhere(tmp_path):
  """pathlib would make a folder 'gs:' here."""
  assert files.local_path("~") == pathlib.Path.home()
  for place in ("gs://b/page.html", "s3://b/page.html"):
    with pytest.raises(files.DataError, match="in an object store"):
      files.local_path(place)
    with pytest.raises(files.DataError, match="in an object store"):
      files.claim(place, "mark", "page")
    with pytest.raises(files.DataError, match="in an object store"):
      files.claim_json(place, {"a"}, "file")


def test_a_store_without_its_package_is_named():
  if importlib.util.find_spec("adlfs"):
    pytest.skip("adlfs is installed")
  with pytest.raises(files.DataError, match=r"az://b/x: .*adlfs"):
    files.path("az://b/x")
