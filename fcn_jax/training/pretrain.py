"""A classifier trained on folders of images, for its weights to be converted.

It is trained as every network is, see `loop`; at its end its weights are
written in Caffe's format beside the checkpoints.
"""

import logging
import pathlib

from flax import nnx
from ml_collections import ConfigDict

from fcn_jax import models
from fcn_jax.training.loop import Outcome, train_and_evaluate
from fcn_jax.weights import caffemodel, checkpoints, export

_log = logging.getLogger(__name__)


def train_classifier(config: ConfigDict, workdir: str) -> Outcome:
  """Trains a classifier and writes it as workdir/classifier.caffemodel.

  Beside it: classes.txt, one name per line.  A run that was stopped resumes.

  Args:
    config: see configs/shapes_alexnet_classifier.py.
    workdir: see `train_and_evaluate`.

  Raises:
    FileExistsError: the workdir holds a classifier and no checkpoint of it.
    And what `train_and_evaluate` raises.
  """
  folder = pathlib.Path(workdir).expanduser()
  output = folder / checkpoints.CLASSIFIER
  if output.exists() and not checkpoints.has_checkpoint(folder):
    raise FileExistsError(f"{output} is there; name another --workdir")
  outcome = train_and_evaluate(config, workdir)
  if outcome.stopped_by is None:
    card = outcome.card
    net = models.build(card.declaration())
    graphdef, _ = nnx.split(net)
    net = nnx.merge(graphdef, outcome.state.params, outcome.state.frozen)
    names = "".join(f"{name}\n" for name in card.class_names)
    (folder / "classes.txt").write_text(names)
    inner = ("fc6", "fc7", "fc8")
    caffemodel.write_caffemodel(
      output, export.to_caffe(net, inner_products=inner)
    )
    _log.info("%s: for scripts/convert_weights.py --source=", output)
  return outcome
