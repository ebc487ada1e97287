"""What every script does the same: plain log lines, one-line errors."""

import logging
import sys
from collections.abc import Callable

from absl import app
from absl import logging as absl_logging

from fcn_jax import compilation_cache


def start(main: Callable[[], int | None]) -> None:
  """Parses the flags and runs a script's main; its return is the exit code.

  Compiled programs are kept on disk.  The project's log goes to stderr in plain
  lines, libraries' only from warnings on.  An error that names what the user
  can mend is printed without a traceback, exit code 1.
  """

  def run(argv: list[str]) -> int | None:
    if len(argv) > 1:
      raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
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
      return main()
    except (ValueError, OSError, FloatingPointError) as error:
      print(f"error: {error}", file=sys.stderr)
      return 1

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
