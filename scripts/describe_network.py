r"""Describes a network: layers, receptive field, crop offsets, memory.

  python scripts/describe_network.py --config=configs/voc_fcn_alexnet.py
  python scripts/describe_network.py --model=fcn8s --classes=21 \
    --size=375x500 --output=fcn8s.html
  python scripts/describe_network.py --checkpoint=runs/voc --format=json

Memory is that of a train step, read from the compiled step, which takes some
ten seconds a size; nothing is run. It is given for --size and, where the
config's data set is prepared, for its largest canvas. Where it does not fit,
the last lines say what would help.
"""

import json
import pathlib

from absl import flags

from fcn_jax import cli, models
from fcn_jax.training import recipe_flag

_CONFIG = recipe_flag.define("A recipe.")
_MODEL = flags.DEFINE_string(
  "model", None, f"A network without a recipe: {', '.join(models.NETWORKS)}."
)
_CHECKPOINT = flags.DEFINE_string(
  "checkpoint", None, "A training workdir, or a converted model."
)
_CLASSES = flags.DEFINE_integer(
  "classes", 21, "Where no data set and no checkpoint tells.", 1, 255
)
_SIZE = flags.DEFINE_string(
  "size", None, "HEIGHTxWIDTH of the image; default: 375x500."
)
_PRECISION = flags.DEFINE_enum(
  "precision", "float32", cli.PRECISIONS, "Where there is no recipe."
)
_PART_SIZE = flags.DEFINE_integer(
  "part_size", 1, "Images at once, where there is no recipe.", 1
)
_MEMORY = flags.DEFINE_boolean("memory", True, "Whether to say what it needs.")
_OUTPUT = flags.DEFINE_string(
  "output", None, "A page (.html), or the picture alone (.svg)."
)
_FORMAT = flags.DEFINE_enum(
  "format", "text", ["text", "json"], "What is printed."
)


def write(output: pathlib.Path, found) -> None:
  from fcn_jax.reports import network
  from fcn_jax.training import memory

  table, words = memory.rows(found.needs), (found.verdict, found.warning)
  network.write_network(output, found.network, table, *words)


def main() -> None:
  from fcn_jax.reports import network
  from fcn_jax.training import description

  output = _OUTPUT.value and network.claim(_OUTPUT.value)
  found = description.described(
    description.subject(
      _CONFIG.value, _MODEL.value, _CHECKPOINT.value, _CLASSES.value
    ),
    cli.image_size(_SIZE.value) if _SIZE.value else None,
    with_memory=_MEMORY.value and not (output and output.suffix == ".svg"),
    precision=_PRECISION.value,
    part_size=_PART_SIZE.value,
  )
  if output:
    write(output, found)
  if _FORMAT.value == "json":
    print(json.dumps(found.figures(), indent=2))
    return
  print(found.text())
  if output:
    print(f"\nwritten to {output}")


if __name__ == "__main__":
  cli.start(main)
