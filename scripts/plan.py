r"""Writes a recipe for a data set and this machine, with the reasons.

  python scripts/plan.py --data=streets --output=streets.py
  python scripts/plan.py --data=streets --network=fcn8s

It looks at the sizes of the images, the pixels of the classes and the memory
that a training step takes (some ten seconds for each size tried): canvases,
images at once, augmentation, class weights and duration follow, by rules of
thumb that the recipe states. Without --output it is printed.
"""

from absl import flags

from fcn_jax import cli, files

_DATA = flags.DEFINE_string("data", None, "Name of the prepared data set.")
_DATA_DIR = flags.DEFINE_string(
  "data_dir", None, "Where data sets lie; default: as tfds."
)
_NETWORK = flags.DEFINE_string("network", "fcn_alexnet8s", "To be trained.")
_OUTPUT = flags.DEFINE_string("output", None, "The file, which ends in .py.")
flags.mark_flag_as_required("data")


def main() -> None:
  from fcn_jax import data
  from fcn_jax.training import plan

  path = _OUTPUT.value and files.claim(_OUTPUT.value, plan.MARK, "recipe")
  dataset = data.load_dataset(_DATA.value, _DATA_DIR.value)
  text = plan.plan(dataset, _NETWORK.value)
  if not path:
    print(text)
    return
  with files.replacing(path) as temporary:
    temporary.write_text(text)
  print(path)


if __name__ == "__main__":
  cli.start(main)
