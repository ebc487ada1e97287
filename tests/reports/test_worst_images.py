"""The worst images as they are shown: order, words and small pictures."""

import base64
import io

import numpy as np
import pytest
from made_up_evaluation import NAMES, made_up
from PIL import Image

from fcn_jax.evaluation.errors import (
  COLORS,
  MEASURES,
  Kind,
  confusions,
  error_map,
  image_scores,
  worst_images,
)
from fcn_jax.reports.worst_images import show_worst

DATASET, EVALUATION = made_up()


def decoded(uri: str) -> np.ndarray:
  data = base64.b64decode(uri.partition(",")[2])
  with Image.open(io.BytesIO(data)) as image:
    return np.array(image)


def test_each_image_once_with_its_ranks():
  shown = show_worst(EVALUATION, DATASET, "train", 3)
  first, second = (
    worst_images(EVALUATION.confusions, measure, 3) for measure in MEASURES
  )
  more = [place for place in second if place not in first]
  assert more  # image 1 is among the worst by mean IU alone
  places = [*first, *more]
  assert [one.view.name for one in shown] == [f"id{place}" for place in places]
  for place, one in zip(places, shown, strict=True):
    assert one.ranks == {
      measure: order.index(place) + 1
      for measure, order in zip(MEASURES, (first, second), strict=True)
      if place in order
    }
    for measure in MEASURES:
      scores = image_scores(EVALUATION.confusions, measure)
      assert one.scores[measure] == scores[place]
    largest = confusions(EVALUATION.confusions[place], NAMES, 1)[0]
    assert one.mistake == largest


def test_an_image_that_is_all_right_has_no_mistake():
  everything = show_worst(EVALUATION, DATASET, "train", 99)
  assert len(everything) == 8  # one is void alone
  assert [one.view.name for one in everything if not one.mistake] == ["id0"]


def test_the_small_pictures():
  one = show_worst(EVALUATION, DATASET, "train", 1)[0]
  place = EVALUATION.image_ids.index(one.view.name)
  image, label = DATASET.samples[place]
  prediction = EVALUATION.predictions[one.view.name]
  assert [side.name for side in one.sides] == [
    "Image",
    "Label",
    "Prediction",
    "Errors",
  ]
  assert not one.sides[0].entries
  for side, ids in zip(one.sides[1:3], (label, prediction), strict=True):
    shares = {entry.label: entry.share for entry in side.entries}
    for class_id, share in shares.items():
      assert share == pytest.approx((ids == class_id).mean())
    assert sum(shares.values()) == pytest.approx(1)
  # Colours on average, since JPEG keeps them no better.
  kinds = error_map(label, prediction, (0,))
  grey = image.mean(-1, keepdims=True)
  errors = decoded(one.sides[3].uri)
  assert errors.shape == (*label.shape, 3)
  mixed = 0.35 * grey + 0.65 * COLORS[kinds]
  mixed[kinds == Kind.RIGHT] = grey.repeat(3, -1)[kinds == Kind.RIGHT]
  edge = np.zeros(kinds.shape, bool)
  edge[:, 1:] |= kinds[:, 1:] != kinds[:, :-1]
  edge[1:] |= kinds[1:] != kinds[:-1]
  edge |= np.roll(edge, -1, 0) | np.roll(edge, -1, 1)
  for kind in (Kind.RIGHT, Kind.WRONG):
    inside = (kinds == kind) & ~edge
    np.testing.assert_allclose(
      errors[inside].mean(0), mixed[inside].mean(0), atol=12
    )
