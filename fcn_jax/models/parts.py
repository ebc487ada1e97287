"""What the declarations of several networks have in common."""

from fcn_jax.models import layers as d


def score(name: str, classes: int, bottom: str | None = None) -> d.Conv:
  """One score per class and cell; the bias learns twice as fast, undecayed."""
  return d.Conv(
    name,
    bottom=bottom,
    features=classes,
    kernel=1,
    relu=False,
    head=True,
    lr_mult=(1.0, 2.0),
    decay_mult=(1.0, 0.0),
  )


def scaled(
  published: tuple[int, ...], width: float | tuple[int, ...], names: str
) -> tuple[int, ...]:
  """Features of a network's layers.

  Args:
    published: those of the paper.
    width: share of them, rounded to even numbers; or the features themselves.
    names: the layers, for the error.

  Raises:
    ValueError: not as many features as published, or one below 1.
  """
  features: tuple[int, ...] = ()
  if isinstance(width, tuple | list):
    features = tuple(width)
  elif 0 < width < float("inf"):
    features = tuple(max(2, 2 * round(n * width / 2)) for n in published)
  if len(features) != len(published) or min(features) < 1:
    raise ValueError(
      f"width {width!r}: give a share of the published features, or "
      f"{len(published)} numbers, those of {names}"
    )
  return features
