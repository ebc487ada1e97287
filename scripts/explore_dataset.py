r"""Shows a prepared data set: a page with its images, figures and findings.

  python scripts/explore_dataset.py --data=voc2012 --output=voc2012.html
  python scripts/explore_dataset.py --data=voc2012 --format=text

The page is one file, of at most --max_megabytes: the more images there are,
the smaller are their pictures; where not all fit, some are left out, evenly
spaced. Figures and findings are of all images in any case.
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
flags.mark_flag_as_required("data")


def main() -> None:
  from fcn_jax.reports import exploration

  said = exploration.show(
    data.load_dataset(_DATA.value, _DATA_DIR.value),
    _SPLIT.value,
    _FORMAT.value,
    _OUTPUT.value,
    _MAX_MEGABYTES.value,
  )
  if said:
    print(said)


if __name__ == "__main__":
  cli.start(main)
