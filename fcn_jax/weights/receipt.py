"""The receipt of a surgery: one row per tensor, for people and as JSON."""

import dataclasses
import json

from fcn_jax.text import table


@dataclasses.dataclass(frozen=True)
class TensorRow:
  """What became of one tensor.

  Attributes:
    source: 'conv1[0]' (weight) or 'conv1[1]' (bias) in the file; '' if none.
    source_shape: as stored; None if there is no source.
    target: 'conv1.kernel' or 'conv1.bias' in the network; '' if none.
    target_shape: HWIO for kernels; None if there is no target.
    action: 'copied' (axes in another order, nothing else), 'reshaped' (inner
      product to convolution), 'initialised' or 'dropped'.
    note: why, or with what.
  """

  source: str
  source_shape: tuple[int, ...] | None
  target: str
  target_shape: tuple[int, ...] | None
  action: str
  note: str = ""


class Misfit(Exception):
  """Tensors of one layer that do not fit, one line each."""

  def __init__(self, problems: list[str]):
    super().__init__(problems)
    self.problems = problems


@dataclasses.dataclass(frozen=True)
class Receipt:
  """Where every parameter of a network came from.

  Attributes:
    source: the file, or what else the parameters come from.
    sha1: of the file, in hexadecimal; '' if there is none.
    known_as: name of the published file with that SHA-1; '' if unknown.
    source_order, target_order: 'norm_pool', 'pool_norm' or 'unknown'.
    rows: one per tensor.
    proof: one sentence from `fcn_jax.proof`; '' before it.
  """

  source: str
  sha1: str
  known_as: str
  source_order: str
  target_order: str
  rows: tuple[TensorRow, ...]
  proof: str = ""

  def initialised_layers(self) -> tuple[str, ...]:
    """Names of the layers that do not come from the source."""
    names = (
      row.target.split(".")[0]
      for row in self.rows
      if row.action == "initialised"
    )
    return tuple(dict.fromkeys(names))

  def to_json(self) -> str:
    """The receipt as JSON; shapes are lists, an absent shape is null."""
    return json.dumps(dataclasses.asdict(self), indent=1) + "\n"

  def __str__(self) -> str:
    cells = [("source", "shape", "target", "shape", "action", "note")]
    for row in self.rows:
      cells.append(
        (
          row.source or "-",
          _times(row.source_shape),
          row.target or "-",
          _times(row.target_shape),
          row.action,
          row.note,
        )
      )
    lines = table(cells, left=len(cells[0])).splitlines()
    head = [f"source  {self.source}"]
    if self.sha1:
      known = self.known_as or "not a file known by name"
      head.append(f"SHA-1   {self.sha1} ({known})")
    head.append(f"order   {_order_note(self.source_order, self.target_order)}")
    tail = [f"proof   {self.proof}"] if self.proof else []
    return "\n".join(line.rstrip() for line in [*head, *lines, *tail])


def _order_note(source: str, target: str) -> str:
  if source in ("unknown", target) or target == "unknown":
    return f"source {source}, network {target}"
  return (
    f"source {source}, network {target} (as in DIGITS): features differ "
    "slightly until they are fine-tuned"
  )


def _times(shape: tuple[int, ...] | None) -> str:
  return "-" if shape is None else " x ".join(map(str, shape)) or "scalar"
