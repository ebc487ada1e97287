"""A weight file becomes a model directory, with a receipt and a proof."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fcn_jax import models
from fcn_jax.files import DataError, local_path, making
from fcn_jax.weights import checkpoints, proof, published, readers
from fcn_jax.weights.receipt import Receipt

_MOST_CLASSES = 255  # of a label image, whose value 255 is void


class Origin(NamedTuple):
  """Where the weight file is from: one of the first two.

  Attributes:
    source: a file.
    download: name of a published file, see `published.FILES`.
    mirrors: URLs that are tried first for it.
  """

  source: str | None = None
  download: str | None = None
  mirrors: Sequence[str] = ()

  def path(self) -> pathlib.Path:
    """The file; one that is published is fetched.

    Raises:
      DataError: not one of source and download is given.
      OSError: it cannot be fetched.
    """
    if (self.source is None) == (self.download is None):
      raise DataError("give either --source=FILE or --download=NAME")
    if self.download:
      return published.fetch(self.download, self.mirrors)
    return pathlib.Path(self.source).expanduser()


def convert(
  source: str | os.PathLike | Origin,
  output: str | os.PathLike | None,
  name: str,
  class_names: Sequence[str],
  palette: Sequence[Sequence[int]],
  given: Mapping[str, Any] | None = None,
  **options,
) -> Receipt:
  """Converts a weight file and writes OUTPUT, complete or not at all.

  Args:
    source: the file, of any format that `readers.read` knows, or where it
      comes from.
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
    DataError: the output exists or is None, no one source is given, or more
      classes than label images have.
    ValueError: see `readers.read`, `proof.convert`, and an unknown option.
  """
  origin = source if isinstance(source, Origin) else Origin(os.fspath(source))
  if output is None:
    raise DataError("--output= is missing: the model directory to write")
  output = local_path(output)
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
  path = origin.path()
  source = readers.read(path)
  known = models.options(name)
  if source.mean_bgr is not None and "mean_bgr" in known:
    known["mean_bgr"] = source.mean_bgr
  model = {
    key: list(value) if isinstance(value, tuple) else value
    for key, value in (known | dict(given or {})).items()
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
  with making(output) as folder:
    checkpoints.save_model(folder, network, card)
    (folder / "receipt.txt").write_text(f"{receipt}\n")
    (folder / "receipt.json").write_text(receipt.to_json())
  return receipt


def options_given(
  name: str,
  width: Sequence[str] | None = None,
  order: str | None = None,
  mean: Sequence[str] | None = None,
) -> dict[str, Any]:
  """The options of a network as a command line gives them.

  Args:
    name: of a registered network.
    width: one share, or the features of each block; None: not given.
    order: of pooling and normalisation; None: not given.
    mean: blue, green and red, or one value for all; None: not given.

  Raises:
    DataError: one of them cannot be read, or the network has no such option.
  """
  if order is not None and "order" not in models.options(name):
    raise DataError(f"--order={order}: {name} does not normalise")
  given = {"width": _width(width), "order": order, "mean_bgr": _mean(mean)}
  return {key: value for key, value in given.items() if value is not None}


def _width(given: Sequence[str] | None) -> float | list[int] | None:
  if given is None:
    return None
  try:
    return float(given[0]) if len(given) == 1 else [int(n) for n in given]
  except ValueError:
    raise DataError(
      f"--width={','.join(given)}: one share, or whole numbers"
    ) from None


def _mean(given: Sequence[str] | None) -> list[float] | None:
  if given is None:
    return None
  try:
    mean = [float(value) for value in given]
  except ValueError:
    mean = []
  if len(mean) not in (1, 3) or not all(0 <= value <= 255 for value in mean):
    raise DataError(f"--mean={','.join(given)}: one number in 0..255, or three")
  return mean * 3 if len(mean) == 1 else mean
