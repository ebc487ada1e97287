"""Checkpoints: the only place that knows Orbax.

A model directory (a training workdir, or the output of convert_weights) holds
checkpoints/STEP/{model,solver} and, as its metadata, all that is needed to use
the model: its declaration, class names, palette, and the config it came from.
"""

import contextlib
import dataclasses
import json
import math
import pathlib
import shutil
from typing import Any

import jax
import orbax.checkpoint.experimental.v1 as ocp
from flax import nnx

from fcn_jax import models
from fcn_jax.weights import caffemodel, safetensors_file, surgery
from fcn_jax.weights.source import WeightFileError

FOLDER = "checkpoints"
CLASSIFIER = "classifier.caffemodel"  # of a classifier's workdir
SAFETENSORS = "model.safetensors"  # of a model that was handed on
_ASIDE, _COPYING = "aside_", "copying_"


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
  """

  model: dict[str, Any]
  class_names: list[str]
  palette: list[list[int]]
  config: dict[str, Any] = dataclasses.field(default_factory=dict)
  data_digest: str = ""
  source: str = ""
  value_range: list[int] | None = None

  def declaration(self):
    """The declared layers of this model."""
    return models.declare(**self.model)


class Checkpoints:
  """The checkpoints of a directory: the latest few, and the best one.

  Args:
    directory: the model directory.
    keep_latest: how many of the latest are kept; the best by mean IoU is kept
      besides.
  """

  def __init__(self, directory: str | pathlib.Path, keep_latest: int = 1):
    self.directory = _absolute(directory)
    self._put_back()
    policies = ocp.training.preservation_policies
    self._orbax = ocp.training.Checkpointer(
      self.directory / FOLDER,
      preservation_policy=policies.AnyPreservationPolicy(
        [
          policies.LatestN(keep_latest),
          policies.BestN(
            get_metric_fn=_mean_iu,
            n=1,
            keep_checkpoints_without_metrics=False,
          ),
        ]
      ),
      cleanup_tmp_directories=True,
    )

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self._orbax.close()

  @property
  def latest(self) -> int | None:
    """Step of the latest checkpoint, None if there is none."""
    found = self._orbax.latest
    return None if found is None else found.step

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

    A checkpoint of this step that is there already is left alone, unless it
    lacks the mean IoU that is given now.

    Args:
      step: updates made.
      params, frozen: nnx States of the network.
      about: what is needed to use them.
      solver: a tree of what is needed, besides, to train on.
      mean_iu: the score by which the best checkpoint is chosen.
    """
    scored = mean_iu is not None and math.isfinite(mean_iu)
    metrics = {"mean_iu": float(mean_iu)} if scored else {}
    there = [c for c in self._orbax.checkpoints if c.step == step]
    if there and (there[0].metrics or not metrics):
      return
    if there:
      self._set_aside(step)
    parts = {"model": _model(params, frozen)}
    if solver is not None:
      parts["solver"] = _by_path(solver)
    self._orbax.save_checkpointables(
      step,
      parts,
      metrics=metrics,
      custom_metadata=dataclasses.asdict(about),
      force=True,
      overwrite=bool(there),
    )
    self._put_back()

  def _set_aside(self, step: int) -> None:
    """Copies a checkpoint, since Orbax deletes it before it is rewritten."""
    copying = self.directory / f"{_COPYING}{step}"
    shutil.copytree(self.directory / FOLDER / str(step), copying)
    copying.rename(self.directory / f"{_ASIDE}{step}")

  def _put_back(self) -> None:
    """Undoes `_set_aside`, where the rewriting did not come to its end."""
    for unfinished in self.directory.glob(f"{_COPYING}*"):
      shutil.rmtree(unfinished)
    for copy in self.directory.glob(f"{_ASIDE}*"):
      place = self.directory / FOLDER / copy.name.removeprefix(_ASIDE)
      if place.exists():
        shutil.rmtree(copy)
      else:
        copy.rename(place)

  def restore(self, step: int, params: Any, frozen: Any, solver: Any):
    """Reads a checkpoint into trees like the given ones.

    Returns:
      (params, frozen, solver), placed on devices as the given ones are.
    """
    like = {"model": _model(params, frozen), "solver": _by_path(solver)}
    found = self._orbax.load_checkpointables(
      step, jax.tree.map(_abstract, like)
    )
    leaves = [found["solver"][path] for path in like["solver"]]
    return (
      _filled(params, found["model"]["params"]),
      _filled(frozen, found["model"]["frozen"]),
      jax.tree.unflatten(jax.tree.structure(solver), leaves),
    )


def _absolute(directory: str | pathlib.Path) -> pathlib.Path:
  return pathlib.Path(directory).expanduser().absolute()


def has_checkpoint(directory: str | pathlib.Path) -> bool:
  """Whether a directory holds a finished checkpoint."""
  steps = (_absolute(directory) / FOLDER).glob("*")
  return any(path.name.isdigit() for path in steps)


def _model(params: Any, frozen: Any) -> dict[str, Any]:
  return {
    "params": nnx.to_pure_dict(params),
    "frozen": nnx.to_pure_dict(frozen),
  }


def _by_path(tree: Any) -> dict[str, jax.Array]:
  """The leaves under names of their own, so that no class has to be stored."""
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def _mean_iu(metrics: dict[str, float] | None) -> float:
  return (metrics or {}).get("mean_iu", -1.0)


def _abstract(x):
  return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)


def _filled(state: nnx.State, values: dict) -> nnx.State:
  state = jax.tree.map(lambda x: x, state)
  nnx.replace_by_pure_dict(state, values)
  return state


def save_model(
  directory: str | pathlib.Path, net: models.Network, about: ModelCard
) -> None:
  """Writes a network as a model directory with one checkpoint, step 0.

  Raises:
    FileExistsError: the directory already holds checkpoints.
  """
  directory = _absolute(directory)
  if (directory / FOLDER).exists():
    raise FileExistsError(
      f"{directory} already holds a model; name another output directory"
    )
  _, params, frozen = nnx.split(net, nnx.Param, ...)
  with Checkpoints(directory) as checkpoints:
    checkpoints.save(0, params, frozen, about)


def find_step(directory: str | pathlib.Path, step: str | int = "best") -> int:
  """The step of a model directory that `step` stands for.

  Args:
    directory: the model directory.
    step: 'best' (by mean IoU; the latest where none was scored), 'latest', or a
      number.

  Raises:
    FileNotFoundError: there is no such checkpoint.
  """
  directory = _absolute(directory)
  if not (directory / FOLDER).is_dir():
    raise FileNotFoundError(
      f"{directory} holds no {FOLDER} folder; --checkpoint= takes the workdir "
      "of a training run or the output directory of convert_weights.py"
    )
  with contextlib.closing(
    ocp.training.Checkpointer(directory / FOLDER)
  ) as orbax:
    found = list(orbax.checkpoints)
  steps = [checkpoint.step for checkpoint in found]
  if not steps:
    raise FileNotFoundError(f"{directory} holds no finished checkpoint yet")
  if step == "latest":
    return steps[-1]
  if step == "best":
    return max(found, key=lambda c: (_mean_iu(c.metrics), c.step)).step
  if not str(step).isdigit() or int(step) not in steps:
    raise FileNotFoundError(
      f"{directory} has no checkpoint {step}; there is best, latest, "
      f"{', '.join(str(s) for s in steps)}"
    )
  return int(step)


def load_about(directory: str | pathlib.Path, step: str | int = "best"):
  """(step, ModelCard) of a model directory, without reading its weights."""
  if _is_folder(directory):
    config = _folder_config(_absolute(directory))
    return config["step"], ModelCard(**config["card"])
  number = find_step(directory, step)
  path = _absolute(directory) / FOLDER / str(number)
  found = ocp.checkpointables_metadata(path).custom_metadata
  return number, ModelCard(**found)


def load_model(
  directory: str | pathlib.Path,
  step: str | int = "best",
  precision: str = "float32",
) -> tuple[models.Network, ModelCard, int]:
  """The network of a model directory, what it says of itself, and its step.

  Raises:
    FileNotFoundError: there is no such checkpoint.
  """
  if (_absolute(directory) / CLASSIFIER).is_file() and not has_checkpoint(
    directory
  ):
    return *_load_classifier(_absolute(directory), precision), 0
  number, about = load_about(directory, step)
  if _is_folder(directory):
    return _load_folder(_absolute(directory), about, precision), about, number
  path = _absolute(directory) / FOLDER / str(number)
  net = models.build(about.declaration(), precision)
  graphdef, params, frozen = nnx.split(net, nnx.Param, ...)
  like = jax.tree.map(_abstract, _model(params, frozen))
  values = ocp.load_checkpointables(path, {"model": like})["model"]
  params = _filled(params, values["params"])
  frozen = _filled(frozen, values["frozen"])
  return nnx.merge(graphdef, params, frozen), about, number


def mean_iu(directory: str | pathlib.Path, step: int) -> float | None:
  """The score that a checkpoint was saved with; None: it was not scored."""
  directory = _absolute(directory)
  if not (directory / FOLDER).is_dir():
    return None
  with contextlib.closing(
    ocp.training.Checkpointer(directory / FOLDER)
  ) as orbax:
    for checkpoint in orbax.checkpoints:
      if checkpoint.step == step:
        return (checkpoint.metrics or {}).get("mean_iu")
  return None


def _is_folder(directory: str | pathlib.Path) -> bool:
  """Whether it is what `model_folder` writes."""
  there = (_absolute(directory) / SAFETENSORS).is_file()
  return there and not has_checkpoint(directory)


def _folder_config(directory: pathlib.Path) -> dict[str, Any]:
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
  directory: pathlib.Path, about: ModelCard, precision: str
) -> models.Network:
  """The network of a folder that `model_folder` wrote.

  Raises:
    WeightFileError: its tensors are not those of the network.
  """
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
  directory: pathlib.Path, precision: str
) -> tuple[models.Network, ModelCard]:
  """What pretrain_classifier.py of version 0.1.0 wrote: no checkpoint.

  Raises:
    FileNotFoundError: a file is missing.
    SurgeryError: the files do not belong together.
  """
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
