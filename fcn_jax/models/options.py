"""The options of a function in a table, as a recipe holds them.

A recipe names a loss, a schedule, an optimizer or an augmentation; the fields
beside the name are the arguments of that function which have a default.
"""

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any


def options_of(function: Callable) -> dict[str, Any]:
  """The options of a function and their defaults, in order."""
  parameters = inspect.signature(function).parameters.values()
  return {p.name: p.default for p in parameters if p.default is not p.empty}


def types_of(function: Callable) -> dict[str, tuple[type, ...]]:
  """The types that the options of a function may have, by its annotations."""
  hints = typing.get_type_hints(function)
  found = {}
  for name, default in options_of(function).items():
    hint = hints.get(name, type(default))
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    members = typing.get_args(hint) if union else (hint,)
    found[name] = tuple(typing.get_origin(m) or m for m in members)
  return found


def choose(table: Mapping[str, Callable], name: str, field: str) -> Callable:
  """The function of a table that a recipe names.

  Args:
    table: functions by name, as LOSSES.
    name: the value of the field.
    field: of the recipe, for the error.

  Raises:
    ValueError: the table has no such name.
  """
  if name not in table:
    raise ValueError(f"config.{field} = {name!r}: there is {', '.join(table)}")
  return table[name]


def plain(value: Any) -> Any:
  """A value of a config as a function takes it: tuples for lists."""
  return tuple(value) if isinstance(value, list) else value
