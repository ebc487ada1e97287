"""What every script does the same: plain log lines, one-line errors."""

import dataclasses
import logging
import os
import sys
from collections.abc import Callable

import jax
from absl import app, flags
from absl import logging as absl_logging

from fcn_jax.data.formats import Options
from fcn_jax.files import cache_dir


def start(main: Callable[..., int | None], arguments: str = "") -> None:
  """Parses the flags and runs a script's main; its return is the exit code.

  Compiled programs are kept on disk.  The project's log goes to stderr in plain
  lines, libraries' only from warnings on.  An error that names what the user
  can mend is printed without a traceback, exit code 1.

  Args:
    main: the script; with `arguments` it is given a list of them.
    arguments: what the script takes beside its flags, before or after them, at
      least one: 'DIR ...'. Empty: nothing.
  """

  def run(argv: list[str]) -> int | None:
    given = argv[1:]
    if given and not arguments:
      raise app.UsageError(f"unknown arguments: {' '.join(given)}")
    if arguments and not given:
      raise app.UsageError(f"missing: {arguments}")
    absl_logging.set_verbosity(absl_logging.WARNING)
    handler = logging.StreamHandler()
    handler.setFormatter(
      logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S")
    )
    log = logging.getLogger("fcn_jax")
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    log.propagate = False
    keep_compiled_programs()
    try:
      return main(given) if arguments else main()
    except (ValueError, OSError, FloatingPointError) as error:
      print(f"error: {error}", file=sys.stderr)
      return 1

  if arguments:
    flags.FLAGS.set_gnu_getopt(True)  # flags may stand behind them
  app.run(run, flags_parser=_parse)


def _parse(arguments: list[str]) -> list[str]:
  """absl's parser; what is wrong with a config's field becomes one line."""
  try:
    return app.parse_flags_with_usage(arguments)
  except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:
    # ml_collections wraps a KeyError, whose own text is a repr.
    while isinstance(error, AttributeError | KeyError) and error.args:
      error = error.args[0]
    if str(error).isidentifier():
      error = f"the config has no field {error!r}"
    print(f"error: {error}", file=sys.stderr)
    sys.exit(1)


def keep_compiled_programs() -> None:
  """Keeps programs in `cache_dir()`/compiled, unless JAX was told a place.

  JAX_COMPILATION_CACHE_DIR names another place, JAX_ENABLE_COMPILATION_CACHE=0
  turns it off.
  """
  if jax.config.jax_compilation_cache_dir is None:
    place = os.fspath(cache_dir() / "compiled")
    jax.config.update("jax_compilation_cache_dir", place)


flags.disclaim_key_flags()  # --help shows them as the script's own


def define_dataset_flags() -> list[flags.FlagHolder]:
  """Defines them all but --dataset, which each script words for itself."""
  string = flags.DEFINE_string
  return [
    string("archive", None, "voc: the tar, as downloaded; it is read in place"),
    string("devkit", None, "voc: the unpacked folder, instead of --archive"),
    flags.DEFINE_integer(
      "year", None, "voc: 2007 to 2012, where there are several", 2007, 2012
    ),
    string("train_images", None, "folder: training images"),
    string("train_labels", None, "folder: their labels, of the same stems"),
    string("val_images", None, "folder: validation images"),
    string("val_labels", None, "folder: their labels"),
    string("test_images", None, "folder: test images, if there are any"),
    string("test_labels", None, "folder: their labels"),
    flags.DEFINE_float(
      "val_percent",
      None,
      "folder: draw the validation set from the training one",
    ),
    flags.DEFINE_integer("seed", 0, "of that draw; shapes: of the drawings"),
    string("class_names", None, "text file, line i (from 0) names label i"),
    string(
      "colormap",
      None,
      "for labels in colours: line i holds 'R G B' of label i",
    ),
    string("void_color", None, "R,G,B of pixels that count for nothing"),
    flags.DEFINE_boolean(
      "binary_masks",
      False,
      "labels are masks of 0 and 255, and 255 is class 1",
    ),
  ]


def dataset_options() -> Options:
  """What the flags of this script say, of all that `Options` holds."""
  names = {field.name for field in dataclasses.fields(Options)}
  return Options(**{n: flags.FLAGS[n].value for n in names & set(flags.FLAGS)})
