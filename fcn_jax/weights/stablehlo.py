"""A network as StableHLO, which runs without this package.

jax.export.deserialize(FILE's bytes).call(image, extent) gives the scores, on a
CPU, a GPU or a TPU.  Sizes are those of one canvas: smaller images lie at its
top left, their size is `extent`, and their scores are those they have alone.
"""

import pathlib

import jax
import jax.numpy as jnp
from flax import nnx
from jax import export

from fcn_jax.files import replacing
from fcn_jax.models import Network, convolution
from fcn_jax.weights.source import WeightFileError

PLATFORMS = ("cpu", "cuda", "tpu")


def write_stablehlo(
  path: pathlib.Path, network: Network, height: int, width: int
) -> None:
  """Writes (image, extent) -> scores for one canvas.

  Args:
    path: the file to write.
    network: any network of this package.
    height, width: of the canvas.

  image is uint8 [1, height, width, 3], RGB; extent int32 [1, 2], the true
  height and width; scores float32 [1, height, width, classes], of a classifier
  [1, 1, 1, classes].

  Raises:
    WeightFileError: flatbuffers is missing.
  """
  graphdef, state = nnx.split(network)

  def form(platform):
    def scores(image, extent):
      with convolution.traced_for(platform):
        return nnx.merge(graphdef, state)(image, extent)

    return scores

  def scores(image, extent):
    # Which form of a convolution is fast, depends on the platform.
    return jax.lax.platform_dependent(
      image, extent, cpu=form("cpu"), default=form("cuda")
    )

  exported = export.export(jax.jit(scores), platforms=PLATFORMS)(
    jax.ShapeDtypeStruct((1, height, width, 3), jnp.uint8),
    jax.ShapeDtypeStruct((1, 2), jnp.int32),
  )
  try:
    content = exported.serialize()
  except ImportError:
    raise WeightFileError(
      f"{path}: StableHLO files need a package: pip install flatbuffers"
    ) from None
  with replacing(path) as temporary:
    temporary.write_bytes(content)
