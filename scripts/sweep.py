r"""Trains a recipe with every combination of some values, and compares them.

  python scripts/sweep.py --config=configs/camvid_fcn_alexnet.py \
    --workdir=runs/sweep --config.init.path=converted/bvlc_alexnet \
    --grid='base_lr=1e-3,1e-4 seed=0,1,2'

The runs come one after the other, each in a folder of --workdir that has its
values as a name; the same command resumes. comparison.html in --workdir shows
all that have finished. Sequences stand in brackets:

  --grid="duration=10 epochs,20 epochs data.augment=(),('photometric',)"

  --parallel=4

trains four at a time, each by a process of its own that has a GPU to itself
and writes to log.txt in its folder; without GPUs they share the cores.
"""

import pathlib

from absl import flags

from fcn_jax import cli
from fcn_jax.training import recipe_flag

_CONFIG = recipe_flag.define("The recipe.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the runs' workdirs.")
_GRID = flags.DEFINE_string("grid", None, "FIELD=VALUE,VALUE FIELD=VALUE,...")
_PARALLEL = flags.DEFINE_integer(
  "parallel", 1, "Runs at a time, each on a GPU of its own.", lower_bound=1
)
flags.mark_flags_as_required(["config", "workdir", "grid"])


def compare(workdirs) -> None:
  from fcn_jax.reports.comparison import write_comparison
  from fcn_jax.runs import comparison
  from fcn_jax.training import recipe

  compared = comparison.compare(workdirs, recipe.complete)
  print(compared.text())
  path = pathlib.Path(_WORKDIR.value).expanduser() / "comparison.html"
  print(write_comparison(path, compared))


def main() -> int:
  """Trains, and compares what has finished."""
  from fcn_jax.training import sweep

  given = (_CONFIG.value, _GRID.value, _WORKDIR.value)
  if _PARALLEL.value > 1:
    train = pathlib.Path(__file__).with_name("train.py")
    found = sweep.sweep_parallel(*given, _PARALLEL.value, train)
  else:
    found = sweep.sweep(*given)
  if len(found.finished) > 1:
    compare(found.finished)
  if found.failed:
    print(f"failed: {', '.join(found.failed)}")
  if found.stopped_by is not None:
    print("Stopped; the same command resumes.")
    return 128 + found.stopped_by
  return int(bool(found.failed))


if __name__ == "__main__":
  cli.start(main)
