"""fcn_jax.network_description: worked by hand, or published."""

import json

import pytest

from fcn_jax import models
from fcn_jax.models import describe, flops
from fcn_jax.models import layers as d
from fcn_jax.text import operations

BY_HAND = (
  d.Data("data", mean_bgr=(0.0, 0.0, 0.0)),
  d.Conv("conv1", features=4, kernel=3, stride=2, pad=2),
  d.Conv(
    "score",
    features=6,
    kernel=1,
    groups=2,
    relu=False,
    lr_mult=(1.0, 2.0),
    decay_mult=(1.0, 0.0),
  ),
  d.Upscore("up", kernel=4, stride=2),
)


def row_of(found, name: str) -> describe.Row:
  return next(row for row in found.rows if row.name == name)


def test_by_hand():
  """7 x 9 pixels; see tests/test_flops.py for the operations.

  conv1 has 3 x 3 x 3 x 4 weights and 4 biases, its cell 0 lies at 1 - 2.
  score has 2 inputs for each of 6 features, and 6 biases. up has 2 (5 - 1) + 4
  by 2 (6 - 1) + 4 cells; its cell 0 lies at -1 - 3 / 2.
  """
  found = describe.describe("by hand", BY_HAND, 7, 9)
  cells = [describe.cells(row) for row in found.rows]
  sees = [cell[5:8] for cell in cells]
  assert [cell[2] for cell in cells] == [
    "7 × 9 × 3",
    "5 × 6 × 4",
    "5 × 6 × 6",
    "12 × 14 × 6",
  ]
  assert [row.parameters for row in found.rows] == [0, 112, 18, 0]
  assert found.parameters == 130
  assert [row.flops for row in found.rows] == [0, 6480, 720, 5760]
  assert found.forward_flops == 6480 + 720 + 5760
  assert found.step_flops == flops.train_step(BY_HAND, 7, 9)
  assert sees == [
    ("1", "1", "0"),
    ("3", "2", "−1"),
    ("3", "2", "−1"),
    ("3", "1", "−2.5"),
  ]
  assert [cell[8:] for cell in cells] == [
    ("", ""),
    ("1, 1", "1, 1"),
    ("1, 2", "1, 0"),
    ("fixed", "fixed"),
  ]
  assert row_of(found, "score").bottoms == ("conv1",)
  assert (row_of(found, "conv1").pad, row_of(found, "data").pad) == (2, None)


# Receptive field, stride, learnable parameters with 21 classes. VGG-16's pool5
# sees 212 pixels; fc6 adds 6 cells of 32.
PUBLISHED = {
  "fcn_alexnet": (355, 32, 56_954_261),
  "fcn32s": (404, 32, 134_346_581),
  "fcn16s": (404, 32, 134_357_354),
  "fcn8s": (404, 32, 134_362_751),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_networks(name):
  layers = models.declare(name, 21)
  found = describe.describe(name, layers, 375, 500)
  assert (found.field, found.coarsest, found.parameters) == PUBLISHED[name]
  assert sum(row.parameters for row in found.rows) == found.parameters
  last = found.rows[-1]
  assert (last.height, last.width, last.channels) == (375, 500, 21)


def test_the_table_of_fcn_alexnet():
  layers = models.declare("fcn_alexnet", 21)
  text = describe.describe("fcn_alexnet", layers, 375, 500).table()
  line = next(x for x in text.splitlines() if x.startswith("  fc6"))
  assert line.split("  ")[1] == "fc6"
  for cell in ("12 × 16 × 4096", "37,752,832", "14.5 GFLOP", "355", "32", "13"):
    assert f" {cell}" in line
  assert "+ 31 (upscore) = 18 pixels" in text
  assert max(map(len, text.splitlines())) < 150


def test_layers_that_read_another_than_the_one_before_say_so():
  layers = models.declare("fcn8s", 21)
  found = describe.describe("fcn8s", layers, 375, 500)
  assert row_of(found, "score_pool4").operation.endswith("1 × 1, of pool4")
  fuse = row_of(found, "fuse_pool4")
  assert fuse.operation == "sum of upscore2 and score_pool4c"
  assert fuse.bottoms == ("upscore2", "score_pool4c")


def test_json_holds_the_same():
  layers = models.declare("fcn_alexnet", 21)
  found = describe.describe("fcn_alexnet", layers, 375, 500)
  figures = json.loads(json.dumps(found.figures()))
  assert figures["receptive_field"] == 355
  assert figures["crops"][0]["offset"] == 18
  assert figures["layers"][-1]["centre"] == 0
  assert figures["layers"][1]["kernel"] == 11
  assert len(figures["layers"]) == len(layers)


def test_an_image_that_does_not_fit_is_refused():
  with pytest.raises(ValueError, match="too small"):
    describe.describe("alexnet", models.declare("alexnet", 10), 60, 227)


def test_operations_in_words():
  assert operations(14_495_514_624) == "14.5 GFLOP"
  assert operations(1_000_000_000_000) == "1 TFLOP"
  assert operations(999) == "999 FLOP"
