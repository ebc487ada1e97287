"""weights.proof: its classifier is Caffe's, and false surgery fails it."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from places import GOLDEN

from fcn_jax import models
from fcn_jax.models import layers as d
from fcn_jax.weights import caffemodel, export, proof
from fcn_jax.weights import surgery as surgery_lib
from fcn_jax.weights.source import Source

WIDTHS = (6, 8, 12, 12, 8, 24, 20)


MODEL = {"name": "fcn_alexnet", "classes": 21, "width": WIDTHS}


def convert(file="alexnet", **options):
  source = caffemodel.read_caffemodel(GOLDEN / f"{file}.caffemodel")
  net = models.build(models.declare(**MODEL))
  receipt = surgery_lib.surgery(source, net, **options)
  return source, net, receipt


def prove(source, net, receipt):
  return proof.prove(source, net, MODEL, receipt)


@pytest.mark.parametrize("blob", ["pool1", "pool2", "pool5", "fc6", "fc7"])
def test_the_numpy_classifier_computes_what_caffe_computes(blob):
  golden = np.load(GOLDEN / "alexnet.npz")
  source = caffemodel.read_caffemodel(GOLDEN / "alexnet.caffemodel")
  layers = models.declare("alexnet", classes=10, width=WIDTHS)
  names = [layer.name for layer in layers]
  chain = layers[: names.index(blob) + 1]
  chain = tuple(x for x in chain if not x.name.startswith("drop"))
  ours = proof.classify(source, chain, golden["image"])
  theirs = golden[f"blob/{blob}"].reshape(ours.shape)
  assert abs(ours - theirs).max() <= 1e-5 * abs(theirs).max()


def test_a_window_by_hand():
  """2 x 2 windows of stride 2 on 3 x 3, the last ones cut at the edge."""
  x = np.arange(9.0).reshape(1, 3, 3)
  pooled = proof._pool(x, 2, 2, 2)
  np.testing.assert_array_equal(pooled, [[[4, 5], [7, 8]]])


@pytest.mark.parametrize("file", ["alexnet", "alexnet_v1", "fcn_alexnet"])
def test_the_proof_holds_for_a_right_surgery(file):
  result = prove(*convert(file))
  assert result.holds
  assert result.blob == "fc7"
  order = "pool_norm" if file == "fcn_alexnet" else "norm_pool"
  assert result.order == order
  assert str(result).startswith("holds: fc7")


WRONG = {
  "rows and columns of conv1": ("conv1", lambda k: k.swapaxes(0, 1)),
  "blue and red": ("conv1", lambda k: k[:, :, ::-1]),
  "the groups of conv4": ("conv4", lambda k: np.roll(k, 6, axis=3)),
  "convolution for correlation": ("conv5", lambda k: k[::-1, ::-1]),
  # The flattened input taken as H, W, C.
  "the order of fc6": (
    "fc6",
    lambda k: k.transpose(2, 0, 1, 3).reshape(k.shape),
  ),
  "a row of fc6 lost": (
    "fc6",
    lambda k: np.concatenate([k[:2], 0 * k[2:3], k[3:]]),
  ),
  "the inputs of fc7": ("fc7", lambda k: k[:, :, ::-1]),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_the_proof_fails_for_a_wrong_one(mistake):
  source, net, receipt = convert()
  name, change = WRONG[mistake]
  kernel = getattr(net, name).kernel
  kernel[...] = jnp.asarray(change(np.asarray(kernel[...])))
  result = prove(source, net, receipt)
  assert not result.holds
  assert str(result).startswith("FAILED")


def test_only_what_was_copied_is_compared():
  source = caffemodel.read_caffemodel(GOLDEN / "alexnet.caffemodel")
  layers = tuple(x for x in source.layers if x.name not in ("fc6", "fc7"))
  part = dataclasses.replace(source, layers=layers)
  net = models.build(models.declare("fcn_alexnet", classes=5, width=WIDTHS))
  receipt = surgery_lib.surgery(part, net, allow_missing=("fc6", "fc7"))
  result = prove(part, net, receipt)
  assert result.holds
  assert result.blob == "pool5"


def test_nothing_copied_and_nothing_alive_are_no_proof():
  source, net, receipt = convert()
  rows = tuple(
    dataclasses.replace(row, action="initialised") for row in receipt.rows
  )
  none = prove(source, net, dataclasses.replace(receipt, rows=rows))
  assert not none.holds
  assert str(none).startswith("none")
  dead = tuple(
    dataclasses.replace(x, blobs=tuple(b * 0 for b in x.blobs))
    for x in source.layers
  )
  source = dataclasses.replace(source, layers=dead)
  receipt = surgery_lib.surgery(source, net)
  result = prove(source, net, receipt)
  assert not result.holds
  assert "throughout" in str(result)


VGG = {"name": "fcn16s", "classes": 3, "width": (4, 4, 6, 6, 8, 10, 12)}


@pytest.fixture(scope="module")
def vgg16() -> Source:
  """A classifier's file, whose biases are not zero."""
  net = models.build(models.declare(**(VGG | {"name": "vgg16"})))
  surgery_lib.initialise(net, 0, "gaussian")
  for layer in net.layers:
    if hasattr(net, layer.name):
      bias = getattr(net, layer.name).bias
      bias[...] = jnp.linspace(0.1, 1, bias.size)
  return export.to_caffe(net, inner_products=("fc6", "fc7", "fc8"))


def test_vgg16_is_proven_with_its_own_padding(vgg16):
  """224 pixels are 7 cells of pool5; conv1_1 is padded by 1, not by 100."""
  net = models.build(models.declare(**VGG))
  receipt = proof.convert(vgg16, net, VGG)
  assert receipt.proof.startswith("holds: fc7 of a 224x224 image, differs")
  kernel = net.conv5_2.kernel
  kernel[...] = kernel[...].swapaxes(0, 1)
  assert not proof.prove(vgg16, net, VGG, receipt).holds


def test_a_conversion_that_changes_the_network_is_refused(vgg16, monkeypatch):
  surgery = surgery_lib.surgery

  def wrong(source, network, **options):
    receipt = surgery(source, network, **options)
    network.fc6.kernel[...] = network.fc6.kernel[...][::-1]
    return receipt

  monkeypatch.setattr(surgery_lib, "surgery", wrong)
  net = models.build(models.declare(**VGG))
  with pytest.raises(proof.ProofError, match="FAILED: fc7") as error:
    proof.convert(vgg16, net, VGG, file="some.caffemodel")
  assert "some.caffemodel: the converted network does not" in str(error.value)


def test_a_network_of_no_classifier_has_no_proof(monkeypatch):
  def toy(classes):
    return (
      d.Data("data", mean_bgr=(0.0, 0.0, 0.0)),
      d.Conv("score", features=classes, kernel=1, relu=False, head=True),
      d.Crop("crop", like="data"),
    )

  monkeypatch.setitem(models.NETWORKS, "toy", models.Registered(toy))
  model = {"name": "toy", "classes": 2}
  net = models.build(models.declare(**model))
  receipt = proof.convert(export.to_caffe(net), net, model)
  assert receipt.proof.startswith("none")


def test_a_part_of_a_trunk_is_proven_as_far_as_it_goes(vgg16, monkeypatch):
  """A network on pool5 of VGG-16, and one whose fc6 is another."""

  def short(classes, width=1.0, mean_bgr=(1.0, 2.0, 3.0), fc6=0):
    trunk = models.vgg16.trunk(width, mean_bgr, 100)
    end = [layer.name for layer in trunk].index("pool5") + 1
    more = [d.Conv("fc6", features=fc6, kernel=3)] if fc6 else []
    return (
      *trunk[:end],
      *more,
      d.Conv("score_fr", features=classes, kernel=1, relu=False, head=True),
      d.Upscore("upscore", kernel=64, stride=32),
      d.Crop("score", like="data"),
    )

  monkeypatch.setitem(
    models.NETWORKS, "short", models.Registered(short, "vgg16")
  )
  for fc6 in (0, 5):
    model = VGG | {"name": "short", "fc6": fc6}
    net = models.build(models.declare(**model))
    options = {"allow_missing": ["fc6"] if fc6 else []}
    unknown = ["fc7"] if fc6 else ["fc6", "fc7"]
    receipt = proof.convert(vgg16, net, model, allow_unknown=unknown, **options)
    assert receipt.proof.startswith("holds: pool5")
