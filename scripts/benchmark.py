r"""Measures speed and memory, beside other implementations and the machine.

  python scripts/benchmark.py --what=forward,step --model=fcn_alexnet \
    --size=375x500 --peers=plain,torch

In each group of rows all take turns (A B C A B C ...), after warming up;
medians are given, with the least and the most. The floor of a piece of work is
its floating-point operations, padding included, at the rate of a large matrix
product measured in the same turns, or its parameters' bytes at the rate of a
large copy where that takes longer. Peers: plain is the same network written as
one would first write it in JAX (fcn_jax/benchmark/plain.py); torch is PyTorch
in the fastest of its forms here (pip install torch): as it is, compiled (with
frozen weights for forward), or compiled with products and sums by hand.

  forward   scores of a batch
  step      forward, backward and update
  classifier  a step of the quickstart's classifier: a quarter of the width, 16
            images of 227x227
  memory    peak of a process that does either, once the batch is made
  compile   tracing and compiling a forward pass and a step
  startup   whole processes beside `import jax`: --help, a prediction of one
            image by a network of a quarter of the width
  scaling   time per operation for batches of 1 to 16, sides of 250 to 2000
            pixels, 2 to 150 classes; --width makes it shorter
  input     made-up JPEGs with VOC's sizes and their labels, decoded and placed
            on canvases in one thread, beside a plain loop of Pillow and numpy
  train     an epoch of them, batch 1, from files and from memory; the number of
            compiled programs; the time from the command to the first step
  predict   a folder of them, masks written, beside the scores alone
"""

import pathlib

from absl import flags

from fcn_jax import cli
from fcn_jax.benchmark import PEERS, WHATS

_WHAT = flags.DEFINE_list("what", ["forward", "step"], ", ".join(WHATS))
_MODEL = flags.DEFINE_string("model", "fcn_alexnet", "The network.")
_WIDTH = flags.DEFINE_float(
  "width", 1.0, "Share of the network's published features."
)
_SIZE = flags.DEFINE_string("size", "375x500", "HEIGHTxWIDTH of the images.")
_BATCH = flags.DEFINE_integer("batch", 1, "Images at once.", 1)
_PRECISION = flags.DEFINE_enum(
  "precision", "float32", cli.PRECISIONS, "Of the products."
)
_PEERS = flags.DEFINE_list(
  "peers", ["plain"], f"{', '.join(PEERS)}; empty: none."
)
_IMAGES = flags.DEFINE_integer(
  "images", 24, "Made-up images, for input, train and predict.", 1
)
_SIZES = flags.DEFINE_string(
  "sizes",
  str(pathlib.Path(__file__).with_name("voc2012_sizes.json")),
  "JSON list of [height, width, how often], of which their sizes are drawn.",
)
_REPEATS = flags.DEFINE_integer("repeats", 9, "Of each piece of work.", 7)
_JSON = flags.DEFINE_string("json", None, "Also write the rows there.")


def main() -> None:
  from fcn_jax.benchmark import rows

  setting = rows.Setting(
    model=_MODEL.value,
    size=cli.image_size(_SIZE.value),
    batch=_BATCH.value,
    precision=_PRECISION.value,
    peers=_PEERS.value,
    repeats=_REPEATS.value,
    width=_WIDTH.value,
    images=_IMAGES.value,
    sizes=_SIZES.value,
  )
  rows.run(_WHAT.value, setting, _JSON.value)


if __name__ == "__main__":
  cli.start(main)
