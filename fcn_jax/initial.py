"""Where a training run starts from: weights, and what they are for."""

import hashlib
import pathlib

from ml_collections import ConfigDict

from fcn_jax import caffe, checkpoints, export, models, weights
from fcn_jax.data import Dataset
from fcn_jax.receipt import Receipt


def about(config: ConfigDict, dataset: Dataset) -> checkpoints.About:
  """What the checkpoints of a run say of themselves."""
  return checkpoints.About(
    model={
      "name": config.model.name,
      "classes": len(dataset.class_names),
      "width": config.model.width,
      "order": config.model.order,
      "mean_bgr": [float(mean) for mean in config.model.mean_bgr],
    },
    class_names=list(dataset.class_names),
    palette=dataset.palette.tolist(),
    config=config.to_dict(),
    data_digest=_digest(dataset, config.data.train_split),
    source=f"trained on {dataset.name}",
  )


def _digest(dataset: Dataset, split: str) -> str:
  known = "\n".join(dataset.ids(split)) + str(dataset.sizes(split).tolist())
  return hashlib.sha256(known.encode()).hexdigest()[:16]


def check_resumed(
  ours: checkpoints.About, stored: checkpoints.About, workdir: pathlib.Path
) -> None:
  """Refuses to go on with other data than a run began with.

  Raises:
    ValueError: classes or training images have changed.
  """
  same = ("model", "class_names", "data_digest")
  for name in same:
    if getattr(ours, name) != getattr(stored, name):
      raise ValueError(
        f"{workdir} was trained on other data (its {name} differs): the data "
        "set has been prepared anew. Name another --workdir, and give this one "
        "as --config.init.path to start from its weights"
      )


def network(
  config: ConfigDict, what: checkpoints.About
) -> tuple[models.Network, Receipt]:
  """The network of a run before its first step, and where it came from.

  Args:
    config: init.source is 'caffemodel' (converted here, a classifier's or an
      FCN's), 'checkpoint' (a model directory) or 'random'.
    what: the run's `about`.

  Raises:
    ValueError: no weights were named, or they do not fit.
  """
  net = models.build(what.declaration(), config.precision)
  init = config.init
  if init.source == "random":
    return net, weights.initialise(net, config.seed, init.head)
  if not init.path:
    raise ValueError(
      "config.init.path is empty: name pretrained weights with "
      "--config.init.path=, a caffemodel (config.init.source = 'caffemodel') "
      "or a converted or trained model's directory ('checkpoint'). A network "
      "that starts from nothing learns far less; if that is what you want, "
      "say --config.init.source=random"
    )
  path = pathlib.Path(init.path).expanduser()
  allowed = {
    name for names in init.allow_missing for name in names.split(",") if name
  }
  if init.source == "checkpoint" and path.is_file():
    raise ValueError(
      f"config.init.path = {path} is a file, not a model directory; for a "
      "caffemodel say --config.init.source=caffemodel"
    )
  if init.source == "caffemodel":
    source = caffe.read_caffemodel(path)
  else:
    trained, _, step = checkpoints.load_model(path)
    source = export.to_caffe(trained)
    path = path / checkpoints.FOLDER / str(step)
    allowed |= _heads_of_other_classes(trained, net)
  receipt = weights.surgery(
    source,
    net,
    file=str(path),
    allow_missing=sorted(allowed),
    head_init=init.head,
    seed=config.seed,
  )
  return net, receipt


def _heads_of_other_classes(trained, net) -> set[str]:
  """Heads that have to start afresh, since the number of classes differs."""
  shapes = {
    layer.name: layer.features
    for layer in trained.layers
    if getattr(layer, "head", False)
  }
  return {
    layer.name
    for layer in net.layers
    if getattr(layer, "head", False)
    and shapes.get(layer.name, layer.features) != layer.features
  }
