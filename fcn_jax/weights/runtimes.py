"""An export run by somebody else's runtime, and compared with the network."""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float, UInt8

from fcn_jax.models import Network

TOLERANCE = 1e-5  # of the largest score; float32 shows about 2e-6
ODD_SIZES = ((61, 83), (97, 45), (33, 129))  # height, width of the images

Image = UInt8[np.ndarray, "_ _ 3"]
Scores = Float[np.ndarray, "_ _ _"]


class ParityError(ValueError):
  """An export that does not compute what the network does."""


@dataclasses.dataclass(frozen=True)
class Parity:
  """How far a runtime is from the network.

  Attributes:
    runtime: its name.
    images: compared.
    error: largest difference of a score; None where labels alone came out.
    largest: largest absolute score of the network.
    labels: compared.
    differing: labels that differ, ties apart: where the two highest scores are
      further apart than the tolerance.
  """

  runtime: str
  images: int
  error: float | None
  largest: float
  labels: int
  differing: int

  @property
  def holds(self) -> bool:
    """Whether it computes the same."""
    near = self.error is None or self.error <= TOLERANCE * self.largest
    return near and self.differing == 0

  def __str__(self) -> str:
    scores = ""
    if self.error is not None:
      share = self.error / self.largest if self.largest else 0.0
      scores = (
        f"scores differ by at most {self.error:.2g}, {share:.1e} of the "
        f"largest {self.largest:.4g} (allowed {TOLERANCE:g}); "
      )
    return (
      f"{self.runtime} on {self.images} images: {scores}{self.differing} of "
      f"{self.labels} labels differ"
    )


def sample_images(sizes: Sequence[tuple[int, int]]) -> list[Image]:
  """Blocks of noise: neighbours agree, as in photographs."""
  draw = np.random.default_rng(0)
  images = []
  for height, width in sizes:
    blocks = draw.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
    image = blocks.repeat(8, 0).repeat(8, 1)[:height, :width]
    noise = draw.integers(-9, 10, image.shape)
    images.append(np.clip(image + noise, 0, 255).astype(np.uint8))
  return images


def compare(
  runtime: str,
  network: Network,
  images: Sequence[Image],
  run: Callable[[Image], np.ndarray],
  ours: Callable[[Scores], Scores] = lambda scores: scores,
) -> Parity:
  """Runs both on images.

  Args:
    runtime: its name.
    network: ours.
    images: that both take.
    run: the other one: scores [y, x, classes] or labels [y, x] of an image.
    ours: what the other one makes of the network's scores.

  Raises:
    ParityError: it does not compute the same.
  """
  error, largest, labels, differing = None, 0.0, 0, 0
  graphdef, state = nnx.split(network)
  forward = jax.jit(lambda state, image: nnx.merge(graphdef, state)(image))
  found = []
  for image in images:
    scores = ours(np.asarray(forward(state, image[None]))[0])
    largest = max(largest, float(abs(scores).max()))
    found.append((scores, run(image)))
  for scores, theirs in found:
    if theirs.ndim == 3:
      error = max(error or 0.0, float(abs(scores - theirs).max()))
      theirs = theirs.argmax(-1)
    highest = np.sort(scores, -1)[..., -2:]
    clear = highest[..., -1] - highest[..., 0] > 2 * TOLERANCE * largest
    if scores.shape[-1] == 1:
      clear = np.ones_like(clear)
    labels += theirs.size
    differing += int(((scores.argmax(-1) != theirs) & clear).sum())
  parity = Parity(runtime, len(images), error, largest, labels, differing)
  if not parity.holds:
    raise ParityError(f"the export is wrong: {parity}")
  return parity


def onnx_session(path) -> Callable[[dict], np.ndarray] | None:
  """Runs an ONNX file: inputs by name to its first output.

  None: onnxruntime is not installed.
  """
  try:
    import onnxruntime
  except ImportError:
    return None
  options = onnxruntime.SessionOptions()
  options.log_severity_level = 3  # errors: it warns of what it folds
  session = onnxruntime.InferenceSession(
    path, options, providers=["CPUExecutionProvider"]
  )
  return lambda inputs: session.run(None, inputs)[0]
