"""Work that tests give to several processes, and to one beside them.

  scripts/launch_local.sh 2 python tests/helpers/processes.py --work=JSON

does a list of works, each a name of WORKS and its arguments. The network has a
layer of every kind that training treats differently, and is compiled soon.
"""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
from absl import flags
from places import ROOT, SCRIPTS

from fcn_jax import cli

LAUNCHER = SCRIPTS / "launch_local.sh"


def declare(classes: int):
  from fcn_jax.models import layers as d

  return (
    d.Data("data", mean_bgr=(104.0, 117.0, 123.0)),
    d.Conv("conv1", features=6, kernel=5, stride=2, pad=10),
    d.MaxPool("pool1", kernel=3, stride=2),
    d.Conv("fc6", features=12, kernel=3),
    d.Dropout("drop6"),
    d.Conv("score_fr", features=classes, kernel=1, relu=False, head=True),
    d.Upscore("upscore", kernel=7, stride=4),
    d.Crop("score", like="data"),
  )


def register() -> None:
  """Makes the network known as 'soon'."""
  from fcn_jax import models

  models.NETWORKS["soon"] = models.Registered(declare)


def recipe(data_dir: str, duration: int):
  """Parts of two and of one; images that are mirrored and cut."""
  from fcn_jax import default_recipe

  config = default_recipe("soon", lr_policy="step")
  config.init.source, config.init.head = "random", "gaussian"
  config.data.name, config.data.data_dir = "tiny", data_dir
  config.data.mirror, config.data.random_crop = True, 3
  config.data.max_canvases, config.data.part_size = 1, 2
  config.batch_size = 3
  config.report = False
  config.duration = f"{duration} steps"
  config.validate_every = f"{duration} steps"
  config.checkpoint_every = "4 steps"
  config.log_every = "1 step"
  config.base_lr = 1e-2
  return config


def train(
  data_dir: str,
  workdir: str,
  out: str,
  duration: int = 8,
  sigterm_at: int | None = None,
  sigkill_at: int | None = None,
) -> int | None:
  """Trains; parameters, momentum and the step go to OUT.npz of each process.

  Args:
    sigterm_at, sigkill_at: the last process sends itself that signal after
      this step.
  """
  import jax

  from fcn_jax import devices
  from fcn_jax.training import loop, progress

  real = progress.Progress.step

  def step(self, number, drawn, each):
    real(self, number, drawn, each)
    is_last = devices.process_index() == devices.process_count() - 1
    if number == sigkill_at and is_last:
      os.kill(os.getpid(), signal.SIGKILL)
    if sigterm_at and number >= sigterm_at:
      if number == sigterm_at and is_last:
        os.kill(os.getpid(), signal.SIGTERM)
      time.sleep(1.5)  # JAX looks for it once a second

  progress.Progress.step = step
  try:
    outcome = loop.train_and_evaluate(recipe(data_dir, duration), workdir)
  finally:
    progress.Progress.step = real
  arrays = {"step": np.asarray(outcome.state.step)}
  for name in ("params", "opt_state"):
    tree = getattr(outcome.state, name)
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
      arrays[f"{name}{jax.tree_util.keystr(path)}"] = np.asarray(leaf)
  np.savez(f"{out}.{devices.process_index()}.npz", **arrays)
  return outcome.stopped_by


def score(checkpoint: str, images: str, out: str) -> None:
  """Evaluates a checkpoint, and predicts images: OUT.npz, OUT/ and OUT.html."""
  from fcn_jax import devices
  from fcn_jax.prediction import job, scoring
  from fcn_jax.reports.predictions import PredictionsReport

  found = scoring.score(checkpoint, "latest", worst=2).evaluation
  np.savez(
    f"{out}.{devices.process_index()}.npz",
    losses=found.losses,
    confusions=np.stack([*found.confusions]),
    **{f"predicted {name}": x for name, x in found.predictions.items()},
    **{f"counted {name}": x.sum() for name, x in found.counted.items()},
  )
  planned = job.plan(
    job.Source(images=[images]), checkpoint, "latest", output_dir=out
  )
  report = PredictionsReport.of_job(f"{out}.html", planned, 4)
  failed = planned.run(report)
  if devices.is_first():
    report.write(failed)


WORKS = {"train": train, "score": score}


def worker(works: list) -> list[str]:
  """The command of one process."""
  return [sys.executable, __file__, f"--work={json.dumps(works)}"]


def environment(each: int) -> dict[str, str]:
  """Of a process with `each` CPU devices."""
  return os.environ | {
    "JAX_PLATFORMS": "cpu",
    "JAX_NUM_CPU_DEVICES": str(each),
    "PYTHON": sys.executable,
    "PYTHONPATH": str(ROOT),
  }


def run(works: list, number: int, each: int) -> subprocess.CompletedProcess:
  """Does works in so many processes of `each` CPU devices."""
  launcher = [str(LAUNCHER), str(number)] if number > 1 else []
  return subprocess.run(
    [*launcher, *worker(works)],
    env=environment(each),
    capture_output=True,
    text=True,
    timeout=300,
  )


def main() -> int:
  import jax

  from fcn_jax import devices

  devices.start(**cli.processes_given(), preemption=True)
  jax.config.update("jax_disable_most_optimizations", True)
  register()
  for name, arguments in json.loads(flags.FLAGS.work):
    stopped = WORKS[name](**arguments)
    if stopped:
      return 128 + stopped
  return 0


if __name__ == "__main__":
  flags.DEFINE_string("work", None, "List of [name, arguments].")
  cli.define_processes()
  cli.start(main)
