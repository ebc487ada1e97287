r"""Makes a network of a weight file, with a receipt and a proof.

  python scripts/convert_weights.py --download=bvlc_alexnet \
    --output=converted/bvlc_alexnet
  python scripts/convert_weights.py --source=bvlc_alexnet.caffemodel \
    --output=converted/camvid --num_classes=11 --mean=104,117,123
  python scripts/convert_weights.py --model=fcn32s --download=vgg16 \
    --output=converted/vgg16
  python scripts/convert_weights.py --model=fcn8s \
    --source=fcn8s-heavy-pascal.caffemodel --output=converted/fcn8s

The file (.caffemodel, .onnx, .h5, .keras, .safetensors, .pth or .npz) is a
classifier's, or a whole FCN's, which can be scored as it is. --list shows what
--download knows; docs/weights.md says what is done to each format. The
output is a model directory: a training config names it in
config.init.path, with config.init.source='checkpoint'. Every tensor of the file
has to find its place; what may be missing is named in --allow_missing.
"""

from absl import flags

from fcn_jax import cli, models
from fcn_jax.weights import published

S = flags.DEFINE_string

S("source", None, "the weight file")
flags.DEFINE_boolean("list", False, "print what --download knows, and stop")
flags.DEFINE_enum(
  "download",
  None,
  sorted(published.FILES),
  "fetch this published one instead, or take it from the cache",
)
flags.DEFINE_multi_string(
  "mirror", [], "with --download: a URL to try first; may be given often"
)
S("output", None, "model directory to write; must not exist")
S("model", "fcn_alexnet", f"the network: {', '.join(models.NETWORKS)}")
flags.DEFINE_integer(
  "num_classes",
  None,
  "classes, background included, void not; default: as many as --class_names "
  "has, else VOC's 21",
  1,
)
S("class_names", None, "text file, line i (from 0) names class i")
flags.DEFINE_list(
  "allow_missing",
  [],
  "layers of the network that may start from random weights",
)
flags.DEFINE_list(
  "allow_unknown", [], "layers of the file that may be left out"
)
flags.DEFINE_enum(
  "head_init", "zero", ["zero", "gaussian"], "of the scores; gaussian: std 0.01"
)
flags.DEFINE_integer("seed", 0, "of whatever is random", 0)
flags.DEFINE_list(
  "width",
  None,
  "share of the published features, or those of AlexNet's conv1 .. conv5, fc6, "
  "fc7 or VGG-16's blocks 1 .. 5, fc6, fc7; default: the published ones",
)
flags.DEFINE_enum(
  "order",
  None,
  ["pool_norm", "norm_pool"],
  "of pooling and normalisation in AlexNet; default: pool_norm in the FCN",
)
flags.DEFINE_list(
  "mean",
  None,
  "subtracted from the image: one value, or blue,green,red; default: the "
  "file's where it tells, else 116 for FCN-AlexNet (as DIGITS) and "
  "104.00699,116.66877,122.67892 for FCN-32s to 8s",
)
FLAGS = flags.FLAGS


def main() -> None:
  """Does what the flags say."""
  if FLAGS.list:
    print(published.listing())
    return
  from fcn_jax.data import classes
  from fcn_jax.data.formats import voc
  from fcn_jax.weights import conversion as c

  receipt = c.convert(
    c.Origin(FLAGS.source, FLAGS.download, FLAGS.mirror),
    FLAGS.output,
    FLAGS.model,
    voc.names_for(FLAGS.num_classes, FLAGS.class_names),
    classes.voc_palette().tolist(),
    c.options_given(FLAGS.model, FLAGS.width, FLAGS.order, FLAGS.mean),
    allow_missing=FLAGS.allow_missing,
    allow_unknown=FLAGS.allow_unknown,
    head_init=FLAGS.head_init,
    seed=FLAGS.seed,
  )
  print(f"{receipt}\nwritten to {FLAGS.output}")


if __name__ == "__main__":
  cli.start(main)
