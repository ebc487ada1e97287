"""A weight file becomes a model directory, with a receipt and a proof."""

import pathlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from fcn_jax import models
from fcn_jax.files import DataError
from fcn_jax.weights import checkpoints, proof, readers
from fcn_jax.weights.receipt import Receipt

_MOST_CLASSES = 255  # of a label image, whose value 255 is void


def make_model(
  path: pathlib.Path,
  output: pathlib.Path,
  name: str,
  class_names: Sequence[str],
  palette: Sequence[Sequence[int]],
  given: Mapping[str, Any],
  **options,
) -> Receipt:
  """Converts a weight file and writes OUTPUT, complete or not at all.

  Args:
    path: the file, of any format that `readers.read` knows.
    output: the directory to write; must not exist.
    name: of the network, a key of `models.NETWORKS`.
    class_names: one a class.
    palette: RGB of each of the 256 label values.
    given: options of the network that differ from its defaults.  Without
      'mean_bgr' it is the file's, where that tells it.
    **options: of `surgery.surgery`.

  Returns:
    The receipt, which lies in the directory, too.

  Raises:
    DataError: the output exists, or more classes than label images have.
    ValueError: see `readers.read`, `proof.convert`, and an unknown option.
  """
  if output.exists():
    raise DataError(
      f"{output} exists and is not overwritten; name another --output"
    )
  is_classifier = models.declare(name, 2)[0].size is not None
  if not is_classifier and len(class_names) > _MOST_CLASSES:
    raise DataError(
      f"{len(class_names)} classes: a label image has values for "
      f"{_MOST_CLASSES}, and void; only a classifier may have more"
    )
  source = readers.read(path)
  known = models.options(name)
  if source.mean_bgr is not None and "mean_bgr" in known:
    known["mean_bgr"] = source.mean_bgr
  model = {
    key: list(value) if isinstance(value, tuple) else value
    for key, value in (known | dict(given)).items()
  }
  card = checkpoints.ModelCard(
    model={"name": name, "classes": len(class_names), **model},
    class_names=list(class_names),
    palette=[list(colour) for colour in palette],
    source=f"{path.name}, SHA-1 {source.sha1}",
  )
  network = models.build(card.declaration())
  receipt = proof.convert(
    source, network, card.model, file=str(path), **options
  )
  output.parent.mkdir(parents=True, exist_ok=True)
  # Made under another name, so that a half-made model is never taken for one.
  unfinished = pathlib.Path(
    tempfile.mkdtemp(prefix=f"{output.name}.", dir=output.parent)
  )
  try:
    checkpoints.save_model(unfinished, network, card)
    (unfinished / "receipt.txt").write_text(f"{receipt}\n")
    (unfinished / "receipt.json").write_text(receipt.to_json())
    unfinished.chmod(0o755)
    unfinished.rename(output)
  except BaseException:
    shutil.rmtree(unfinished)
    raise
  return receipt
