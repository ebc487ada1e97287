"""scripts/train.py where it does not train, and what it says of wrong flags."""

import json

from configs_there import load_config
from run_scripts import exits, run

from fcn_jax.training import recipe

SCRIPT = "scripts/train.py"
CONFIG = "--config=configs/voc_fcn_alexnet_digits.py"


def test_the_rates_of_digits_recipe(tmp_path):
  """30 epochs of 1464 steps; a third, 33 %, of 43920 is 14493.6."""
  output = tmp_path / "rate.svg"
  done = run(
    SCRIPT,
    CONFIG,
    "--preview_lr",
    "--images_per_epoch=1464",
    f"--preview_output={output}",
  )
  assert done.returncode == 0, done.stderr
  lines = done.stdout.splitlines()
  assert lines[0] == "step, 43,920 steps"
  assert [line.split() for line in lines[3:7]] == [
    ["0", "0", "0.0001"],
    ["14,494", "9.9", "1e-05"],
    ["28,988", "19.8", "1e-06"],
    ["43,482", "29.7", "1e-07"],
  ]
  assert "<svg" in output.read_text()


def test_flags_that_do_not_go_together(tmp_path, monkeypatch):
  monkeypatch.setenv("TFDS_DATA_DIR", "/nowhere")
  found = exits(
    SCRIPT,
    ["--config=configs/voc_fcn_alexnet.py", "--preview_lr"],  # in steps
    [CONFIG, "--preview_lr", "--images_per_epoch=3"],
    [CONFIG, "--preview_lr"],
    [CONFIG, "--preview_lr", f"--preview_output={tmp_path / 'rate.gif'}"],
    [CONFIG],
    [CONFIG, "--images_per_epoch=3"],
    [CONFIG, "--dry_run", "--print_config"],
    [CONFIG, "--dry_run"],
  )
  assert found[:2] == [0, 0]
  for error, words in zip(
    found[2:],
    (
      "config.duration is in epochs, and no data set 'voc2012' in /nowhere",
      "a curve is written as .html, .svg, .png",
      "--workdir=FOLDER is missing",
      "--images_per_epoch goes with --preview_lr",
      "give one of --dry_run, --print_config",
      "no data set 'voc2012' in /nowhere",
    ),
    strict=True,
  ):
    assert error.startswith("error: ")
    assert words in error
  assert "--images_per_epoch=N" in found[2]


def test_the_whole_config_is_printed_as_it_would_be_stored():
  """Fields of the command line in it; read back it is the same recipe."""
  done = run(
    SCRIPT,
    CONFIG,
    "--print_config",
    "--config.base_lr=0.25",
    "--config.model.width=0.5",
    "--config.data.augment=('random_scale',)",
    "--config.augment.random_scale.low=0.7",
  )
  assert done.returncode == 0, done.stderr
  told = json.loads(done.stdout)
  expected = load_config("voc_fcn_alexnet_digits")
  assert told["base_lr"] == 0.25
  expected.base_lr, expected.model.width = 0.25, 0.5
  expected.data.augment = ("random_scale",)
  expected = recipe.check(expected)
  expected.augment.random_scale.low = 0.7  # an option that the name brings
  assert recipe.check(told) == expected
  assert told.keys() == expected.to_dict().keys()
