r"""Makes a network of a classifier's .caffemodel, with a receipt and a proof.

  python scripts/convert_weights.py --download=bvlc_alexnet \
    --output=converted/bvlc_alexnet
  python scripts/convert_weights.py --source=bvlc_alexnet.caffemodel \
    --output=converted/camvid --num_classes=11 --mean=104,117,123

The output is a model directory: a training config names it in
config.init.path, with config.init.source='checkpoint'. Every tensor of the file
has to find its place; what may be missing is named in --allow_missing.
"""

import dataclasses
import pathlib
import shutil
import tempfile

from absl import flags

from fcn_jax import (
  caffe,
  checkpoints,
  command_line,
  download,
  models,
  proof,
  weights,
)
from fcn_jax.data import palette, voc

S = flags.DEFINE_string

S("source", None, "the .caffemodel, V1 or new format")
flags.DEFINE_enum(
  "download",
  None,
  sorted(download.PUBLISHED),
  "fetch this published one instead, or take it from the cache",
)
flags.DEFINE_multi_string(
  "mirror", [], "with --download: a URL to try first; may be given often"
)
S("output", None, "model directory to write; must not exist", required=True)
S("model", "fcn_alexnet", "name of the network")
flags.DEFINE_integer(
  "num_classes", 21, "classes, background included, void not", 1, 255
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
  "head_init", "zero", ["zero", "gaussian"], "of score_fr; gaussian: std 0.01"
)
flags.DEFINE_integer("seed", 0, "of whatever is random", 0)
flags.DEFINE_list(
  "width", ["1"], "share of AlexNet's features, or those of its 7 layers"
)
flags.DEFINE_enum(
  "order",
  "pool_norm",
  ["pool_norm", "norm_pool"],
  "of pooling and normalisation in the network",
)
flags.DEFINE_list(
  "mean", ["116"], "subtracted from the image: one value, or blue,green,red"
)
FLAGS = flags.FLAGS


def _width() -> float | list[int]:
  """--width as a checkpoint stores it."""
  try:
    if len(FLAGS.width) == 1:
      return float(FLAGS.width[0])
    return [int(n) for n in FLAGS.width]
  except ValueError:
    raise ValueError(
      f"--width={','.join(FLAGS.width)}: one share, or whole numbers"
    ) from None


def _mean() -> list[float]:
  """--mean as blue, green, red."""
  try:
    mean = [float(value) for value in FLAGS.mean]
  except ValueError:
    mean = []
  if len(mean) not in (1, 3) or not all(0 <= value <= 255 for value in mean):
    raise ValueError(
      f"--mean={','.join(FLAGS.mean)}: one number in 0..255, or three"
    )
  return mean * 3 if len(mean) == 1 else mean


def _class_names() -> list[str]:
  """--class_names, or VOC's for 21 classes, or numbers."""
  if FLAGS.class_names is None:
    if FLAGS.num_classes == len(voc.CLASS_NAMES):
      return list(voc.CLASS_NAMES)
    return [f"class{index}" for index in range(FLAGS.num_classes)]
  names = list(palette.read_class_names(FLAGS.class_names))
  if len(names) != FLAGS.num_classes:
    raise ValueError(
      f"{FLAGS.class_names} names {len(names)} classes, --num_classes is "
      f"{FLAGS.num_classes}"
    )
  return names


def main() -> None:
  """Does what the flags say."""
  if (FLAGS.source is None) == (FLAGS.download is None):
    raise ValueError("give either --source=FILE or --download=NAME")
  output = pathlib.Path(FLAGS.output).expanduser()
  if output.exists():
    raise ValueError(
      f"{output} exists and is not overwritten; name another --output"
    )
  about = checkpoints.About(
    model={
      "name": FLAGS.model,
      "classes": FLAGS.num_classes,
      "width": _width(),
      "order": FLAGS.order,
      "mean_bgr": _mean(),
    },
    class_names=_class_names(),
    palette=palette.voc_palette().tolist(),
  )
  network = models.build(about.declaration())
  if FLAGS.download:
    path = download.fetch(FLAGS.download, FLAGS.mirror)
  else:
    path = pathlib.Path(FLAGS.source).expanduser()
  source = caffe.read_caffemodel(path)
  receipt = weights.surgery(
    source,
    network,
    file=str(path),
    allow_missing=FLAGS.allow_missing,
    allow_unknown=FLAGS.allow_unknown,
    head_init=FLAGS.head_init,
    seed=FLAGS.seed,
  )
  proven = proof.prove(source, network, receipt)
  receipt = dataclasses.replace(receipt, proof=str(proven))
  print(receipt)
  if proven.blob and not proven.holds:
    raise ValueError(
      f"{path}: the converted network does not compute what the file's "
      "classifier does; nothing was written"
    )
  about = dataclasses.replace(
    about, source=f"{path.name}, SHA-1 {receipt.sha1}"
  )
  output.parent.mkdir(parents=True, exist_ok=True)
  # Made under another name, so that a half-made model is never taken for one.
  unfinished = pathlib.Path(
    tempfile.mkdtemp(prefix=f"{output.name}.", dir=output.parent)
  )
  try:
    checkpoints.save_model(unfinished, network, about)
    (unfinished / "receipt.txt").write_text(f"{receipt}\n")
    (unfinished / "receipt.json").write_text(receipt.to_json())
    unfinished.chmod(0o755)
    unfinished.rename(output)
  except BaseException:
    shutil.rmtree(unfinished)
    raise
  print(f"written to {output}")


if __name__ == "__main__":
  command_line.start(main)
