"""What every script does the same: plain log lines, one-line errors."""

import logging
import sys
from collections.abc import Callable

from absl import app, flags
from absl import logging as absl_logging

from fcn_jax import compilation_cache


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
    compilation_cache.use()
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
