r"""Shows a prepared data set: a page with its images, figures and findings.

  python scripts/explore_dataset.py --data=voc2012 --output=voc2012.html
  python scripts/explore_dataset.py --data=voc2012 --format=text

The page is one file, of at most --max_megabytes: the more images there are,
the smaller are their pictures; where not all fit, some are left out, evenly
spaced. Figures and findings are of all images in any case.

  python scripts/explore_dataset.py --augment=configs/voc_fcn8s_trainaug.py \
    --output=augmented.html

shows what training with that recipe sees of a few images instead.
"""

from absl import flags

from fcn_jax import cli, data

_DATA = flags.DEFINE_string("data", None, "Name of the prepared data set.")
_DATA_DIR = flags.DEFINE_string(
  "data_dir", None, "Where data sets lie; default: as tfds."
)
_SPLIT = flags.DEFINE_list("split", ["train", "val"], "Splits, by commas.")
_FORMAT = flags.DEFINE_enum(
  "format", "html", ["html", "text", "json"], "What is made."
)
_OUTPUT = flags.DEFINE_string(
  "output", None, "File to write; text and JSON are printed without one."
)
_MAX_MEGABYTES = flags.DEFINE_integer(
  "max_megabytes", 48, "html: the file is smaller than that.", lower_bound=2
)
_AUGMENT = flags.DEFINE_string(
  "augment", None, "A recipe: show its images as training sees them."
)


def show_augmentation() -> None:
  from fcn_jax.reports import augmentation, page
  from fcn_jax.training import input, recipe

  path = page.claim(_OUTPUT.value or "augmented.html")
  config = recipe.check(recipe.read_recipe(_AUGMENT.value))
  config.data.name = _DATA.value or config.data.name
  config.data.data_dir = _DATA_DIR.value or config.data.data_dir
  print(augmentation.write_augmentation(path, **input.augmented_data(config)))


def main() -> None:
  from fcn_jax.reports import exploration

  if _AUGMENT.value:
    return show_augmentation()
  if not _DATA.value:
    raise ValueError("give --data=NAME, or a recipe with --augment=FILE")
  said = exploration.show(
    data.load_dataset(_DATA.value, _DATA_DIR.value),
    _SPLIT.value,
    _FORMAT.value,
    _OUTPUT.value,
    _MAX_MEGABYTES.value,
  )
  if said:
    print(said)
  return None


if __name__ == "__main__":
  cli.start(main)
