"""What formats share whose labels are drawn from objects with names."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from fcn_jax.data.classes import read_class_names
from fcn_jax.data.drawn import Drawn, rest_of, with_background
from fcn_jax.data.files import Pair
from fcn_jax.data.formats.base import Format

K = TypeVar("K")


def names_of(source: Format, seen: Iterable[str]) -> tuple[str, ...]:
  """Class names: those of --class_names, of --label_map, else those seen.

  But for --class_names there is a background before them, if none is named.
  """
  if source.class_names:
    return read_class_names(source.class_names)
  mapped = source.mapped()
  return with_background(mapped.class_names if mapped else seen)


def labelled(
  source: Format,
  splits: Mapping[str, Sequence[Pair]],
  class_names: tuple[str, ...],
  also: Mapping[str, int] | None = None,
) -> dict[str, list[Pair]]:
  """The splits, whose labels know now what the names of objects stand for.

  Args:
    source: its --label_map decides, if there is one.
    splits: pairs whose labels are drawn.
    class_names: the name of label i at place i.
    also: labels of names that the format itself knows.
  """
  mapped = source.mapped()
  labels = dict(also or {})
  if mapped:
    labels |= mapped.labels(class_names)
  else:
    labels |= {name: label for label, name in enumerate(class_names)}
  rest = rest_of(class_names)
  return {
    split: [
      dataclasses.replace(pair, label=_with(pair.label, labels, rest))
      for pair in pairs
    ]
    for split, pairs in splits.items()
  }


def _with(label: Drawn, labels: Mapping[str, int], rest: int) -> Drawn:
  return dataclasses.replace(label, labels=labels, rest=rest)
