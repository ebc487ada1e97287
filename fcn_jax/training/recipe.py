"""The recipe of a training run: all fields with their defaults, and checks.

A recipe file states what differs from `default_recipe`.  Names in it choose
functions from tables: `model.name` from models.NETWORKS, `loss.name` from
LOSSES, `lr_policy` from SCHEDULES, `optimizer` from OPTIMIZERS, `data.augment`
from AUGMENTATIONS.  The arguments of a chosen function that have a default are
fields as well.
"""

import functools
import math
import os
import pathlib
import runpy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict, FieldReference

from fcn_jax import models
from fcn_jax.data.augment import AUGMENTATIONS
from fcn_jax.data.pipeline import CACHES
from fcn_jax.data.resizing import MODES
from fcn_jax.data.sampling import BATCHINGS, ORDERS
from fcn_jax.models.losses import LOSSES
from fcn_jax.models.network import PRECISIONS
from fcn_jax.models.options import options_of, types_of
from fcn_jax.runs.config import flat
from fcn_jax.training.optimizers import GAMMA_UNITS, OPTIMIZERS, SCHEDULES

# Beyond these a value is a slip, or could not be met.
_MOST_IMAGES = 1 << 16  # in an update, or in a part of one
_LONGEST_SIDE = 1 << 16
_MOST_THREADS = 1024

# Fields that hold a number for each of some names.
_BY_NAME = ("loss.terms", "loss.auxiliary", "lr_mult", "decay_mult")

# Arguments of default_recipe that name functions, whose options are fields:
# each with its own field, and the name that a recipe without that has.
NAMING = {
  "network": ("model.name", ""),
  "loss": ("loss.name", "cross_entropy"),
  "lr_policy": ("lr_policy", "fixed"),
  "optimizer": ("optimizer", "caffe_sgd"),
  "augment": ("data.augment", ()),
}

# Augmentations that have a field of their own.
_OWN_FIELDS = ("mirror", "random_crop")


def default_recipe(
  network: str = "fcn_alexnet",
  *,
  loss: str = "cross_entropy",
  lr_policy: str = "fixed",
  optimizer: str = "caffe_sgd",
  augment: tuple[str, ...] = (),
  **model: Any,
) -> ConfigDict:
  """A whole recipe, to be changed where yours differs; its fields are locked.

  >>> config = default_recipe("fcn8s", lr_policy="poly", width=0.5)
  >>> config.base_lr = 1e-3
  >>> config.model.width, config.lr_power
  (0.5, 1.0)

  Args:
    network: a name of models.NETWORKS.
    loss: a name of LOSSES; its options are fields of config.loss.
    lr_policy: a name of SCHEDULES; its options are the fields lr_...
    optimizer: a name of OPTIMIZERS; its options are fields of the recipe.
    augment: names of AUGMENTATIONS, in the order in which they are applied;
      the options of each are fields of config.augment.NAME.
    **model: options of the network that differ from its defaults.

  Raises:
    ValueError: an unknown name, or an option that the network lacks.
  """
  problems = list(_unknown_names(network, loss, lr_policy, optimizer, augment))
  if not problems:
    known = models.options(network)
    problems = [
      f"model.{name}: {network} has the options {', '.join(known)}"
      for name in model
      if name not in known
    ]
  if problems:
    raise _error(problems)
  config = ConfigDict()
  config.seed = 0
  config.precision = "float32"  # float32, tf32 or bfloat16

  config.model = ConfigDict({"name": network} | known | model)

  config.init = ConfigDict()
  config.init.source = "checkpoint"  # caffemodel, checkpoint or random
  config.init.path = ""
  config.init.allow_missing = ()  # layers that may start from random weights
  config.init.allow_unknown = ()  # layers of the source that may be left out
  config.init.head = "zero"  # or gaussian
  config.init.keep_classes = False  # the head's rows of classes by that name

  config.data = ConfigDict()
  config.data.name = ""
  config.data.data_dir = ""  # empty: the default of tensorflow_datasets
  config.data.directory = ""  # of a classifier: train/CLASS and val/CLASS
  config.data.resize = 0  # and its images' shorter side in pixels; 0: as it is
  config.data.resize_mode = ""  # all images to one size: squash, crop, ...
  config.data.resize_height = 0  # or fill, half_crop; to this many pixels
  config.data.resize_width = 0
  config.data.train_split = "train"
  config.data.val_split = "val"
  config.data.order = "shuffle"  # or sequential, with_replacement
  config.data.repeat_threshold = 0.0  # share of images below which one repeats
  config.data.repeat_factors = ()  # or how often, one number a class
  config.data.images_per_class = 0  # an epoch draws so many of every class
  config.data.mirror = False  # flip half of the images left to right
  config.data.random_crop = 0  # most pixels cut off each side, at random
  config.data.augment = tuple(augment)  # after these two, in this order
  config.data.batching = "as_drawn"  # by_canvas: faster, another order
  config.data.max_canvases = 3
  config.data.part_size = 1  # images per forward pass; results do not change
  config.data.num_threads = 2
  config.data.cache = "auto"  # decoded images: none, or host memory
  config.augment = ConfigDict(
    {name: options_of(AUGMENTATIONS[name]) for name in augment}
  )

  config.batch_size = 1  # images whose gradients are added up
  config.accumulation_steps = 1  # so many batches in an update
  config.duration = "30 epochs"  # or steps
  config.loss = ConfigDict({"name": loss} | options_of(LOSSES[loss]))
  config.loss.terms = {}  # weights by name, of a sum in its place
  config.loss.auxiliary = {}  # weights by layer, of the loss of its scores

  config.base_lr = 1e-4
  config.lr_policy = lr_policy
  config.lr_gamma = 0.1  # of step, multistep, exp, inv, sigmoid
  config.lr_gamma_per = "step"  # or percent of the run, as in DIGITS
  config.lr_stepsize = "33 %"  # of step, sigmoid
  config.lr_stepvalues = ()  # of multistep
  config.lr_power = 1.0  # of inv, poly
  for name, default in options_of(SCHEDULES[lr_policy]).items():
    if f"lr_{name}" not in config:
      config[f"lr_{name}"] = default
  config.optimizer = optimizer
  config.update(options_of(OPTIMIZERS[optimizer]))
  config.lr_mult = {}  # factors by pattern of layers, as {"conv*": 0.1}
  config.decay_mult = {}
  config.freeze = ()  # patterns of layers that are not learned
  config.ema_decay = 0.0  # of a moving average of the weights; 0: none
  config.remat = ()  # patterns of layers computed again for the gradient

  config.validate_every = "1 epoch"
  config.patience = 0  # validations without a better one that end a run; 0: all
  config.checkpoint_every = "1 epoch"
  config.keep_latest = 2  # the best by mean IoU is kept besides
  config.log_every = "20 steps"
  config.report = True  # report.html, drawn anew at every validation
  for name, types in _types(config).items():
    if len(types) > 1:  # '"20 steps" or 20': ml_collections would hold to one
      *parts, field = name.split(".")
      group = functools.reduce(getattr, parts, config)
      group[field] = FieldReference(group[field], field_type=object)
  return config.lock()


def read_recipe(path: str | os.PathLike) -> ConfigDict:
  """The recipe of a file such as configs/voc_fcn8s.py; it is run as Python.

  Raises:
    ValueError: no such file, or one without a function get_config.
  """
  path = pathlib.Path(path).expanduser()
  if not path.is_file():
    raise ValueError(f"{path}: no such file; give a recipe of configs/")
  get_config = runpy.run_path(str(path)).get("get_config")
  if not callable(get_config):
    raise ValueError(
      f"{path}: it has no function get_config that returns the recipe"
    )
  return get_config()


def check(config: ConfigDict | Mapping[str, Any]) -> ConfigDict:
  """A recipe with every field, or an error with all that is wrong in it.

  Fields that the given recipe lacks have their defaults, so a recipe of an
  older version means what it meant then.

  Args:
    config: a recipe, or the fields of a config.json (nested).

  Returns:
    A new recipe.

  Raises:
    ValueError: names each field that is unknown, of another type, or out of
      range, with what there is.
  """
  tree = config.to_dict() if isinstance(config, ConfigDict) else dict(config)
  if "learning_rate" in tree:
    tree = _from_classifier(tree)
  given = flat(tree)
  whole = _default_beside(given)
  types = _types(whole)
  others = _options_of_others(whole)
  problems, values = [], {}
  for name, value in given.items():
    table, _, _ = name.rpartition(".")
    if table in _BY_NAME:
      if not _fits(value, (float,)):
        problems.append(f"{name} = {value!r}: must be a float")
      values[name] = value
      continue
    if _is_of_unused(name, whole):
      continue
    if name not in types:
      problems += _stranger(name, value, others)
      continue
    if tuple in types[name] and isinstance(value, list):
      value = tuple(value)
    if not _fits(value, types[name]):
      wanted = " or ".join(kind.__name__ for kind in types[name])
      problems.append(f"{name} = {value!r}: must be a {wanted}")
    values[name] = value
  problems = problems or list(_out_of_range(flat(whole.to_dict()) | values))
  if problems:
    raise _error(problems)
  with whole.unlocked(), whole.ignore_type():
    whole.update_from_flattened_dict(values)
  return whole


def with_options_of(
  config: ConfigDict, names: Mapping[str, str | tuple[str, ...]]
) -> ConfigDict:
  """The recipe, with the options of functions that it is to have as well.

  Args:
    config: a recipe; it gets the fields.
    names: fields that name functions, such as 'optimizer', to the names that
      they will have; the recipe's own stay as they are.

  Raises:
    ValueError: there is no function of that name.
  """
  whole = _default_beside(flat(config.to_dict()) | names)
  with config.unlocked():
    _add_missing(config, whole)
  return config


def _add_missing(config: ConfigDict, whole: ConfigDict) -> None:
  """Gives a recipe the fields that another one has besides."""
  for name, value in whole.items():
    if name not in config:
      config[name] = value
    elif isinstance(value, ConfigDict):
      _add_missing(config[name], value)


def _default_beside(given: Mapping[str, Any]) -> ConfigDict:
  """The default recipe with the functions that given fields name."""
  names = {
    argument: given.get(field, default)
    for argument, (field, default) in NAMING.items()
  }
  names["augment"] = tuple(names["augment"])
  if problems := list(_unknown_names(**names)):
    raise _error(problems)
  return default_recipe(**names)


def complete(tree: dict[str, Any]) -> dict[str, Any]:
  """The fields of a config.json, with those that its version did not have."""
  return check(tree).to_dict()


def _from_classifier(tree: Mapping[str, Any]) -> dict[str, Any]:
  """The config of a classifier of version 0.1.0, in the names of today."""
  given = dict(tree)
  rate, warmup = given.pop("learning_rate"), given.pop("warmup_steps")
  # The norm of the mean gradient was limited, not that of the sum.
  clip = given["clip_gradients"] * given["batch_size"]
  return given | {
    "model": {"name": "alexnet", **given["model"]},
    "init": {"source": "random", "head": "gaussian"},
    "data": {"mirror": True, **given["data"]},
    "optimizer": "adamw",
    "lr_policy": "cosine",
    "base_lr": rate,
    "lr_warmup": f"{warmup} steps",
    "clip_gradients": clip,
  }


def _error(problems: list[str]) -> ValueError:
  return ValueError("the config cannot be used:\n  " + "\n  ".join(problems))


def _tables() -> dict[str, tuple[str, Mapping[str, Callable]]]:
  """What a name in a recipe chooses from: argument to (field, table)."""
  return {
    "loss": ("loss.name", LOSSES),
    "lr_policy": ("lr_policy", SCHEDULES),
    "optimizer": ("optimizer", OPTIMIZERS),
  }


def _unknown_names(network, loss, lr_policy, optimizer, augment):
  """A line for each name that is in no table."""
  if network not in models.NETWORKS:
    yield f"model.name = {network!r}: there is {', '.join(models.NETWORKS)}"
  chosen = {"loss": loss, "lr_policy": lr_policy, "optimizer": optimizer}
  for argument, (field, table) in _tables().items():
    if chosen[argument] not in table:
      yield f"{field} = {chosen[argument]!r}: there is {', '.join(table)}"
  for name in augment:
    if name in _OWN_FIELDS:
      yield f"data.augment: {name} has a field of its own, data.{name}"
    elif name not in AUGMENTATIONS:
      others = [n for n in AUGMENTATIONS if n not in _OWN_FIELDS]
      yield f"data.augment = {name!r}: there is {', '.join(others)}"


def _types(whole: ConfigDict) -> dict[str, tuple[type, ...]]:
  """The types that a value of each field may have."""
  types = {name: (type(v),) for name, v in flat(whole.to_dict()).items()}
  kinds = {
    f"model.{k}": t for k, t in models.option_types(whole.model.name).items()
  }
  for prefix, function in (
    ("loss.", LOSSES[whole.loss.name]),
    ("lr_", SCHEDULES[whole.lr_policy]),
    ("", OPTIMIZERS[whole.optimizer]),
    *((f"augment.{n}.", AUGMENTATIONS[n]) for n in whole.data.augment),
  ):
    kinds |= {f"{prefix}{k}": t for k, t in types_of(function).items()}
  return types | kinds


def _fits(value: Any, types: tuple[type, ...]) -> bool:
  """An int is a float, a bool is no number."""
  if isinstance(value, bool):
    return bool in types
  return isinstance(value, types) or (float in types and isinstance(value, int))


def _options_of_others(whole: ConfigDict) -> dict[str, dict[str, Any]]:
  """Options of functions that were not chosen: field to {function: default}."""
  found: dict[str, dict[str, Any]] = {}
  for argument, prefix in (
    ("loss", "loss."),
    ("lr_policy", "lr_"),
    ("optimizer", ""),
  ):
    _, table = _tables()[argument]
    for name, function in table.items():
      for option, default in options_of(function).items():
        found.setdefault(f"{prefix}{option}", {})[name] = default
  return found


def _is_of_unused(name: str, whole: ConfigDict) -> bool:
  """Whether it is an option of an augmentation that was taken out."""
  table, _, option = name.rpartition(".")
  owner = table.removeprefix("augment.")
  return (
    table == f"augment.{owner}"
    and owner not in whole.data.augment
    and option in options_of(AUGMENTATIONS.get(owner, lambda: None))
  )


def _stranger(name: str, value: Any, others) -> Iterator[str]:
  """What is wrong with a field that this recipe does not have.

  An option of a function that was not chosen is left out, if it has its
  default; else somebody expects an effect.
  """
  owners = others.get(name)
  if owners is None:
    yield f"{name}: unknown"
  elif value not in owners.values():
    yield (
      f"{name} = {value!r}: has an effect with {', '.join(owners)} alone; take "
      "it out, or choose that"
    )


def _within(least: int, most: int) -> tuple[str, Callable[[int], bool]]:
  return f"at least {least} and at most {most}", lambda x: least <= x <= most


def _out_of_range(fields: Mapping[str, Any]) -> Iterator[str]:
  """A line for each value that makes no sense, of all fields by name."""
  for name, wanted, holds in (
    ("batch_size", *_within(1, _MOST_IMAGES)),
    ("accumulation_steps", *_within(1, _MOST_IMAGES)),
    ("data.part_size", *_within(1, _MOST_IMAGES)),
    ("data.max_canvases", *_within(1, _MOST_IMAGES)),
    ("keep_latest", "at least 1", lambda x: x >= 1),
    ("seed", *_within(0, 2**32 - 1)),
    ("data.random_crop", *_within(0, _LONGEST_SIDE)),
    ("data.resize", *_within(0, _LONGEST_SIDE)),
    ("data.resize_height", *_within(0, _LONGEST_SIDE)),
    ("data.resize_width", *_within(0, _LONGEST_SIDE)),
    ("data.num_threads", *_within(0, _MOST_THREADS)),
    ("base_lr", "above 0", lambda x: x > 0),
    ("momentum", "at least 0 and below 1", lambda x: 0 <= x < 1),
    ("b1", "at least 0 and below 1", lambda x: 0 <= x < 1),
    ("b2", "at least 0 and below 1", lambda x: 0 <= x < 1),
    ("weight_decay", "at least 0", lambda x: x >= 0),
    ("patience", "at least 0", lambda x: x >= 0),
    ("ema_decay", "at least 0 and below 1", lambda x: 0 <= x < 1),
    (
      "data.repeat_threshold",
      "at least 0 and at most 1",
      lambda x: 0 <= x <= 1,
    ),
    ("data.images_per_class", *_within(0, _MOST_IMAGES)),
    ("clip_gradients", "at least 0", lambda x: x >= 0),
  ):
    if name in fields and not (
      holds(fields[name]) and math.isfinite(fields[name])
    ):
      yield f"{name} = {fields[name]}: must be {wanted}"
  for name, value in fields.items():
    if name.rpartition(".")[0] in _BY_NAME and not 0 <= value < math.inf:
      yield f"{name} = {value}: must be at least 0"
  terms = [n for n in fields if n.startswith("loss.terms.")]
  for name in terms:
    if name.removeprefix("loss.terms.") not in LOSSES:
      yield f"{name}: there is {', '.join(LOSSES)}"
  if terms and f"loss.terms.{fields['loss.name']}" not in terms:
    yield (
      f"loss.terms: {fields['loss.name']}, which loss.name names, is not among "
      "them; it is what people see, and its options are fields"
    )
  yield from _impossible_draws(fields)
  size = [fields[f"data.resize_{x}"] for x in ("mode", "height", "width")]
  if any(size) and not all(size):
    yield (
      "data.resize_mode, data.resize_height, data.resize_width = "
      f"{', '.join(map(repr, size))}: give all three"
    )
  if fields["data.resize_mode"] and fields["data.directory"]:
    yield (
      f"data.resize_mode = {fields['data.resize_mode']!r}: a classifier sees a "
      "square of its own size; see data.resize"
    )
  images = fields["batch_size"] * fields["accumulation_steps"]
  if (
    images
    > _MOST_IMAGES
    >= max(fields["batch_size"], fields["accumulation_steps"])
  ):
    yield (
      f"batch_size * accumulation_steps = {images}: must be at most "
      f"{_MOST_IMAGES}"
    )
  for name, allowed in (
    ("precision", PRECISIONS),
    ("lr_gamma_per", GAMMA_UNITS),
    ("data.order", ORDERS),
    ("data.resize_mode", ("", *MODES)),
    ("data.cache", CACHES),
    ("data.batching", BATCHINGS),
    ("init.source", ("caffemodel", "checkpoint", "random")),
    ("init.head", ("zero", "gaussian")),
  ):
    if fields[name] not in allowed:
      known = ", ".join(filter(None, allowed))
      yield f"{name} = {fields[name]!r}: there is {known}"
  if len(fields.get("model.mean_bgr", (0, 0, 0))) != 3:
    yield "model.mean_bgr: must be three numbers, BGR"
  source = fields["init.source"]
  if fields["init.keep_classes"] and source != "checkpoint":
    yield (
      f"init.keep_classes: a {source} has no class names; init.source must be "
      "checkpoint"
    )
  if source == "random":
    for name in ("init.allow_missing", "init.allow_unknown"):
      if fields[name]:
        yield (
          f"{name} = {fields[name]}: nothing is read where init.source is "
          "random"
        )
  if (fields["data.batching"], fields["data.order"]) == (
    "by_canvas",
    "with_replacement",
  ):
    yield (
      "data.batching = 'by_canvas' draws without replacement: set data.order "
      "to 'shuffle', or data.batching to 'as_drawn'"
    )


def _impossible_draws(fields: Mapping[str, Any]) -> Iterator[str]:
  """A line for each way of drawing that does not go with another."""
  ways = ("repeat_threshold", "repeat_factors", "images_per_class")
  chosen = [f"data.{name}" for name in ways if fields[f"data.{name}"]]
  if len(chosen) > 1:
    yield f"{' and '.join(chosen)}: give one of them"
  if chosen and fields["data.order"] == "sequential":
    yield f"{chosen[0]}: set data.order to 'shuffle' or 'with_replacement'"
  if chosen and fields["data.batching"] == "by_canvas":
    yield f"{chosen[0]}: set data.batching to 'as_drawn'"
  if fields["data.images_per_class"] and fields["data.order"] != "shuffle":
    yield "data.images_per_class: set data.order to 'shuffle'"
  if not all(x >= 0 for x in fields["data.repeat_factors"]):
    yield f"data.repeat_factors = {fields['data.repeat_factors']}: at least 0"
