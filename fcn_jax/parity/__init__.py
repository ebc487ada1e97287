"""Our numbers beside Caffe's, over a folder of figures that Caffe computed.

The folder holds small nets, layers, solver runs, metrics and sizes, each as a
JSON file and a .npz (tests/golden has one, and its README the layout).  Seeds,
sizes and widths may be any; a group whose JSON a folder lacks is not compared.
"""

import importlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from fcn_jax.parity.comparison import Comparison

# File, and what compares it: (module, function), imported when it is run.
GROUPS = {
  "layers": ("layers", "compare"),
  "alexnet": ("nets", "compare_alexnet"),
  "caffemodels": ("caffemodels", "compare"),
  "fcn_alexnet": ("nets", "compare_fcn_alexnet"),
  "fcn_vgg": ("nets", "compare_fcn_vgg"),
  "sgd": ("solver", "compare"),
  "metrics": ("tables", "compare_metrics"),
  "geometry": ("tables", "compare_geometry"),
}


def compare(
  folder: str | os.PathLike, groups: tuple[str, ...] = tuple(GROUPS)
) -> "Iterator[Comparison]":
  """Compares all that a folder holds, one comparison after the other.

  Args:
    folder: in the layout of tests/golden.
    groups: keys of `GROUPS`.

  Raises:
    GoldenError: the folder holds nothing of these groups, or a file of it is
      damaged or lacks something.
  """
  from fcn_jax.parity.golden import Golden, GoldenError
  from fcn_jax.weights.caffemodel import CaffeModelError

  golden = Golden(folder)
  there = [group for group in groups if golden.has(group)]
  if not there:
    raise GoldenError(
      f"{folder} holds none of {', '.join(groups)}: name a folder with Caffe's "
      "figures, such as tests/golden"
    )
  for group in there:
    module, function = GROUPS[group]
    module = importlib.import_module(f"{__name__}.{module}")
    try:
      for comparison in getattr(module, function)(golden):
        yield comparison.of(group)
    except (KeyError, CaffeModelError) as error:
      raise GoldenError(f"{folder}, {group}: lacks {error}") from error
