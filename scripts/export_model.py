r"""Writes a trained network as other programs read it, and runs it there.

  python scripts/export_model.py --checkpoint=runs/voc --format=onnx \
    --output=fcn_alexnet.onnx
  python scripts/export_model.py --checkpoint=runs/voc --format=onnx \
    --preset=jetson --size=320x512 --output=jetson/fcn_alexnet.onnx
  python scripts/export_model.py --checkpoint=runs/voc --format=stablehlo \
    --size=512x512 --output=fcn_alexnet.stablehlo
  python scripts/export_model.py --checkpoint=runs/voc --format=safetensors \
    --output=hub/fcn_alexnet
  python scripts/export_model.py --checkpoint=runs/voc --format=caffe \
    --size=375x500 --output=fcn_alexnet.caffemodel

docs/deploy.md says what to do with each.
"""

from absl import flags

from fcn_jax import cli
from fcn_jax.weights import EXPORTS, PRESETS

S = flags.DEFINE_string

S("checkpoint", None, "a training workdir or converted model", required=True)
S("step", "best", "best, latest, or the number of a step")
flags.DEFINE_enum("format", None, EXPORTS, "what to write", required=True)
S("output", None, "the file or folder to write; must not exist", required=True)
S(
  "size",
  None,
  "HEIGHTxWIDTH of the images; caffe: of the prototxt (default 375x500); onnx: "
  "default any; stablehlo: of the canvas (default 512x512)",
)
flags.DEFINE_boolean("argmax", False, "onnx: put out class ids, not scores")
flags.DEFINE_integer("opset", 13, "onnx: version of its operations")
flags.DEFINE_enum("preset", None, PRESETS, "onnx: for whom; jetson: segNet")
FLAGS = flags.FLAGS


def main() -> None:
  """Does what the flags say."""
  from fcn_jax.weights import model_export

  options = model_export.Options(
    size=FLAGS.size and cli.image_size(FLAGS.size),
    argmax=FLAGS.argmax,
    opset=FLAGS.opset,
    preset=FLAGS.preset,
  )
  lines = model_export.export_model(
    FLAGS.checkpoint, FLAGS.format, FLAGS.output, FLAGS.step, options
  )
  print("\n".join(lines))


if __name__ == "__main__":
  cli.start(main)
