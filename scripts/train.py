r"""Trains a network as a config says; the same command resumes a stopped run.

  python scripts/train.py --config=configs/voc_fcn_alexnet_digits.py \
    --workdir=runs/voc --config.init.path=converted/bvlc_alexnet

Any field of the config can be given on the command line, as in
--config.base_lr=1e-3.

  python scripts/train.py --config=configs/voc_fcn_alexnet_digits.py \
    --preview_lr --preview_output=rate.html

shows the learning rate of every step instead, and trains nothing; the output
may end in .html, .svg or .png.
"""

from absl import flags
from ml_collections import config_flags

from fcn_jax import cli, devices
from fcn_jax.data import load_dataset
from fcn_jax.files import DataError
from fcn_jax.reports import learning_rate
from fcn_jax.training import input, loop, recipe
from fcn_jax.training.optimizers import (
  images_per_update,
  needs_epochs,
  preview_rates,
)

_CONFIG = config_flags.DEFINE_config_file("config", help_string="The recipe.")
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Where checkpoints and figures go; made if absent."
)
_PREVIEW_LR = flags.DEFINE_boolean(
  "preview_lr", False, "Show the learning rate, and train nothing."
)
_PREVIEW_OUTPUT = flags.DEFINE_string(
  "preview_output", None, "With --preview_lr: also a .html, .svg or .png."
)
_IMAGES_PER_EPOCH = flags.DEFINE_integer(
  "images_per_epoch",
  None,
  "With --preview_lr: training images, where the data set is not prepared.",
  1,
)
flags.mark_flag_as_required("config")


def steps_per_epoch() -> int | None:
  """As training has them; None: neither known nor needed."""
  config = _CONFIG.value
  if _IMAGES_PER_EPOCH.value:
    images = images_per_update(config)
    return -(-_IMAGES_PER_EPOCH.value // images)
  try:
    data = load_dataset(config.data.name, config.data.data_dir or None)
  except DataError as error:
    needed = needs_epochs(config)
    if not needed:
      return None
    fields = ", ".join(f"config.{name}" for name in needed)
    raise DataError(
      f"{fields} is in epochs, and {error}; or say how many training images "
      "there are with --images_per_epoch=N"
    ) from None
  loader = input.make_loader(config, data, devices.data_mesh())
  return loader.sampler.steps_per_epoch


def preview_learning_rate() -> None:
  recipe.check(_CONFIG.value)
  output = _PREVIEW_OUTPUT.value
  if output:
    learning_rate.claim(output)
  epoch = steps_per_epoch()
  rates = preview_rates(_CONFIG.value, epoch)
  preview = learning_rate.Preview(_CONFIG.value.lr_policy, rates, epoch)
  print(preview.text())
  if output:
    name = f"{_CONFIG.value.model.name} on {_CONFIG.value.data.name}"
    path = learning_rate.write_learning_rate(output, preview, name)
    print(f"\nwritten to {path}")


def main() -> int:
  """Trains, or shows the learning rate."""
  if _PREVIEW_LR.value:
    preview_learning_rate()
    return 0
  for flag in (_PREVIEW_OUTPUT, _IMAGES_PER_EPOCH):
    if flag.value:
      raise ValueError(f"--{flag.name} goes with --preview_lr")
  if not _WORKDIR.value:
    raise ValueError(
      "--workdir=FOLDER is missing: where checkpoints and figures go"
    )
  result = loop.train_and_evaluate(_CONFIG.value, _WORKDIR.value)
  if result.stopped_by is None:
    return 0
  print("Stopped; the same command resumes.")
  return 128 + result.stopped_by


if __name__ == "__main__":
  cli.start(main)
