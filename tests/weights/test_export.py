"""fcn_jax.export, against a net that Caffe ran and the files it wrote."""

import dataclasses
import json

import numpy as np
import pytest
from google.protobuf import (
  descriptor_pb2,
  descriptor_pool,
  message_factory,
  text_format,
)
from places import GOLDEN

from fcn_jax import models
from fcn_jax.models import layers as d
from fcn_jax.weights import caffemodel, export, surgery
from fcn_jax.weights.source import Source

WIDTHS = (6, 8, 12, 12, 8, 24, 20)

# The fields of Caffe's caffe.proto that a deploy net of ours may use, with
# their types there ('+': repeated): text that parses here parses in Caffe.
MESSAGES = {
  "Net": "name:string layer:Layer+",
  "Layer": (
    "name:string type:string bottom:string+ top:string+ param:Param+ "
    "convolution_param:Convolution pooling_param:Pooling lrn_param:LRN "
    "dropout_param:Dropout power_param:Power crop_param:Crop "
    "input_param:Input eltwise_param:Eltwise scale_param:Scale"
  ),
  "Param": "lr_mult:float decay_mult:float",
  "Convolution": (
    "num_output:uint32 bias_term:bool pad:uint32+ kernel_size:uint32+ "
    "stride:uint32+ group:uint32 weight_filler:Filler"
  ),
  "Filler": "type:string value:float",
  "Eltwise": "operation:Operation",
  "Scale": "filler:Filler bias_term:bool",
  "Pooling": "pool:Method kernel_size:uint32 stride:uint32 pad:uint32",
  "LRN": "local_size:uint32 alpha:float beta:float k:float",
  "Dropout": "dropout_ratio:float",
  "Power": "power:float scale:float shift:float",
  "Crop": "axis:int32 offset:uint32+",
  "Input": "shape:Shape+",
  "Shape": "dim:int64+",
}


@pytest.fixture(scope="module")
def parse():
  field_type = descriptor_pb2.FieldDescriptorProto
  file = descriptor_pb2.FileDescriptorProto(name="test", syntax="proto2")
  pool_method = file.enum_type.add(name="Method")
  pool_method.value.add(name="MAX", number=0)
  pool_method.value.add(name="AVE", number=1)
  operation = file.enum_type.add(name="Operation")
  operation.value.add(name="PROD", number=0)
  operation.value.add(name="SUM", number=1)
  for message, fields in MESSAGES.items():
    declared = file.message_type.add(name=message)
    for number, field in enumerate(fields.split(), 1):
      name, _, kind = field.partition(":")
      base = kind.removesuffix("+")
      made = declared.field.add(name=name, number=number)
      made.label = (
        field_type.LABEL_OPTIONAL if base == kind else field_type.LABEL_REPEATED
      )
      in_enum = base in ("Method", "Operation")
      if base in MESSAGES or in_enum:
        made.type_name = f".{base}"
        made.type = field_type.TYPE_ENUM if in_enum else field_type.TYPE_MESSAGE
      else:
        made.type = getattr(field_type, f"TYPE_{base.upper()}")
  pool = descriptor_pool.DescriptorPool()
  pool.AddSerializedFile(file.SerializeToString())
  net = message_factory.GetMessageClass(pool.FindMessageTypeByName("Net"))
  return lambda text: text_format.Parse(text, net())


def declare(name="fcn_alexnet", classes=21, **options):
  return models.declare(name, classes, **({"width": WIDTHS} | options))


def as_described(layer) -> dict:
  """A parsed layer in the words of the golden JSON."""
  found = {
    "name": layer.name,
    "type": layer.type,
    "bottom": list(layer.bottom),
    "top": list(layer.top),
  }
  if layer.param:
    found["lr_mult"] = [p.lr_mult for p in layer.param]
    found["decay_mult"] = [p.decay_mult for p in layer.param]
  for field, value in layer.ListFields():
    if not field.name.endswith("_param"):
      continue
    for inner, number in value.ListFields():
      if hasattr(number, "__len__"):  # repeated
        [number] = number
      if isinstance(number, float):
        number = float(f"{number:.6g}")  # stored in 32 bits
      found[inner.name] = number
  if "weight_filler" in found:
    found["weight_filler"] = found["weight_filler"].type
  if layer.type == "Pooling":
    found["pool"] = ("MAX", "AVE")[found["pool"]]
  return found


def test_the_prototxt_describes_the_net_that_caffe_ran(parse):
  golden = json.loads((GOLDEN / "fcn_alexnet.json").read_text())["net"]
  text = export.deploy_prototxt(declare(), "narrow", 64, 80)
  net = parse(text)
  assert net.name == "narrow"
  data, *layers = net.layer
  assert (data.type, list(data.top)) == ("Input", ["data"])
  assert list(data.input_param.shape[0].dim) == [1, 3, 64, 80]
  # What Caffe takes where nothing is said.
  defaults = {
    "Convolution": {"bias_term": True},
    "Deconvolution": {"pad": 0},
    "Pooling": {"pad": 0},
    "Power": {"power": 1, "scale": 1},
  }
  for layer, described in zip(layers, golden, strict=True):
    ours = defaults.get(layer.type, {}) | as_described(layer)
    if layer.type == "Deconvolution":
      assert ours.pop("decay_mult") == [0]  # of no effect: lr_mult is 0
      described.pop("decay_mult")
    assert ours == described, layer.name


def test_nets_with_skips_are_read_by_caffes_rules(parse):
  """Eltwise and Scale; every bottom is a blob that was there before."""
  layers = declare("fcn8s_atonce", width=(4, 4, 6, 6, 8, 10, 10))
  net = parse(export.deploy_prototxt(layers, "n", 64, 80))
  known = set()
  for layer in net.layer:
    assert set(layer.bottom) <= known, layer.name
    known |= set(layer.top)
  by_name = {layer.name: layer for layer in net.layer}
  fuse = by_name["fuse_pool3"]
  assert list(fuse.bottom) == ["upscore_pool4", "score_pool3c"]
  assert fuse.eltwise_param.operation == 1
  scale = by_name["scale_pool3"]
  assert scale.scale_param.filler.value == np.float32(0.0001)
  assert scale.param[0].lr_mult == 0
  assert by_name["score"].crop_param.offset == [31]
  stored = export.to_caffe(models.build(layers), "n")
  [factor] = next(x.blobs for x in stored.layers if x.name == "scale_pool3")
  np.testing.assert_array_equal(factor, np.full(6, 0.0001, np.float32))


def test_every_layer_is_named_once(parse):
  text = export.deploy_prototxt(declare(), "n", 375, 500)
  names = [layer.name for layer in parse(text).layer]
  assert len(set(names)) == len(names) == 26
  assert {f"relu{n}" for n in range(1, 8)} <= set(names)
  stored = export.to_caffe(models.build(declare()), "n")
  assert [layer.name for layer in stored.layers] == names


def test_the_layer_order_is_kept_and_recognised(parse):
  layers = declare(order="norm_pool")
  names = [
    x.name for x in parse(export.deploy_prototxt(layers, "n", 64, 64)).layer
  ]
  assert names.index("norm1") + 1 == names.index("pool1")
  source = export.to_caffe(models.build(layers))
  receipt = surgery.surgery(source, models.build(declare()))
  assert (receipt.source_order, receipt.target_order) == (
    "norm_pool",
    "pool_norm",
  )


def test_an_unequal_mean_is_left_to_the_caller_who_is_told(parse):
  layers = declare(mean_bgr=(104.00699, 116.66877, 122.67892))
  text = export.deploy_prototxt(layers, "n", 64, 64)
  net = parse(text)
  assert "shift" not in [layer.name for layer in net.layer]
  assert list(net.layer[1].bottom) == ["data"]
  assert list(net.layer[-1].bottom) == ["upscore", "data"]
  assert "SUBTRACT THE MEAN" in text
  assert "104.007, 116.669, 122.679" in text


def test_names_cannot_break_the_text(parse):
  text = export.deploy_prototxt(
    declare(classes=2), 'a"b\\c\nd', 64, 64, ["x\nlayer {", "y"]
  )
  assert parse(text).name == 'a"b\\cd'
  assert "# class 0: x layer {" in text


def test_a_size_without_output_is_refused():
  layers = declare("alexnet")
  with pytest.raises(ValueError, match="too small"):
    export.deploy_prototxt(layers, "n", 30, 227)


def filled(name, file):
  source = caffemodel.read_caffemodel(GOLDEN / f"{file}.caffemodel")
  classes = {"alexnet": 10, "fcn_alexnet": 21}[name]
  net = models.build(declare(name, classes))
  surgery.surgery(source, net)
  return source, net


@pytest.mark.parametrize(
  ("name", "inner_products"),
  [("fcn_alexnet", ()), ("alexnet", ("fc6", "fc7", "fc8"))],
)
def test_what_caffe_wrote_comes_out_bit_for_bit(name, inner_products):
  source, net = filled(name, name)
  made = export.to_caffe(net, "n", inner_products)
  ours = {x.name: x for x in made.layers if x.blobs}
  theirs = {x.name: x for x in source.layers if x.blobs}
  assert list(ours) == list(theirs)
  for layer, their in theirs.items():
    assert ours[layer].type == their.type
    for a, b in zip(ours[layer].blobs, their.blobs, strict=True):
      assert a.shape == b.shape
      assert a.tobytes() == b.tobytes()


def test_an_exported_network_can_be_taken_in_again(tmp_path):
  _, net = filled("fcn_alexnet", "fcn_alexnet")
  made = export.to_caffe(net)
  caffemodel.write_caffemodel(tmp_path / "a.caffemodel", made)
  stored = caffemodel.read_caffemodel(tmp_path / "a.caffemodel")
  assert dataclasses.replace(stored, sha1="", layers=()) == (
    Source("", "new", "", ())
  )
  again = models.build(declare())
  receipt = surgery.surgery(stored, again)
  assert {row.action for row in receipt.rows} == {"copied"}
  np.testing.assert_array_equal(
    again.score_fr.kernel[...], net.score_fr.kernel[...]
  )


def test_a_crop_may_be_laid_over_any_blob(parse):
  """Dropout is in place: its blob is that of the layer before."""
  layers = (
    d.Data("data", mean_bgr=(1.0, 1.0, 1.0)),
    d.Conv("conv1", features=4, kernel=3, pad=1),
    d.Dropout("drop1"),
    d.Conv("a1", features=4, kernel=3, pad=2),
    d.Dropout("drop2"),
    d.Crop("cut", like="drop1"),
    d.Sum("sum", other="drop1"),
    d.Sum("twice", bottom="drop2", other="drop2"),
    d.Crop("score", bottom="sum", like="data"),
  )
  net = parse(export.deploy_prototxt(layers, "n", 9, 9))
  by_name = {layer.name: layer for layer in net.layer}
  assert list(by_name["cut"].bottom) == ["a1", "conv1"]
  assert list(by_name["sum"].bottom) == ["cut", "conv1"]
  assert list(by_name["score"].bottom) == ["sum", "data"]
  names = [layer.name for layer in net.layer]
  assert len(set(names)) == len(names)
  assert {"relu1", "a1_relu"} <= set(names)
