"""fcn_jax.files: nothing of the user's is overwritten."""

import pytest

from fcn_jax import files
from fcn_jax.files import DataError, check_writable


def test_a_new_file_and_one_with_the_mark_are_taken(tmp_path):
  path = tmp_path / "new/folder/page.html"
  assert files.claim(path, "<ours>", "page") == path
  assert path.parent.is_dir()
  assert not path.exists()
  path.write_text("x" * 994 + "<ours>")
  assert files.claim(path, "<ours>", "page") == path


@pytest.mark.parametrize("content", ["", "someone's", "x" * 995 + "<ours>"])
def test_another_file_is_left_alone(tmp_path, content):
  path = tmp_path / "page.html"
  path.write_text(content)
  with pytest.raises(
    DataError, match=r"page\.html is no page that fcn_jax has"
  ):
    files.claim(path, "<ours>", "page")
  assert path.read_text() == content


@pytest.mark.parametrize(
  ("content", "ours"),
  [
    ('{"scores": 1, "step": 2, "more": 3}', True),
    ('{"scores": 1}', False),
    ('["scores", "step"]', False),
    ("scores: 1, step: 2", False),
    ("\xff\x00", False),
    ("", False),
  ],
)
def test_json_of_ours_is_known_by_its_keys(tmp_path, content, ours):
  path = tmp_path / "scores.json"
  path.write_bytes(content.encode("latin-1"))
  if ours:
    assert files.claim_json(path, {"scores", "step"}, "file") == path
  else:
    with pytest.raises(DataError, match=r"scores\.json is no file that fcn"):
      files.claim_json(path, {"scores", "step"}, "file")
  assert path.read_bytes() == content.encode("latin-1")


def test_a_folder_is_no_file_of_ours(tmp_path):
  with pytest.raises(DataError, match="name another file"):
    files.claim(tmp_path, "<ours>", "picture")


def test_what_cannot_be_written(tmp_path):
  (tmp_path / "file").write_text("")
  for path, folder in (("file", False), ("a/b", False), ("a/b", True)):
    check_writable(tmp_path / path, folder)
  assert not (tmp_path / "a").exists()
  check_writable(tmp_path, folder=True)
  with pytest.raises(DataError, match="it is a folder"):
    check_writable(tmp_path)
  for path, folder in (("file", True), ("file/x", False)):
    with pytest.raises(DataError, match="file is no folder"):
      check_writable(tmp_path / path, folder)
