r"""Compares what is computed here with what Caffe computed.

  python scripts/compare_caffe.py --golden=tests/golden

DIR holds figures of Caffe's in the layout of tests/golden (its README tells);
seeds, sizes and widths may be others. The table has a line for each kind of
number: how many were compared, the largest difference, the same as a share of
Caffe's largest value, what is allowed, and whether it is kept. The exit code is
1 if anything is beyond its tolerance.
"""

from absl import flags

from fcn_jax import cli, parity

_GOLDEN = flags.DEFINE_string(
  "golden", "tests/golden", "Folder of Caffe's figures."
)
_GROUPS = flags.DEFINE_list(
  "groups", list(parity.GROUPS), "What is compared, of what the folder holds."
)


def main() -> int:
  from fcn_jax.parity import comparison

  if strange := [name for name in _GROUPS.value if name not in parity.GROUPS]:
    raise ValueError(
      f"--groups={','.join(strange)}: there is {', '.join(parity.GROUPS)}"
    )
  found = list(parity.compare(_GOLDEN.value, tuple(_GROUPS.value)))
  print(f"{comparison.table(found)}\n\n{comparison.verdict(found)}")
  return int(comparison.beyond(found) > 0)


if __name__ == "__main__":
  cli.start(main)
