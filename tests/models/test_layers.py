"""fcn_jax.models.layers: which layer reads which."""

import dataclasses

import pytest

from fcn_jax.models import layers as d

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


def conv(name, **options):
  return d.Conv(name, **({"features": 4, "kernel": 1} | options))


def test_channels_by_hand():
  layers = (
    DATA,
    conv("conv1", features=6),
    d.MaxPool("pool1", kernel=2, stride=2),
    conv("score", features=5, relu=False),
    d.Upscore("up", kernel=4, stride=2),
    d.Scale("scale", bottom="pool1", factor=0.5),
    conv("side", features=5),
    d.Sum("sum", bottom="up", other="side"),
    d.Crop("crop", like="data"),
  )
  assert list(d.channels(layers).values()) == [3, 6, 6, 5, 5, 6, 5, 5, 5]


def test_blobs_of_other_channels_are_not_added():
  layers = (DATA, conv("a", features=4), conv("b", features=5, bottom="data"))
  with pytest.raises(ValueError, match="sum adds b and a, which have 5 and 4"):
    d.channels((*layers, d.Sum("sum", other="a")))


POOL = d.MaxPool("pool", kernel=2, stride=2)


@pytest.mark.parametrize(
  "layers",
  [
    (conv("c"), POOL),
    (conv("c"), d.LRN("n"), d.Dropout("o"), POOL),
    (conv("c"), d.Scale("s", factor=0.1), POOL, conv("e"), POOL),
    (conv("c"), conv("e"), d.Sum("s", other="c"), POOL),
    (conv("c"), d.Crop("r", like="data"), POOL),
  ],
)
def test_what_is_behind_a_relu_may_be_pooled(layers):
  named = [
    dataclasses.replace(x, name=f"{x.name}{i}") if x is POOL else x
    for i, x in enumerate(layers)
  ]
  d.check_pooling((DATA, *named))


@pytest.mark.parametrize(
  "layers",
  [
    (POOL,),
    (conv("c", relu=False), POOL),
    (conv("c"), conv("e", relu=False), d.Sum("s", other="c"), POOL),
    (conv("c"), conv("e", relu=False), d.Sum("s", bottom="c", other="e"), POOL),
  ],
)
def test_what_may_be_negative_is_not_pooled(layers):
  """Zeros beyond an image's extent would win."""
  with pytest.raises(ValueError, match=r"pool pools .*may be negative"):
    d.check_pooling((DATA, *layers))


@pytest.mark.parametrize(
  ("make", "says"),
  [
    (lambda: conv("c", features=0), "features = 0"),
    (lambda: conv("c", kernel=0), "kernel = 0"),
    (lambda: conv("c", stride=0), "stride = 0"),
    (lambda: conv("c", pad=-1), "pad = -1"),
    (lambda: conv("c", features=3, groups=2), "groups = 2"),
    (lambda: d.MaxPool("c", kernel=1, stride=4), "stride = 4"),
    (lambda: d.MaxPool("c", kernel=2, stride=2, pad=2), "pad = 2"),
    (lambda: d.LRN("c", size=4), "size = 4"),
    (lambda: d.Dropout("c", rate=1.0), "rate = 1.0"),
    (lambda: d.Upscore("c", kernel=2, stride=3), "stride = 3"),
    (lambda: d.Scale("c", factor=-1.0), "factor = -1.0"),
  ],
)
def test_values_that_make_no_sense_are_refused(make, says):
  with pytest.raises(ValueError, match="makes no sense") as error:
    make()
  assert str(error.value) == f"layer 'c': {says} makes no sense"


def test_groups_that_do_not_divide_the_channels_are_refused():
  layers = (DATA, conv("c", features=4, groups=2))
  with pytest.raises(ValueError, match="the 3 channels of data into 2 groups"):
    d.channels(layers)
