"""Where a training run starts from: weights, and what they are for."""

import dataclasses
import hashlib
import logging
import operator
import pathlib
from collections.abc import Iterable

from ml_collections import ConfigDict

from fcn_jax import models
from fcn_jax.data import Dataset
from fcn_jax.data.classes import unnamed_classes
from fcn_jax.files import AnyPath
from fcn_jax.training import input
from fcn_jax.weights import checkpoints, export, proof, readers, surgery
from fcn_jax.weights.receipt import Receipt

_log = logging.getLogger(__name__)


def about(config: ConfigDict, dataset: Dataset) -> checkpoints.ModelCard:
  """What the checkpoints of a run say of themselves."""
  resize = input.resize_of(config)
  return checkpoints.ModelCard(
    model={
      **{
        key: list(value) if isinstance(value, tuple) else value
        for key, value in config.model.items()
      },
      "classes": len(dataset.class_names),
    },
    class_names=list(dataset.class_names),
    palette=dataset.palette.tolist(),
    config=config.to_dict(),
    data_digest=_digest(dataset, config.data.train_split),
    source=f"trained on {dataset.name}",
    value_range=dataset.value_range and list(dataset.value_range),
    resize=resize and dataclasses.asdict(resize),
  )


def _digest(dataset: Dataset, split: str) -> str:
  """What tells training data from others: 'ids:HEX', and 'bytes:HEX' before.

  The latter is of images and labels, and only data sets that were prepared with
  it have it. Checkpoints of version 0.1.0 hold the HEX of ids and sizes alone.
  """
  known = "\n".join(dataset.ids(split)) + str(dataset.sizes(split).tolist())
  ids = f"ids:{hashlib.sha256(known.encode()).hexdigest()[:16]}"
  whole = dataset.digest(split)
  return f"bytes:{whole} {ids}" if whole else ids


def _same_data(ours: str, stored: str) -> bool:
  """Compares what both digests have, bytes before ids and sizes."""
  kinds = [
    dict(part.split(":") for part in digest.split())
    for digest in (ours, stored if ":" in stored else f"ids:{stored}")
  ]
  both = next((k for k in ("bytes", "ids") if all(k in d for d in kinds)), None)
  return both is not None and kinds[0][both] == kinds[1][both]


def check_resumed(
  ours: checkpoints.ModelCard,
  stored: checkpoints.ModelCard,
  workdir: AnyPath,
) -> None:
  """Refuses to go on with other data than a run began with.

  Raises:
    ValueError: classes or training images have changed.
  """
  for name in ("model", "class_names", "data_digest"):
    same = _same_data if name == "data_digest" else operator.eq
    if not same(getattr(ours, name), getattr(stored, name)):
      raise ValueError(
        f"{workdir} was trained on other data (its {name} differs): the data "
        "set has been prepared anew. Name another --workdir, and give this one "
        "as --config.init.path to start from its weights"
      )


def network(
  config: ConfigDict, what: checkpoints.ModelCard
) -> tuple[models.Network, Receipt]:
  """The network of a run before its first step, and where it came from.

  Args:
    config: init.source is 'caffemodel' (converted here, a classifier's or an
      FCN's), 'checkpoint' (a model directory: converted, or the stage before)
      or 'random'.
    what: the run's `about`.

  Raises:
    ValueError: no weights were named, or they do not fit.
  """
  net = models.build(what.declaration(), config.precision)
  init = config.init
  if init.source == "random":
    return net, surgery.initialise(net, config.seed, init.head)
  if not init.path:
    raise ValueError(
      "config.init.path is empty: name pretrained weights with "
      "--config.init.path=, a caffemodel (config.init.source = 'caffemodel') "
      "or a converted or trained model's directory ('checkpoint'). A network "
      "that starts from nothing learns far less; if that is what you want, "
      "say --config.init.source=random"
    )
  path = pathlib.Path(init.path).expanduser()
  options = {
    "allow_missing": _names(init.allow_missing),
    "allow_unknown": _names(init.allow_unknown),
    "head_init": init.head,
    "seed": config.seed,
  }
  if init.source == "caffemodel":
    source = readers.read(path)
    return net, proof.convert(
      source, net, what.model, file=str(path), **options
    )
  if path.is_file():
    raise ValueError(
      f"config.init.path = {path} is a file, not a model directory; for a "
      "caffemodel say --config.init.source=caffemodel"
    )
  trained, about, step = checkpoints.load_model(path)
  ours, theirs = (x.model.get("mean_bgr") for x in (what, about))
  if ours != theirs:
    _log.warning(
      "the checkpoint subtracts the mean %s, this run %s (BGR): its weights "
      "have learned the former",
      theirs,
      ours,
    )
  return net, surgery.surgery(
    export.to_source(trained),
    net,
    file=str(path / checkpoints.FOLDER / str(step)),
    head_rows=_head_rows(what, about, init.keep_classes),
    **options,
  )


def _names(given: Iterable[str]) -> list[str]:
  """Layer names, which a command line may give with commas between."""
  return sorted({name for names in given for name in names.split(",") if name})


def _head_rows(
  ours: checkpoints.ModelCard, theirs: checkpoints.ModelCard, keep: bool
) -> dict[int, int] | None:
  """See `weights.surgery`: None for the same classes in the same order.

  Raises:
    ValueError: rows are to be kept, and no class has the name of one there.
  """
  names = theirs.class_names
  unnamed = list(unnamed_classes(len(ours.class_names)))
  if names in (ours.class_names, unnamed):
    return None
  rows = {
    i: names.index(name)
    for i, name in enumerate(ours.class_names)
    if keep and name in names
  }
  if keep and not rows:
    raise ValueError(
      "config.init.keep_classes: no class has the name of one of the "
      f"checkpoint's ({', '.join(names)}); upper and lower case differ"
    )
  _log.info(
    "the classes are not those of the checkpoint (%s): of its head are kept: "
    "%s",
    ", ".join(names),
    ", ".join(ours.class_names[i] for i in rows) or "none",
  )
  return rows
