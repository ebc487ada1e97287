r"""What every layer of a network holds, and makes of one image.

  python scripts/inspect_activations.py --checkpoint=runs/voc \
    --image=photo.jpg --output=activations.html
  python scripts/inspect_activations.py --checkpoint=runs/voc \
    --image=photo.jpg --layers=conv1,pool5 --format=json

The page shows, of every layer, figures and histograms of its activations and
weights, its strongest feature maps, and the filters that read the image.
--checkpoint takes the workdir of scripts/train.py, the output directory of
scripts/convert_weights.py, or the workdir of scripts/pretrain_classifier.py.
"""

import json
import pathlib

from absl import flags

from fcn_jax import cli

_CHECKPOINT = flags.DEFINE_string(
  "checkpoint", None, "A training workdir, a converted model or a classifier."
)
_STEP = flags.DEFINE_string("step", "best", "best, latest or a number.")
_IMAGE = flags.DEFINE_string("image", None, "An image file.")
_LAYERS = flags.DEFINE_list("layers", [], "Only these; by default all.")
_TILE = cli.define_tile()
_OUTPUT = flags.DEFINE_string("output", None, "HTML file for the page.")
_FORMAT = flags.DEFINE_enum(
  "format",
  None,
  ["text", "json"],
  "Print the figures; text is the default without --output.",
)
flags.mark_flags_as_required(["checkpoint", "image"])


def write_page(path, found) -> None:
  from fcn_jax.reports.activations import Subject, write_activations

  image = pathlib.Path(found.path).name
  subject = Subject(found.card.model["name"], found.title, image, found.note)
  write_activations(path, subject, found.layers, found.image, found.result)


def main() -> None:
  from fcn_jax.prediction import activations
  from fcn_jax.reports import page

  output = _OUTPUT.value and page.claim(_OUTPUT.value)
  found = activations.inspect(
    _CHECKPOINT.value,
    _IMAGE.value,
    step=_STEP.value,
    only=_LAYERS.value,
    tile=_TILE.value,
  )
  if output:
    write_page(output, found)
  if _FORMAT.value == "json":
    print(json.dumps(found.figures()))
  elif _FORMAT.value == "text" or not output:
    print(found.text())
  if output and _FORMAT.value != "json":
    print(f"written to {output}")


if __name__ == "__main__":
  cli.start(main)
