"""Every script: flags and one call, and its --help without what is heavy."""

import ast
import json
import os
import pathlib
import subprocess
import sys

import pytest
from places import ROOT, SCRIPTS

PATHS = sorted(SCRIPTS.glob("*.py"))
STORED = ROOT / "tests/stored/flags.json"

# What takes longest to import, and nobody needs to be told of flags.
HEAVY = (
  "jax",
  "flax",
  "optax",
  "orbax",
  "grain",
  "tensorflow_datasets",
  "matplotlib",
  "tensorboardX",
)

# All scripts in one process, each as `python SCRIPT --help`: its flags by name,
# and which heavy packages are imported when the help has been printed.
HELP = f"""
import contextlib, io, json, os, runpy, sys
os.cpu_count = lambda: 4  # a flag's default may depend on it
from absl import flags
found, FLAGS = {{}}, flags.FLAGS
own = set(FLAGS)
for path in sys.argv[1:]:
  said, sys.argv = io.StringIO(), [path, "--help"]
  with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
    runpy.run_path(path, run_name="__main__")
  mine = [f for m in (path, "fcn_jax.cli") for f in
          FLAGS.flags_by_module_dict().pop(m, ())]
  shown = {{f.name: [f.flag_type(), f.default] for f in mine}}
  found[path] = {{
    "flags": dict(sorted(shown.items())),
    "unshown": [n for n in shown if f"{{n}}" not in said.getvalue()],
    "heavy": [name for name in {HEAVY} if name in sys.modules],
  }}
  for flag in mine:
    delattr(FLAGS, flag.name)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def helped() -> dict[str, dict]:
  """What --help of each script shows, by the script's name."""
  environment = {k: v for k, v in os.environ.items() if "JAX" not in k}
  done = subprocess.run(
    [sys.executable, "-c", HELP, *map(str, PATHS)],
    capture_output=True,
    text=True,
    env=environment,
  )
  assert done.returncode == 0, done.stderr
  text = done.stdout.replace(f"{ROOT}/", "")
  found = json.loads(text)
  return {pathlib.Path(path).stem: told for path, told in found.items()}


def test_flags_are_those_that_are_stored(helped):
  """Names, types and defaults; whoever changes one changes the list too."""
  flags = {name: told["flags"] for name, told in helped.items()}
  assert flags == json.loads(STORED.read_text())


def test_help_shows_every_flag_and_imports_nothing_heavy(helped):
  for name, told in helped.items():
    assert not told["unshown"], name
    assert not told["heavy"], f"{name} --help imports {told['heavy']}"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_script_is_flags_and_one_call(path):
  tree = ast.parse(path.read_text())
  assert not [n for n in ast.walk(tree) if isinstance(n, ast.ClassDef)]
  functions = {
    node.name: node.end_lineno - node.lineno + 1
    for node in ast.walk(tree)
    if isinstance(node, ast.FunctionDef)
  }
  assert functions.pop("main") <= 25
  assert len(functions) <= 2
  assert all(lines <= 10 for lines in functions.values()), functions
  imported = {
    name.split(".")[0]
    for node in ast.walk(tree)
    for name in (
      [alias.name for alias in node.names]
      if isinstance(node, ast.Import)
      else [node.module or ""]
      if isinstance(node, ast.ImportFrom)
      else []
    )
  }
  assert not imported & {"numpy", "jax", "PIL"}
