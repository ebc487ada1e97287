r"""Writes a trained network as Caffe reads it: .caffemodel and .prototxt.

  python scripts/export_caffemodel.py --checkpoint=runs/voc \
    --output=fcn_alexnet.caffemodel --size=375x500

fcn_alexnet.prototxt, beside it, is the deploy net for images of that size; its
comments say what the image has to look like.  It is export_model.py with
--format=caffe.
"""

from absl import flags

from fcn_jax import cli

S = flags.DEFINE_string

S("checkpoint", None, "a training workdir or converted model", required=True)
S("step", "best", "best, latest, or the number of a step")
S("output", None, "the .caffemodel to write; must not exist", required=True)
S("size", "375x500", "HEIGHTxWIDTH of the image in the prototxt")
FLAGS = flags.FLAGS


def main() -> None:
  """Does what the flags say."""
  from fcn_jax.weights import model_export

  options = model_export.Options(size=cli.image_size(FLAGS.size))
  lines = model_export.export_model(
    FLAGS.checkpoint, "caffe", FLAGS.output, FLAGS.step, options
  )
  print("\n".join(lines))


if __name__ == "__main__":
  cli.start(main)
