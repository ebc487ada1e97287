"""The registry: a name, the function that declares the network, and the
classifier that its weights come from.
"""

import importlib
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from fcn_jax.models import alexnet, alexnet_owt, fcn, vgg16
from fcn_jax.models.layers import Layers
from fcn_jax.models.options import options_of, types_of

if TYPE_CHECKING:
  from fcn_jax.models.network import Frozen, Network


class Registered(NamedTuple):
  """One network.

  Attributes:
    declare: (classes, **options) -> the layers; every option has a default,
      which is of the option's type.
    classifier: name of the network it is made from by net surgery; '': none.
  """

  declare: Callable[..., Layers]
  classifier: str = ""


NETWORKS = {
  "alexnet": Registered(alexnet.classifier),
  "alexnet_owt": Registered(alexnet_owt.classifier),
  "vgg16": Registered(vgg16.classifier),
  "fcn_alexnet": Registered(fcn.fcn_alexnet, "alexnet"),
  "fcn_alexnet_owt": Registered(fcn.fcn_alexnet_owt, "alexnet_owt"),
  "fcn_alexnet8s": Registered(fcn.fcn_alexnet8s, "alexnet"),
  "fcn32s": Registered(fcn.fcn32s, "vgg16"),
  "fcn16s": Registered(fcn.fcn16s, "vgg16"),
  "fcn8s": Registered(fcn.fcn8s, "vgg16"),
  "fcn8s_atonce": Registered(fcn.fcn8s_atonce, "vgg16"),
}


def _entry(name: str) -> Registered:
  if name not in NETWORKS:
    raise ValueError(
      f"model {name!r} is unknown; there is {', '.join(NETWORKS)}"
    )
  return NETWORKS[name]


def options(name: str) -> dict[str, Any]:
  """The options of a registered network, with their defaults.

  Raises:
    ValueError: the name is not registered, or an option has no default.
  """
  function = _entry(name).declare
  found = options_of(function)
  parameters = inspect.signature(function).parameters
  if bare := [key for key in parameters if key not in (*found, "classes")]:
    raise ValueError(f"model {name!r}: option {', '.join(bare)} has no default")
  return found


def option_types(name: str) -> dict[str, tuple[type, ...]]:
  """What values the options of a registered network may have."""
  return types_of(_entry(name).declare)


def declare(name: str, classes: int, **given) -> Layers:
  """The declaration of a registered network.

  Args:
    name: a key of `NETWORKS`.
    classes: number of classes, background included, void not.
    **given: what differs from `options(name)`; lists stand for tuples.

  Raises:
    ValueError: the name is not registered, or has no such option.
  """
  known = options(name)
  if strange := [key for key in given if key not in known]:
    raise ValueError(
      f"model {name!r} has no option {', '.join(strange)}; it has "
      f"{', '.join(known)}"
    )
  chosen = {
    key: tuple(value) if isinstance(value, list) else value
    for key, value in given.items()
  }
  return _entry(name).declare(classes, **chosen)


def declare_classifier(name: str, classes: int, **given) -> Layers | None:
  """The classifier that a network is made from, with the network's options.

  Args:
    name: a key of `NETWORKS`; a classifier is its own.
    classes: of the classifier.
    **given: options of either; those that only one of them has are left out.

  Returns:
    None: there is none.
  """
  entry = _entry(name)
  classifier = entry.classifier
  if not classifier and declare(name, classes)[0].size is not None:
    classifier = name
  if not classifier:
    return None
  known = options(classifier)
  kept = {key: value for key, value in given.items() if key in known}
  return declare(classifier, classes, **kept)


def build(layers: Layers, precision: str = "float32") -> "Network":
  """A network with zero parameters (Caffe's default) from its declaration."""
  from fcn_jax.models.network import Network

  return Network(layers, precision)


def __getattr__(name: str) -> Any:
  """Network and Frozen: what needs Flax is imported when it is asked for."""
  if name in ("Network", "Frozen"):
    return getattr(importlib.import_module("fcn_jax.models.network"), name)
  raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
  "NETWORKS",
  "Frozen",
  "Network",
  "Registered",
  "build",
  "declare",
  "declare_classifier",
  "options",
]
