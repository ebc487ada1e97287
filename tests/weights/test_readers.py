"""fcn_jax.weights.readers: files that others wrote, and forged ones.

One narrow VGG-16 and one narrow AlexNet, saved in every format.
"""

import io
import json
import struct
import zipfile

import numpy as np
import pytest
from weight_files import (
  ALEX,
  FCN,
  INNER,
  OWT,
  VGG,
  blobs,
  filled,
  state_dict,
)

from fcn_jax import models
from fcn_jax.models import layers as d
from fcn_jax.weights import (
  caffemodel,
  export,
  named,
  proof,
  published,
  readers,
)
from fcn_jax.weights.source import WeightFileError


def check(path, model=FCN, tolerance=0.0):
  """Reads, converts, proves; the kernels are those that were saved."""
  source = readers.read(path)
  model = dict(model)
  if source.mean_bgr is not None:
    model["mean_bgr"] = source.mean_bgr
  net = models.build(models.declare(**model))
  receipt = proof.convert(source, net, model, file=str(path))
  assert receipt.proof.startswith("holds: fc7")
  base = models.NETWORKS[model["name"]].classifier or model["name"]
  for name, (weight, bias) in blobs(base).items():
    if not hasattr(net, name):
      continue
    ours = getattr(net, name)
    kernel = np.asarray(ours.kernel[...]).transpose(3, 2, 0, 1)
    wanted = weight.reshape(kernel.shape)
    allowed = tolerance * abs(wanted).max() if name.startswith("conv1") else 0
    assert abs(kernel - wanted).max() <= allowed, name
    np.testing.assert_array_equal(ours.bias[...], bias)
  return source, receipt


def note(receipt, target: str) -> str:
  return next(row.note for row in receipt.rows if row.target == target)


# Each format, from its own library.


def save_torch(path, arrays, **options):
  torch = pytest.importorskip("torch")
  from_numpy = {
    k: torch.from_numpy(np.array(v, order="C")) for k, v in arrays.items()
  }
  torch.save(from_numpy, path, **options)


@pytest.mark.parametrize("is_zip", [True, False])
def test_both_layouts_of_torch(tmp_path, is_zip):
  path = tmp_path / "vgg16.pth"
  save_torch(path, state_dict("vgg16"), _use_new_zipfile_serialization=is_zip)
  source, receipt = check(path, tolerance=1e-6)
  assert source.std_rgb == named.IMAGENET_STD
  assert source.mean_bgr == (103.53, 116.28, 123.675)
  assert note(receipt, "conv1_1.kernel").startswith("renamed, RGB to BGR, div")
  assert note(receipt, "fc6.kernel") == "renamed, O x (I x H x W) to HWIO"
  row = next(row for row in receipt.rows if row.target == "fc6.kernel")
  assert row.source == "classifier.0.weight"
  assert row.source_shape == (10, 8 * 49)
  assert row.action == "reshaped"


def test_a_module_whole_with_parameters_and_metadata(tmp_path):
  """state_dict() of a module: OrderedDict with _metadata; a checkpoint."""
  torch = pytest.importorskip("torch")
  state = torch.nn.Module().state_dict()
  assert state._metadata is not None
  for name, array in state_dict("alexnet_owt").items():
    state[name] = torch.nn.Parameter(torch.from_numpy(array.copy()))
  path = tmp_path / "checkpoint.pth"
  torch.save({"epoch": 3, "lr": 0.1, "state_dict": state}, path)
  check(path, OWT | {"name": "fcn_alexnet_owt"}, 1e-6)
  check(path, OWT, 1e-6)


def test_half_precision_and_views_of_torch(tmp_path):
  """bfloat16 by hand: 1.5 is 0x3fc0; strides of a transposed tensor."""
  torch = pytest.importorskip("torch")
  wide = torch.arange(8 * 6.0).reshape(8, 6)
  path = tmp_path / "a.pth"
  torch.save(
    {
      "fc7.weight": wide.t()[1:, ::2],
      "fc7.bias": torch.full((5,), 1.5).to(torch.bfloat16),
      "fc7.count": torch.tensor(3),
    },
    path,
  )
  source = readers.read(path)
  [layer] = source.layers
  np.testing.assert_array_equal(
    layer.blobs[0], np.arange(48.0).reshape(8, 6).T[1:, ::2]
  )
  np.testing.assert_array_equal(layer.blobs[1], np.full(5, 1.5))


def test_safetensors_of_timm(tmp_path):
  """timm keeps fc6 as a convolution, pre_logits.fc1."""
  numpy = pytest.importorskip("safetensors.numpy")
  renamed = {
    "classifier.0": "pre_logits.fc1",
    "classifier.3": "pre_logits.fc2",
    "classifier.6": "head.fc",
  }
  arrays = {}
  for key, array in state_dict("vgg16").items():
    group, _, part = key.rpartition(".")
    if group == "classifier.0" and part == "weight":
      array = array.reshape(10, 8, 7, 7)
    if group == "classifier.3" and part == "weight":
      array = array.reshape(12, 10, 1, 1)
    arrays[f"{renamed.get(group, group)}.{part}"] = np.ascontiguousarray(array)
  path = tmp_path / "model.safetensors"
  numpy.save_file(arrays, path)
  _, receipt = check(path, tolerance=1e-6)
  row = next(row for row in receipt.rows if row.target == "fc6.kernel")
  assert row.source == "pre_logits.fc1.weight"
  assert row.source_shape == (10, 8, 7, 7)


def test_npz_in_both_layouts(tmp_path):
  oihw, hwio = {}, {}
  for name, (weight, bias) in blobs("vgg16").items():
    oihw[f"{name}.weight"] = weight
    side = {"fc6": 7}.get(name, 1) if name in INNER else 3
    kernel = weight.reshape(len(weight), -1, side, side)
    hwio[f"{name}.kernel"] = kernel.transpose(2, 3, 1, 0)
    oihw[f"{name}.bias"] = hwio[f"{name}.bias"] = bias
  np.savez(tmp_path / "a.npz", **oihw)
  np.savez_compressed(tmp_path / "b.npz", **hwio)
  check(tmp_path / "a.npz")
  _, receipt = check(tmp_path / "b.npz")
  assert note(receipt, "conv2_1.kernel") == "HWIO, as stored"


def keras_arrays() -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """Keras' kernels: HWIO; of fc1 the input is flattened H, W, C."""
  found = {}
  for name, (weight, bias) in blobs("vgg16").items():
    if name in INNER:
      side = 7 if name == "fc6" else 1
      kernel = weight.reshape(len(weight), -1, side, side)
      found[name] = (
        kernel.transpose(2, 3, 1, 0).reshape(-1, len(weight)),
        bias,
      )
    else:
      found[name] = (weight.transpose(2, 3, 1, 0), bias)
  return found


def keras_name(name: str) -> str:
  if name in INNER:
    return {"fc6": "fc1", "fc7": "fc2", "fc8": "predictions"}[name]
  return f"block{name[4]}_conv{name[6]}"


def test_the_three_forms_of_keras(tmp_path):
  h5py = pytest.importorskip("h5py")
  applications, whole, inside = (
    tmp_path / name for name in ("a.h5", "whole.h5", "model.keras")
  )
  with h5py.File(applications, "w") as file:
    for name, (kernel, bias) in keras_arrays().items():
      theirs = keras_name(name)
      file[f"{theirs}/{theirs}_W_1:0"] = kernel
      file[f"{theirs}/{theirs}_b_1:0"] = bias
    file.create_group("flatten")
  _, receipt = check(applications)
  assert note(receipt, "fc6.kernel") == "renamed, 7 x 7 x 8 x O, as flattened"
  assert note(receipt, "conv5_1.kernel") == "renamed, HWIO, as stored"

  with h5py.File(whole, "w") as file:
    for name, (kernel, bias) in keras_arrays().items():
      theirs = keras_name(name)
      file[f"model_weights/{theirs}/{theirs}/kernel:0"] = kernel
      file[f"model_weights/{theirs}/{theirs}/bias:0"] = bias
    file["optimizer_weights/iteration"] = np.zeros(3, "f4")
  check(whole)

  # Keras 3 numbers the layers of a kind: conv2d, conv2d_1, ...; dense, ...
  stored = io.BytesIO()
  with h5py.File(stored, "w") as file:
    counts = {"conv2d": 0, "dense": 0}
    for kernel, bias in keras_arrays().values():
      kind = "conv2d" if kernel.ndim == 4 else "dense"
      number = f"_{counts[kind]}" if counts[kind] else ""
      counts[kind] += 1
      file[f"layers/{kind}{number}/vars/0"] = kernel
      file[f"layers/{kind}{number}/vars/1"] = bias
  with zipfile.ZipFile(inside, "w") as archive:
    archive.writestr("config.json", "{}")
    archive.writestr("model.weights.h5", stored.getvalue())
  check(inside)


def onnx_model(name, form="gemm", change=lambda nodes, tensors: None):
  """A classifier as the model zoo has it."""
  onnx = pytest.importorskip("onnx")
  helper = onnx.helper
  tensors, nodes, x = {}, [], "data_0"
  for layer in models.declare(**{"vgg16": VGG, "alexnet": ALEX}[name]):
    out = f"{layer.name}_1"
    match layer:
      case d.Conv() if layer.name in INNER:
        weight, bias = blobs(name)[layer.name]
        if layer.name == "fc6":
          tensors["shape"] = np.array([1, -1], np.int64)
          nodes.append(helper.make_node("Reshape", [x, "shape"], ["flat"]))
          x = "flat"
        tensors |= {f"{layer.name}_b_0": bias}
        w, b = f"{layer.name}_w_0", f"{layer.name}_b_0"
        if form == "gemm":
          tensors[w] = weight
          nodes.append(helper.make_node("Gemm", [x, w, b], [out], transB=1))
        else:
          tensors[w] = np.ascontiguousarray(weight.T)
          nodes.append(helper.make_node("MatMul", [x, w], [out + "_p"]))
          nodes.append(helper.make_node("Add", [out + "_p", b], [out]))
        x = out
      case d.Conv():
        tensors[f"{layer.name}_w_0"], tensors[f"{layer.name}_b_0"] = blobs(
          name
        )[layer.name]
        nodes.append(
          helper.make_node(
            "Conv",
            [x, f"{layer.name}_w_0", f"{layer.name}_b_0"],
            [out],
            group=layer.groups,
            strides=[layer.stride] * 2,
            pads=[layer.pad] * 4,
          )
        )
        x = out
      case d.LRN():
        nodes.append(helper.make_node("LRN", [x], [out], size=5))
        x = out
      case d.MaxPool():
        nodes.append(
          helper.make_node(
            "MaxPool", [x], [out], kernel_shape=[layer.kernel] * 2
          )
        )
        x = out
    if isinstance(layer, d.Conv) and layer.relu:
      nodes.append(helper.make_node("Relu", [x], [x + "r"]))
      x += "r"
  change(nodes, tensors)
  made = helper.make_graph(
    nodes,
    name,
    [helper.make_tensor_value_info("data_0", 1, None)],
    [helper.make_tensor_value_info(x, 1, None)],
    [onnx.numpy_helper.from_array(v, k) for k, v in tensors.items()],
  )
  return helper.make_model(made)


@pytest.mark.parametrize("form", ["gemm", "matmul"])
def test_onnx_in_the_forms_of_a_product(tmp_path, form):
  onnx = pytest.importorskip("onnx")
  path = tmp_path / "vgg16.onnx"
  model = onnx_model("vgg16", form)
  # Values stored as numbers instead of bytes.
  tensor = model.graph.initializer[0]
  values = onnx.numpy_helper.to_array(tensor).ravel()
  tensor.ClearField("raw_data")
  tensor.float_data.extend(values)
  onnx.save(model, path)
  source, receipt = check(path)
  assert source.std_rgb is None
  assert note(receipt, "fc7.kernel").startswith("renamed")


def test_onnx_of_alexnet_tells_its_order_and_groups(tmp_path):
  onnx = pytest.importorskip("onnx")
  path = tmp_path / "bvlcalexnet.onnx"
  onnx.save(onnx_model("alexnet"), path)
  source, _ = check(path, ALEX | {"name": "fcn_alexnet"})
  assert source.order == "norm_pool"

  def ungrouped(nodes, tensors):
    for node in nodes:
      if node.op_type == "Conv":
        for attribute in node.attribute:
          if attribute.name == "strides" and node.input[0] == "data_0":
            attribute.ints[:] = [2, 2]

  onnx.save(onnx_model("alexnet", change=ungrouped), path)
  with pytest.raises(ValueError, match=r"shape|differs|FAILED"):
    check(path, ALEX | {"name": "fcn_alexnet"})


def test_onnx_of_mxnets_zoo_takes_rgb(tmp_path):
  """Its names say so: vgg0_conv0_weight."""
  onnx = pytest.importorskip("onnx")

  def rename(nodes, tensors):
    std = np.array(named.IMAGENET_STD)[:, None, None]
    kernel = tensors.pop("conv1_1_w_0")[:, ::-1] * 255 * std
    tensors["vgg0_conv0_weight"] = kernel.astype(np.float32)
    nodes[0].input[1] = "vgg0_conv0_weight"

  path = tmp_path / "vgg16.onnx"
  onnx.save(onnx_model("vgg16", change=rename), path)
  source, _ = check(path, tolerance=1e-6)
  assert source.std_rgb == named.IMAGENET_STD


def test_a_caffemodel_is_read_as_before(tmp_path):
  path = tmp_path / "anything.bin"
  net = export.to_caffe(filled(VGG), "VGG", INNER)
  caffemodel.write_caffemodel(path, net)
  _, receipt = check(path)
  assert note(receipt, "conv1_1.kernel") == "OIHW to HWIO"


def test_the_authors_convolutions_have_another_standard(tmp_path, monkeypatch):
  """Known by its digest: RGB less the mean, not divided; NaN behind."""
  arrays = {}
  for key, array in state_dict("vgg16").items():
    if key == "features.0.weight":
      array = np.ascontiguousarray(blobs("vgg16")["conv1_1"][0][:, ::-1])
    if key.startswith("classifier"):
      array = np.full_like(array, np.nan)
    arrays[key] = array
  path = tmp_path / "vgg16_features.pth"
  save_torch(path, arrays)
  real = published.FILES["vgg16_features"]
  digest = f"sha256:{published.digests(path)['sha256']}"
  monkeypatch.setitem(
    published.FILES, "vgg16_features", real._replace(digest=digest)
  )
  source = readers.read(path)
  assert source.known_as == "vgg16_features"
  assert source.mean_bgr == pytest.approx((104, 117, 123), abs=1e-2)
  model = FCN | {"mean_bgr": source.mean_bgr}
  net = models.build(models.declare(**model))
  receipt = proof.convert(source, net, model, allow_missing=["fc6", "fc7"])
  assert receipt.proof.startswith("holds: pool5")
  kernel = np.asarray(net.conv1_1.kernel[...]).transpose(3, 2, 0, 1)
  np.testing.assert_allclose(kernel, blobs("vgg16")["conv1_1"][0], rtol=1e-6)


# Mistakes of a reader that the proof has to catch.


@pytest.mark.parametrize("mistake", ["bgr", "std", "rows"])
def test_a_readers_mistake_does_not_cancel_out(tmp_path, monkeypatch, mistake):
  wrong = {
    "bgr": lambda kernel, std: kernel / (255 * np.array(std)[:, None, None]),
    "std": lambda kernel, std: kernel[:, ::-1] / 255,
    "rows": lambda kernel, std: (
      kernel[:, ::-1].swapaxes(2, 3) / (255 * np.array(std)[::-1, None, None])
    ),
  }[mistake]
  monkeypatch.setattr(
    named, "to_bgr_255", lambda k, std: wrong(k, std).astype(np.float32)
  )
  np_state = state_dict("vgg16")
  path = tmp_path / "a.npz"
  np.savez(path, **np_state)
  with pytest.raises(proof.ProofError, match="FAILED"):
    check(path, tolerance=1e9)


# Files meant to harm, and mistakes.


def refusal(path) -> str:
  with pytest.raises(WeightFileError) as error:
    readers.read(path)
  text = str(error.value)
  assert str(path) in text
  return text


def torch_zip(path, program: bytes, **entries):
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("archive/data.pkl", program)
    for name, content in entries.items():
      archive.writestr(f"archive/data/{name.lstrip('_')}", content)


class Harm:
  """Makes a file when its pickle is loaded."""

  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return (open, (str(self.path), "w"))


def test_no_code_of_a_pickle_runs(tmp_path):
  torch = pytest.importorskip("torch")
  path, mark = tmp_path / "a.pth", tmp_path / "harmed"
  for is_zip in (True, False):
    torch.save(
      {"conv1.weight": Harm(mark)}, path, _use_new_zipfile_serialization=is_zip
    )
    assert "open, which is not needed" in refusal(path)
    torch.save(
      torch.nn.Linear(2, 2), path, _use_new_zipfile_serialization=is_zip
    )
    assert "state_dict()" in refusal(path)
  assert not mark.exists()


def tensor(key: bytes, count: int, size: int, stride: int) -> bytes:
  """Instructions that make one tensor of one axis, by hand."""
  return (
    b"ctorch._utils\n_rebuild_tensor_v2\n("
    b"(Vstorage\nctorch\nFloatStorage\nV" + key + b"\nVcpu\n"
    b"I%d\ntQ" % count + b"I0\n(I%d\nt(I%d\nt" % (size, stride) + b"I00\n}tR"
  )


@pytest.mark.parametrize(
  ("program", "says"),
  [
    (b"\x80\x02cposix\nsystem\n(Vtrue\ntR.", "posix.system"),
    (b"\x80\x04\x8c\x05posix\x8c\x06system\x93.", "posix.system"),
    (b"\x80\x02ctorch\nFloatStorage\n(tR.", "calls what is not needed"),
    (b"\x80\x02ccollections\nOrderedDict\n)R}Va\nI1\nsb.", "sets attributes"),
    (b"\x80\x02]q\x00h\x00a.", "no state dict"),
    (b"\x80\x02(lp0\n0g0\n.", "instruction POP"),
    (b"\x80\x02}Vconv1.weight\nI1\ns.", "no tensors with names"),
    (b"\x80\x02X\xff\xff\xff\x7fab", "no pickle that PyTorch wrote"),
    (b"\x80\x02", "no pickle that PyTorch wrote"),
    (b"\x80\x02}Vfc7.weight\n" + tensor(b"0", 2**40, 2**40, 1) + b"s.", "8 by"),
    (b"\x80\x02}Vfc7.weight\n" + tensor(b"0", 2, 2**40, 0) + b"s.", "beyond"),
    (b"\x80\x02}Vfc7.weight\n" + tensor(b"0", 2, 3, 1) + b"s.", "beyond"),
    (b"\x80\x02}Vfc7.weight\n" + tensor(b"1", 2, 2, 1) + b"s.", "lacks"),
    (b"\x80\x02}Vfc7.weight\n" + tensor(b"0", 2, 2, -1) + b"s.", "no valid s"),
    (
      b"\x80\x02}Va.weight\n"
      + tensor(b"0", 2, 1, 1)
      + b"sVb.weight\n"
      + tensor(b"0", 2**40, 2**30, 0)
      + b"s.",
      "described in two ways",
    ),
  ],
)
def test_forged_pickles_are_refused_at_once(tmp_path, program, says):
  path = tmp_path / "a.pth"
  torch_zip(path, program, _0=b"\0" * 8)
  assert says in refusal(path)


def old_torch(keys: bytes, data: bytes) -> bytes:
  magic = b"\x80\x02\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little")
  return (
    magic
    + b".\x80\x02M\xe9\x03."
    + b"\x80\x02}Vlittle_endian\nI01\ns."
    + b"\x80\x02}Vfc7.weight\n"
    + tensor(b"0", 2, 2, 1).replace(b"I2\ntQ", b"I2\nNtQ")
    + b"s.\x80\x02"
    + keys
    + b"."
    + data
  )


@pytest.mark.parametrize(
  ("keys", "data", "says"),
  [
    (b"](V0\ne", struct.pack("<q", 2**60) + b"\0" * 8, "claims 1152921504606"),
    (b"](V0\ne", struct.pack("<q", 2), "0 bytes are left"),
    (b"](V0\ne", b"\0", "damaged .pth"),
    (b"](V1\ne", struct.pack("<q", 2), "of no tensor"),
    (b"]", b"", "storage 0 is missing"),
    (b"](V0\nV0\ne", b"", "list of storages"),
  ],
)
def test_forged_files_of_the_older_layout(tmp_path, keys, data, says):
  path = tmp_path / "a.pth"
  path.write_bytes(old_torch(keys, data))
  assert says in refusal(path)
  path.write_bytes(old_torch(b"](V0\ne", struct.pack("<q2f", 2, 1, 2)))
  assert "fc7 has weight" in refusal(path)  # and no bias: it was read


def test_forged_safetensors(tmp_path):
  pytest.importorskip("safetensors")
  path = tmp_path / "a.safetensors"

  def forged(dims, offsets, length=None):
    header = json.dumps(
      {"fc7.weight": {"dtype": "F32", "shape": dims, "data_offsets": offsets}}
    ).encode()
    path.write_bytes(
      struct.pack("<Q", length or len(header)) + header + b"1234"
    )

  forged([2**40], [0, 2**42])
  assert "damaged .safetensors" in refusal(path)
  forged([1], [0, 4], 2**60)
  assert "damaged .safetensors" in refusal(path)
  forged([1], [0, 4])
  assert "fc7 has weight" in refusal(path)


def test_arrays_of_objects_and_forged_npz(tmp_path):
  path = tmp_path / "bvlc_alexnet.npy"
  np.save(path, {"conv1": [np.zeros(2)]}, allow_pickle=True)
  assert "np.savez" in refusal(path)
  path = tmp_path / "a.npz"
  np.savez(path, conv1=np.array([{}, 1], object))
  text = refusal(path)
  assert "runs code" in text
  assert "np.savez" in text
  head = io.BytesIO()
  np.lib.format.write_array_header_1_0(
    head, {"descr": "<f4", "fortran_order": False, "shape": (2**40,)}
  )
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("conv1.weight.npy", head.getvalue() + b"1234")
  assert f"claims {2**42} bytes" in refusal(path)
  with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
    head.seek(0)
    shape = {"descr": "<f4", "fortran_order": False, "shape": (2**22,)}
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, shape)
    archive.writestr("a.weight.npy", head.getvalue() + bytes(2**24))
  # An archive may shrink zeros a thousandfold; what it holds is read.
  assert "a has weight" in refusal(path)


def test_hdf5_that_leads_outside_or_claims_too_much(tmp_path):
  h5py = pytest.importorskip("h5py")
  path = tmp_path / "a.h5"

  def saved(fill) -> str:
    with h5py.File(path, "w") as file:
      fill(file)
    return refusal(path)

  def external_link(file):
    file["a"] = h5py.ExternalLink("other.h5", "/x")

  def soft_link(file):
    file["a"] = h5py.SoftLink("/x")

  def external_values(file):
    file.create_dataset("a/k", (4, 4), "f4", external=[("/etc/passwd", 0, 64)])

  def unwritten(file):
    file.create_dataset("a/k", (2**20, 2**20), "f4", chunks=(8, 8))

  assert "/a is a link" in saved(external_link)
  assert "/a is a link" in saved(soft_link)
  assert "lie in another file" in saved(external_values)
  assert f"claims {2**42} bytes and has 0" in saved(unwritten)

  def other(file):
    file["dense/k"], file["dense/b"] = np.zeros((2, 2)), np.zeros(2)

  assert "neither those of" in saved(other)
  assert "holds no weights" in saved(lambda file: file.create_group("x"))
  path.write_bytes(path.read_bytes()[:100])
  assert "damaged HDF5" in refusal(path)


def test_onnx_that_is_quantised_external_or_forged(tmp_path):
  onnx = pytest.importorskip("onnx")
  path = tmp_path / "a.onnx"

  def saved(edit) -> str:
    model = onnx_model("vgg16")
    edit(model)
    path.write_bytes(model.SerializeToString())
    return refusal(path)

  def external(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")

  def quantised(model):
    model.graph.node[0].op_type = "QLinearConv"

  def large(model):
    model.graph.initializer[0].dims[0] = 2**40

  def negative(model):
    model.graph.initializer[0].dims[0] = -1

  def other(model):
    model.graph.node[0].op_type = "BatchNormalization"

  def shorter(model):
    del model.graph.node[0]

  assert "lie in another file" in saved(external)
  assert "quantised (QLinearConv)" in saved(quantised)
  assert "conv1_1_w_0 (1099511627776" in saved(large)
  assert "has the shape (-1" in saved(negative)
  assert "BatchNormalization" in saved(other)
  assert "15 layers with weights" in saved(shorter)
  path.write_bytes(b"\x0a\xff\xff\xff\xff\x07")
  assert "no ONNX file" in refusal(path)


def test_files_of_no_known_kind(tmp_path):
  path = tmp_path / "net"
  assert "no such file" in refusal(path)
  assert "not a regular file" in refusal(tmp_path)
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("a.txt", "x")
  assert "of no kind that is known" in refusal(path)
  np.savez(tmp_path / "a.npz", **{"backbone.conv1.weights": np.zeros(3)})
  text = refusal(tmp_path / "a.npz")
  assert "backbone.conv1.weights" in text
  assert "torchvision's or timm's" in text


@pytest.mark.parametrize(
  ("package", "name"),
  [("onnx", "a.onnx"), ("h5py", "a.h5"), ("safetensors", "a.safetensors")],
)
def test_a_missing_package_is_named_with_its_command(
  tmp_path, monkeypatch, package, name
):
  import sys

  content = {
    "a.onnx": b"\x0a\x00",
    "a.h5": b"\x89HDF\r\n\x1a\n",
    "a.safetensors": struct.pack("<Q", 2) + b"{}",
  }[name]
  (tmp_path / name).write_bytes(content)
  monkeypatch.setitem(sys.modules, package, None)
  assert f"pip install {package}" in refusal(tmp_path / name)
