"""How much pretraining is worth: the quickstart's fine-tuning, from pretrained
and from random weights, several seeds each; run scripts/quickstart.sh first.

  python scripts/measure_transfer.py

A measurement that was interrupted is taken up again by the same command.
"""

from absl import flags

from fcn_jax import cli

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


def main() -> None:
  from fcn_jax.training import recipe, transfer

  config = recipe.read_recipe(_CONFIG.value)
  print(
    transfer.measure(config, _CONVERTED.value, _OUTPUT_DIR.value, _SEEDS.value)
  )


if __name__ == "__main__":
  cli.start(main)
