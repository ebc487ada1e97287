"""Trains an AlexNet classifier on folders of images, one folder per class.

  python scripts/pretrain_classifier.py --workdir=runs/classifier \
    --config=configs/shapes_alexnet_classifier.py \
    --config.data.directory=DIR

DIR holds train/CLASS/*.jpg and val/CLASS/*.jpg.  It is trained as
scripts/train.py trains: the same command resumes a stopped run, and WORKDIR
holds checkpoints, report.html and the rest.  At the end it also holds
classifier.caffemodel, which scripts/convert_weights.py turns into an
FCN-AlexNet.
"""

from absl import flags

from fcn_jax import cli
from fcn_jax.training import recipe_flag

_CONFIG = recipe_flag.define("The recipe.")
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Where the classifier goes; made if absent."
)
flags.mark_flags_as_required(["config", "workdir"])


def main() -> int:
  from fcn_jax.training.loop import train_and_evaluate

  outcome = train_and_evaluate(_CONFIG.value, _WORKDIR.value)
  return 0 if outcome.stopped_by is None else 128 + outcome.stopped_by


if __name__ == "__main__":
  cli.start(main)
