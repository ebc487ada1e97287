"""The registry: a name, and the function that declares the network."""

from fcn_jax import declaration
from fcn_jax.models import alexnet, fcn
from fcn_jax.models.network import Frozen, Network

DECLARATIONS = {
  "alexnet": alexnet.classifier,
  "fcn_alexnet": fcn.fcn_alexnet,
}


def declare(name: str, classes: int, **options) -> declaration.Layers:
  """The declaration of a registered network.

  Args:
    name: a key of `DECLARATIONS`.
    classes: number of classes, background included, void not.
    **options: of the declaring function (width, order, mean_bgr).

  Raises:
    ValueError: the name is not registered.
  """
  if name not in DECLARATIONS:
    raise ValueError(
      f"model {name!r} is unknown; there is {', '.join(DECLARATIONS)}"
    )
  return DECLARATIONS[name](classes, **options)


def build(layers: declaration.Layers, precision: str = "float32") -> Network:
  """A network with zero parameters (Caffe's default) from its declaration."""
  return Network(layers, precision)


__all__ = ["DECLARATIONS", "Frozen", "Network", "build", "declare"]
