"""A trained classifier in Caffe's format, for its weights to be converted."""

import logging
import pathlib

from fcn_jax.files import AnyPath
from fcn_jax.models import Network
from fcn_jax.weights import caffemodel, checkpoints, export

_log = logging.getLogger(__name__)


def check_unclaimed(workdir: AnyPath) -> None:
  """Refuses a workdir with the classifier of version 0.1.0, or somebody else's.

  Raises:
    FileExistsError: it holds a classifier and no checkpoint of it.
  """
  output = workdir / checkpoints.CLASSIFIER
  if output.exists() and not checkpoints.has_checkpoint(workdir):
    raise FileExistsError(f"{output} is there; name another --workdir")


def write_classifier(
  net: Network, card: checkpoints.ModelCard, workdir: pathlib.Path
) -> None:
  """Writes workdir/classifier.caffemodel, and classes.txt with a name a line.

  fc6, fc7 and fc8 are inner products there, as in Caffe's own classifiers.
  """
  names = "".join(f"{name}\n" for name in card.class_names)
  (workdir / "classes.txt").write_text(names)
  output = workdir / checkpoints.CLASSIFIER
  inner = ("fc6", "fc7", "fc8")
  caffemodel.write_caffemodel(
    output, export.to_caffe(net, inner_products=inner)
  )
  _log.info("%s: for scripts/convert_weights.py --source=", output)
