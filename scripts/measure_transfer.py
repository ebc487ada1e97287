"""How much pretraining is worth: the quickstart's fine-tuning, from pretrained
and from random weights, several seeds each; run scripts/quickstart.sh first.

  python scripts/measure_transfer.py

A measurement that was interrupted is taken up again by the same command.
"""

import importlib.util
import pathlib
import statistics

from absl import flags

from fcn_jax import cli
from fcn_jax.runs import record
from fcn_jax.training import loop

_CONVERTED = flags.DEFINE_string(
  "converted", "runs/quickstart/converted", "The converted classifier."
)
_OUTPUT_DIR = flags.DEFINE_string(
  "output_dir", "runs/transfer", "Where the workdirs of the runs go."
)
_CONFIG = flags.DEFINE_string(
  "config", "configs/shapes_fcn_alexnet.py", "The recipe."
)
_SEEDS = flags.DEFINE_integer("seeds", 3, "Runs from each start.")


def measure(start: str, seed: int) -> float:
  """Mean IoU on val after the last step."""
  spec = importlib.util.spec_from_file_location("recipe", _CONFIG.value)
  recipe = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(recipe)
  config = recipe.get_config()
  config.seed = seed
  config.init.source = "checkpoint" if start == "pretrained" else "random"
  config.init.path = _CONVERTED.value if start == "pretrained" else ""
  workdir = pathlib.Path(_OUTPUT_DIR.value) / f"{start}_{seed}"
  result = loop.train_and_evaluate(config, str(workdir))
  if result.stopped_by is not None:
    raise KeyboardInterrupt
  records = record.read_metrics(workdir)
  return [r["mean_iu"] for r in records if r["kind"] == "val"][-1]


def main() -> None:
  rows = []
  for start in ("pretrained", "random"):
    scores = [measure(start, seed) for seed in range(_SEEDS.value)]
    spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
    each = ", ".join(f"{score:.3f}" for score in scores)
    mean = statistics.mean(scores)
    rows.append(f"| {start} | {mean:.3f} ± {spread:.3f} | {each} |")
  print("| start | mean IoU on val | each seed |\n|---|---|---|")
  print("\n".join(rows))


if __name__ == "__main__":
  cli.start(main)
