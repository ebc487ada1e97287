r"""Trains a network as a config says; the same command resumes a stopped run.

  python scripts/train.py --config=configs/voc_fcn_alexnet_digits.py \
    --workdir=runs/voc --config.init.path=converted/bvlc_alexnet

Any field of the config can be given on the command line, as in
--config.base_lr=1e-3. A longer --config.duration makes a run longer, also a
finished one; where its learning rate depends on the duration, with --extend.

  python scripts/train.py --config=configs/voc_fcn_alexnet_digits.py \
    --preview_lr --preview_output=rate.html

shows the learning rate of every step instead, and trains nothing; the output
may end in .html, .svg or .png. Nor do these train:

  --dry_run        reads the data and the weights, says what a step needs of
                   the memory and takes one, to tell how long a run would be
  --print_config   prints every field of the config, as JSON
"""

import json

from absl import flags

from fcn_jax import cli
from fcn_jax.training import recipe_flag

_CONFIG = recipe_flag.define("The recipe.")
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
_DRY_RUN = flags.DEFINE_boolean(
  "dry_run", False, "Take one step, say what it costs, and leave nothing."
)
_PRINT_CONFIG = flags.DEFINE_boolean(
  "print_config", False, "Print the whole config, and train nothing."
)
_EXTEND = flags.DEFINE_boolean(
  "extend", False, "Let a longer duration change the learning rates of a run."
)
cli.define_processes()
flags.mark_flag_as_required("config")


def preview_learning_rate() -> None:
  from fcn_jax.reports import learning_rate as page
  from fcn_jax.training import input, optimizers

  output = _PREVIEW_OUTPUT.value and page.claim(_PREVIEW_OUTPUT.value)
  epoch = input.steps_per_epoch(_CONFIG.value, _IMAGES_PER_EPOCH.value)
  rates = optimizers.preview_rates(_CONFIG.value, epoch)
  name = f"{_CONFIG.value.model.name} on {_CONFIG.value.data.name}"
  preview = page.Preview(_CONFIG.value.lr_policy, rates, epoch)
  print(page.show(preview, name, output))


def refuse_flags_that_do_not_go_together() -> None:
  chosen = [f for f in (_PREVIEW_LR, _DRY_RUN, _PRINT_CONFIG) if f.value]
  if len(chosen) > 1:
    raise ValueError(f"give one of {', '.join(f'--{f.name}' for f in chosen)}")
  for flag in (_PREVIEW_OUTPUT, _IMAGES_PER_EPOCH):
    if flag.value and not _PREVIEW_LR.value:
      raise ValueError(f"--{flag.name} goes with --preview_lr")
  if not (chosen or _WORKDIR.value):
    where = "where checkpoints and figures go"
    raise ValueError(f"--workdir=FOLDER is missing: {where}")


def main() -> int:
  """Trains, or does what was asked for instead."""
  from fcn_jax import devices
  from fcn_jax.training import loop, recipe

  devices.start(**cli.processes_given(), preemption=True)
  refuse_flags_that_do_not_go_together()
  config = recipe.check(_CONFIG.value)
  if _PREVIEW_LR.value:
    preview_learning_rate()
  elif _PRINT_CONFIG.value:
    print(json.dumps(config.to_dict(), indent=2))
  elif _DRY_RUN.value:
    loop.dry_run(config)
  else:
    result = loop.train_and_evaluate(config, _WORKDIR.value, _EXTEND.value)
    if result.stopped_by is not None:
      print("Stopped; the same command resumes.")
      return 128 + result.stopped_by
  return 0


if __name__ == "__main__":
  cli.start(main)
