"""What a training recipe holds, and what is wrong with one."""

import math

from ml_collections import ConfigDict

from fcn_jax import models
from fcn_jax.data.pipeline import CACHES
from fcn_jax.data.sampling import BATCHINGS, ORDERS
from fcn_jax.models.network import PRECISIONS
from fcn_jax.runs import config as config_lib
from fcn_jax.training.optimizers import GAMMA_UNITS, POLICIES

# What else a value may be: 1 is a float, and JSON has lists for tuples.
_ALLOWED = {float: (float, int), tuple: (tuple, list)}

FIELDS = {
  "seed": int,
  "precision": str,
  "model.name": str,  # and its options, see `models.options`
  "init.source": str,
  "init.path": str,
  "init.allow_missing": tuple,
  "init.allow_unknown": tuple,
  "init.head": str,
  "init.keep_classes": bool,
  "data.name": str,
  "data.data_dir": str,
  "data.train_split": str,
  "data.val_split": str,
  "data.order": str,
  "data.mirror": bool,
  "data.random_crop": int,
  "data.batching": str,
  "data.max_canvases": int,
  "data.part_size": int,
  "data.num_threads": int,
  "data.cache": str,
  "batch_size": int,
  "accumulation_steps": int,
  "duration": str,
  "loss.normalize": bool,
  "base_lr": float,
  "lr_policy": str,
  "lr_gamma": float,
  "lr_gamma_per": str,
  "lr_stepsize": str,
  "lr_stepvalues": tuple,
  "lr_power": float,
  "momentum": float,
  "weight_decay": float,
  "clip_gradients": float,
  "validate_every": str,
  "checkpoint_every": str,
  "keep_latest": int,
  "log_every": str,
  "report": bool,
}


def check(config: ConfigDict, fields: dict[str, type] = FIELDS) -> None:
  """Refuses a config with unknown, missing or mistyped fields, all at once.

  Args:
    config: the recipe.
    fields: name and type of each field it must have.

  Raises:
    ValueError: naming each field.
  """
  flat = config_lib.flat(config.to_dict())
  network = flat.get("model.name", "")
  if "model.name" in fields and network not in models.NETWORKS:
    raise ValueError(
      f"the config cannot be used:\n  model.name = {network!r}: there is "
      f"{', '.join(models.NETWORKS)}"
    )
  fields = fields | _model_fields(network)
  problems = [f"{name}: unknown" for name in flat if name not in fields]
  for name, kinds in fields.items():
    if name not in flat:
      problems.append(f"{name}: missing")
      continue
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    allowed = [
      kind for wanted in kinds for kind in _ALLOWED.get(wanted, (wanted,))
    ]
    value = flat[name]
    if not isinstance(value, tuple(allowed)) or (
      bool not in kinds and isinstance(value, bool)
    ):
      wanted = " or ".join(kind.__name__ for kind in kinds)
      problems.append(f"{name} = {value!r}: must be a {wanted}")
  if not problems:
    problems = [
      f"{name} = {flat[name]}: must be at least 1"
      for name in (
        "batch_size",
        "accumulation_steps",
        "data.part_size",
        "data.max_canvases",
        "keep_latest",
      )
      if flat.get(name, 1) < 1
    ]
    problems += [
      f"{name} = {flat[name]}: must be at least 0"
      for name in ("seed", "data.random_crop", "data.num_threads")
      if flat.get(name, 0) < 0
    ]
    if len(flat.get("model.mean_bgr", (0, 0, 0))) != 3:
      problems.append("model.mean_bgr: must be three numbers, BGR")
    problems += [
      f"{name} = {flat[name]}: must be {wanted}"
      for name, wanted, holds in (
        ("base_lr", "above 0", lambda x: x > 0),
        ("momentum", "at least 0 and below 1", lambda x: 0 <= x < 1),
        ("weight_decay", "at least 0", lambda x: x >= 0),
        ("clip_gradients", "at least 0", lambda x: x >= 0),
      )
      if name in flat and not (holds(flat[name]) and math.isfinite(flat[name]))
    ]
    source = flat.get("init.source")
    if flat.get("init.keep_classes") and source != "checkpoint":
      problems.append(
        f"init.keep_classes: a {source} has no class names; init.source must "
        "be checkpoint"
      )
    if source == "random":
      problems += [
        f"init.{name} = {flat[f'init.{name}']}: nothing is read where "
        "init.source is random"
        for name in ("allow_missing", "allow_unknown")
        if flat[f"init.{name}"]
      ]
    choices = {
      "precision": tuple(PRECISIONS),
      "lr_policy": POLICIES,
      "lr_gamma_per": GAMMA_UNITS,
      "data.order": ORDERS,
      "data.cache": CACHES,
      "data.batching": BATCHINGS,
      "init.source": ("caffemodel", "checkpoint", "random"),
      "init.head": ("zero", "gaussian"),
    }
    problems += [
      f"{name} = {flat[name]!r}: there is {', '.join(allowed)}"
      for name, allowed in choices.items()
      if name in flat and flat[name] not in allowed
    ]
    if (flat.get("data.batching"), flat.get("data.order")) == (
      "by_canvas",
      "with_replacement",
    ):
      problems.append(
        "data.batching = 'by_canvas' draws without replacement: set "
        "data.order to 'shuffle', or data.batching to 'as_drawn'"
      )
  if problems:
    raise ValueError("the config cannot be used:\n  " + "\n  ".join(problems))


def _model_fields(name: str) -> dict[str, tuple[type, ...]]:
  """The options of a network, as fields; of none none."""
  if not name:
    return {}
  return {f"model.{k}": kinds for k, kinds in models.option_types(name).items()}
