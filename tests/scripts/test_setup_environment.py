"""What scripts/setup_environment.sh refuses, and when it has nothing to do."""

import os
import shutil
import subprocess
import sys

import pytest
from places import SCRIPTS


@pytest.fixture
def clone(tmp_path):
  """A copy of the scripts in a path with a blank, without .venv."""
  folder = tmp_path / "a clone" / "scripts"
  folder.mkdir(parents=True)
  for name in ("setup_environment.sh", "test.sh", "quickstart.sh"):
    shutil.copy(SCRIPTS / name, folder)
  return folder.parent


def run(clone, script, python, cwd="/"):
  return subprocess.run(
    ["bash", clone / "scripts" / script],
    env=os.environ | {"PYTHON": str(python)},
    cwd=cwd,
    capture_output=True,
    text=True,
    timeout=60,
  )


def fake(path, body):
  path.write_text(f"#!/bin/sh\n{body}\n")
  path.chmod(0o755)
  return path


@pytest.mark.parametrize("script", ["test.sh", "quickstart.sh"])
def test_an_old_python_is_refused_in_one_sentence(clone, tmp_path, script):
  old = fake(
    tmp_path / "old",
    'case "$1" in -V) echo Python 3.9.2;; *) exit 1;; esac',
  )
  result = run(clone, script, old)
  assert result.returncode == 1
  assert result.stdout == ""
  assert result.stderr == (
    "Python 3.11 or newer is needed, but here is Python 3.9.2: install one, "
    "or name it with PYTHON=/path/to/python3.12.\n"
  )
  assert not (clone / ".venv").exists()


def test_a_relative_python_is_seen_from_the_callers_folder(clone, tmp_path):
  fake(tmp_path / "old", 'test "$1" = -V && echo Python 3.10.1')
  result = run(clone, "test.sh", "./old", cwd=tmp_path)
  assert "here is Python 3.10.1:" in result.stderr


def test_no_python_at_all(clone):
  result = run(clone, "test.sh", "/no/such/python")
  assert result.returncode == 1
  assert "here is no working /no/such/python:" in result.stderr
  assert result.stderr.count("\n") == 1


def test_a_python_without_venv_names_the_package(clone, tmp_path):
  bare = fake(
    tmp_path / "bare",
    'case "$2" in\n  *ensurepip*) exit 1;;\n  *print*) echo 3.12;;\nesac',
  )
  result = run(clone, "test.sh", bare)
  assert result.returncode == 1
  assert "apt-get install python3.12-venv" in result.stderr
  assert result.stderr.count("\n") == 1


def test_a_failed_installation_is_not_taken_for_done(clone):
  """Without requirements pip fails, and must do so again the next time."""
  shutil.copy(SCRIPTS.parent / "pyproject.toml", clone)
  for _ in range(2):
    result = run(clone, "test.sh", sys.executable)
    assert result.returncode != 0
    assert "Could not open requirements file" in result.stderr
    assert not list(clone.glob(".venv/installed.*"))
    assert "Running the tests" not in result.stdout
