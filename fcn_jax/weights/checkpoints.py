"""Checkpoints: the only place that knows Orbax.

A model directory (a training workdir, or the output of convert_weights) holds
checkpoints/STEP/{model,solver} and, as its metadata, all that is needed to use
the model: its declaration, class names, palette, and the config it came from;
also a CRC-32 of each tensor. Scores lie in checkpoints/scores.json: what is
written is never written again.
"""

import contextlib
import dataclasses
import gc
import json
import logging
import math
import resource
import sys
import zlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from absl import logging as absl_logging

from fcn_jax import models
from fcn_jax.files import (
  AnyPath,
  DataError,
  absolute,
  one_line,
  remove_tree,
  write_json,
)
from fcn_jax.weights import safetensors_file
from fcn_jax.weights.source import WeightFileError

_log = logging.getLogger(__name__)

FOLDER = "checkpoints"
CLASSIFIER = "classifier.caffemodel"  # of a classifier's workdir
SAFETENSORS = "model.safetensors"  # of a model that was handed on
_SCORES = "scores.json"
_CRC32 = "crc32"  # of each tensor, in the metadata beside the card's fields
_OPEN_FILES = 128
# Whole copies that earlier versions made of a checkpoint they rewrote.
_ASIDE = "aside_"
_DELETED, _DAMAGED = "deleted_", "damaged_"
_LEFT_OVER = (f"{_DELETED}*", "*.orbax-checkpoint-tmp*")


class DamagedCheckpoint(DataError):
  """A checkpoint that cannot be read, or not as it was written."""


@dataclasses.dataclass(frozen=True)
class ModelCard:
  """What a checkpoint says of itself.

  Attributes:
    model: arguments of `models.declare`: name, classes, and the options of that
      network; tuples as lists.
    class_names: name of each class id.
    palette: [r, g, b] in 0..255 of each of the 256 label values.
    config: the training config as a dict; empty for a converted model.
    data_digest: of the training data, see training.start.
    value_range: of 16-bit grey images, see data.Dataset; None: the full one.
    source: where the weights came from, for people to read.
    resize: {'mode', 'height', 'width'} of data.resizing.Resize, where it was
      trained on images that were resized so; None: on images as they are.
  """

  model: dict[str, Any]
  class_names: list[str]
  palette: list[list[int]]
  config: dict[str, Any] = dataclasses.field(default_factory=dict)
  data_digest: str = ""
  source: str = ""
  value_range: list[int] | None = None
  resize: dict[str, Any] | None = None

  def declaration(self):
    """The declared layers of this model."""
    return models.declare(**self.model)

  @property
  def size(self) -> tuple[int, int] | None:
    """(height, width) that its images were resized to; None: they were not."""
    return self.resize and (self.resize["height"], self.resize["width"])

  @property
  def resizing(self) -> str:
    """How images were resized, in words: 'squash to 256 x 256'; '': not."""
    return (
      "{mode} to {height} x {width}".format(**self.resize)
      if self.resize
      else ""
    )


def _orbax():
  """Orbax and Flax take a second to import: only where they are used."""
  import orbax.checkpoint.experimental.v1

  return orbax.checkpoint.experimental.v1


class Checkpoints:
  """The checkpoints of a directory: the latest few, and the best one.

  Only one run may have it, see runs.config.in_use: what killed ones have left
  is removed. Of a run's processes all save and restore, from the same place;
  the first one alone changes what lies there beside.

  Args:
    directory: the model directory.
    keep_latest: how many of the latest are kept; the best by mean IoU is kept
      besides.

  Raises:
    DataError: this process may have too few open files to write one.
  """

  def __init__(self, directory: str | AnyPath, keep_latest: int = 1):
    self._folder = absolute(directory) / FOLDER
    self._keep_latest = keep_latest
    self._is_first = jax.process_index() == 0
    _allow_files()
    if not self._is_first:
      return
    self._folder.mkdir(parents=True, exist_ok=True)
    for copy in absolute(directory).glob(f"{_ASIDE}*"):
      place = self._folder / copy.name.removeprefix(_ASIDE)
      if place.exists():
        remove_tree(place)
      copy.rename(place)
    for pattern in _LEFT_OVER:
      for path in self._folder.glob(pattern):
        remove_tree(path)

  @property
  def steps(self) -> list[int]:
    """Of the checkpoints, in order."""
    return _steps(self._folder)

  @property
  def latest(self) -> int | None:
    """Step of the latest checkpoint, None if there is none."""
    return max(self.steps, default=None)

  def save(
    self,
    step: int,
    params: Any,
    frozen: Any,
    about: ModelCard,
    solver: Any = None,
    mean_iu: float | None = None,
  ) -> None:
    """Writes a checkpoint, complete or not at all.

    A checkpoint of this step that is there already is left alone; it is given
    the score, if it has none.

    Args:
      step: updates made.
      params, frozen: nnx States of the network.
      about: what is needed to use them.
      solver: a tree of what is needed, besides, to train on.
      mean_iu: the score by which the best checkpoint is chosen.

    Raises:
      OSError: it cannot be written, as on a full disk.
    """
    if step not in self.steps:
      parts = {"model": _model(params, frozen)}
      if solver is not None:
        parts["solver"] = _by_path(solver)
      _write(self._folder / str(step), parts, dataclasses.asdict(about))
    if not self._is_first:
      return
    scores = _scores(self._folder)
    if mean_iu is not None and math.isfinite(mean_iu) and step not in scores:
      scores[step] = float(mean_iu)
      self._write_scores(scores)
    kept = {*self.steps[-self._keep_latest :]}
    if scores:
      kept.add(_best(scores))
    for old in self.steps:
      if old not in kept:
        self._take_away(old, _DELETED)
        remove_tree(self._folder / f"{_DELETED}{old}")

  def set_aside(self, step: int) -> AnyPath:
    """Takes a damaged checkpoint out of the row; returns where it lies now."""
    scores = _scores(self._folder)
    if scores.pop(step, None) is not None:
      self._write_scores(scores)
    return self._take_away(step, _DAMAGED)

  def restore(self, step: int, params: Any, frozen: Any, solver: Any):
    """Reads a checkpoint into trees like the given ones.

    Returns:
      (params, frozen, solver), placed on devices as the given ones are.

    Raises:
      DamagedCheckpoint: it cannot be read, or is not what was written.
    """
    like = {"model": _model(params, frozen), "solver": _by_path(solver)}
    found = _read(self._folder / str(step), jax.tree.map(_abstract, like))
    leaves = [found["solver"][path] for path in like["solver"]]
    return (
      _filled(params, found["model"]["params"]),
      _filled(frozen, found["model"]["frozen"]),
      jax.tree.unflatten(jax.tree.structure(solver), leaves),
    )

  def _write_scores(self, scores: dict[int, float]) -> None:
    there = self.steps
    write_json(
      self._folder / _SCORES,
      {str(step): scores[step] for step in sorted(scores) if step in there},
    )

  def _take_away(self, step: int, mark: str) -> AnyPath:
    """Renames a checkpoint, which is then none: half of one is never seen."""
    place = self._folder / f"{mark}{step}"
    if place.exists():
      remove_tree(place)
    (self._folder / str(step)).rename(place)
    return place


def room_needed(*trees: Any) -> int:
  """Bytes that a checkpoint of these trees takes at most."""
  return sum(x.nbytes for x in jax.tree.leaves(trees))


def _steps(folder: AnyPath) -> list[int]:
  return sorted(int(p.name) for p in folder.glob("*") if p.name.isdigit())


def _scores(folder: AnyPath) -> dict[int, float]:
  """The score of each checkpoint that has one, by its step.

  Checkpoints of earlier versions have it in a file of their own.

  Raises:
    DataError: a file of scores holds something else.
  """
  found = {}
  paths = {
    step: folder / str(step) / "metrics/metrics" for step in _steps(folder)
  }
  for step, path in paths.items():
    if path.is_file():
      found |= _read_scores(
        path, lambda tree, step=step: {step: tree["mean_iu"]}
      )
  path = folder / _SCORES
  if path.is_file():
    of_steps = _read_scores(path, lambda tree: {int(k): tree[k] for k in tree})
    found |= {step: of_steps[step] for step in paths if step in of_steps}
  return found


def _read_scores(
  path: AnyPath, choose: Callable[[dict], dict[int, float]]
) -> dict[int, float]:
  try:
    tree = json.loads(path.read_text())
    chosen = choose(tree) if tree else {}
    return {step: float(score) for step, score in chosen.items()}
  except (ValueError, LookupError, TypeError, AttributeError) as error:
    raise DataError(
      f"{path}: not the scores of checkpoints [{error}]; delete it, then the "
      "latest checkpoint is also the best"
    ) from None


def _best(scores: dict[int, float]) -> int:
  """Of the highest score, of equals the last."""
  return max(scores, key=lambda step: (scores[step], step))


def _write(path: AnyPath, parts: dict, card: dict[str, Any]) -> None:
  """Writes a checkpoint under another name, then gives it its own."""
  metadata = card | {_CRC32: _checksums(parts)}

  def save():
    context = _orbax().Context()
    # It would take longer than writing does, and weights hardly shrink.
    context.array.saving.use_compression = False
    with context:
      _orbax().save_checkpointables(path, parts, custom_metadata=metadata)

  _quietly(
    lambda why: OSError(f"{path}: the checkpoint cannot be written [{why}]"),
    save,
  )


def _read(path: AnyPath, like: dict[str, Any]) -> dict[str, Any]:
  """Parts of a checkpoint as they were written.

  Raises:
    DamagedCheckpoint: they are not.
  """
  stored = _metadata(path).get(_CRC32, {})
  # One by one: of two at once, Orbax leaves the second behind if the first
  # fails, and Python warns of that.
  found = {
    name: _quietly(
      lambda why: _damaged(path, why),
      _orbax().load_checkpointables,
      path,
      {name: part},
    )[name]
    for name, part in like.items()
  }
  for name, value in _checksums(found).items():
    if stored.get(name, value) != value:
      raise _damaged(path, f"the CRC-32 of {name} is not the one stored")
  return found


def _metadata(path: AnyPath) -> dict[str, Any]:
  """What was stored beside the tensors of a checkpoint.

  Raises:
    DamagedCheckpoint: it cannot be read.
  """
  found = _quietly(
    lambda why: _damaged(path, why), _orbax().checkpointables_metadata, path
  ).custom_metadata
  if not found:
    raise _damaged(path, "its metadata are cut, or none")
  return found


def _card(path: AnyPath) -> ModelCard:
  """What a checkpoint says of itself.

  Raises:
    DamagedCheckpoint: it cannot be read.
  """
  fields = {k: v for k, v in _metadata(path).items() if k != _CRC32}
  try:
    return ModelCard(**fields)
  except TypeError as error:
    raise _damaged(path, one_line(error)) from None


def _damaged(path: AnyPath, why: str) -> DamagedCheckpoint:
  return DamagedCheckpoint(f"{path}: the checkpoint is damaged [{why}]")


def _checksums(parts: dict[str, Any]) -> dict[str, int]:
  """The CRC-32 of each array's bytes, by its path."""
  leaves = jax.tree_util.tree_leaves_with_path(parts)
  return {
    jax.tree_util.keystr(path): zlib.crc32(
      np.ascontiguousarray(leaf).reshape(-1).view(np.uint8)
    )
    for path, leaf in leaves
  }


def _quietly(
  make: Callable[[str], Exception], act: Callable[..., Any], *given, **options
) -> Any:
  """act(...); whatever Orbax raises, of many kinds, becomes one error.

  Tracebacks in its log are kept back, and those that Python shows of tasks that
  Orbax left behind, which are collected here.
  """
  loggers = absl_logging.get_absl_logger(), logging.getLogger("asyncio")
  levels, hook = [logger.level for logger in loggers], sys.unraisablehook
  for logger in loggers:
    logger.setLevel(logging.CRITICAL + 1)
  sys.unraisablehook = lambda unraisable: None
  try:
    try:
      return act(*given, **options)
    except (MemoryError, jax.errors.JaxRuntimeError):
      raise
    except Exception as error:
      while error.__cause__ or error.__context__:  # what it began with
        error = error.__cause__ or error.__context__
      failure = make(one_line(error))
    gc.collect()
  finally:
    sys.unraisablehook = hook
    for logger, level in zip(loggers, levels, strict=True):
      logger.setLevel(level)
  raise failure


def _allow_files() -> None:
  """Lets this process open as many files as Orbax does at once.

  Where it cannot, Orbax's threads end in tracebacks.

  Raises:
    DataError: it may not have so many.
  """
  soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
  if 0 <= hard < _OPEN_FILES:
    raise DataError(
      f"this process may have {hard} open files, and writing a checkpoint "
      f"takes up to {_OPEN_FILES}; raise the limit with ulimit -n {_OPEN_FILES}"
    )
  if 0 <= soft < _OPEN_FILES:
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, hard))


def has_checkpoint(directory: str | AnyPath) -> bool:
  """Whether a directory holds a finished checkpoint."""
  return bool(_steps(absolute(directory) / FOLDER))


def _model(params: Any, frozen: Any) -> dict[str, Any]:
  from flax import nnx

  return {
    "params": nnx.to_pure_dict(params),
    "frozen": nnx.to_pure_dict(frozen),
  }


def _by_path(tree: Any) -> dict[str, jax.Array]:
  """The leaves under names of their own, so that no class has to be stored."""
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def _abstract(x):
  return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)


def _filled(state: Any, values: dict) -> Any:
  from flax import nnx

  state = jax.tree.map(lambda x: x, state)
  nnx.replace_by_pure_dict(state, values)
  return state


def save_model(
  directory: str | AnyPath, net: "models.Network", about: ModelCard
) -> None:
  """Writes a network as a model directory with one checkpoint, step 0.

  Raises:
    FileExistsError: the directory already holds checkpoints.
  """
  from flax import nnx

  directory = absolute(directory)
  if (directory / FOLDER).exists():
    raise FileExistsError(
      f"{directory} already holds a model; name another output directory"
    )
  _, params, frozen = nnx.split(net, nnx.Param, ...)
  Checkpoints(directory).save(0, params, frozen, about)


def find_step(directory: str | AnyPath, step: str | int = "best") -> int:
  """The step of a model directory that `step` stands for.

  Args:
    directory: the model directory.
    step: 'best' (by mean IoU; the latest where none was scored), 'latest', or a
      number.

  Raises:
    FileNotFoundError: there is no such checkpoint.
  """
  directory = absolute(directory)
  if not (directory / FOLDER).is_dir():
    raise FileNotFoundError(
      f"{directory} holds no {FOLDER} folder; --checkpoint= takes the workdir "
      "of a training run or the output directory of convert_weights.py"
    )
  steps = _steps(directory / FOLDER)
  if not steps:
    raise FileNotFoundError(f"{directory} holds no finished checkpoint yet")
  if step == "latest":
    return steps[-1]
  if step == "best":
    scores = _scores(directory / FOLDER)
    return _best(scores) if scores else steps[-1]
  if not str(step).isdigit() or int(step) not in steps:
    raise FileNotFoundError(
      f"{directory} has no checkpoint {step}; there is best, latest, "
      f"{', '.join(str(s) for s in steps)}"
    )
  return int(step)


def load_about(directory: str | AnyPath, step: str | int = "best"):
  """(step, ModelCard) of a model directory, without reading its weights.

  Raises:
    FileNotFoundError: there is no such checkpoint.
    DamagedCheckpoint: it cannot be read; the message names one that can.
  """
  if _is_folder(directory):
    config = _folder_config(absolute(directory))
    return config["step"], ModelCard(**config["card"])
  number = find_step(directory, step)
  with _naming_a_whole_one(directory, number, _card):
    return number, _card(absolute(directory) / FOLDER / str(number))


def load_model(
  directory: str | AnyPath,
  step: str | int = "best",
  precision: str = "float32",
) -> "tuple[models.Network, ModelCard, int]":
  """The network of a model directory, what it says of itself, and its step.

  Raises:
    FileNotFoundError: there is no such checkpoint.
    DamagedCheckpoint: it is not what was written; the message names one that
      is.
  """
  from flax import nnx

  if (absolute(directory) / CLASSIFIER).is_file() and not has_checkpoint(
    directory
  ):
    return *_load_classifier(absolute(directory), precision), 0
  number, about = load_about(directory, step)
  if _is_folder(directory):
    return _load_folder(absolute(directory), about, precision), about, number
  net = nnx.eval_shape(lambda: models.build(about.declaration(), precision))
  graphdef, params, frozen = nnx.split(net, nnx.Param, ...)
  here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  like = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here),
    {"model": _model(params, frozen)},
  )
  with _naming_a_whole_one(directory, number, lambda path: _read(path, like)):
    values = _read(absolute(directory) / FOLDER / str(number), like)["model"]
  params = _filled(params, values["params"])
  frozen = _filled(frozen, values["frozen"])
  return nnx.merge(graphdef, params, frozen), about, number


@contextlib.contextmanager
def _naming_a_whole_one(
  directory: str | AnyPath,
  number: int,
  read: Callable[[AnyPath], Any],
):
  """Adds to the error of a damaged checkpoint which one `read` can read."""

  def reads(path: AnyPath) -> bool:
    try:
      read(path)
    except DamagedCheckpoint:
      return False
    return True

  try:
    yield
  except DamagedCheckpoint as error:
    folder = absolute(directory) / FOLDER
    others = [folder / str(s) for s in _steps(folder) if s != number]
    whole = next(filter(reads, reversed(others)), None)
    there = (
      f"the newest whole one is step {whole.name}"
      if whole
      else "no other is whole"
    )
    raise DamagedCheckpoint(f"{error}; {there}") from None


def mean_iu(directory: str | AnyPath, step: int) -> float | None:
  """The score that a checkpoint was saved with; None: it was not scored."""
  return _scores(absolute(directory) / FOLDER).get(step)


def _is_folder(directory: str | AnyPath) -> bool:
  """Whether it is what `model_folder` writes."""
  there = (absolute(directory) / SAFETENSORS).is_file()
  return there and not has_checkpoint(directory)


def _folder_config(directory: AnyPath) -> dict[str, Any]:
  path = directory / "config.json"
  try:
    config = json.loads(path.read_text())
    ModelCard(**config["card"])
    int(config["step"])
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise WeightFileError(
      f"{path}: does not describe a model of fcn_jax [{error}]"
    ) from None
  return config


def _load_folder(
  directory: AnyPath, about: ModelCard, precision: str
) -> "models.Network":
  """The network of a folder that `model_folder` wrote.

  Raises:
    WeightFileError: its tensors are not those of the network.
  """
  from flax import nnx

  path = directory / SAFETENSORS
  tensors = safetensors_file.load(path)
  net = models.build(about.declaration(), precision)
  graphdef, state = nnx.split(net)
  flat = nnx.to_flat_state(state)
  wanted = {".".join(map(str, key)): value for key, value in flat}
  if strange := set(wanted) ^ set(tensors):
    raise WeightFileError(
      f"{path}: {', '.join(sorted(strange))}: not in the file, or not in the "
      "network of config.json"
    )
  for name, value in wanted.items():
    found = tensors[name]
    if found.shape != value.shape or found.dtype != value.dtype:
      raise WeightFileError(
        f"{path}: {name} is {found.dtype} {found.shape}, the network's "
        f"{value.dtype} {value.shape}"
      )
    value[...] = found
  return nnx.merge(graphdef, state)


def _load_classifier(
  directory: AnyPath, precision: str
) -> "tuple[models.Network, ModelCard]":
  """What pretrain_classifier.py of version 0.1.0 wrote: no checkpoint.

  Raises:
    FileNotFoundError: a file is missing.
    SurgeryError: the files do not belong together.
  """
  from fcn_jax.weights import caffemodel, surgery

  for name in ("classes.txt", "config.json"):
    if not (directory / name).is_file():
      raise FileNotFoundError(
        f"{directory} holds no {name}, which lies beside {CLASSIFIER}"
      )
  config = json.loads((directory / "config.json").read_text())
  names = (directory / "classes.txt").read_text().splitlines()
  source = caffemodel.read_caffemodel(directory / CLASSIFIER)
  card = ModelCard(
    model={"name": "alexnet", "classes": len(names), **config["model"]},
    class_names=names,
    palette=[],
    config=config,
    source=f"{CLASSIFIER}, SHA-1 {source.sha1}",
  )
  net = models.build(card.declaration(), precision)
  surgery.surgery(source, net, file=str(directory / CLASSIFIER))
  return net, card
