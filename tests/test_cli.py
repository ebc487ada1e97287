"""fcn_jax.command_line: what a script does before, around and after main."""

import json
import os
import subprocess
import sys

import pytest
from places import ROOT

SCRIPT = """
import logging
from absl import flags
from absl import logging as absl_logging
from fcn_jax import cli
DO = flags.DEFINE_string("do", "", "what main does")
def main():
  logging.getLogger("fcn_jax.some.room").info("at %s", DO.value)
  logging.getLogger("library").info("of no use")
  absl_logging.info("of no use")
  absl_logging.warning("of some use")
  print("result")
  exec(DO.value)
  return 3 if DO.value == "pass" else None
cli.start(main)
"""


def run(*arguments: str) -> subprocess.CompletedProcess:
  return subprocess.run(
    [sys.executable, "-c", SCRIPT, *arguments],
    capture_output=True,
    text=True,
    timeout=60,
  )


def test_the_log_goes_to_stderr_in_plain_lines():
  done = run("--do=pass")
  assert done.returncode == 3, "what main returns"
  assert done.stdout == "result\n"
  ours, theirs = done.stderr.splitlines()
  clock, _, message = ours.partition(" ")
  assert [len(part) for part in clock.split(":")] == [2, 2, 2]
  assert message == "at pass"
  assert theirs.endswith("of some use")


def test_main_that_returns_nothing_succeeds():
  assert run("--do=1 + 1").returncode == 0


@pytest.mark.parametrize(
  "kind", ["ValueError", "OSError", "FloatingPointError"]
)
def test_a_mistake_of_the_user_is_one_line(kind):
  done = run(f"--do=raise {kind}('mend a.png')")
  assert done.returncode == 1
  assert done.stderr.splitlines()[-1] == "error: mend a.png"
  assert "Traceback" not in done.stderr


def test_a_mistake_of_ours_shows_where():
  done = run("--do=raise KeyError('x')")
  assert done.returncode == 1
  assert "Traceback" in done.stderr
  assert "error: " not in done.stderr


@pytest.mark.parametrize("argument", ["stray", "--unknown=1"])
def test_what_is_no_flag_is_refused_before_anything_runs(argument):
  done = run("--do=pass", argument)
  assert done.returncode == 1
  assert argument.strip("-").removesuffix("=1") in done.stderr
  assert "result" not in done.stdout


def test_a_mistyped_field_of_a_config_is_one_line():
  root = ROOT
  script = str(root / "scripts/pretrain_classifier.py")
  config = root / "configs/shapes_alexnet_classifier.py"
  arguments = [f"--config={config}", "--workdir=x", "--config.batchsize=4"]
  done = subprocess.run(
    [sys.executable, script, *arguments], capture_output=True, text=True
  )
  assert done.returncode == 1
  assert "error: 'batchsize'\nDid you mean" in done.stderr
  assert "Traceback" not in done.stderr


TAKES_FILES = """
from absl import flags
from fcn_jax import cli
SIZE = flags.DEFINE_integer("size", 1, "of what")
def main(files):
  print(files, SIZE.value)
cli.start(main, "FILE ...")
"""


def test_arguments_stand_before_flags_or_after():
  def said(*arguments):
    return subprocess.run(
      [sys.executable, "-c", TAKES_FILES, *arguments],
      capture_output=True,
      text=True,
      timeout=60,
    )

  assert said("a", "--size=2", "b").stdout == "['a', 'b'] 2\n"
  done = said("--size=2")
  assert done.returncode == 1
  assert "missing: FILE ..." in done.stderr


PROGRAM = """
import dataclasses, json, sys
from absl import flags
from fcn_jax import cli
flags.DEFINE_string("dataset", None, "")
names = [flag.name for flag in cli.define_dataset_flags()]
flags.FLAGS(["script", *sys.argv[1:]])
options = dataclasses.asdict(cli.dataset_options())
print(json.dumps([names, options]))
"""


def test_flags_become_options():
  done = subprocess.run(
    [
      sys.executable,
      "-c",
      PROGRAM,
      "--dataset=folder",
      "--val_percent=12.5",
      "--binary_masks",
      "--test_labels=there",
    ],
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  names, options = json.loads(done.stdout)
  assert "archive" in names
  assert "dataset" not in names
  assert options["dataset"] == "folder"
  assert options["val_percent"] == 12.5
  assert options["binary_masks"] is True
  assert options["test_labels"] == "there"
  # What only some scripts ask for has its default.
  assert options["overwrite"] is False


CACHE_SCRIPT = """
import jax
from fcn_jax import cli
cli.keep_compiled_programs()
print(jax.config.jax_compilation_cache_dir)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
print(jax.jit(lambda x: x + 1)(1.0))
"""


def run_with_cache(**environment) -> list[str]:
  kept = {k: v for k, v in os.environ.items() if "JAX" not in k}
  done = subprocess.run(
    [sys.executable, "-c", CACHE_SCRIPT],
    capture_output=True,
    text=True,
    env=kept | environment,
    check=True,
  )
  assert done.stderr == ""
  return done.stdout.split()


def test_programs_are_kept_and_found_again(tmp_path):
  for _ in range(2):
    place, result = run_with_cache(XDG_CACHE_HOME=str(tmp_path))
    assert place == str(tmp_path / "fcn_jax/compiled")
    assert result == "2.0"
  kept = [p.name for p in (tmp_path / "fcn_jax/compiled").iterdir()]
  assert len([name for name in kept if name.endswith("-cache")]) > 0


def test_another_place_is_respected(tmp_path):
  elsewhere = str(tmp_path / "elsewhere")
  place, _ = run_with_cache(
    XDG_CACHE_HOME=str(tmp_path), JAX_COMPILATION_CACHE_DIR=elsewhere
  )
  assert place == elsewhere
  assert not (tmp_path / "fcn_jax").exists()
