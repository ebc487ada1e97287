"""fcn_jax.evaluation.grid_bound: what a grid of scores can draw."""

import numpy as np
import pytest
from stored_data import StoredDataset

from fcn_jax import models
from fcn_jax.data.augment import Sample
from fcn_jax.evaluation.grid_bound import grid_bound
from fcn_jax.models import layers as d


def network(stride: int):
  """A score every `stride` pixels, from a pixel before the image on."""
  return (
    d.Data("data", mean_bgr=(0.0, 0.0, 0.0)),
    d.Conv("conv1", features=2, kernel=1, stride=stride, pad=stride),
    d.score("score_fr", 2),
    d.Upscore("upscore", kernel=2 * stride - 1, stride=stride),
    d.Crop("score", like="data"),
  )


def of(label, stride: int):
  label = np.array(label, np.uint8)
  sample = Sample(np.zeros((*label.shape, 3), np.uint8), label)
  data = StoredDataset([sample], ("ground", "thing"))
  return grid_bound(network(stride), data, "train")


def test_a_straight_edge_can_be_drawn_and_stripes_cannot():
  """Stripes of 2 pixels: with a score every 8 pixels two thirds at best.

  With a score in each pixel all of them; void counts for nothing.
  """
  edge = np.repeat([[0] * 12 + [1] * 12], 24, 0)
  assert of(edge, 8).counts.confusion.trace() >= 24 * 22
  stripes = np.resize([0, 0, 1, 1], (24, 24))
  coarse = of(stripes, 8)
  assert coarse.mean_iu < 0.6
  assert coarse.stride == 8
  fine = of(np.where(edge, 255, stripes), 1)
  assert fine.counts.confusion.tolist() == [[144, 0], [0, 144]]
  assert fine.figures()["mean_iu"] == 1
  assert "scores every 1 pixels" in fine.text()


def test_a_network_without_an_upscore_has_no_grid():
  data = StoredDataset(
    [Sample(np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), np.uint8))],
    ("a", "b"),
  )
  layers = models.declare("alexnet", classes=2, width=0.02)
  with pytest.raises(ValueError, match="ends with Upscore and Crop"):
    grid_bound(layers, data, "train")
