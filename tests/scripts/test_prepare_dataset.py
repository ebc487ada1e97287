import os
import signal
import subprocess
import sys
import time

from places import SCRIPTS
from small_data import folder_files, label, write

from fcn_jax.data import load_dataset

SCRIPT = SCRIPTS / "prepare_dataset.py"


def arguments(root):
  return [
    sys.executable,
    str(SCRIPT),
    "--dataset=folder",
    "--name=tiny",
    f"--data_dir={root / 'sets'}",
    f"--class_names={root / 'classes.txt'}",
    *(
      f"--{split}_{kind}={root / split / kind}"
      for split in ("train", "val")
      for kind in ("images", "labels")
    ),
  ]


def run(root, *more):
  return subprocess.run(
    [*arguments(root), *more], cwd=root, capture_output=True, text=True
  )


def test_good_and_bad_folders(tmp_path):
  write(tmp_path, folder_files())
  good = run(tmp_path)
  assert good.returncode == 0, good.stderr
  assert "data set: tiny in" in good.stdout
  assert load_dataset("tiny", str(tmp_path / "sets")).splits["train"] == 2
  write(tmp_path, {"val/labels/c.png": label(0, 77)})
  bad = run(tmp_path, "--overwrite")
  assert bad.returncode == 1
  assert "c.png: 77 in 24 pixels; classes are 0..1" in bad.stderr
  assert "Traceback" not in bad.stderr
  assert load_dataset("tiny", str(tmp_path / "sets")).splits["val"] == 1


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
  write(tmp_path, folder_files())
  (tmp_path / "file").write_text("")
  done = run(tmp_path, f"--data_dir={tmp_path / 'file' / 'sets'}")
  assert done.returncode == 1
  assert str(tmp_path / "file") in done.stderr.splitlines()[-1]
  assert "Traceback" not in done.stderr


def test_termination_leaves_nothing(tmp_path):
  files = folder_files()
  for i in range(3000):
    files[f"train/images/x{i}.jpg"] = files["train/images/a.jpg"]
    files[f"train/labels/x{i}.png"] = files["train/labels/a.png"]
  write(tmp_path, files)
  process = subprocess.Popen(
    arguments(tmp_path), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
  )
  stop = time.monotonic() + 60
  # The hidden folder appears as soon as writing begins.
  while not list(tmp_path.glob("sets/.tiny*/tiny/*/*array_record*")):
    assert time.monotonic() < stop
    assert process.poll() is None
    time.sleep(0.002)
  os.kill(process.pid, signal.SIGTERM)
  _, error = process.communicate()
  assert process.returncode == 130
  assert b"nothing half-made" in error
  assert not (tmp_path / "sets").exists()


def test_help():
  found = subprocess.run(
    [sys.executable, str(SCRIPT), "--help"], capture_output=True, text=True
  )
  described = found.stdout.partition("flags:")[2]
  for flag in ("--archive:", "--train_images:", "--[no]binary_masks:"):
    assert flag in described
