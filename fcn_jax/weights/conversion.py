"""From a file of weights to a model directory: surgery, receipt, proof."""

import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from typing import Any

from fcn_jax import models
from fcn_jax.weights import caffemodel, checkpoints, proof, published
from fcn_jax.weights.receipt import Receipt


def convert(
  output: str | os.PathLike,
  model: dict[str, Any],
  class_names: Sequence[str],
  palette: list[list[int]],
  *,
  source: str | os.PathLike | None = None,
  download: str | None = None,
  mirrors: Sequence[str] = (),
  allow_missing: Iterable[str] = (),
  allow_unknown: Iterable[str] = (),
  head_init: str = "zero",
  seed: int = 0,
) -> Receipt:
  """Writes a model directory: a checkpoint, receipt.txt and receipt.json.

  Args:
    output: the directory; it is made, whole or not at all.
    model: arguments of `models.declare`, see `model_of`.
    class_names: of each class id.
    palette: [r, g, b] of each of the 256 label values.
    source: the file.
    download: name of a published file instead, see `published.FILES`.
    mirrors: URLs that are tried first for it.
    allow_missing, allow_unknown, head_init, seed: see `proof.convert`.

  Raises:
    ValueError: not one of source and download, or the output is there.
    SurgeryError: the file does not fit.
    OSError: the file cannot be read or fetched.
  """
  if (source is None) == (download is None):
    raise ValueError("give either --source=FILE or --download=NAME")
  output = pathlib.Path(output).expanduser()
  if output.exists():
    raise ValueError(
      f"{output} exists and is not overwritten; name another --output"
    )
  network = models.build(models.declare(**model))
  if download:
    path = published.fetch(download, mirrors)
  else:
    path = pathlib.Path(source).expanduser()
  receipt = proof.convert(
    caffemodel.read_caffemodel(path),
    network,
    model,
    file=str(path),
    allow_missing=allow_missing,
    allow_unknown=allow_unknown,
    head_init=head_init,
    seed=seed,
  )
  card = checkpoints.ModelCard(
    model=model,
    class_names=list(class_names),
    palette=palette,
    source=f"{path.name}, SHA-1 {receipt.sha1}",
  )
  _write(output, network, card, receipt)
  return receipt


def _write(
  output: pathlib.Path,
  network: models.Network,
  card: checkpoints.ModelCard,
  receipt: Receipt,
) -> None:
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


def model_of(
  name: str,
  classes: int,
  *,
  width: Sequence[str] | None = None,
  order: str | None = None,
  mean: Sequence[str] | None = None,
) -> dict[str, Any]:
  """The arguments of `models.declare`, as a checkpoint stores them.

  Args:
    name: of a registered network.
    classes: background included, void not.
    width: one share, or the features of each block; None: the default.
    order: of pooling and normalisation; None: the default.
    mean: blue, green and red, or one value for all; None: the default.

  Raises:
    ValueError: one of them cannot be read, or the network has no such option.
  """
  known = models.options(name)
  if order is not None and "order" not in known:
    raise ValueError(f"--order={order}: {name} does not normalise")
  given = {"width": _width(width), "order": order, "mean_bgr": _mean(mean)}
  given = {key: value for key, value in given.items() if value is not None}
  options = {
    key: list(value) if isinstance(value, tuple) else value
    for key, value in (known | given).items()
  }
  return {"name": name, "classes": classes, **options}


def _width(given: Sequence[str] | None) -> float | list[int] | None:
  if given is None:
    return None
  try:
    return float(given[0]) if len(given) == 1 else [int(n) for n in given]
  except ValueError:
    raise ValueError(
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
    raise ValueError(
      f"--mean={','.join(given)}: one number in 0..255, or three"
    )
  return mean * 3 if len(mean) == 1 else mean
