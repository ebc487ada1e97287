"""fcn_jax.weights.published: files known by their checksum."""

import hashlib
import http.server
import pathlib
import threading
from typing import ClassVar

import numpy as np
import pytest

from fcn_jax.weights import published


def test_a_published_file_is_known_by_any_of_its_digests():
  lengths = {"sha1": (40,), "sha256": (8, 64), "md5": (32,)}
  for name, file in published.FILES.items():
    assert all(url.startswith("http") for url in file.urls)
    assert pathlib.Path(file.file).suffix in (
      *(".caffemodel", ".onnx", ".h5", ".pth", ".safetensors"),
    )
    if file.digest:
      algorithm, _, value = file.digest.partition(":")
      assert len(value) in lengths[algorithm]
      int(value, 16)
      assert published.known_as({algorithm: value.ljust(64, "0")}) == name
  zeros = {"sha1": "0" * 40, "sha256": "0" * 64, "md5": "0" * 32}
  assert published.known_as(zeros) == ""


def test_digests_by_hand(tmp_path):
  """Of 'abc', as their standards give them."""
  path = tmp_path / "abc"
  path.write_bytes(b"abc")
  assert published.digests(path) == {
    "sha1": "a9993e364706816aba3e25717850c26c9cd0d89d",
    "sha256": "ba7816bf8f01cfea414140de5dae2223"
    "b00361a396177a9cb410ff61f20015ad",
    "md5": "900150983cd24fb0d6963f7d28e17f72",
  }


def test_the_listing_names_every_file_once():
  lines = published.listing().splitlines()
  assert len(lines) == len(published.FILES) + 1
  for name in published.FILES:
    assert sum(line.split()[0] == name for line in lines) == 1


CONTENT = np.random.RandomState(0).bytes(600_000)


class Server(http.server.BaseHTTPRequestHandler):
  """/good resumes, /whole does not, /short breaks off, /other is another."""

  protocol_version = "HTTP/1.1"
  asked: ClassVar[list] = []

  def do_GET(self):
    wanted = self.headers.get("Range")
    Server.asked.append((self.path, wanted))
    start = 0
    if self.path == "/gone":
      self.send_error(404)
      return
    content = CONTENT[::-1] if self.path == "/other" else CONTENT
    if wanted and self.path != "/whole":
      start = int(wanted.removeprefix("bytes=").removesuffix("-"))
      if start >= len(content):
        self.send_error(416)
        return
      self.send_response(206)
      last = len(content) - 1
      self.send_header("Content-Range", f"bytes {start}-{last}/{last + 1}")
    else:
      self.send_response(200)
    self.send_header("Content-Length", str(len(content) - start))
    self.end_headers()
    end = len(content) // 2 if self.path == "/short" else len(content)
    self.wfile.write(content[start:end])
    if self.path == "/short":
      self.close_connection = True

  def log_message(self, *_):
    pass


@pytest.fixture(scope="module")
def server():
  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    thread.join()


@pytest.fixture
def fetch(server, tmp_path, monkeypatch):
  """fetch(path, ...): downloads from those paths of the server, in order."""
  sha1 = hashlib.sha1(CONTENT).hexdigest()
  Server.asked.clear()

  def run(*paths, mirrors=(), digest=None):
    urls = tuple(server + path for path in paths)
    given = f"sha1:{sha1}" if digest is None else digest
    toy = published.Published("toy.caffemodel", "", "", 1, given, urls)
    monkeypatch.setitem(published.FILES, "toy", toy)
    mirrors = [server + path for path in mirrors]
    return published.fetch("toy", mirrors, cache=tmp_path)

  return run


def test_a_download_and_then_the_cache(fetch, tmp_path):
  path = fetch("/good")
  assert path == tmp_path / "toy.caffemodel"
  assert path.read_bytes() == CONTENT
  assert [p.name for p in tmp_path.iterdir()] == ["toy.caffemodel"]
  assert fetch("/gone") == path
  assert Server.asked == [("/good", None)]


def test_the_next_source_is_tried(fetch):
  assert fetch("/gone", "/other", "/good").read_bytes() == CONTENT
  assert [path for path, _ in Server.asked] == ["/gone", "/other", "/good"]


def test_mirrors_come_first(fetch):
  assert fetch("/gone", mirrors=("/good",)).read_bytes() == CONTENT
  assert Server.asked == [("/good", None)]


def test_a_broken_transfer_is_resumed(fetch, tmp_path):
  with pytest.raises(published.DownloadError, match="broke after 300000"):
    fetch("/short")
  assert not (tmp_path / "toy.caffemodel").exists()
  assert fetch("/good").read_bytes() == CONTENT
  assert Server.asked[-1] == ("/good", "bytes=300000-")


def test_a_server_that_cannot_resume_starts_again(fetch, tmp_path):
  (tmp_path / "toy.caffemodel.part").write_bytes(CONTENT[:1000])
  assert fetch("/whole").read_bytes() == CONTENT


@pytest.mark.parametrize("left", [b"wrong start", CONTENT + b"too long"])
def test_a_part_of_another_file_is_thrown_away(fetch, tmp_path, left):
  (tmp_path / "toy.caffemodel.part").write_bytes(left)
  assert fetch("/good").read_bytes() == CONTENT
  assert Server.asked[-1] == ("/good", None)


def test_a_spoiled_cache_is_replaced(fetch, tmp_path):
  (tmp_path / "toy.caffemodel").write_bytes(CONTENT[:-1])
  assert fetch("/good").read_bytes() == CONTENT


def test_failure_says_how_to_go_on_offline(fetch, server, tmp_path):
  with pytest.raises(published.DownloadError) as error:
    fetch("/gone", "/other")
  text = str(error.value)
  assert f"{server}/gone: HTTP Error 404" in text
  assert f"{server}/other: got another file" in text
  assert str(tmp_path / "toy.caffemodel") in text
  assert hashlib.sha1(CONTENT).hexdigest() in text
  assert "--source=FILE" in text
  assert list(tmp_path.iterdir()) == []


def test_an_unreachable_server_is_a_failure_in_words(tmp_path, monkeypatch):
  urls = ("http://127.0.0.1:9/x",)
  toy = published.Published("toy", "", "", 1, "sha1:" + "0" * 40, urls)
  monkeypatch.setitem(published.FILES, "toy", toy)
  with pytest.raises(published.DownloadError, match="9/x"):
    published.fetch("toy", cache=tmp_path)


def test_a_file_of_no_known_digest_is_shown_for_what_it_is(fetch, capsys):
  path = fetch("/gone", "/good", digest="")
  assert path.read_bytes() == CONTENT
  told = capsys.readouterr().err
  assert "its publisher gives no digest" in told
  assert hashlib.sha256(CONTENT).hexdigest() in told


def test_parts_of_two_sources_are_never_joined(fetch, tmp_path):
  """Nothing but a digest would tell."""
  with pytest.raises(published.DownloadError, match="broke after 300000"):
    fetch("/short", digest="")
  assert fetch("/other", digest="").read_bytes() == CONTENT[::-1]
  assert Server.asked[-1] == ("/other", None)
