"""Trains a network as a config says; the same command resumes a stopped run.

  python scripts/train.py --config=configs/voc_fcn_alexnet_digits.py \
    --workdir=runs/voc --config.init.path=converted/bvlc_alexnet

Any field of the config can be given on the command line, as in
--config.base_lr=1e-3.
"""

from absl import flags
from ml_collections import config_flags

from fcn_jax import command_line, train

_CONFIG = config_flags.DEFINE_config_file("config", help_string="The recipe.")
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Where checkpoints and figures go; made if absent."
)
flags.mark_flags_as_required(["config", "workdir"])


def main() -> int:
  result = train.train_and_evaluate(_CONFIG.value, _WORKDIR.value)
  if result.stopped_by is None:
    return 0
  print("Stopped; the same command resumes.")
  return 128 + result.stopped_by


if __name__ == "__main__":
  command_line.start(main)
