"""fcn_jax.declaration: which layer reads which."""

import dataclasses

import pytest

from fcn_jax import declaration as d

DATA = d.Data("data", mean_bgr=(1.0, 2.0, 3.0))


def test_a_layer_reads_the_one_before_it_unless_it_names_another():
  layers = (
    DATA,
    d.MaxPool("pool", kernel=2, stride=2),
    d.Conv("score", features=2, kernel=1),
    d.Conv("side", features=2, kernel=1, bottom="data"),
    d.Crop("crop", like="score"),
  )
  assert [(layer.name, bottom) for layer, bottom in d.with_bottoms(layers)] == [
    ("data", None),
    ("pool", "data"),
    ("score", "pool"),
    ("side", "data"),
    ("crop", "side"),
  ]


def test_a_name_is_used_once():
  with pytest.raises(ValueError, match="two layers are called 'data'"):
    d.with_bottoms((DATA, DATA))


@pytest.mark.parametrize(
  "layer",
  [d.LRN("norm", bottom="conv9"), d.Crop("norm", like="conv9")],
  ids=["bottom", "like"],
)
def test_what_is_read_must_stand_before(layer):
  layers = (DATA, layer, d.Conv("conv9", features=1, kernel=1))
  with pytest.raises(ValueError, match=r"'norm' reads 'conv9'.*: data"):
    d.with_bottoms(layers)


def test_layers_are_values():
  """Equal and hashable, so that a compiled program can be found by them."""
  conv = d.Conv("conv1", features=96, kernel=11, stride=4)
  assert conv == d.Conv("conv1", features=96, kernel=11, stride=4)
  assert len({conv, dataclasses.replace(conv, pad=1), conv}) == 2
  with pytest.raises(dataclasses.FrozenInstanceError):
    conv.features = 1


def test_unless_told_a_layer_is_what_caffe_takes_it_for():
  conv = d.Conv("conv", features=1, kernel=3)
  assert (conv.stride, conv.pad, conv.groups) == (1, 0, 1)
  assert (conv.lr_mult, conv.decay_mult) == ((1, 1), (1, 1))
  norm = d.LRN("norm")
  assert (norm.size, norm.alpha, norm.beta, norm.k) == (5, 1e-4, 0.75, 1)
  assert d.Dropout("drop").rate == 0.5
