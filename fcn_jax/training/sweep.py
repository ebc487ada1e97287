"""Several runs of one recipe, whose fields take every combination of values."""

import ast
import itertools
import logging
import pathlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from fcn_jax.runs.config import flat
from fcn_jax.training import loop, progress, recipe

_log = logging.getLogger(__name__)


class Swept(NamedTuple):
  """What became of a sweep.

  Attributes:
    finished: workdirs of the runs that got to their end, in order.
    failed: names of those whose loss became NaN or infinite.
    stopped_by: number of the signal that ended the sweep early, or None.
  """

  finished: tuple[pathlib.Path, ...]
  failed: tuple[str, ...] = ()
  stopped_by: int | None = None


def recipes(config: ConfigDict, grid: str) -> dict[str, ConfigDict]:
  """The recipe of every combination, by a name that tells it from the others.

  >>> config = recipe.default_recipe()
  >>> list(recipes(config, "base_lr=1e-3,1e-4 data.mirror=true"))
  ['base_lr=0.001,data.mirror=True', 'base_lr=0.0001,data.mirror=True']

  Args:
    config: the recipe.
    grid: 'FIELD=VALUE,VALUE FIELD=VALUE,VALUE'; sequences in brackets.

  Raises:
    ValueError: no field, one twice, or a recipe that cannot be used.
  """
  fields = flat(config.to_dict())
  axes = {}
  before, *parts = re.split(r"(?:^|(?<=\s))([^\s=,]+)=", grid)
  for name, values in zip(parts[::2], map(str.strip, parts[1::2]), strict=True):
    if name in axes or not values:
      raise ValueError(
        f"--grid: {name}={values}: write FIELD=VALUE,VALUE, each field once"
      )
    axes[name] = _values(values, fields.get(name))
  if before.strip() or not axes:
    raise ValueError(
      f"--grid={grid}: write FIELD=VALUE,VALUE FIELD=VALUE,VALUE"
    )
  found = {}
  for chosen in itertools.product(*axes.values()):
    given = dict(zip(axes, chosen, strict=True))
    tree = config.to_dict()
    for name, value in given.items():
      *above, last = name.split(".")
      inner = tree
      for key in above:
        inner = inner.setdefault(key, {})
      inner[last] = value
    name = ",".join(f"{key}={value}" for key, value in given.items())
    try:
      found[name.replace("/", "_").replace(" ", "")] = recipe.check(tree)
    except ValueError as error:
      raise ValueError(f"--grid, {name}: {error}") from None
  return found


def _values(text: str, now: Any) -> list[Any]:
  """The values of a field, of the type that it has now."""
  try:
    values = list(ast.literal_eval(f"[{text}]"))
  except (ValueError, SyntaxError):
    values = [value.strip() for value in text.split(",")]
  if isinstance(now, bool):
    words = {"true": True, "false": False, "1": True, "0": False}
    return [words.get(str(value).lower(), value) for value in values]
  return [str(value) if isinstance(now, str) else value for value in values]


def sweep(
  config: ConfigDict,
  grid: str,
  folder: str,
  say: Callable[[str], None] = print,
) -> Swept:
  """Trains every combination, one after the other, each in folder/NAME.

  The same call resumes: runs that are finished are left as they are.  One that
  fails for a loss that is not finite does not end the others.

  Args:
    config, grid: see `recipes`.
    folder: of the workdirs; made if absent.
    say: takes a line on each run.

  Raises:
    ValueError: a recipe cannot be used; nothing has been trained then.
    What `loop.train_and_evaluate` raises, but for NotFinite.
  """
  chosen = recipes(config, grid)
  finished, failed = [], []
  for number, (name, one) in enumerate(chosen.items(), 1):
    say(f"run {number} of {len(chosen)}: {name}")
    workdir = pathlib.Path(folder).expanduser() / name
    try:
      outcome = loop.train_and_evaluate(one, str(workdir))
    except progress.NotFinite as error:
      _log.warning("%s: %s", name, error)
      failed.append(name)
      continue
    if outcome.stopped_by is not None:
      return Swept(tuple(finished), tuple(failed), outcome.stopped_by)
    finished.append(workdir)
  return Swept(tuple(finished), tuple(failed))
