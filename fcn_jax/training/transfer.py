"""How much pretraining is worth: a recipe from two starts, with many seeds."""

import os
import pathlib
import statistics

from ml_collections import ConfigDict

from fcn_jax.runs import record
from fcn_jax.training import loop


def measure(
  config: ConfigDict,
  converted: str | os.PathLike,
  output_dir: str | os.PathLike,
  seeds: int = 3,
) -> str:
  """Trains from pretrained and from random weights, and compares the scores.

  A measurement that was interrupted is taken up again by the same call.

  Args:
    config: the recipe.
    converted: model directory of the pretrained weights.
    output_dir: where the workdirs of the runs go.
    seeds: 0 .. seeds - 1, of each start.

  Returns:
    A table in Markdown: of each start, mean and standard deviation of the mean
    IoU on val after the last step, and that of each seed.

  Raises:
    KeyboardInterrupt: a run was stopped.
  """
  rows = ["| start | mean IoU on val | each seed |", "|---|---|---|"]
  for start in ("pretrained", "random"):
    scores = []
    for seed in range(seeds):
      workdir = pathlib.Path(output_dir).expanduser() / f"{start}_{seed}"
      path = os.fspath(converted) if start == "pretrained" else ""
      scores.append(_score(config, path, seed, workdir))
    spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
    each = ", ".join(f"{score:.3f}" for score in scores)
    mean = statistics.mean(scores)
    rows.append(f"| {start} | {mean:.3f} ± {spread:.3f} | {each} |")
  return "\n".join(rows)


def _score(
  config: ConfigDict, converted: str, seed: int, workdir: pathlib.Path
) -> float:
  """Mean IoU on val after the last step."""
  config = config.copy_and_resolve_references()
  config.seed = seed
  config.init.source = "checkpoint" if converted else "random"
  config.init.path = converted
  outcome = loop.train_and_evaluate(config, str(workdir))
  if outcome.stopped_by is not None:
    raise KeyboardInterrupt
  records = record.read_metrics(workdir)
  return [r["mean_iu"] for r in records if r["kind"] == "val"][-1]
