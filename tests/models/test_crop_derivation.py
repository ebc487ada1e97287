"""fcn_jax.crop_derivation: what is written is what geometry computes."""

from fractions import Fraction

import pytest

from fcn_jax import models
from fcn_jax.models import crop_derivation, geometry
from fcn_jax.models import layers as d
from fcn_jax.text import number

NAMES = ("fcn_alexnet", "fcn32s", "fcn16s", "fcn8s", "fcn8s_atonce")


def value(text: str) -> Fraction:
  """What one side of a written equation comes to."""
  text = text.replace("×", "*").replace("−", "-")
  assert set(text) <= set("0123456789.+-*/() ")
  return Fraction(eval(text)).limit_denominator(1000)


def test_fcn_alexnet_step_by_step():
  """Worked by hand: how the pad of 100 becomes an offset of 18."""
  found = crop_derivation.steps(models.declare("fcn_alexnet", 21))
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
  (offset,) = crop_derivation.offsets(models.declare("fcn_alexnet", 21))
  assert str(offset) == (
    "score: 100 (pad of conv1) − 5 (conv1) − 4 (pool1) − 8 (pool2) − "
    "16 (pool5) − 80 (fc6) + 31 (upscore) = 18 pixels"
  )


def test_the_published_offsets():
  """As in the FCN authors' prototxts."""
  found = {
    name: [x.cells for x in crop_derivation.offsets(models.declare(name, 21))]
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
  pool4 = crop_derivation.offsets(models.declare("fcn8s", 21))[0]
  assert str(pool4) == (
    "score_pool4c: 8 (pool5) + 96 (fc6) − 24 (upscore2) = 80 pixels, "
    "16 a cell: 5 cells"
  )


@pytest.mark.parametrize("name", NAMES)
def test_every_equation_holds(name):
  layers = models.declare(name, 21)
  places = geometry.placements(layers)
  offsets = geometry.crop_offsets(layers)
  for step in crop_derivation.steps(layers):
    place = places[step.layer]
    left, right = map(value, step.centre.split("="))
    assert left == right == offsets.get(step.layer, place.start)
    if step.stride:
      left, right = map(value, step.stride.split("="))
      assert left == right == place.stride
  for offset in crop_derivation.offsets(layers):
    assert sum(p for _, p in offset.terms) == offset.cells * offset.stride
    assert offset.cells == offsets[offset.crop]


def test_what_moves_nothing_is_left_out():
  names = {x.layer for x in crop_derivation.steps(models.declare("fcn8s", 21))}
  assert not names & {"data", "conv1_2", "drop6", "score_fr", "fuse_pool4"}


def test_numbers_and_operations_in_words():
  assert number(Fraction(25, 2)) == "12.5"
  assert number(Fraction(-1, 3)) == "−1/3"
  assert number(-18) == "−18"
  conv = d.Conv("c", features=4, kernel=5, stride=2, pad=3, groups=2)
  assert crop_derivation.operation(conv) == (
    "convolution 5 × 5, stride 2, pad 3, 2 groups"
  )
  assert crop_derivation.operation(d.Scale("s", factor=0.01)) == "× 0.01"
