"""--config: a recipe's file, and its fields on the command line."""

import ast
import itertools
import re
import sys
from collections.abc import Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

flags.disclaim_key_flags()  # --help shows it as the script's own


def define(help_string: str) -> flags.FlagHolder[ConfigDict]:
  """Defines --config=FILE and, for its fields, --config.FIELD=VALUE.

  A function that is named on the command line brings its options: beside
  --config.optimizer=adamw there may be --config.b1=0.8.
  """
  holder = config_flags.DEFINE_config_file("config", help_string=help_string)
  parser = flags.FLAGS["config"].parser
  read = parser.parse

  def parse(path: str) -> ConfigDict:
    from fcn_jax.training import recipe  # --help need not wait for it

    config = read(path)
    fields = [field for field, _ in recipe.NAMING.values()]
    chosen = named(fields, sys.argv[1:])
    return recipe.with_options_of(config, chosen) if chosen else config

  parser.parse = parse
  return holder


def named(fields: Sequence[str], arguments: Sequence[str]) -> dict[str, Any]:
  """What the command line says of the fields that name functions."""
  found = {}
  pattern = rf"--?config\.({'|'.join(map(re.escape, fields))})(?:=(.*))?"
  for argument, following in itertools.pairwise([*arguments, ""]):
    if match := re.fullmatch(pattern, argument, re.DOTALL):
      field, value = match.groups(following)
      found[field] = value
  augment = found.pop("data.augment", None)
  if augment is None:
    return found
  try:
    names = ast.literal_eval(augment)
    found["data.augment"] = (names,) if isinstance(names, str) else (*names,)
  except (SyntaxError, TypeError, ValueError):
    pass  # ml_collections tells what is wrong
  return found
