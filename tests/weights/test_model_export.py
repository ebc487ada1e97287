"""fcn_jax.weights.model_export: every format run by another runtime."""

import json
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from small_nets import randomise
from small_network import about

import fcn_jax
from fcn_jax import models
from fcn_jax.files import DataError
from fcn_jax.models import geometry
from fcn_jax.models import layers as d
from fcn_jax.weights import (
  EXPORTS,
  checkpoints,
  model_export,
  onnx_export,
  onnx_file,
  runtimes,
)
from fcn_jax.weights.source import WeightFileError

NARROW = {
  "fcn_alexnet": (4, 8, 8, 8, 8, 12, 12),
  "alexnet": (4, 8, 8, 8, 8, 12, 12),
  "alexnet_owt": (4, 6, 6, 4, 6, 10, 12),
  "fcn_alexnet_owt": (4, 6, 6, 4, 6, 10, 12),
}
VGG = (4, 4, 6, 6, 8, 10, 12)
CLASSES = ("background", "light", "none")


def network(name: str, **options) -> models.Network:
  width = NARROW.get(name, VGG)
  return randomise(models.declare(name, 3, width=width, **options), 0)


def save(directory, name="fcn_alexnet", **options):
  """A model directory with a narrow network."""
  width = list(NARROW.get(name, VGG))
  card = checkpoints.ModelCard(
    model={"name": name, "classes": 3, "width": width, **options},
    class_names=list(CLASSES),
    palette=about().palette,
    source="trained on nothing",
  )
  checkpoints.save_model(directory, network(name, **options), card)
  return directory


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
  return save(tmp_path_factory.mktemp("model") / "net", "fcn_alexnet")


ALL = [
  *((name, {}) for name in models.NETWORKS),
  ("fcn_alexnet", {"order": "norm_pool"}),
  ("alexnet", {"order": "pool_norm"}),
]


@pytest.mark.parametrize(
  ("name", "options"), ALL, ids=[f"{n}{'_' * bool(o)}" for n, o in ALL]
)
def test_onnxruntime_computes_every_network(tmp_path, name, options):
  pytest.importorskip("onnx")
  pytest.importorskip("onnxruntime")
  net = network(name, **options)
  graph = onnx_export.to_graph(net)
  path = tmp_path / "a.onnx"
  onnx_file.write_graph(path, graph, name, 13)
  session = runtimes.onnx_session(path)
  size = net.layers[0].size
  images = runtimes.sample_images([(size, size) if size else (61, 83)])
  parity = runtimes.compare(
    "onnxruntime",
    net,
    images,
    lambda image: session({"image": image[None]})[0].transpose(1, 2, 0),
  )
  assert parity.holds
  assert parity.labels == (1 if size else 61 * 83)
  assert parity.error <= 5e-6 * parity.largest


def test_every_layer_and_opset(tmp_path):
  """Scale, Sum, Crop over blobs other than the image, pools with padding."""
  pytest.importorskip("onnxruntime")
  declared = (
    d.Data("data", mean_bgr=(1.0, 2.0, 3.0)),
    d.Conv("conv1", features=4, kernel=3, pad=1),
    d.MaxPool("pool1", kernel=3, stride=2, pad=1),
    d.Scale("scale", bottom="conv1", factor=0.5),
    d.Dropout("drop"),
    d.Upscore("up", bottom="pool1", kernel=5, stride=2),
    d.Crop("cut", like="drop"),
    d.Sum("sum", other="drop"),
    d.Crop("score", like="data"),
  )
  net = randomise(declared, 0)
  for opset in (13, 22):
    path = tmp_path / f"{opset}.onnx"
    onnx_file.write_graph(path, onnx_export.to_graph(net), "all", opset)
    session = runtimes.onnx_session(path)
    for size in ((9, 14), (16, 7)):
      runtimes.compare(
        "onnxruntime",
        net,
        runtimes.sample_images([size]),
        lambda image, s=session: s({"image": image[None]})[0].transpose(
          1, 2, 0
        ),
      )


def test_an_unknown_layer_is_refused_by_name():
  class Strange(d.Layer):
    pass

  net = network("fcn_alexnet")
  net.layers = (*net.layers, Strange("odd"))
  with pytest.raises(TypeError, match="odd: no ONNX operation"):
    onnx_export.to_graph(net)


def test_onnx_with_argmax_says_how_it_compares(checkpoint, tmp_path):
  onnx = pytest.importorskip("onnx")
  onnxruntime = pytest.importorskip("onnxruntime")
  for argmax in (False, True):
    output = tmp_path / f"{argmax}.onnx"
    options = model_export.Options(argmax=argmax)
    lines = model_export.export_model(
      checkpoint, "onnx", output, options=options
    )
    assert "onnxruntime on 3 images" in lines[-1]
    assert f"0 of {61 * 83 + 97 * 45 + 33 * 129} labels differ" in lines[-1]
    assert ("scores differ" in lines[-1]) != argmax
  session = onnxruntime.InferenceSession(output)
  [made] = session.get_outputs()
  assert (made.name, made.type) == ("labels", "tensor(uint8)")
  assert made.shape == ["batch", "height", "width"]
  image = runtimes.sample_images([(40, 50)])[0]
  two = session.run(None, {"image": np.stack([image, image[::-1]])})[0]
  ours = fcn_jax.load(checkpoint)
  np.testing.assert_array_equal(two[0], ours(image).labels)
  np.testing.assert_array_equal(two[1], ours(image[::-1]).labels)
  words = {p.key: p.value for p in onnx.load(output).metadata_props}
  assert json.loads(words["class_names"]) == list(CLASSES)
  assert json.loads(words["palette"])[1] == [128, 0, 0]
  assert json.loads(words["mean_bgr"]) == [116.0, 116.0, 116.0]


def test_a_wrong_export_fails_and_leaves_nothing(
  checkpoint, tmp_path, monkeypatch
):
  pytest.importorskip("onnxruntime")
  real = onnx_export.to_graph

  def wrong(network, size, *, argmax):
    graph = real(network, size, argmax=argmax)
    graph.tensors["score.starts"][0] += 1  # one row further down
    return graph

  monkeypatch.setattr(onnx_export, "to_graph", wrong)
  for argmax in (False, True):
    with pytest.raises(runtimes.ParityError, match="the export is wrong"):
      model_export.export_model(
        checkpoint,
        "onnx",
        tmp_path / "a.onnx",
        options=model_export.Options(argmax=argmax),
      )
  assert list(tmp_path.iterdir()) == []


def test_cells_of_jetson_by_hand():
  """The middles of 8 x 8 cells lie at 3.5, 11.5, ...; score_fr's at 13 + 32 y.

  In a bilinear kernel of stride 32 the cell at 13 + 32 y counts 1 - |x| / 32 at
  a distance x.  Pixel 3.5 is 9.5 from cell 0, at 13, and 22.5 from the cell
  before, which is not there.
  """
  layers = models.declare("fcn_alexnet", 3)
  taken = onnx_export._at_cells(layers, 64)
  assert taken.shape == (8, geometry.sizes(layers, 64)["score_fr"])
  np.testing.assert_allclose(taken[0, 0], 1 - 9.5 / 32)
  # 19.5 is 6.5 after 13, and 25.5 before 45.
  np.testing.assert_allclose(taken[2, :2], [1 - 6.5 / 32, 6.5 / 32])


def test_jetson_covers_the_image(tmp_path, checkpoint):
  pytest.importorskip("onnx")
  onnxruntime = pytest.importorskip("onnxruntime")
  output = tmp_path / "jetson/net.onnx"
  options = model_export.Options(size=(64, 96), preset="jetson")
  lines = model_export.export_model(checkpoint, "onnx", output, options=options)
  assert "segNet on 3 images" in lines[2]
  assert "of its pixels have the label" in lines[3]
  session = onnxruntime.InferenceSession(output)
  assert [v.name for v in session.get_inputs()] == ["input_0"]
  assert session.get_inputs()[0].shape == [1, 3, 64, 96]
  assert [v.name for v in session.get_outputs()] == ["output_0"]
  assert session.get_outputs()[0].shape == [1, 3, 8, 12]
  labels = (output.parent / "labels.txt").read_text()
  assert labels == "background\nlight\nnone\n"
  colors = (output.parent / "colors.txt").read_text()
  assert colors == "0 0 0\n128 0 0\n0 128 0\n"


def test_jetson_of_skips_and_other_ends(tmp_path):
  pytest.importorskip("onnxruntime")
  directory = save(tmp_path / "net", "fcn8s")
  options = model_export.Options(size=(32, 40), preset="jetson")
  lines = model_export.export_model(
    directory, "onnx", tmp_path / "a.onnx", options=options
  )
  assert "0 of 60 labels differ" in lines[2]
  with pytest.raises(ValueError, match="has to end in Upscore and Crop"):
    onnx_export.to_jetson_graph(network("alexnet"), 224, 224)
  with pytest.raises(ValueError, match="multiples of 8"):
    onnx_export.to_jetson_graph(network("fcn_alexnet"), 225, 224)


RUN_ALONE = """
import sys
sys.modules["fcn_jax"] = None  # cannot be imported
import jax, numpy as np
run = jax.export.deserialize(bytearray(open(sys.argv[1], "rb").read())).call
with np.load(sys.argv[2]) as npz:
  scores = run(npz["image"], npz["extent"])
np.save(sys.argv[3], scores)
"""


def test_stablehlo_runs_without_this_package(tmp_path, checkpoint, monkeypatch):
  pytest.importorskip("flatbuffers")
  monkeypatch.setattr(runtimes, "ODD_SIZES", ((40, 50),))
  output = tmp_path / "net.stablehlo"
  options = model_export.Options(size=(64, 96))
  lines = model_export.export_model(
    checkpoint, "stablehlo", output, options=options
  )
  assert "StableHLO on 1 images" in lines[-1]
  described = json.loads((tmp_path / "net.json").read_text())
  assert described["image"][1] == [1, 64, 96, 3]
  assert described["platforms"] == ["cpu", "cuda", "tpu"]
  image = runtimes.sample_images([(40, 50)])[0]
  canvas = np.full((1, 64, 96, 3), 77, np.uint8)
  canvas[0, :40, :50] = image
  extent = np.array([[40, 50]], np.int32)
  np.savez(tmp_path / "in.npz", image=canvas, extent=extent)
  files = [output, tmp_path / "in.npz", tmp_path / "out.npy"]
  subprocess.run(
    [sys.executable, "-c", RUN_ALONE, *map(str, files)], check=True, cwd="/"
  )
  theirs = np.load(files[2])[0, :40, :50]
  ours = np.asarray(network("fcn_alexnet")(jnp.asarray(image[None])))[0]
  assert abs(ours - theirs).max() <= 1e-5 * abs(ours).max()
  # The weights lie in it once, for all platforms.
  weights = sum(
    getattr(network("fcn_alexnet"), x.name).kernel.size * 4
    for x in models.declare("fcn_alexnet", 3)
    if isinstance(x, d.Conv)
  )
  assert weights < output.stat().st_size


def test_a_model_folder_is_loaded_as_a_workdir_is(tmp_path, checkpoint):
  numpy = pytest.importorskip("safetensors.numpy")
  output = tmp_path / "hub/net"
  lines = model_export.export_model(checkpoint, "safetensors", output)
  assert "read back bit for bit" in lines[-1]
  image = runtimes.sample_images([(40, 50)])[0]
  ours, theirs = fcn_jax.load(checkpoint), fcn_jax.load(output)
  np.testing.assert_array_equal(ours(image).labels, theirs(image).labels)
  assert theirs.class_names == CLASSES
  assert sorted(p.name for p in output.iterdir()) == [
    *("README.md", "config.json", "model.safetensors"),
  ]
  readme = (output / "README.md").read_text()
  assert "trained on nothing" in readme
  assert "not scored" in readme
  tensors = numpy.load_file(output / "model.safetensors")
  assert tensors["conv1.kernel"].shape == (11, 11, 3, 4)
  # Other tensors than the declaration's are refused.
  tensors["conv9.kernel"] = tensors.pop("conv1.kernel")
  numpy.save_file(tensors, output / "model.safetensors")
  with pytest.raises(WeightFileError, match=r"conv1\.kernel, conv9\.kernel"):
    fcn_jax.load(output)
  (output / "config.json").write_text("{}")
  with pytest.raises(WeightFileError, match="does not describe a model"):
    fcn_jax.load(output)


def test_mistakes_get_one_sentence(tmp_path, checkpoint):
  def says(form, name="a.onnx", **options):
    with pytest.raises(DataError) as error:
      model_export.export_model(
        checkpoint,
        form,
        tmp_path / name,
        options=model_export.Options(**options),
      )
    return str(error.value)

  assert "has to end in .onnx" in says("onnx", "a.bin")
  assert "--argmax does not go with" in says(
    "caffe", "a.caffemodel", argmax=True
  )
  assert "--opset=9: there is 13 to 22" in says("onnx", opset=9)
  assert "needs --size=" in says("onnx", preset="jetson")
  (tmp_path / "labels.txt").write_text("mine")
  assert "labels.txt exists" in says("onnx", preset="jetson", size=(8, 8))
  assert [p.name for p in tmp_path.iterdir()] == ["labels.txt"]


def test_the_names_of_the_formats_are_known_without_importing_them():
  assert tuple(model_export.FORMATS) == EXPORTS


def test_a_network_of_resized_images_says_so(tmp_path):
  """In every format; the size is the default where one is needed."""
  net, resize = network("fcn_alexnet"), {"mode": "fill"}
  card = checkpoints.ModelCard(
    model={"name": "fcn_alexnet", "classes": 3, "width": NARROW["fcn_alexnet"]},
    class_names=list(CLASSES),
    palette=about().palette,
    resize=resize | {"height": 40, "width": 50},
  )
  checkpoints.save_model(tmp_path / "net", net, card)

  def written(form, name):
    return model_export.export_model(tmp_path / "net", form, tmp_path / name)

  lines = written("caffe", "net.caffemodel")
  assert "net.prototxt  40 x 50" in lines[-2]
  assert "trained on resized images (fill to 40 x 50)" in lines[-1]
  written("stablehlo", "net.stablehlo")
  beside = json.loads((tmp_path / "net.json").read_text())
  assert beside["resize"] == "fill to 40 x 50"
  assert beside["image"][1] == [1, 40, 50, 3]
  written("onnx", "net.onnx")
  assert b"fill to 40 x 50" in (tmp_path / "net.onnx").read_bytes()
  lines = written("safetensors", "folder")
  assert "trained on resized" not in "".join(lines)
  assert fcn_jax.load(tmp_path / "folder").about.resize == card.resize
  assert "fill to 40 x 50" in (tmp_path / "folder/README.md").read_text()
