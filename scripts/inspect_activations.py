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

import numpy as np
from absl import flags

from fcn_jax import cli
from fcn_jax.prediction import activations
from fcn_jax.prediction.predictor import as_rgb
from fcn_jax.prediction.result import Result
from fcn_jax.reports import page
from fcn_jax.reports.activations import Subject, write_activations
from fcn_jax.weights import checkpoints

_CHECKPOINT = flags.DEFINE_string(
  "checkpoint", None, "A training workdir, a converted model or a classifier."
)
_STEP = flags.DEFINE_string("step", "best", "best, latest or a number.")
_IMAGE = flags.DEFINE_string("image", None, "An image file.")
_LAYERS = flags.DEFINE_list("layers", [], "Only these; by default all.")
_OUTPUT = flags.DEFINE_string("output", None, "HTML file for the page.")
_FORMAT = flags.DEFINE_enum(
  "format",
  None,
  ["text", "json"],
  "Print the figures; text is the default without --output.",
)
flags.mark_flags_as_required(["checkpoint", "image"])


def main() -> None:
  if _OUTPUT.value:
    page.claim(_OUTPUT.value)
  image = as_rgb(_IMAGE.value)
  net, about, step = checkpoints.load_model(_CHECKPOINT.value, _STEP.value)
  named = f"{_CHECKPOINT.value}, step {step}"
  side = net.layers[0].size
  note = ""
  if side and image.shape[:2] != (side, side):
    note = (
      f"A classifier takes images of {side} × {side} pixels. It sees the "
      f"middle square of this image of {image.shape[1]} × {image.shape[0]}, "
      "scaled."
    )
    image = activations.classifier_image(image, side)
  last = net.layers[-1].name
  asked = _LAYERS.value and [*_LAYERS.value, last]
  found = activations.activity(net, image, about.class_names, asked)
  scores = found[-1].blob
  shown = [x for x in found if not asked or x.name in _LAYERS.value]
  if _OUTPUT.value:
    subject = Subject(
      network=about.model["name"],
      checkpoint=named,
      image=pathlib.Path(_IMAGE.value).name,
      note=note,
    )
    result = (
      _likeliest(scores, about) if side else _result(image, scores, about)
    )
    path = write_activations(_OUTPUT.value, subject, shown, image, result)
  if _FORMAT.value == "json":
    figures = {
      "checkpoint": _CHECKPOINT.value,
      "step": step,
      "image": _IMAGE.value,
      "layers": [layer.figures() for layer in shown],
    }
    print(json.dumps(figures))
  elif _FORMAT.value == "text" or not _OUTPUT.value:
    print(f"{named}, on {_IMAGE.value}\n")
    print(activations.table(shown))
  if _OUTPUT.value and _FORMAT.value != "json":
    print(f"written to {path}")


def _result(image, scores, about: checkpoints.ModelCard) -> Result:
  def probabilities():
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)

  return Result(
    image=image,
    labels=scores.argmax(-1).astype(np.uint8),
    class_names=tuple(about.class_names),
    palette=np.array(about.palette, np.uint8),
    compute_probabilities=probabilities,
  )


def _likeliest(scores, about: checkpoints.ModelCard, most: int = 5):
  shares = np.exp(scores[0, 0] - scores.max())
  shares /= shares.sum()
  order = np.argsort(-shares, kind="stable")[:most].tolist()
  return [(about.class_names[i], float(shares[i])) for i in order]


if __name__ == "__main__":
  cli.start(main)
