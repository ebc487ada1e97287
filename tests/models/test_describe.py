"""fcn_jax.models.describe: worked by hand, or published."""

import json
from fractions import Fraction

import jax
import pytest
from flax import nnx

from fcn_jax import models
from fcn_jax.models import describe, geometry
from fcn_jax.models import layers as d
from fcn_jax.text import number, operations

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


def row_of(found, name: str) -> describe.LayerRow:
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
  assert found.step_flops == describe.step_flops(BY_HAND, 7, 9)
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


NAMES = ("fcn_alexnet", "fcn32s", "fcn16s", "fcn8s", "fcn8s_atonce")


def value(text: str) -> Fraction:
  """What one side of a written equation comes to."""
  text = text.replace("×", "*").replace("−", "-")
  assert set(text) <= set("0123456789.+-*/() ")
  return Fraction(eval(text)).limit_denominator(1000)


def test_fcn_alexnet_step_by_step():
  """Worked by hand: how the pad of 100 becomes an offset of 18."""
  found = describe.derivation(models.declare("fcn_alexnet", 21))
  assert [(x.layer, x.centre, x.stride) for x in found] == [
    ("conv1", "0 + 1 × ((11 − 1) / 2 − 100) = −95", "1 × 4 = 4"),
    ("pool1", "−95 + 4 × ((3 − 1) / 2) = −91", "4 × 2 = 8"),
    ("pool2", "−91 + 8 × ((3 − 1) / 2) = −83", "8 × 2 = 16"),
    ("pool5", "−83 + 16 × ((3 − 1) / 2) = −67", "16 × 2 = 32"),
    ("fc6", "−67 + 32 × ((6 − 1) / 2) = 13", ""),
    ("upscore", "13 − 1 × (63 − 1) / 2 = −18", "32 / 32 = 1"),
    ("score", "(0 − (−18)) / 1 = 18", ""),
  ]


def test_fcn_alexnet_as_one_sum():
  (offset,) = describe.derived_offsets(models.declare("fcn_alexnet", 21))
  assert str(offset) == (
    "score: 100 (pad of conv1) − 5 (conv1) − 4 (pool1) − 8 (pool2) − "
    "16 (pool5) − 80 (fc6) + 31 (upscore) = 18 pixels"
  )


def test_the_published_offsets():
  """As in the FCN authors' prototxts."""
  found = {
    name: [x.cells for x in describe.derived_offsets(models.declare(name, 21))]
    for name in NAMES
  }
  assert found == {
    "fcn_alexnet": [18],
    "fcn32s": [19],
    "fcn16s": [5, 27],
    "fcn8s": [5, 9, 31],
    "fcn8s_atonce": [5, 9, 31],
  }


def test_an_offset_between_two_streams():
  pool4 = describe.derived_offsets(models.declare("fcn8s", 21))[0]
  assert str(pool4) == (
    "score_pool4c: 8 (pool5) + 96 (fc6) − 24 (upscore2) = 80 pixels, "
    "16 a cell: 5 cells"
  )


@pytest.mark.parametrize("name", NAMES)
def test_every_equation_holds(name):
  layers = models.declare(name, 21)
  places = geometry.placements(layers)
  offsets = geometry.crop_offsets(layers)
  for step in describe.derivation(layers):
    place = places[step.layer]
    left, right = map(value, step.centre.split("="))
    assert left == right == offsets.get(step.layer, place.start)
    if step.stride:
      left, right = map(value, step.stride.split("="))
      assert left == right == place.stride
  for offset in describe.derived_offsets(layers):
    assert sum(p for _, p in offset.terms) == offset.cells * offset.stride
    assert offset.cells == offsets[offset.crop]


def test_what_moves_nothing_is_left_out():
  names = {x.layer for x in describe.derivation(models.declare("fcn8s", 21))}
  assert not names & {"data", "conv1_2", "drop6", "score_fr", "fuse_pool4"}


def test_numbers_and_operations_in_words():
  assert number(Fraction(25, 2)) == "12.5"
  assert number(Fraction(-1, 3)) == "−1/3"
  assert number(-18) == "−18"
  conv = d.Conv("c", features=4, kernel=5, stride=2, pad=3, groups=2)
  assert conv.words == "convolution 5 × 5, stride 2, pad 3, 2 groups"
  assert d.Scale("s", factor=0.01).words == "× 0.01"


LAYERS = (
  d.Data("data", mean_bgr=(0.0, 0.0, 0.0)),
  d.Conv("conv1", features=4, kernel=3, stride=2, pad=2),
  d.Conv("conv2", features=6, kernel=1, groups=2),
  d.Upscore("up", kernel=4, stride=2),
)


def test_flops_by_hand():
  """7 x 9 pixels: 5 x 6 cells of 27 products for each of 4 features.

  (7 + 4 - 3) // 2 + 1 = 5, (9 + 4 - 3) // 2 + 1 = 6; then 2 inputs for each of
  6 features; then 16 products for each of 6 channels.
  """
  found = describe.forward_flops(LAYERS, 7, 9)
  assert found == {
    "conv1": 2 * 30 * 27 * 4,
    "conv2": 2 * 30 * 2 * 6,
    "up": 2 * 30 * 16 * 6,
  }
  # conv1: forward and kernel; conv2: input besides; up: forward and input.
  expected = 2 * found["conv1"] + 3 * found["conv2"] + 2 * found["up"]
  assert describe.step_flops(LAYERS, 7, 9) == expected


def test_fcn_alexnet_on_an_image_of_voc():
  """fc6: 12 x 16 cells, 6 * 6 * 256 * 4096 products each: 14.5 GFLOP."""
  found = describe.forward_flops(models.declare("fcn_alexnet", 21), 375, 500)
  assert found["fc6"] == 2 * 12 * 16 * 37_748_736
  assert round(sum(found.values()) / 1e9, 1) == 32.5


def test_parameters_are_those_of_the_network():
  for name in models.NETWORKS:
    layers = models.declare(name, 5, width=0.05)
    params = nnx.state(models.build(layers), nnx.Param)
    count = sum(x.size for x in jax.tree.leaves(params))
    assert describe.count_parameters(layers) == count
