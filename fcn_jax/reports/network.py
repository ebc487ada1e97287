"""The page of a network: its picture, where its cells lie, its memory."""

import os
import pathlib
from collections.abc import Sequence

from fcn_jax import text
from fcn_jax.models import describe
from fcn_jax.models.describe import Description
from fcn_jax.reports import network_picture, page
from fcn_jax.text import number
from fcn_jax.training import memory
from fcn_jax.training.memory import Need


def write_network(
  path: str | os.PathLike,
  description: Description,
  needs: Sequence[Need] = (),
  verdict: str = "",
  warning: str = "",
) -> pathlib.Path:
  """Writes the page; returns its absolute path.

  Args:
    path: of the HTML file.
    description: the network in figures.
    needs: memory of a train step, a column of a table each.
    verdict: whether it fits, in a sentence.
    warning: what is wrong and what would help, the remedies in lines of their
      own; '' where it fits.

  Raises:
    DataError: the path is refused, see `page.claim`.
    OSError: the page cannot be written.
  """
  problem, *remedies = warning.splitlines() or [""]
  offsets = ", ".join(str(offset.cells) for offset in description.offsets)
  return page.write(
    path,
    "network.html.j2",
    net=description,
    forward=text.operations(description.forward_flops),
    step=text.operations(description.step_flops),
    stride=number(description.coarsest),
    offsets=offsets,
    picture=network_picture.picture(description),
    columns=[*map(_capital, describe.COLUMNS)],
    steps=[
      (x.layer, x.centre, x.stride, x.operation) for x in description.steps
    ],
    rows=[describe.cells(row) for row in description.rows],
    memory_columns=["For", *memory.headings(needs)[1:]],
    memory_rows=[
      (_capital(words), *sizes)
      for words, *sizes in (memory.rows(needs) if needs else [])
    ],
    verdict=verdict,
    problem=problem and _capital(problem),
    remedies=[line.strip() for line in remedies],
  )


def _capital(words: str) -> str:
  return words[0].upper() + words[1:]
