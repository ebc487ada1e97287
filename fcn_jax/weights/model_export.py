"""A trained network written in other programs' formats, and proven there."""

import dataclasses
import json
import pathlib
import re
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from flax import nnx

from fcn_jax.files import DataError, local_path, replacing
from fcn_jax.models import Network
from fcn_jax.weights import (
  caffemodel,
  checkpoints,
  export,
  model_folder,
  onnx_export,
  onnx_file,
  runtimes,
  stablehlo,
)
from fcn_jax.weights.named import IMAGENET_MEAN, IMAGENET_STD


@dataclasses.dataclass(frozen=True)
class Options:
  """What a format may be told.

  Attributes:
    size: (height, width) of the images; None: any, where the format can.
    argmax: onnx: class ids come out in place of scores.
    opset: onnx: version of its operations.
    preset: onnx: 'jetson': as jetson-inference's segNet takes it.
  """

  size: tuple[int, int] | None = None
  argmax: bool = False
  opset: int = 13
  preset: str | None = None


class _Model(NamedTuple):
  network: Network
  card: checkpoints.ModelCard
  step: int
  mean_iu: float | None


def export_model(
  checkpoint: str | pathlib.Path,
  form: str,
  output: str | pathlib.Path,
  step: str | int = "best",
  options: Options = Options(),
) -> list[str]:
  """Writes a network in a format of `FORMATS` and runs it there.

  Args:
    checkpoint: a model directory.
    form: a key of `FORMATS`.
    output: the file, or for 'safetensors' the folder, to write; it and what
      lies beside it must not exist.
    step: 'best', 'latest', or the number of a step.
    options: those that the format knows.

  Returns:
    Lines that say what was written and how it compares.

  Raises:
    DataError: the output exists or has another ending; an option that the
      format does not know.
    ValueError: the network cannot be written so, or computes something else
      there: then nothing is left of it.
  """
  kind = FORMATS[form]
  output = local_path(output)
  if kind.suffix and output.suffix != kind.suffix:
    raise DataError(f"--output={output}: its name has to end in {kind.suffix}")
  default = Options()
  for field in dataclasses.fields(Options):
    given = getattr(options, field.name)
    if given != getattr(default, field.name) and field.name not in kind.options:
      raise DataError(f"--{field.name} does not go with --format={form}")
  files = [output, *(output.with_suffix(s) for s in kind.beside)]
  if options.preset:
    files += [output.with_name(n) for n in ("labels.txt", "colors.txt")]
  for path in files:
    if path.exists():
      raise DataError(f"{path} exists and is not overwritten")
  network, card, number = checkpoints.load_model(checkpoint, step)
  score = checkpoints.mean_iu(checkpoint, number)
  output.parent.mkdir(parents=True, exist_ok=True)
  model = _Model(network, card, number, score)
  try:
    lines = kind.write(output, model, options)
  except BaseException:
    for path in files:
      if path.is_file():
        path.unlink()
    raise
  if card.resize and form != "safetensors":
    lines.append(
      f"  trained on resized images ({card.resizing}): resize yours before, "
      "and bring the scores back to their size; fcn_jax.load does it by itself"
    )
  return [f"step {number} of {checkpoint}:", *lines]


def _caffe(output: pathlib.Path, model: _Model, options: Options) -> list[str]:
  """.caffemodel and .prototxt, read back bit for bit."""
  name = model.card.model["name"]
  height, width = options.size or model.card.size or (375, 500)
  prototxt = output.with_suffix(".prototxt")
  text = export.deploy_prototxt(
    model.network.layers, name, height, width, model.card.class_names
  )
  net = export.to_caffe(model.network, name)
  caffemodel.write_caffemodel(output, net)
  stored = caffemodel.read_caffemodel(output)
  for wrote, read in zip(net.layers, stored.layers, strict=True):
    for a, b in zip(wrote.blobs, read.blobs, strict=True):
      if a.shape != b.shape or a.tobytes() != b.tobytes():
        raise OSError(f"{output}: {wrote.name} reads back changed; disk full?")
  with replacing(prototxt) as temporary:
    temporary.write_text(text)
  return [
    f"  {output}  SHA-1 {stored.sha1}, read back bit for bit",
    f"  {prototxt}  {height} x {width}",
  ]


def _onnx(output: pathlib.Path, model: _Model, options: Options) -> list[str]:
  """One .onnx file, run by onnxruntime where it is installed."""
  first, last = onnx_export.OPSETS
  if not first <= options.opset <= last:
    raise DataError(f"--opset={options.opset}: there is {first} to {last}")
  if options.preset == "jetson":
    return _jetson(output, model, options)
  size = onnx_export.Size(*(("batch", *options.size) if options.size else ()))
  graph = onnx_export.to_graph(model.network, size, argmax=options.argmax)
  about = {
    "input": "uint8 RGB 0..255 [batch, height, width, 3], any size, not scaled",
    "preprocessing": "in the graph: RGB to BGR, less mean_bgr",
  }
  _write_onnx(output, model, graph, about, options.opset)
  session = runtimes.onnx_session(output)
  if session is None:
    return [f"  {output}", _NOT_RUN]
  image = graph.inputs[0].shape
  sizes = [
    tuple(
      fixed if isinstance(fixed, int) else odd
      for fixed, odd in zip(image[1:3], pair, strict=True)
    )
    for pair in runtimes.ODD_SIZES
  ]

  def run(pixels):
    out = session({"image": pixels[None]})[0]
    return out if options.argmax else out.transpose(1, 2, 0)

  parity = runtimes.compare(
    "onnxruntime", model.network, runtimes.sample_images(sizes), run
  )
  return [f"  {output}  opset {options.opset}", f"  {parity}"]


_NOT_RUN = (
  "  not run: onnxruntime is not installed (pip install onnxruntime), so "
  "nothing is proven of it"
)


def _write_onnx(output, model: _Model, graph, about, opset: int) -> None:
  if model.card.resize:
    about = {**about, "resize": model.card.resizing}
  metadata = onnx_export.metadata(
    model.network.layers, model.card.class_names, model.card.palette, about
  )
  graph = dataclasses.replace(graph, metadata=metadata)
  onnx_file.write_graph(output, graph, model.card.model["name"], opset)


def _jetson(output: pathlib.Path, model: _Model, options) -> list[str]:
  """For segNet, with its two text files; compared with what segNet makes."""
  if options.argmax or options.size is None:
    raise DataError(
      "--preset=jetson needs --size=HEIGHTxWIDTH, and scores: not --argmax"
    )
  height, width = options.size
  graph = onnx_export.to_jetson_graph(model.network, height, width)
  about = {"preset": "jetson", "input": "as segNet prepares it"}
  _write_onnx(output, model, graph, about, options.opset)
  names, palette = model.card.class_names, model.card.palette
  texts = {
    "labels.txt": [re.sub(r"\s+", "_", name.strip()) for name in names],
    "colors.txt": [" ".join(map(str, c)) for c in palette[: len(names)]],
  }
  for name, rows in texts.items():
    with replacing(output.with_name(name)) as temporary:
      temporary.write_text("".join(f"{row}\n" for row in rows))
  lines = [f"  {output}  opset {options.opset}, labels.txt, colors.txt"]
  session = runtimes.onnx_session(output)
  if session is None:
    return [*lines, _NOT_RUN]
  cell = onnx_export.JETSON_CELL

  def run(pixels):
    standard = (pixels / 255 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
    given = standard.transpose(2, 0, 1)[None].astype(np.float32)
    return session({"input_0": given})[0].transpose(1, 2, 0)

  def in_cells(scores):
    """Scores at the middles of cells: the mean of the four pixels there."""
    rows = [slice(cell // 2 - 1 + i, None, cell) for i in (0, 1)]
    return np.mean([scores[a][:, b] for a in rows for b in rows], axis=0)

  images = runtimes.sample_images([options.size] * 3)
  shares: list[float] = []

  def ours(scores):
    """The same of the network's scores; and how its own mask compares."""
    theirs = run(images[len(shares)]).argmax(-1)
    stretched = theirs.repeat(cell, 0).repeat(cell, 1)
    shares.append(float((scores.argmax(-1) == stretched).mean()))
    return in_cells(scores)

  parity = runtimes.compare("segNet", model.network, images, run, ours)
  return [
    *lines,
    f"  {parity} (at the middles of cells of {cell} x {cell} pixels)",
    f"  stretched over the image, {100 * np.mean(shares):.1f} % of its pixels "
    "have the label of the network's own mask; the others lie within a cell of "
    "a border",
  ]


def _stablehlo(output: pathlib.Path, model: _Model, options) -> list[str]:
  """One file for CPU, GPU and TPU, and a JSON that describes it."""
  side = model.network.layers[0].size
  height, width = options.size or model.card.size or (512, 512)
  if side:
    height, width = side, side
  stablehlo.write_stablehlo(output, model.network, height, width)
  about = {
    "image": ["uint8", [1, height, width, 3], "RGB"],
    "extent": ["int32", [1, 2], "true height and width"],
    "class_names": model.card.class_names,
    "palette": model.card.palette[: len(model.card.class_names)],
    "platforms": list(stablehlo.PLATFORMS),
  }
  if model.card.resize:
    about["resize"] = model.card.resizing
  beside = output.with_suffix(".json")
  with replacing(beside) as temporary:
    temporary.write_text(json.dumps(about, indent=1) + "\n")
  run_exported = jax.export.deserialize(bytearray(output.read_bytes())).call
  smaller = [(height, width)] * 3
  if side is None:
    smaller = [(min(h, height), min(w, width)) for h, w in runtimes.ODD_SIZES]

  def run(pixels):
    h, w = pixels.shape[:2]
    canvas = np.zeros((1, height, width, 3), np.uint8)
    canvas[0, :h, :w] = pixels
    scores = run_exported(canvas, np.array([[h, w]], np.int32))[0]
    return np.asarray(scores) if side else np.asarray(scores)[:h, :w]

  parity = runtimes.compare(
    "StableHLO", model.network, runtimes.sample_images(smaller), run
  )
  return [
    f"  {output}  canvas {height} x {width}, {', '.join(stablehlo.PLATFORMS)}",
    f"  {beside}",
    f"  {parity}",
  ]


def _safetensors(output: pathlib.Path, model: _Model, options) -> list[str]:
  """A folder that fcn_jax.load reads."""
  model_folder.write_folder(output, *model)
  again, _, _ = checkpoints.load_model(output)
  for ours, theirs in zip(
    *(jax.tree.leaves(nnx.state(net)) for net in (model.network, again)),
    strict=True,
  ):
    if not np.array_equal(ours, theirs):
      raise OSError(f"{output}: a tensor reads back changed; disk full?")
  return [
    f"  {output}/model.safetensors, config.json, README.md: read back bit for "
    "bit; complete the README's licence lines",
  ]


class Format(NamedTuple):
  """One format.

  Attributes:
    write: (output, model, options) -> lines about it.
    suffix: of the output; '': a folder.
    options: fields of `Options` that it knows.
    beside: endings of what lies beside the output.
  """

  write: Callable[[pathlib.Path, _Model, Options], list[str]]
  suffix: str
  options: tuple[str, ...] = ()
  beside: tuple[str, ...] = ()


FORMATS = {
  "caffe": Format(_caffe, ".caffemodel", ("size",), (".prototxt",)),
  "onnx": Format(_onnx, ".onnx", ("size", "argmax", "opset", "preset")),
  "stablehlo": Format(_stablehlo, ".stablehlo", ("size",), (".json",)),
  "safetensors": Format(_safetensors, ""),
}
