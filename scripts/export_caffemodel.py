r"""Writes a trained network as Caffe reads it: .caffemodel and .prototxt.

  python scripts/export_caffemodel.py --checkpoint=runs/voc \
    --output=fcn_alexnet.caffemodel --size=375x500

fcn_alexnet.prototxt, beside it, is the deploy net for images of that size; its
comments say what the image has to look like.
"""

import pathlib

from absl import flags

from fcn_jax import cli
from fcn_jax.weights import caffemodel, checkpoints, export

S = flags.DEFINE_string

S("checkpoint", None, "a training workdir or converted model", required=True)
S("step", "best", "best, latest, or the number of a step")
S("output", None, "the .caffemodel to write; must not exist", required=True)
S("size", "375x500", "HEIGHTxWIDTH of the image in the prototxt")
FLAGS = flags.FLAGS


def main() -> None:
  """Does what the flags say."""
  output = pathlib.Path(FLAGS.output).expanduser()
  prototxt = output.with_suffix(".prototxt")
  if output.suffix != ".caffemodel":
    raise ValueError(f"--output={output}: its name has to end in .caffemodel")
  for path in (output, prototxt):
    if path.exists():
      raise ValueError(f"{path} exists and is not overwritten")
  height, _, width = FLAGS.size.partition("x")
  if not (height.isascii() and height.isdigit() and width.isdigit()):
    raise ValueError(f"--size={FLAGS.size}: write it as 375x500, height first")
  network, about, step = checkpoints.load_model(FLAGS.checkpoint, FLAGS.step)
  name = about.model["name"]
  text = export.deploy_prototxt(
    network.layers, name, int(height), int(width), about.class_names
  )
  output.parent.mkdir(parents=True, exist_ok=True)
  net = export.to_caffe(network, name)
  caffemodel.write_caffemodel(output, net)
  stored = caffemodel.read_caffemodel(output)
  for wrote, read in zip(net.layers, stored.layers, strict=True):
    for a, b in zip(wrote.blobs, read.blobs, strict=True):
      if a.shape != b.shape or a.tobytes() != b.tobytes():
        raise OSError(f"{output}: {wrote.name} reads back changed; disk full?")
  prototxt.write_text(text)
  print(f"step {step} of {FLAGS.checkpoint}, read back bit for bit:")
  print(f"  {output}  SHA-1 {stored.sha1}")
  print(f"  {prototxt}  {height} x {width}")


if __name__ == "__main__":
  cli.start(main)
