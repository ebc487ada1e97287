import json
import subprocess
import sys

PROGRAM = """
import dataclasses, json, sys
from absl import flags
from fcn_jax import dataset_flags
flags.DEFINE_string("dataset", None, "")
names = [flag.name for flag in dataset_flags.define()]
flags.FLAGS(["script", *sys.argv[1:]])
options = dataclasses.asdict(dataset_flags.options())
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
