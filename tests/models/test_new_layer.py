"""A layer that only this test defines is a layer like every other."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from fcn_jax import models
from fcn_jax.models import describe, geometry
from fcn_jax.models import layers as d
from fcn_jax.reports import network as network_page
from fcn_jax.training.optimizers import multipliers
from fcn_jax.weights import checkpoints, export, surgery


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stride(d.Layer):
  """Every second cell, times a learned factor a channel, plus a shift."""

  @property
  def words(self):
    return "every second cell, rescaled"

  def out_size(self, below):
    return (below + 1) // 2

  def place(self, below):
    return dataclasses.replace(below, stride=2 * below.stride)

  def weights(self, channels):
    return {
      "factor": d.Weight((channels,), fill=1.0, decay_mult=0.0),
      "shift": d.Weight((channels,), lr_mult=2.0),
    }

  def apply(self, given, x):
    factor, shift = given.weights.factor[...], given.weights.shift[...]
    return x[:, ::2, ::2] * factor[None, None, None] + shift[None, None, None]


def declare(classes: int, width: int = 4):
  return (
    d.Data("data", mean_bgr=(100.0, 110.0, 120.0)),
    d.Conv("conv1", features=width, kernel=3, pad=10),
    Stride("half"),
    d.score("score_fr", classes),
    d.Upscore("upscore", kernel=3, stride=2),
    d.Crop("score", like="data"),
  )


@pytest.fixture
def net(monkeypatch):
  monkeypatch.setitem(models.NETWORKS, "half", models.Registered(declare))
  net = models.build(models.declare("half", 3))
  surgery.initialise(net, seed=1, head_init="gaussian")
  return net


def image(*size):
  return np.random.default_rng(0).integers(0, 256, (1, *size, 3), np.uint8)


def test_it_computes_by_hand_what_it_says(net):
  net.half.factor[...] = jnp.array([1.0, 2.0, 3.0, 4.0])
  net.half.shift[...] = jnp.array([0.0, 1.0, 0.0, -1.0])
  blobs = net.blobs(jnp.asarray(image(6, 9)))
  conv1, half = np.asarray(blobs["conv1"]), np.asarray(blobs["half"])
  assert conv1.shape[1:3] == (24, 27)
  assert half.shape[1:3] == (12, 14)
  assert half[0, 5, 7, 3] == conv1[0, 10, 14, 3] * 4 - 1
  assert geometry.crop_offsets(net.layers) == {"score": 10}


def test_the_canvas_of_an_image_changes_nothing(net):
  """Its shift fills what lies beyond the image; the network takes it out."""
  net.half.shift[...] = jnp.array([1.0, 2.0, 3.0, 4.0])
  small = image(7, 8)
  alone = np.asarray(net(jnp.asarray(small)))
  canvas = np.zeros((1, 12, 13, 3), np.uint8)
  canvas[:, :7, :8] = small
  padded = net(jnp.asarray(canvas), jnp.array([[7, 8]]))
  np.testing.assert_allclose(padded[:, :7, :8], alone, rtol=1e-5, atol=1e-5)


def test_it_learns_at_its_own_rates(net):
  graphdef, params, rest = nnx.split(net, nnx.Param, ...)

  def loss(params):
    scores = nnx.merge(graphdef, params, rest)(jnp.asarray(image(6, 9)))
    return (scores**2).mean()

  grads = jax.grad(loss)(params)
  assert np.abs(grads["half"]["factor"][...]).min() > 0
  found = multipliers(net.layers, params)
  assert (found.lr["half"]["factor"], found.decay["half"]["factor"]) == (1, 0)
  assert (found.lr["half"]["shift"], found.decay["half"]["shift"]) == (2, 1)
  assert found.lr["score_fr"]["bias"] == 2


def test_it_is_described_and_drawn():
  found = describe.describe("half", declare(3), 6, 9)
  row = next(row for row in found.rows if row.name == "half")
  assert (row.operation, row.kind) == ("every second cell, rescaled", "stride")
  assert (row.height, row.width, row.channels) == (12, 14, 4)
  assert (row.parameters, row.lr_mult, row.decay_mult) == (8, (1, 2), (0, 1))
  assert found.parameters == 27 * 4 + 4 + 8 + 4 * 3 + 3
  assert "every second cell, rescaled" in found.table()
  step = next(step for step in found.steps if step.layer == "half")
  assert (step.centre, step.stride) == ("−9 to −9", "1 to 2")
  assert "half" in str(network_page.picture(found))


def test_it_is_saved_loaded_and_started_from(net, tmp_path):
  net.half.shift[...] = jnp.arange(4.0)
  card = checkpoints.ModelCard(
    model={"name": "half", "classes": 3, "width": 4},
    class_names=["a", "b", "c"],
    palette=[[0, 0, 0], [255, 0, 0], [0, 255, 0]],
    config={},
    data_digest="",
    source="a test",
  )
  checkpoints.save_model(tmp_path / "net", net, card)
  loaded, _, _ = checkpoints.load_model(tmp_path / "net")
  assert loaded.half.shift[...].tolist() == [0, 1, 2, 3]
  fresh = models.build(models.declare("half", 3))
  receipt = surgery.surgery(export.to_source(loaded), fresh)
  assert fresh.half.shift[...].tolist() == [0, 1, 2, 3]
  assert "half.factor" in str(receipt)
  wider = models.build(models.declare("half", 3, width=6))
  source = export.to_source(loaded)
  says = r"half: Stride \(4,\), \(4,\) -> network half: factor \(6,\), shift"
  with pytest.raises(surgery.SurgeryError, match=says):
    surgery.surgery(source, wider)


def test_caffe_is_not_told_of_it(net):
  with pytest.raises(
    ValueError, match="'half': Caffe has no layer for a Strid"
  ):
    export.to_caffe(net)
