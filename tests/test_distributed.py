"""Several processes compute what one does, and stop and resume together."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import processes
import pytest
from processes import LAUNCHER
from small_data import label, photo, prepared

from fcn_jax import models
from fcn_jax.runs.record import read_metrics, read_sessions

TRAINED = {"a": (24, 30), "b": (30, 24), "c": (25, 31), "e": (40, 40)}
VALIDATED = {"d": (20, 20), "f": (26, 20), "g": (21, 22)}
NUMBERS = "loss", "lr"


@pytest.fixture(scope="module", autouse=True)
def network():
  processes.register()
  yield
  del models.NETWORKS["soon"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def data_dir(root):
  files = {"classes.txt": "ground\nthing\nwater\n"}
  for split, sizes in (("train", TRAINED), ("val", VALIDATED)):
    for i, (name, (height, width)) in enumerate(sizes.items()):
      files[f"{split}/images/{name}.jpg"] = photo(i, height, width)
      rows = label(0, 1, 1, 2, 255, height=height, width=width)
      files[f"{split}/labels/{name}.png"] = rows
  return prepared(root, files, name="tiny")


@pytest.fixture(scope="module")
def reference(root, data_dir):
  """One process with the devices of the tests, which is one CPU."""
  out = str(root / "reference")
  processes.train(data_dir, str(root / "run_reference"), out)
  return np.load(f"{out}.0.npz")


def assert_same_state(found, expected) -> None:
  """Parameters within 2e-5 of their largest, momentum within 5e-5."""
  assert found.files == expected.files
  moved = 0
  for name in expected.files:
    ours, theirs = found[name], expected[name]
    largest = np.abs(theirs).max()
    share = 2e-5 if name.startswith("params") else 5e-5
    assert np.abs(ours - theirs).max() <= share * largest, name
    moved += name.startswith("opt_state") and largest > 1e-6
  assert moved >= 6  # the history of three kernels and biases


def numbers(workdir) -> list[list[float]]:
  return [
    [record["step"], *(record.get(name, 0) for name in NUMBERS)]
    for record in read_metrics(workdir)
  ]


@pytest.fixture(scope="module")
def two(root, data_dir, reference):
  """Two processes of one device: they score, train, and get a SIGTERM."""
  scored = {
    "checkpoint": str(root / "run_reference"),
    "images": str(root / "files/*/images/*.jpg"),
  }
  trained = {
    "data_dir": data_dir,
    "workdir": str(root / "run"),
    "out": str(root / "stopped"),
    "sigterm_at": 3,
  }
  works = [["score", {**scored, "out": str(root / "two")}], ["train", trained]]
  done = processes.run(works, number=2, each=1)
  processes.score(**scored, out=str(root / "one"))
  return done


def test_two_processes_stop_together_and_one_of_two_devices_goes_on(
  root, data_dir, reference, two
):
  """The one that gets no SIGTERM stops at the same step."""
  assert two.returncode == 128 + signal.SIGTERM, two.stderr
  assert "error" not in two.stderr
  workdir = root / "run"
  steps = [int(np.load(root / f"stopped.{i}.npz")["step"]) for i in range(2)]
  assert steps[0] == steps[1]
  assert 3 <= steps[0] < 8
  there = sorted(path.name for path in workdir.iterdir())
  assert there == sorted(p.name for p in (root / "run_reference").iterdir())
  assert len(list((workdir / "tensorboard").iterdir())) == 1
  (session,) = read_sessions(workdir)
  assert (session.outcome, session.last_step) == ("stopped", steps[0])
  assert session.environment["device"] == "2 x cpu (cpu), 2 processes"
  trained = {"data_dir": data_dir, "workdir": str(workdir)}
  works = [["train", {**trained, "out": str(root / "resumed")}]]
  done = processes.run(works, number=1, each=2)
  assert done.returncode == 0, done.stderr
  assert f"resuming from step {steps[0]} of" in done.stderr
  assert_same_state(np.load(root / "resumed.0.npz"), reference)
  np.testing.assert_allclose(
    numbers(workdir), numbers(root / "run_reference"), rtol=1e-5
  )


def test_two_processes_count_what_one_does(root, two):
  """Losses, confusions and the worst images' predictions, to the bit."""
  expected = np.load(root / "one.0.npz")
  assert sum(name.startswith("predicted") for name in expected) >= 2
  for i in range(2):
    found = np.load(root / f"two.{i}.npz")
    assert sorted(found) == sorted(expected)
    for name in expected:
      np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_two_processes_predict_what_one_does(root, two):
  """Masks, overlays, summary and page, to the bit."""
  assert two.stdout.count("7 of 7 images segmented") == 1
  for kind in ("masks", "overlays"):
    one, other = (
      {p.name: p.read_bytes() for p in (root / name / kind).rglob("*.png")}
      for name in ("one", "two")
    )
    assert len(one) == 7
    assert one == other
  one, other = (
    json.loads((root / name / "summary.json").read_text())
    for name in ("one", "two")
  )
  assert one == other
  assert one["finished"]
  assert list(one["images"]) == list(other["images"])
  assert (root / "two.html").read_text() == (root / "one.html").read_text()


@contextlib.contextmanager
def launched(number: int, program: str):
  """The launcher on a program that sees sys.argv."""
  # What runs in the background ignores SIGINT, and so would the launcher.
  command = ["env", "--default-signal=INT", str(LAUNCHER), str(number)]
  with subprocess.Popen(
    [*command, sys.executable, "-c", program],
    env=os.environ | {"PYTHON": sys.executable},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  ) as process:
    try:
      yield process
    finally:
      process.kill()


MINE = """
import os, re, signal, sys, time
address, count, mine = (flag.split("=")[1] for flag in sys.argv[1:])
"""


def test_the_launcher_tells_which_process_was_lost():
  """And ends the others, which wait for it."""
  program = f"{MINE}\nif mine == '1': os.kill(os.getpid(), 9)\ntime.sleep(60)"
  began = time.monotonic()
  with launched(3, program) as done:
    _, said = done.communicate(timeout=30)
    assert time.monotonic() - began < 20
    assert done.returncode == 128 + signal.SIGKILL
    assert said == (
      "error: process 1 of 0 to 2 was ended by SIGKILL; the others were ended "
      "too. A training goes on from its last checkpoint by the same command\n"
    )


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_the_launcher_hands_signals_on_as_sigterm(sent):
  program = f"""{MINE}
def stop(number, frame):
  said = f"{{mine}} {{count}} {{address[:10]}} {{signal.Signals(number).name}}"
  os.write(1, f"{{said}}\\n".encode())
  sys.exit(143)
signal.signal(signal.SIGTERM, stop)
os.write(1, b"ready\\n")
time.sleep(60)
"""
  with launched(2, program) as done:
    assert [done.stdout.readline() for _ in range(2)] == ["ready\n"] * 2
    done.send_signal(sent)
    found, said = done.communicate(timeout=30)
    assert sorted(found.splitlines()) == [
      "0 2 127.0.0.1: SIGTERM",
      "1 2 127.0.0.1: SIGTERM",
    ]
    assert (said, done.returncode) == ("", 143)


def test_the_launcher_passes_on_that_all_went_well():
  with launched(2, "import os; os.write(1, b'done\\n')") as done:
    assert done.communicate(timeout=30) == ("done\ndone\n", "")
    assert done.returncode == 0


def test_flags_that_do_not_join_processes(monkeypatch):
  from fcn_jax import devices

  with pytest.raises(ValueError, match="--process_id=I together"):
    devices.start(coordinator="127.0.0.1:1", processes=2)
  for name in os.environ:
    if name.startswith(("SLURM", "OMPI", "KUBERNETES")):
      monkeypatch.delenv(name)
  with pytest.raises(ValueError, match="do not find each other"):
    devices.start(coordinator="127.0.0.1:1", processes=2, process_id=2)
  devices.start()  # one process: nothing to do


def free_port() -> int:
  with socket.socket() as found:
    found.bind(("127.0.0.1", 0))
    return found.getsockname()[1]


@pytest.mark.exhaustive
def test_a_process_that_is_lost_ends_the_other_and_training_goes_on(
  root, data_dir, reference
):
  """By JAX itself, after half a minute; from step 4, with two devices."""
  workdir = root / "lost"
  trained = {"data_dir": data_dir, "workdir": str(workdir)}
  killed = [["train", {**trained, "out": str(root / "l"), "sigkill_at": 5}]]
  address = f"--coordinator=127.0.0.1:{free_port()}"
  started = [
    subprocess.Popen(
      [
        *processes.worker(killed),
        address,
        "--processes=2",
        f"--process_id={i}",
      ],
      env=processes.environment(1),
      stderr=subprocess.DEVNULL,
    )
    for i in range(2)
  ]
  assert started[1].wait(timeout=200) == -signal.SIGKILL
  began = time.monotonic()
  assert started[0].wait(timeout=200) != 0
  assert time.monotonic() - began < 100
  works = [["train", {**trained, "out": str(root / "found")}]]
  done = processes.run(works, number=1, each=2)
  assert done.returncode == 0, done.stderr
  assert "resuming from step 4 of" in done.stderr
  assert_same_state(np.load(root / "found.0.npz"), reference)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("number", "each"), [(4, 1), (2, 2), (1, 4)])
def test_other_shapes(root, data_dir, reference, number, each):
  out = root / f"shape_{number}_{each}"
  work = {"data_dir": data_dir, "workdir": f"{out}_run", "out": str(out)}
  done = processes.run([["train", work]], number, each)
  assert done.returncode == 0, done.stderr
  for i in range(number):
    assert_same_state(np.load(f"{out}.{i}.npz"), reference)
  np.testing.assert_allclose(
    numbers(f"{out}_run"), numbers(root / "run_reference"), rtol=1e-5
  )
