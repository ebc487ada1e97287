"""A few validation images of a run, and what it predicted of them by step."""

import dataclasses

from fcn_jax.data.pictures import Entry
from fcn_jax.reports import viewer
from fcn_jax.runs.album import Album
from fcn_jax.text import percent


@dataclasses.dataclass(frozen=True)
class ShownPicture:
  """A validation image: its label first, then its predictions by step.

  Attributes:
    view: of the label and the predictions.
    size: (height, width) of the image in the data set.
    words: classes and shares of each layer of the view.
  """

  view: viewer.View
  size: tuple[int, int]
  words: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class ShownPictures:
  """What the slider of the page moves through.

  Attributes:
    steps: of the validations whose predictions are there.
    pictures: of each image.
    entries: every class that occurs in one of them, and void.
  """

  steps: tuple[int, ...]
  pictures: tuple[ShownPicture, ...]
  entries: tuple[Entry, ...]


def show(album: Album) -> ShownPictures | None:
  """What a page shows of the pictures; None before the first prediction."""
  of_each = [set(picture.predictions) for picture in album.pictures]
  steps = sorted(set.intersection(*of_each)) if of_each else []
  if not steps:
    return None
  found, entries = [], {}
  for picture in album.pictures:
    layers = []
    for name, ids in [
      ("Label", picture.truth),
      *((f"Step {step}", picture.predictions[step]) for step in steps),
    ]:
      there = viewer.entries(ids, album.class_names, album.palette)
      layers.append(viewer.Layer(name, ids, there))
      entries |= {entry.label: entry for entry in there}
    view = viewer.view(picture.image_id, picture.image, layers)
    words = tuple(
      ", ".join(f"{e.name} {percent(e.share)}" for e in layer.entries)
      for layer in layers
    )
    found.append(ShownPicture(view, picture.size, words))
  return ShownPictures(
    tuple(steps),
    tuple(found),
    tuple(entries[label] for label in sorted(entries)),
  )
