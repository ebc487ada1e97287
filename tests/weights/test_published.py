"""fcn_jax.published: files known by their checksum."""

import hashlib
import http.server
import threading
from typing import ClassVar

import numpy as np
import pytest

from fcn_jax.weights import published


def test_a_published_file_is_known_by_its_sha1():
  for name, file in published.FILES.items():
    assert len(bytes.fromhex(file.sha1)) == 20
    assert published.known_as(file.sha1) == (name, file.order)
    assert file.file.endswith(".caffemodel")
    assert all(url.startswith("http") for url in file.urls)
  assert published.known_as("0" * 40) == ("", "unknown")


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

  def run(*paths, mirrors=()):
    urls = tuple(server + path for path in paths)
    toy = published.Published("toy.caffemodel", sha1, urls)
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
  toy = published.Published("toy", "0" * 40, ("http://127.0.0.1:9/x",))
  monkeypatch.setitem(published.FILES, "toy", toy)
  with pytest.raises(published.DownloadError, match="9/x"):
    published.fetch("toy", cache=tmp_path)
