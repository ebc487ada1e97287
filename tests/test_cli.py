"""fcn_jax.cli: what a script does before, around and after main; its flags."""

import dataclasses
import gc
import json
import os
import subprocess
import sys
import time

import pytest
from places import ROOT

from fcn_jax import cli
from fcn_jax.data import formats
from fcn_jax.data.formats.base import flag
from fcn_jax.models.network import PRECISIONS

SCRIPT = """
import logging
from absl import flags
from absl import logging as absl_logging
from fcn_jax import cli
DO = flags.DEFINE_string("do", "", "what main does")
def main():
  logging.getLogger("fcn_jax.some.room").info("at %s", DO.value)
  logging.getLogger("library").info("of no use")
  absl_logging.info("of no use")
  absl_logging.warning("of some use")
  print("result")
  exec(DO.value)
  return 3 if DO.value == "pass" else None
cli.start(main)
"""


def run(*arguments: str) -> subprocess.CompletedProcess:
  return subprocess.run(
    [sys.executable, "-c", SCRIPT, *arguments],
    capture_output=True,
    text=True,
    timeout=60,
  )


def test_the_log_goes_to_stderr_in_plain_lines():
  done = run("--do=pass")
  assert done.returncode == 3, "what main returns"
  assert done.stdout == "result\n"
  ours, theirs = done.stderr.splitlines()
  clock, _, message = ours.partition(" ")
  assert [len(part) for part in clock.split(":")] == [2, 2, 2]
  assert message == "at pass"
  assert theirs.endswith("of some use")


# What is there at the end, and what Python does once it takes all apart.
ENDS = """
import atexit, gc
from fcn_jax import cli
class Global:
  def __del__(self):
    print("taken apart")
def main(given):
  global held
  held = Global()
  atexit.register(print, "at exit")
  print("collects" if gc.isenabled() else "does not collect")
  return int(given[0])
cli.start(main, "CODE")
"""


@pytest.mark.parametrize(
  ("options", "taken_apart"), [([], 0), (["-m", "cProfile", "-o"], 1)]
)
@pytest.mark.parametrize("code", [0, 3])
def test_a_script_leaves_at_once(options, taken_apart, code, tmp_path):
  """Its code, its output and what others do at exit are as ever."""
  script = tmp_path / "script.py"
  script.write_text(ENDS)
  if options:
    options = [*options, str(tmp_path / "profile")]
  done = subprocess.run(
    [sys.executable, *options, str(script), str(code)],
    capture_output=True,
    text=True,
    timeout=60,
    env=os.environ | {"PYTHONPATH": str(ROOT)},
  )
  # cProfile has no exit code of its own.
  assert done.returncode == (0 if options else code), done.stderr
  assert done.stdout == "does not collect\nat exit\n" + (
    "taken apart\n" * taken_apart
  )
  assert (tmp_path / "profile").exists() == bool(options)


def test_output_that_cannot_be_written_is_an_error(tmp_path):
  script = tmp_path / "script.py"
  script.write_text(ENDS)
  with open("/dev/full", "w") as full:
    done = subprocess.run(
      [sys.executable, str(script), "0"],
      stdout=full,
      stderr=subprocess.PIPE,
      text=True,
      timeout=60,
      env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
  assert done.returncode
  assert "No space left" in done.stderr


def test_garbage_is_collected_after_a_while(monkeypatch):
  monkeypatch.setattr(cli, "_WITHOUT_COLLECTION", 0.01)
  cli._collect_garbage_later()
  try:
    for _ in range(500):
      if gc.isenabled():
        break
      time.sleep(0.01)
    assert gc.isenabled()
  finally:
    gc.enable()


def test_main_that_returns_nothing_succeeds():
  assert run("--do=1 + 1").returncode == 0


@pytest.mark.parametrize(
  "kind", ["ValueError", "OSError", "FloatingPointError"]
)
def test_a_mistake_of_the_user_is_one_line(kind):
  done = run(f"--do=raise {kind}('mend a.png')")
  assert done.returncode == 1
  assert done.stderr.splitlines()[-1] == "error: mend a.png"
  assert "Traceback" not in done.stderr


def test_a_mistake_of_ours_shows_where():
  done = run("--do=raise KeyError('x')")
  assert done.returncode == 1
  assert "Traceback" in done.stderr
  assert "error: " not in done.stderr


@pytest.mark.parametrize("argument", ["stray", "--unknown=1"])
def test_what_is_no_flag_is_refused_before_anything_runs(argument):
  done = run("--do=pass", argument)
  assert done.returncode == 1
  assert argument.strip("-").removesuffix("=1") in done.stderr
  assert "result" not in done.stdout


def test_a_mistyped_field_of_a_config_is_one_line():
  root = ROOT
  script = str(root / "scripts/pretrain_classifier.py")
  config = root / "configs/shapes_alexnet_classifier.py"
  arguments = [f"--config={config}", "--workdir=x", "--config.batchsize=4"]
  done = subprocess.run(
    [sys.executable, script, *arguments], capture_output=True, text=True
  )
  assert done.returncode == 1
  assert "error: 'batchsize'\nDid you mean" in done.stderr
  assert "Traceback" not in done.stderr


def fields_given(*arguments: str) -> subprocess.CompletedProcess:
  script = str(ROOT / "scripts/train.py")
  config = f"--config={ROOT / 'configs/voc_fcn8s.py'}"
  return subprocess.run(
    [sys.executable, script, config, *arguments, "--print_config"],
    capture_output=True,
    text=True,
  )


def test_numbers_by_name_are_given_as_a_dict():
  done = fields_given(
    "--config.lr_mult={'conv*': 0.1, 'score*': 10}",
    "--config.loss.terms={'cross_entropy': 1, 'dice': 0.5}",
  )
  assert done.returncode == 0, done.stderr
  config = json.loads(done.stdout)
  assert config["lr_mult"] == {"conv*": 0.1, "score*": 10}
  assert config["loss"]["terms"] == {"cross_entropy": 1, "dice": 0.5}


def test_a_wrong_flag_beside_fields_is_named():
  done = fields_given("--config.base_lr=0.1", "--unknown=1")
  assert done.returncode == 1
  assert done.stderr.startswith("error: Unknown command line flag 'unknown'")


@pytest.mark.parametrize("value", ["conv*:0.1", "{'dice'}"])
def test_what_is_no_dict_is_one_line(value):
  done = fields_given(f"--config.lr_mult={value}")
  assert done.returncode == 1
  assert done.stderr == (
    f"error: --config.lr_mult={value}: give numbers by name, as "
    "--config.lr_mult=\"{'NAME': 0.1}\"; --help shows the flags\n"
  )


TAKES_FILES = """
from absl import flags
from fcn_jax import cli
SIZE = flags.DEFINE_integer("size", 1, "of what")
def main(files):
  print(files, SIZE.value)
cli.start(main, "FILE ...")
"""


def test_arguments_stand_before_flags_or_after():
  def said(*arguments):
    return subprocess.run(
      [sys.executable, "-c", TAKES_FILES, *arguments],
      capture_output=True,
      text=True,
      timeout=60,
    )

  assert said("a", "--size=2", "b").stdout == "['a', 'b'] 2\n"
  done = said("--size=2")
  assert done.returncode == 1
  assert "missing: FILE ..." in done.stderr


def test_images_that_a_shell_has_spread():
  given = ["p.py", "--images", "a", "b", "--step", "latest", "--images=c"]
  assert cli.repeated(given, "images") == [
    "p.py",
    "--images=a",
    "--images=b",
    "--step",
    "latest",
    "--images=c",
  ]


def test_sizes_are_written_height_first():
  assert cli.image_size("375x500") == (375, 500)
  for wrong in ("375", "0x500", "375X500", "-3x4", "3x4x5", "²x3", ""):
    with pytest.raises(ValueError, match="write it as 375x500, height first"):
      cli.image_size(wrong)


def test_precisions_are_those_of_networks():
  assert tuple(PRECISIONS) == cli.PRECISIONS


PROGRAM = """
import dataclasses, json, sys
from typing import ClassVar
from absl import flags
from fcn_jax import cli
from fcn_jax.data import formats
from fcn_jax.data.formats.base import flag
from fcn_jax.files import DataError

@dataclasses.dataclass(frozen=True, kw_only=True)
class Cards(formats.Format):
  title: ClassVar[str] = "a deck of cards"
  suits: int = flag(4, "kinds of cards", lower_bound=1)
  seed: int = flag(0, "of the shuffle")

@dataclasses.dataclass(frozen=True)
class Output:
  place: str | None = flag(None, "where to")
  share: float = flag(0.5, "of all")

# A new format: this line, and the class.
formats.FORMATS["cards"] = Cards
dataset = cli.define_format_flags()
cli.define_flags(Output)
flags.FLAGS(["script", *sys.argv[1:]])
found = {"help": {n: flags.FLAGS[n].help for n in flags.FLAGS}}
try:
  source = cli.format_given()
  found["format"] = type(source).__name__
  found["fields"] = dataclasses.asdict(source) if source else None
  found["output"] = dataclasses.asdict(cli.options_given(Output))
except DataError as error:
  found["error"] = str(error)
print(json.dumps(found))
"""


def with_flags(*arguments: str) -> dict:
  done = subprocess.run(
    [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr
  return json.loads(done.stdout)


def test_flags_become_the_format_that_they_name():
  found = with_flags(
    "--dataset=folder",
    "--val_percent=12.5",
    "--binary_masks",
    "--test_labels=there",
    "--share=0.25",
  )
  assert found["format"] == "Folder"
  fields = found["fields"]
  assert "archive" not in fields
  assert fields["val_percent"] == 12.5
  assert fields["binary_masks"] is True
  assert fields["test_labels"] == "there"
  assert fields["seed"] == 0
  assert found["output"] == {"place": None, "share": 0.25}


def test_a_new_format_is_a_line_in_the_table():
  found = with_flags("--dataset=cards", "--suits=2", "--seed=7")
  assert found["format"] == "Cards"
  assert (found["fields"]["suits"], found["fields"]["seed"]) == (2, 7)
  said = found["help"]
  assert said["dataset"].endswith("; cards: a deck of cards")
  assert said["suits"] == "cards: kinds of cards"
  assert said["seed"] == (
    "voc, folder, masks, labelme, coco, cvat, roboflow: of the draw of the "
    "validation set; shapes: of the drawings; cards: of the shuffle"
  )
  # What all formats have is for none of them in particular.
  assert said["class_names"].startswith("text file, line i (from 0) names")


def test_no_format_is_named():
  found = with_flags("--share=1")
  assert found["fields"] is None


@pytest.mark.parametrize(
  ("arguments", "said"),
  [
    (
      ["--dataset=cards", "--archive=x.tar"],
      "--archive goes with --dataset=voc, cvat, roboflow, cityscapes, ade20k "
      "or sbd; give that, or leave out --archive",
    ),
    (
      ["--dataset=shapes", "--val_images=x", "--val_percent=9"],
      "--val_percent goes with --dataset=voc, folder, masks, labelme, coco, "
      "cvat or roboflow; give that, or leave out --val_percent\n--val_images "
      "goes with --dataset=folder, masks, labelme or coco; give that, or leave "
      "out --val_images",
    ),
    (["--suits=4"], "--suits goes with --dataset=cards; give that, or leave"),
  ],
)
def test_a_flag_of_another_format_is_refused(arguments, said):
  assert with_flags(*arguments)["error"].startswith(said)


def test_fields_of_one_name_are_one_flag(monkeypatch):
  @dataclasses.dataclass(frozen=True, kw_only=True)
  class Other(formats.Format):
    seed: str = flag("spring", "of the year")

  monkeypatch.setitem(formats.FORMATS, "other", Other)
  with pytest.raises(TypeError, match="--seed has another type or default"):
    cli.define_format_flags()


CACHE_SCRIPT = """
from ml_collections import config_flags
from fcn_jax import cli
config_flags.DEFINE_config_file("config")
def main():
  import jax
  print(jax.config.jax_compilation_cache_dir)
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
  print(jax.jit(lambda x: x + 1)(1.0))
cli.start(main)
"""


def run_with_cache(folder, **environment) -> list[str]:
  """A script whose recipe imports JAX, as recipes do."""
  recipe = folder / "recipe.py"
  recipe.write_text(
    "import jax\nimport ml_collections\n"
    "def get_config(): return ml_collections.ConfigDict()\n"
  )
  kept = {k: v for k, v in os.environ.items() if "JAX" not in k}
  done = subprocess.run(
    [sys.executable, "-c", CACHE_SCRIPT, f"--config={recipe}"],
    capture_output=True,
    text=True,
    env=kept | environment,
    check=True,
  )
  assert done.stderr == ""
  return done.stdout.split()


def test_programs_are_kept_and_found_again(tmp_path):
  for _ in range(2):
    place, result = run_with_cache(tmp_path, XDG_CACHE_HOME=str(tmp_path))
    assert place == str(tmp_path / "fcn_jax/compiled")
    assert result == "2.0"
  kept = [p.name for p in (tmp_path / "fcn_jax/compiled").iterdir()]
  assert len([name for name in kept if name.endswith("-cache")]) > 0


def test_another_place_is_respected(tmp_path):
  elsewhere = str(tmp_path / "elsewhere")
  place, _ = run_with_cache(
    tmp_path,
    XDG_CACHE_HOME=str(tmp_path),
    JAX_COMPILATION_CACHE_DIR=elsewhere,
  )
  assert place == elsewhere
  assert not (tmp_path / "fcn_jax").exists()


@pytest.mark.parametrize(
  "given",
  [
    "",
    "--xla_force_host_platform_device_count=2",
    "--xla_backend_extra_options=xla_cpu_optimize_for_size",
  ],
)
def test_flags_of_the_compiler_are_added_once(given, monkeypatch):
  monkeypatch.setenv("XLA_FLAGS", given)
  cli.set_up_compiler()
  flags = os.environ["XLA_FLAGS"].split()
  assert flags[: bool(given)] == given.split()
  names = [flag.partition("=")[0] for flag in flags]
  assert names.count("--xla_backend_extra_options") == 1
  cli.set_up_compiler()
  assert os.environ["XLA_FLAGS"].split() == flags
