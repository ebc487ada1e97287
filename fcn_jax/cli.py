"""What the scripts share: how they start, errors on one line, their flags."""

import atexit
import dataclasses
import gc
import importlib.metadata
import logging
import os
import re
import sys
import threading
import typing
from collections.abc import Callable, Iterable

from absl import app, flags
from absl import logging as absl_logging

from fcn_jax.files import DataError, cache_dir

if typing.TYPE_CHECKING:
  from fcn_jax.data.formats import Format

T = typing.TypeVar("T")

# Of models.network, whose import takes a second longer than --help may.
PRECISIONS = ("float32", "tf32", "bfloat16")


def start(main: Callable[..., int | None], arguments: str = "") -> None:
  """Parses the flags and runs a script's main; its return is the exit code.

  See `set_up_compiler`.  The project's log goes to stderr in plain
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
    try:
      return main(given) if arguments else main()
    except (ValueError, OSError, FloatingPointError) as error:
      print(f"error: {error}", file=sys.stderr)
      return 1

  # First of all: a config that is parsed imports JAX.
  set_up_compiler()
  _collect_garbage_later()
  if arguments:
    flags.FLAGS.set_gnu_getopt(True)  # flags may stand behind them
  ended: list[int] = []
  if _is_the_program():
    # The first that is registered is the last that is called.
    atexit.register(_leave_at_once, ended)
  try:
    app.run(run, flags_parser=_parse)
  except SystemExit as error:
    if error.code is None or isinstance(error.code, int):
      ended.append(error.code or 0)
    raise


_WITHOUT_COLLECTION = 10.0  # seconds


def _collect_garbage_later() -> None:
  """What is imported and traced at first stays; looking at it takes a tenth."""

  def begin() -> None:
    gc.freeze()
    gc.enable()

  gc.disable()
  timer = threading.Timer(_WITHOUT_COLLECTION, begin)
  timer.daemon = True
  timer.start()


def _is_the_program() -> bool:
  """Whether Python runs this script, unwatched, and will run nothing else."""
  if sys.argv[0] not in sys.orig_argv:
    return False
  options = sys.orig_argv[1 : sys.orig_argv.index(sys.argv[0])]
  watched = bool(sys.gettrace() or sys.getprofile() or sys.flags.inspect)
  if sys.version_info >= (3, 12):
    tools = range(6)
    watched = watched or any(map(sys.monitoring.get_tool, tools))
  return not watched and not {"-c", "-m"}.intersection(options)


def _leave_at_once(ended: list[int]) -> None:
  """Ends the process, if its script has ended: taking JAX apart takes a second.

  Args:
    ended: the script's exit code; empty: it has not ended by one.
  """
  if not ended:
    return
  logging.shutdown()
  try:
    for stream in (sys.stdout, sys.stderr):
      if stream is not None:
        stream.flush()
  except (OSError, ValueError):
    return  # Python says what is wrong, and has an exit code for it
  os._exit(ended[0])


def _parse(arguments: list[str]) -> list[str]:
  """absl's parser; what is wrong with a flag or a field becomes one line."""
  try:
    return flags.FLAGS(arguments)
  except flags.Error as error:
    # ml_collections says so of a field that holds numbers by name.
    said, is_no_dict, _ = str(error).partition(": Failed to parse ")
    said = said.removeprefix("flag ")
    if is_no_dict:
      field = said.partition("=")[0]
      said += f": give numbers by name, as {field}=\"{{'NAME': 0.1}}\""
    print(f"error: {said}; --help shows the flags", file=sys.stderr)
    sys.exit(1)
  except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:
    # ml_collections wraps a KeyError, whose own text is a repr.
    while isinstance(error, AttributeError | KeyError) and error.args:
      error = error.args[0]
    name = str(error).strip("'")  # which may be a repr once more
    if name.isidentifier():
      error = f"the config has no field {name!r}"
    print(f"error: {error}", file=sys.stderr)
    sys.exit(1)


def set_up_compiler() -> None:
  """Keeps compiled programs on disk, and compiles for CPUs in half the time.

  To be called before JAX is imported, which reads the environment then.
  Programs lie in `cache_dir()`/compiled: JAX_COMPILATION_CACHE_DIR names
  another place, JAX_ENABLE_COMPILATION_CACHE=0 turns it off.  JAX alone keeps
  what takes a second to compile; a training has many smaller programs, so they
  are kept too.  A flag that XLA_FLAGS has already stays as it is.
  """
  place = os.fspath(cache_dir() / "compiled")
  os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", place)
  os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
  # Most of a step's time goes into convolutions and products of matrices, whose
  # code is a library's: what XLA generates itself is as fast without these.
  quick = {"xla_backend_extra_options": "xla_cpu_disable_loop_unrolling"}
  release = importlib.metadata.version("jaxlib").split(".")
  if (int(release[0]), int(release[1])) < (0, 11):  # XLA ends at unknown flags
    quick["xla_cpu_use_fusion_emitters"] = "false"
  given = os.environ.get("XLA_FLAGS", "")
  ours = (f"--{name}={to}" for name, to in quick.items() if name not in given)
  os.environ["XLA_FLAGS"] = " ".join([given, *ours]).strip()


def repeated(argv: list[str], flag: str) -> list[str]:
  """`--flag a b` as `--flag=a --flag=b`: shells expand patterns so."""
  result, inside = [], False
  for argument in argv:
    if argument.startswith("-"):
      inside = argument in (f"--{flag}", f"-{flag}")
      result += [] if inside else [argument]
    else:
      result.append(f"--{flag}={argument}" if inside else argument)
  return result


def image_size(given: str) -> tuple[int, int]:
  """(height, width) of what --size says: '375x500'.

  Raises:
    ValueError: it says something else.
  """
  sides = re.fullmatch(r"(\d+)x(\d+)", given, re.ASCII)
  height, width = map(int, sides.groups()) if sides else (0, 0)
  if not height * width:
    raise ValueError(f"--size={given}: write it as 375x500, height first")
  return height, width


flags.disclaim_key_flags()  # --help shows them as the script's own

_DEFINE = {
  str: flags.DEFINE_string,
  int: flags.DEFINE_integer,
  float: flags.DEFINE_float,
  bool: flags.DEFINE_boolean,
}


def define_tile() -> flags.FlagHolder[str]:
  """Defines --tile, for `evaluation.tiling.parse`."""
  return flags.DEFINE_string(
    "tile",
    "auto",
    "auto: images that do not fit into memory are computed in tiles, which "
    "does not change the result; off: never; or the side of tiles in pixels.",
  )


_PROCESSES = ("distributed", "coordinator", "processes", "process_id")


def define_processes() -> None:
  """Defines the flags of a run in several processes, see `processes_given`."""
  flags.DEFINE_boolean(
    "distributed",
    False,
    "One of several processes that share the work, which find each other: on "
    "SLURM, Open MPI, Kubernetes, TPUs. One machine: scripts/launch_local.sh.",
  )
  flags.DEFINE_string("coordinator", None, "Elsewhere: HOST:PORT of process 0.")
  flags.DEFINE_integer("processes", None, "How many processes.", 1)
  flags.DEFINE_integer("process_id", None, "Of this process, from 0.", 0)


def processes_given() -> dict[str, typing.Any]:
  """What the flags of `define_processes` say, for `devices.start`."""
  return {name: flags.FLAGS[name].value for name in _PROCESSES}


def define_flags(options: type) -> None:
  """Defines a flag for each field of a dataclass, see `data.formats.flag`."""
  for field in dataclasses.fields(options):
    _define(field, field.metadata["help"])


def options_given(options: type[T]) -> T:
  """The dataclass of `define_flags` as the flags say."""
  names = [field.name for field in dataclasses.fields(options)]
  return options(**{name: flags.FLAGS[name].value for name in names})


def define_format_flags(required: bool = False) -> flags.FlagHolder[str]:
  """Defines --dataset, and the flags of every format in FORMATS.

  A flag's help names the formats it is for, unless it is for all of them.

  Args:
    required: whether --dataset has to be given.

  Returns:
    --dataset.
  """
  from fcn_jax.data.formats import FORMATS

  for fields in _fields_of_formats().values():
    formats_of_help: dict[str, list[str]] = {}
    for name, field in fields.items():
      formats_of_help.setdefault(field.metadata["help"], []).append(name)
    words = [
      said if len(names) == len(FORMATS) else f"{', '.join(names)}: {said}"
      for said, names in formats_of_help.items()
    ]
    _define(next(iter(fields.values())), "; ".join(words))
  return flags.DEFINE_enum(
    "dataset",
    None,
    list(FORMATS),
    "; ".join(f"{name}: {kind.title}" for name, kind in FORMATS.items()),
    required=required,
  )


def format_given() -> "Format | None":
  """The format that --dataset names, as its flags say; None without it.

  Raises:
    DataError: a flag was given that belongs to other formats.
  """
  from fcn_jax.data.formats import FORMATS

  chosen = flags.FLAGS["dataset"].value
  strange = [
    f"--{flag} goes with --dataset={_either(fields)}; give that, or leave out "
    f"--{flag}"
    for flag, fields in _fields_of_formats().items()
    if flags.FLAGS[flag].present and chosen not in fields
  ]
  if strange:
    raise DataError("\n".join(strange))
  return options_given(FORMATS[chosen]) if chosen else None


def _either(words: Iterable[str]) -> str:
  """'a, b or c'."""
  *others, last = words
  return f"{', '.join(others)} or {last}" if others else last


def _fields_of_formats() -> dict[str, dict[str, dataclasses.Field]]:
  """By the name of a flag: by the name of each format that has it, its field.

  Fields of one name are one flag, so their types and defaults are the same.
  """
  from fcn_jax.data.formats import FORMATS

  found: dict[str, dict[str, dataclasses.Field]] = {}
  for name, kind in FORMATS.items():
    for field in dataclasses.fields(kind):
      found.setdefault(field.name, {})[name] = field
  for flag, fields in found.items():
    if len({(field.type, field.default) for field in fields.values()}) > 1:
      raise TypeError(
        f"--{flag} has another type or default in each of the formats "
        f"{', '.join(fields)}; make them the same, or rename one"
      )
  return found


def _define(field: dataclasses.Field, words: str) -> None:
  """A flag for `int` or `int | None`, with the bounds in its metadata."""
  kind = next(iter(typing.get_args(field.type)), field.type)
  bounds = {k: v for k, v in field.metadata.items() if k != "help"}
  _DEFINE[kind](field.name, field.default, words, **bounds)
