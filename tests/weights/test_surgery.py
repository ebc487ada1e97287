"""weights.surgery: what goes where, what is refused, and what is said of it."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
from places import GOLDEN, SHARED

from fcn_jax import models
from fcn_jax.weights import caffemodel, export, surgery
from fcn_jax.weights.source import Source, SourceLayer

REAL = SHARED / "data/caffemodels"
WIDTHS = (6, 8, 12, 12, 8, 24, 20)


def network(name="fcn_alexnet", classes=21, **options):
  options = {"width": WIDTHS} | options
  return models.build(models.declare(name, classes=classes, **options))


@pytest.fixture(scope="module")
def classifier() -> Source:
  return caffemodel.read_caffemodel(GOLDEN / "alexnet.caffemodel")


def edited(net, **layers) -> Source:
  """The net with layers' blobs replaced; None takes a layer out."""
  kept = [
    dataclasses.replace(x, blobs=layers.get(x.name, x.blobs))
    for x in net.layers
    if layers.get(x.name, x.blobs) is not None
  ]
  have = {x.name for x in net.layers}
  added = [
    SourceLayer(name, "Convolution", blobs)
    for name, blobs in layers.items()
    if name not in have and blobs is not None
  ]
  return dataclasses.replace(net, layers=(*kept, *added))


def blobs(net, name):
  return next(x.blobs for x in net.layers if x.name == name)


def test_an_inner_product_becomes_a_convolution_by_hand(classifier):
  """fc6[o] is flattened C, H, W: value c * 36 + y * 6 + x goes to [y, x, c, o].

  With 8 x 6 x 6 inputs and the value o * 1000 + index, kernel[2, 3, 5, 7] is
  7 * 1000 + 5 * 36 + 2 * 6 + 3 = 7195.
  """
  index = np.arange(24)[:, None] * 1000 + np.arange(288)[None]
  source = edited(
    classifier,
    fc6=(index.astype(np.float32)[None, None], np.arange(24, dtype="f4")),
  )
  net = network()
  surgery.surgery(source, net)
  assert net.fc6.kernel.shape == (6, 6, 8, 24)
  assert net.fc6.kernel[2, 3, 5, 7] == 7195
  np.testing.assert_array_equal(net.fc6.bias[...], np.arange(24))


def test_convolutions_go_from_oihw_to_hwio_and_stay_bgr(classifier):
  net = network()
  surgery.surgery(classifier, net)
  stored = blobs(classifier, "conv1")[0]
  assert net.conv1.kernel[4, 9, 0, 3] == stored[3, 0, 4, 9]
  # Grouped: 8 outputs see 3 of the 6 channels each.
  assert net.conv2.kernel.shape == (5, 5, 3, 8)
  assert (
    net.conv2.kernel[1, 4, 2, 7] == blobs(classifier, "conv2")[0][7, 2, 1, 4]
  )


def test_a_whole_fcn_file_is_copied_head_and_all():
  source = caffemodel.read_caffemodel(GOLDEN / "fcn_alexnet.caffemodel")
  receipt = surgery.surgery(source, network())
  assert {row.action for row in receipt.rows} == {"copied"}
  assert receipt.initialised_layers() == ()


def test_the_receipt_names_every_tensor_once(classifier):
  receipt = surgery.surgery(classifier, network(), file="a.caffemodel")
  sources = [row.source for row in receipt.rows if row.source]
  assert sorted(sources) == sorted(
    f"{x.name}[{i}]" for x in classifier.layers for i in range(len(x.blobs))
  )
  targets = [row.target for row in receipt.rows if row.target]
  assert len(set(targets)) == len(targets) == 2 * 8 + 1
  actions = {row.target or row.source: row.action for row in receipt.rows}
  assert actions["conv1.kernel"] == "copied"
  assert actions["fc6.kernel"] == actions["fc7.kernel"] == "reshaped"
  assert actions["score_fr.kernel"] == "initialised"
  assert actions["fc8[0]"] == "dropped"
  assert receipt.initialised_layers() == ("score_fr", "upscore")


def test_the_receipt_as_text_and_json(classifier):
  receipt = surgery.surgery(classifier, network(), file="a.caffemodel")
  text = str(receipt)
  assert "a.caffemodel" in text
  assert classifier.sha1 in text
  assert "source norm_pool, network pool_norm" in text
  [line] = [x for x in text.splitlines() if x.startswith("fc6[0]")]
  assert "24 x 288" in line
  assert "6 x 6 x 8 x 24" in line
  assert max(map(len, text.splitlines())) < 130
  stored = json.loads(receipt.to_json())
  assert stored["sha1"] == classifier.sha1
  assert stored["rows"][0]["source_shape"] == [6, 3, 11, 11]
  assert len(stored["rows"]) == len(receipt.rows)


def test_a_published_file_tells_its_order_where_its_layers_do_not(classifier):
  bare = tuple(x for x in classifier.layers if x.blobs)
  source = dataclasses.replace(
    classifier, known_as="bvlc_alexnet", order="norm_pool", layers=bare
  )
  receipt = surgery.surgery(source, network())
  assert (receipt.known_as, receipt.source_order) == (
    "bvlc_alexnet",
    "norm_pool",
  )
  assert "bvlc_alexnet" in str(receipt)


def test_all_problems_are_listed_with_both_sides(classifier):
  wrong = (np.zeros((8, 3, 3, 3), np.float32), np.zeros(8, np.float32))
  nan = tuple(np.full(b.shape, np.nan, "f4") for b in blobs(classifier, "fc7"))
  source = edited(classifier, conv2=wrong, fc6=None, fc7=nan, extra=wrong)
  net = network()
  with pytest.raises(surgery.SurgeryError) as error:
    surgery.surgery(source, net, file="bad.caffemodel")
  lines = str(error.value).splitlines()
  assert lines[0].startswith("bad.caffemodel")
  [line] = [x for x in lines if "misshapen: source conv2" in x]
  assert "(8, 3, 3, 3)" in line
  assert "(5, 5, 3, 8)" in line
  [line] = [x for x in lines if "missing: source fc6" in x]
  assert "(24, 288)" in line
  assert len([x for x in lines if "not finite: fc7" in x]) == 2
  assert len([x for x in lines if "unknown: extra" in x]) == 2
  assert not np.any(net.conv1.kernel[...]), "nothing may be copied on an error"


@pytest.mark.parametrize(
  "changed",
  [
    lambda w, b: (w,),
    lambda w, b: (w, b, b),
    lambda w, b: (w, b[:-1]),
    lambda w, b: (w.reshape(12, -1), b),
    lambda w, b: (w.transpose(0, 1, 3, 2)[:, :4], b),
    lambda w, b: (w.transpose(1, 0, 2, 3), b),
  ],
)
def test_a_convolution_has_exactly_its_two_blobs(classifier, changed):
  source = edited(classifier, conv3=changed(*blobs(classifier, "conv3")))
  with pytest.raises(surgery.SurgeryError, match="misshapen: source conv3"):
    surgery.surgery(source, network())


def test_a_layer_that_stands_twice_is_refused(classifier):
  twice = dataclasses.replace(classifier, layers=classifier.layers * 2)
  with pytest.raises(surgery.SurgeryError, match="conv1: stands 2 times"):
    surgery.surgery(twice, network())


def test_what_is_allowed_by_name_is_done_and_said(classifier):
  wrong = (np.zeros((8, 3, 3, 3), np.float32), np.zeros(8, np.float32))
  source = edited(classifier, conv2=wrong, fc6=None, fc7=None, extra=wrong)
  net = network()
  receipt = surgery.surgery(
    source,
    net,
    allow_missing=("conv2", "fc6", "fc7"),
    allow_unknown=("extra",),
  )
  actions = [(row.source or row.target, row.action) for row in receipt.rows]
  assert ("conv2[0]", "dropped") in actions
  assert ("conv2.kernel", "initialised") in actions
  assert ("fc6.kernel", "initialised") in actions
  assert ("extra[1]", "dropped") in actions
  # He-normal, 6 * 6 * 8 inputs: sqrt(2 / 288) = 0.0833, times a seventh
  # layer's share of 1 / 64: 64 ** (-1 / 7) = 0.552; from 6912 draws.
  assert np.std(net.fc6.kernel[...]) == pytest.approx(0.0460, rel=0.03)
  assert not np.any(net.fc6.bias[...])


def test_names_that_do_not_exist_are_refused(classifier):
  with pytest.raises(ValueError, match="allow_missing: fc9"):
    surgery.surgery(classifier, network(), allow_missing=("fc9",))
  with pytest.raises(ValueError, match="allow_unknown: fc9"):
    surgery.surgery(classifier, network(), allow_unknown=("fc9",))
  with pytest.raises(ValueError, match="head_init"):
    surgery.surgery(classifier, network(), head_init="ones")


def test_a_head_of_other_classes_is_refused_unless_allowed():
  source = caffemodel.read_caffemodel(GOLDEN / "fcn_alexnet.caffemodel")
  with pytest.raises(surgery.SurgeryError, match="allow_missing=score_fr"):
    surgery.surgery(source, network(classes=5))
  net = network(classes=5)
  receipt = surgery.surgery(source, net, allow_missing=("score_fr",))
  actions = [(row.source or row.target, row.action) for row in receipt.rows]
  assert ("score_fr[0]", "dropped") in actions
  assert ("score_fr.kernel", "initialised") in actions
  assert not np.any(net.score_fr.kernel[...])


def test_a_stored_upscore_has_to_be_the_bilinear_one():
  source = caffemodel.read_caffemodel(GOLDEN / "fcn_alexnet.caffemodel")
  [grouped] = blobs(source, "upscore")
  # The FCN authors' dense form of the same.
  dense = np.eye(21, dtype=np.float32)[:, :, None, None] * grouped[0, 0]
  surgery.surgery(edited(source, upscore=(dense,)), network())
  for bad in (grouped * 2, grouped[..., :62], dense[:, ::-1], dense * 0):
    with pytest.raises(surgery.SurgeryError, match="bilinear"):
      surgery.surgery(edited(source, upscore=(bad,)), network())
  learned = edited(source, upscore=(grouped * 2,))
  net = network()
  receipt = surgery.surgery(learned, net, allow_missing=("upscore",))
  assert receipt.initialised_layers() == ("upscore",)
  assert net.upscore.kernel1d[31] == 1


def test_the_classifier_keeps_its_own_head(classifier):
  net = network("alexnet", classes=10)
  receipt = surgery.surgery(classifier, net)
  assert receipt.initialised_layers() == ()
  stored = blobs(classifier, "fc8")[0]
  np.testing.assert_array_equal(net.fc8.kernel[0, 0], stored.T)


def test_head_init(classifier):
  zero, gaussian, again = (network(classes=40) for _ in range(3))
  surgery.surgery(classifier, zero)
  surgery.surgery(classifier, gaussian, head_init="gaussian", seed=1)
  surgery.surgery(classifier, again, head_init="gaussian", seed=1)
  assert not np.any(zero.score_fr.kernel[...])
  # 20 x 40 draws: the standard deviation is known to 2.5 %.
  kernel = gaussian.score_fr.kernel[...]
  assert np.std(kernel) == pytest.approx(0.01, rel=0.1)
  np.testing.assert_array_equal(kernel, again.score_fr.kernel[...])


@pytest.mark.skipif(not REAL.is_dir(), reason="no published files at hand")
def test_a_partial_published_file():
  path = REAL / "alexnet_conv1to5_approx.caffemodel"
  source = caffemodel.read_caffemodel(path)
  net = network(width=(96, 256, 384, 384, 256, 64, 64))
  with pytest.raises(surgery.SurgeryError, match="missing: source fc6"):
    surgery.surgery(source, net)
  receipt = surgery.surgery(source, net, allow_missing=("fc6", "fc7"))
  initialised = ("fc6", "fc7", "score_fr", "upscore")
  assert receipt.initialised_layers() == initialised


# Networks on VGG-16.

VGG_WIDTHS = (4, 4, 6, 6, 8, 10, 12)


def vgg(name, classes=5, seed=None) -> models.Network:
  net = network(name, classes, width=VGG_WIDTHS)
  if seed is not None:
    surgery.initialise(net, seed, "gaussian")
  return net


def as_caffe(net, **options) -> Source:
  return export.to_caffe(net, **options)


def assert_same(ours, theirs, *names):
  for name in names:
    a, b = (getattr(net, name).kernel[...] for net in (ours, theirs))
    np.testing.assert_array_equal(a, b)
    assert np.any(a)


def test_vgg16_becomes_fcn32s():
  """fc6 (10, 8 * 7 * 7) becomes a convolution; fc8 makes room."""
  classifier = vgg("vgg16", classes=9, seed=0)
  source = as_caffe(classifier, inner_products=("fc6", "fc7", "fc8"))
  net = vgg("fcn32s")
  receipt = surgery.surgery(source, net)
  assert blobs(source, "fc6")[0].shape == (10, 8 * 7 * 7)
  assert net.fc6.kernel.shape == (7, 7, 8, 10)
  assert_same(net, classifier, "conv1_1", "conv3_3", "conv5_3", "fc6", "fc7")
  assert receipt.initialised_layers() == ("score_fr", "upscore")
  assert (receipt.source_order, receipt.target_order) == ("unknown", "unknown")


def test_every_stage_starts_from_the_one_before():
  """New scores are zero, so 16s sees what 32s saw; upscores are dropped."""
  thirty_two = vgg("fcn32s", seed=1)
  sixteen = vgg("fcn16s")
  receipt = surgery.surgery(as_caffe(thirty_two), sixteen)
  assert_same(sixteen, thirty_two, "conv1_1", "fc7", "score_fr")
  assert not np.any(sixteen.score_pool4.kernel[...])
  dropped = {r.source: r.note for r in receipt.rows if r.action == "dropped"}
  assert dropped == {"upscore[0]": "bilinear, of another stride"}
  made = ("upscore2", "score_pool4", "upscore16")
  assert receipt.initialised_layers() == made

  kernel = np.random.default_rng(0).normal(size=(1, 1, 6, 5))
  sixteen.score_pool4.kernel[...] = jnp.asarray(kernel, jnp.float32)
  eight = vgg("fcn8s")
  receipt = surgery.surgery(as_caffe(sixteen), eight)
  assert_same(eight, sixteen, "conv1_1", "score_fr", "score_pool4")
  assert not np.any(eight.score_pool3.kernel[...])
  made = ("upscore_pool4", "score_pool3", "upscore8")
  assert receipt.initialised_layers() == made


def test_scores_that_learned_without_a_scale_do_not_get_one():
  source = as_caffe(vgg("fcn8s", seed=1))
  with pytest.raises(surgery.SurgeryError) as error:
    surgery.surgery(source, vgg("fcn8s_atonce"))
  text = str(error.value)
  assert "factor 0.01; score_pool4 of the source learned without it" in text
  assert "factor 0.0001; score_pool3 of the source learned" in text
  # Nor does a scale get lost.
  source = as_caffe(vgg("fcn8s_atonce", seed=1))
  with pytest.raises(surgery.SurgeryError, match=r"unknown: scale_pool4\[0\]"):
    surgery.surgery(source, vgg("fcn8s"))
  receipt = surgery.surgery(source, vgg("fcn8s_atonce"))
  assert {row.action for row in receipt.rows} == {"copied"}


def test_a_learned_upscore_that_has_no_place_is_unknown():
  source = as_caffe(vgg("fcn32s", seed=1))
  [kernel] = blobs(source, "upscore")
  learned = edited(source, upscore=(kernel * 2,))
  with pytest.raises(surgery.SurgeryError, match=r"unknown: upscore\[0\]"):
    surgery.surgery(learned, vgg("fcn16s"))
  surgery.surgery(learned, vgg("fcn16s"), allow_unknown=("upscore",))


def test_rows_of_classes_that_both_know_are_kept():
  """Class 2 of five is class 1 of four, and class 0 stays what it is."""
  trained = vgg("fcn16s", classes=5, seed=2)
  for name in ("score_fr", "score_pool4"):
    weight = getattr(trained, name)
    shape = weight.kernel.shape
    values = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    weight.kernel[...] = jnp.asarray(values)
    weight.bias[...] = jnp.arange(5.0)
  net = vgg("fcn16s", classes=4)
  receipt = surgery.surgery(as_caffe(trained), net, head_rows={0: 0, 1: 2})
  for name in ("score_fr", "score_pool4"):
    ours, theirs = getattr(net, name), getattr(trained, name)
    np.testing.assert_array_equal(
      ours.kernel[..., :2], theirs.kernel[..., np.array([0, 2])]
    )
    assert not np.any(ours.kernel[..., 2:])
    assert ours.bias[...].tolist() == [0, 2, 0, 0]
  rows = {row.source: row for row in receipt.rows}
  for source, shape in (("score_fr[0]", (5, 12, 1, 1)), ("score_fr[1]", (5,))):
    assert rows[source].action == "copied"
    assert rows[source].source_shape == shape
    assert rows[source].note == "rows 0 as 0, 2 as 1; others zero"
  assert "score_fr" not in receipt.initialised_layers()
  # None in common: all is fresh, although the shape is the same.
  net = vgg("fcn16s", classes=5)
  surgery.surgery(as_caffe(trained), net, head_rows={})
  assert not np.any(net.score_fr.kernel[...])
  assert_same(net, trained, "fc7")


def test_a_head_of_another_width_is_refused_with_its_rows():
  source = edited(
    as_caffe(vgg("fcn32s", seed=1)),
    score_fr=(np.zeros((5, 7, 1, 1), "f4"), np.zeros(5, "f4")),
  )
  with pytest.raises(surgery.SurgeryError, match="misshapen: source score_fr"):
    surgery.surgery(source, vgg("fcn32s"), head_rows={0: 0})
