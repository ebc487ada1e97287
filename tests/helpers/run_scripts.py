"""Scripts as a user starts them, for their tests."""

import json
import subprocess
import sys

from places import ROOT

# Several runs of a script in one process, since importing takes seconds: for
# each list of arguments, what main() returns, or the error it raises.
MANY = """
import importlib.util, json, sys
from absl import flags
spec = importlib.util.spec_from_file_location("script", sys.argv[1])
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)
exits = []
for arguments in json.loads(sys.argv[2]):
  for name in flags.FLAGS:
    flags.FLAGS[name].unparse()
  flags.FLAGS(["script", *arguments])
  try:
    exits.append(script.main())
  except (ValueError, OSError) as error:
    exits.append(f"error: {error}")
print(json.dumps(exits))
"""


def exits(script: str, *runs: list[str]) -> list:
  done = subprocess.run(
    [sys.executable, "-c", MANY, script, json.dumps(runs)],
    capture_output=True,
    text=True,
    timeout=120,
    cwd=ROOT,
  )
  assert done.returncode == 0, done.stderr
  return json.loads(done.stdout.splitlines()[-1])


def run(script: str, *arguments: str) -> subprocess.CompletedProcess:
  return subprocess.run(
    [sys.executable, script, *arguments],
    capture_output=True,
    text=True,
    timeout=120,
  )
