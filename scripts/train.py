"""Trains a network as a config says; the same command resumes a stopped run.

  python scripts/train.py --config=configs/voc_fcn_alexnet_digits.py \
    --workdir=runs/voc --config.init.path=converted/bvlc_alexnet

Any field of the config can be given on the command line, as in
--config.base_lr=1e-3.
"""

import sys

from absl import app, flags, logging
from ml_collections import config_flags

from fcn_jax import train

_CONFIG = config_flags.DEFINE_config_file("config", help_string="The recipe.")
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Where checkpoints and figures go; made if absent."
)
flags.mark_flags_as_required(["config", "workdir"])


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
  logging.set_verbosity(logging.INFO)
  try:
    result = train.train_and_evaluate(_CONFIG.value, _WORKDIR.value)
  except (ValueError, OSError, FloatingPointError) as error:
    sys.exit(f"error: {error}")
  if result.stopped_by is not None:
    print("Stopped; the same command resumes.", file=sys.stderr)
    sys.exit(128 + result.stopped_by)


if __name__ == "__main__":
  app.run(main)
