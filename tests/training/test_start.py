"""training.start: where a run starts from, and what its receipt says of it."""

import dataclasses

import jax
import numpy as np
import pytest
from configs_there import load_config
from small_nets import split
from stored_data import StoredDataset

from fcn_jax import models
from fcn_jax.data.augment import Sample
from fcn_jax.training import start
from fcn_jax.weights import caffemodel, checkpoints, export, surgery
from fcn_jax.weights.source import Source, SourceLayer

CLASS_NAMES = ("ground", "cat", "dog")
CONVS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")


@pytest.fixture
def config():
  config = load_config("voc_fcn_alexnet_digits")
  config.model.width = 0.02
  config.seed = 7
  return config


def dataset(class_names=CLASS_NAMES) -> StoredDataset:
  sample = Sample(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint8))
  return StoredDataset([sample], class_names)


def network(config, class_names=CLASS_NAMES):
  """The network of a run on such a data set, its receipt's rows, and it."""
  found = start.network(config, start.about(config, dataset(class_names)))
  return found[0], {row.target: row for row in found[1].rows}, found[1]


def trained(name="fcn_alexnet", classes=3) -> models.Network:
  """A network whose every number is another one than a fresh one's."""
  net = models.build(models.declare(name, classes, width=0.02))
  surgery.initialise(net, seed=1, head_init="gaussian")
  for layer in (*CONVS, "fc8" if name == "alexnet" else "score_fr"):
    bias = getattr(net, layer).bias
    bias[...] = np.linspace(1, 2, bias.size, dtype=np.float32)
  return net


def store(directory, net, class_names=CLASS_NAMES, name="fcn_alexnet"):
  about = checkpoints.ModelCard(
    model={
      "name": name,
      "classes": len(class_names),
      "width": 0.02,
      "order": "norm_pool" if name == "alexnet" else "pool_norm",
      "mean_bgr": [116.0] * 3,
    },
    class_names=list(class_names),
    palette=[[i, i, i] for i in range(256)],
  )
  checkpoints.save_model(directory, net, about)
  return str(directory)


def assert_same(ours, theirs, layers=CONVS):
  for layer in layers:
    for part in ("kernel", "bias"):
      np.testing.assert_array_equal(
        getattr(getattr(ours, layer), part)[...],
        getattr(getattr(theirs, layer), part)[...],
        err_msg=f"{layer}.{part}",
      )


def test_what_the_checkpoints_of_a_run_say(config):
  about = start.about(config, dataset())
  assert about.model == {
    "name": "fcn_alexnet",
    "classes": 3,
    "width": 0.02,
    "order": "pool_norm",
    "mean_bgr": [116.0, 116.0, 116.0],
  }
  assert about.class_names == list(CLASS_NAMES)
  assert len(about.palette) == 256
  assert about.config["base_lr"] == config.base_lr
  assert about.source == "trained on stored"


def test_from_random_weights(config):
  """The run's seed gives the weights; nothing is read."""
  config.init.source = "random"
  config.init.path = "of no file"
  config.init.head = "gaussian"
  config.precision = "bfloat16"
  net, rows, receipt = network(config)
  expected = models.build(net.layers)
  surgery.initialise(expected, 7, "gaussian")
  assert_same(net, expected, (*CONVS, "score_fr"))
  assert np.any(net.score_fr.kernel[...])
  assert net.precision == "bfloat16"
  assert {row.action for row in rows.values()} == {"initialised"}
  assert receipt.source == "random weights, seed 7"
  config.seed = 8
  other, *_ = network(config)
  assert np.any(other.conv1.kernel[...] != net.conv1.kernel[...])


@pytest.mark.parametrize("source", ["caffemodel", "checkpoint"])
def test_no_weights_named(config, source):
  config.init.source = source
  with pytest.raises(
    ValueError, match=r"^config\.init\.path is empty"
  ) as error:
    network(config)
  assert "--config.init.source=random" in str(error.value)


def test_from_a_classifiers_caffemodel(config, tmp_path):
  """Inner products (O, C H W) become convolutions; fc8 makes room."""
  source = trained("alexnet", classes=5)
  path = tmp_path / "classifier.caffemodel"
  caffemodel.write_caffemodel(
    path, export.to_caffe(source, inner_products=("fc6", "fc7", "fc8"))
  )
  config.init.source = "caffemodel"
  config.init.path = str(path)
  net, rows, receipt = network(config)
  assert_same(net, source)
  # 96, 256 and 4096 times 0.02, as even numbers: 2, 6 and 82.
  assert rows["fc6.kernel"].source_shape == (82, 6 * 6 * 6)
  assert rows["fc6.kernel"].target_shape == (6, 6, 6, 82)
  actions = {layer: rows[f"{layer}.kernel"].action for layer in CONVS}
  assert actions == dict.fromkeys(CONVS[:5], "copied") | {
    "fc6": "reshaped",
    "fc7": "reshaped",
  }
  assert receipt.initialised_layers() == ("score_fr", "upscore")
  assert not np.any(net.score_fr.kernel[...]), "head: zero"
  dropped = [row.source for row in receipt.rows if row.action == "dropped"]
  assert dropped == ["fc8[0]", "fc8[1]"]
  assert receipt.source == str(path)
  assert receipt.sha1 == caffemodel.read_caffemodel(path).sha1


def test_what_a_caffemodel_lacks_has_to_be_allowed(config, tmp_path):
  whole = export.to_caffe(trained())
  layers = tuple(layer for layer in whole.layers if layer.name != "fc7")
  path = tmp_path / "part.caffemodel"
  caffemodel.write_caffemodel(path, Source("", "new", "", layers))
  config.init.source = "caffemodel"
  config.init.path = str(path)
  with pytest.raises(
    surgery.SurgeryError, match="missing: source fc7: nothing"
  ):
    network(config)
  config.init.allow_missing = ("fc7",)
  net, rows, receipt = network(config)
  assert rows["fc7.kernel"].note.endswith(", seed 7")
  assert np.any(net.fc7.kernel[...])
  assert receipt.initialised_layers() == ("fc7",)


def test_from_a_checkpoint_of_as_many_classes(config, tmp_path):
  """Head and all, of the best step."""
  config.init.source = "checkpoint"
  config.init.path = store(tmp_path / "model", trained())
  better = trained()
  better.conv1.bias[...] += 1
  _, params, frozen = split(better)
  _, about = checkpoints.load_about(tmp_path / "model")
  saved = checkpoints.Checkpoints(tmp_path / "model", keep_latest=3)
  saved.save(5, params, frozen, about, mean_iu=0.5)
  fresh = jax.tree.map(lambda x: x * 0, params)
  saved.save(9, fresh, frozen, about, mean_iu=0.25)
  net, rows, receipt = network(config)
  assert_same(net, better, (*CONVS, "score_fr"))
  assert {row.action for row in rows.values()} == {"copied"}
  assert receipt.initialised_layers() == ()
  assert receipt.source == str(tmp_path / "model/checkpoints/5")


@pytest.mark.parametrize("head", ["zero", "gaussian"])
def test_from_a_checkpoint_of_other_classes(config, tmp_path, head):
  """The head alone starts afresh, and the receipt says so."""
  source = trained(classes=2)
  config.init.source = "checkpoint"
  config.init.path = store(tmp_path / "model", source, ("ground", "thing"))
  config.init.head = head
  net, rows, receipt = network(config)
  assert_same(net, source)
  assert net.score_fr.kernel.shape == (1, 1, 82, 3)
  assert np.any(net.score_fr.kernel[...]) == (head == "gaussian")
  assert not np.any(net.score_fr.bias[...])
  assert receipt.initialised_layers() == ("score_fr",)
  assert rows["score_fr.kernel"].note.startswith(f"head: {head}")
  dropped = [
    (row.source, row.source_shape)
    for row in receipt.rows
    if row.action == "dropped"
  ]
  assert dropped == [("score_fr[0]", (2, 82, 1, 1)), ("score_fr[1]", (2,))]


def test_as_many_other_classes_start_afresh(config, tmp_path, caplog):
  """A head is of its classes, not of their number."""
  config.init.source = "checkpoint"
  config.init.path = store(
    tmp_path / "model", trained(), ("ground", "dog", "bird")
  )
  with caplog.at_level("INFO", "fcn_jax"):
    net, _, receipt = network(config)
  assert not np.any(net.score_fr.bias[...])
  assert receipt.initialised_layers() == ("score_fr",)
  assert "(ground, dog, bird): of its head are kept: none" in caplog.text


def test_classes_of_the_same_name_may_be_kept(config, tmp_path):
  """ground is 0 in both, dog 1 there and 2 here; biases are 1, 1.5, 2."""
  config.init.source = "checkpoint"
  config.init.keep_classes = True
  source = trained()
  config.init.path = store(
    tmp_path / "model", source, ("ground", "dog", "bird")
  )
  net, _, receipt = network(config)
  assert net.score_fr.bias[...].tolist() == [1, 0, 1.5]
  np.testing.assert_array_equal(
    net.score_fr.kernel[..., 2], source.score_fr.kernel[..., 1]
  )
  kept = [r.note for r in receipt.rows if r.source.startswith("score_fr")]
  assert kept == ["rows 0 as 0, 1 as 2; others zero"] * 2
  assert receipt.initialised_layers() == ()
  config.init.path = store(tmp_path / "other", source, ("Ground", "b", "c"))
  with pytest.raises(ValueError, match=r"keep_classes: no class .*Ground, b"):
    network(config)


def test_classes_that_nobody_named_are_matched_by_number(config, tmp_path):
  """convert_weights.py calls them class0, class1, ... without --class_names."""
  config.init.source = "checkpoint"
  source = trained()
  names = ("class0", "class1", "class2")
  config.init.path = store(tmp_path / "model", source, names)
  net, _, receipt = network(config)
  assert_same(net, source, (*CONVS, "score_fr"))
  assert receipt.initialised_layers() == ()
  fewer = trained(classes=2)
  config.init.path = store(tmp_path / "fewer", fewer, names[:2])
  assert network(config)[2].initialised_layers() == ("score_fr",)


def test_another_mean_than_the_checkpoints_is_told(config, tmp_path, caplog):
  config.init.source = "checkpoint"
  config.init.path = store(tmp_path / "model", trained())
  network(config)
  assert "mean" not in caplog.text
  config.model.mean_bgr = (104.0, 117.0, 123.0)
  network(config)
  assert "subtracts the mean [116.0, 116.0, 116.0], this run" in caplog.text


@pytest.mark.parametrize(
  ("before", "after", "fresh"),
  [
    ("fcn32s", "fcn16s", "score_pool4"),
    ("fcn16s", "fcn8s", "score_pool3"),
  ],
)
def test_a_stage_starts_from_the_one_before(tmp_path, before, after, fresh):
  config = load_config(f"voc_{after}")
  config.model.width = 0.02
  source = models.build(models.declare(before, 3, width=0.02))
  surgery.initialise(source, seed=1, head_init="gaussian")
  about = start.about(load_config(f"voc_{before}"), dataset())
  about.model["width"] = 0.02
  checkpoints.save_model(tmp_path / before, source, about)
  config.init.path = str(tmp_path / before)
  net, rows, receipt = network(config)
  assert_same(net, source, ("conv1_1", "conv5_3", "fc6", "score_fr"))
  assert not np.any(getattr(net, fresh).kernel[...])
  assert fresh in receipt.initialised_layers()
  assert rows["conv4_2.kernel"].action == "copied"


def test_what_a_source_has_besides_has_to_be_allowed(config, tmp_path):
  source = export.to_caffe(trained())
  extra = SourceLayer("extra", "Convolution", source.layers[2].blobs)
  path = tmp_path / "more.caffemodel"
  caffemodel.write_caffemodel(
    path, Source("", "new", "", (*source.layers, extra))
  )
  config.init.source = "caffemodel"
  config.init.path = str(path)
  with pytest.raises(surgery.SurgeryError, match=r"unknown: extra\[0\]"):
    network(config)
  config.init.allow_unknown = ("extra",)
  _, _, receipt = network(config)
  assert receipt.proof.startswith("holds: fc7 of a 227x227 image")


def test_from_a_checkpoint_of_a_classifier(config, tmp_path):
  source = trained("alexnet", classes=2)
  config.init.source = "checkpoint"
  config.init.path = store(tmp_path / "model", source, "ab", "alexnet")
  net, _, receipt = network(config)
  assert_same(net, source)
  assert receipt.initialised_layers() == ("score_fr", "upscore")
  assert (receipt.source_order, receipt.target_order) == (
    "norm_pool",
    "pool_norm",
  )


def test_a_checkpoint_of_another_width_is_refused(config, tmp_path):
  config.init.source = "checkpoint"
  config.init.path = store(tmp_path / "model", trained())
  config.model.width = 0.03
  with pytest.raises(surgery.SurgeryError, match="the width is not the file"):
    network(config)


def test_what_tells_training_data_from_others(config):
  stored = dataset()
  (ids,) = start._digest(stored, "train").split()
  assert ids.startswith("ids:")
  object.__setattr__(stored, "record", {"digests": {"train": "abc"}})
  assert start._digest(stored, "train") == f"bytes:abc {ids}"


@pytest.mark.parametrize(
  ("ours", "stored", "same"),
  [
    ("bytes:a ids:1", "bytes:a ids:1", True),
    ("bytes:b ids:1", "bytes:a ids:1", False),  # labels were mended
    ("bytes:a ids:2", "bytes:a ids:1", True),  # files were renamed
    ("bytes:a ids:1", "1", True),  # of version 0.1.0
    ("bytes:a ids:2", "1", False),
    ("ids:1", "bytes:a ids:1", True),  # prepared by an older version
    ("ids:1", "ids:2", False),
    ("ids:1", "", False),
  ],
)
def test_digests_are_compared_by_what_both_have(
  config, tmp_path, ours, stored, same
):
  card = start.about(config, dataset())
  ours, stored = (
    dataclasses.replace(card, data_digest=digest) for digest in (ours, stored)
  )
  if same:
    start.check_resumed(ours, stored, tmp_path)
  else:
    with pytest.raises(ValueError, match="its data_digest differs"):
      start.check_resumed(ours, stored, tmp_path)


def test_the_range_of_the_data_goes_into_the_card(config):
  stored = dataset()
  assert start.about(config, stored).value_range is None
  object.__setattr__(stored, "record", {"value_range": [0, 4095]})
  assert start.about(config, stored).value_range == [0, 4095]
