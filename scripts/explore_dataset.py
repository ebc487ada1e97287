r"""Shows a prepared data set: a page with its images, figures and findings.

  python scripts/explore_dataset.py --data=voc2012 --output=voc2012.html
  python scripts/explore_dataset.py --data=voc2012 --format=text

The page is one file, of at most --max_megabytes: the more images there are,
the smaller are their pictures; where not all fit, some are left out, evenly
spaced. Figures and findings are of all images in any case.
"""

import dataclasses
import itertools
import json
import pathlib

from absl import flags

from fcn_jax import cli, files
from fcn_jax.data import DataError, load_dataset
from fcn_jax.data.findings import report, verdict
from fcn_jax.data.inspection import inspect_prepared
from fcn_jax.data.statistics import count_split, describe
from fcn_jax.files import check_writable, replacing
from fcn_jax.reports import dataset as dataset_page
from fcn_jax.reports import page, thumbnails

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

# Of the page without its images.
_REST = 1_000_000


def main() -> None:
  dataset = load_dataset(_DATA.value, _DATA_DIR.value)
  splits = list(dict.fromkeys(_SPLIT.value))
  if not splits:
    raise DataError(f"--split: name some of {', '.join(dataset.splits)}")
  if _FORMAT.value == "html":
    if not _OUTPUT.value:
      raise DataError("give --output=FILE.html, or --format=text")
    page.claim(_OUTPUT.value)
  if _OUTPUT.value:
    check_writable(_OUTPUT.value)
  pairs, facts, findings = inspect_prepared(dataset, splits)
  statistics = {
    split: count_split(pairs[split], facts, dataset.class_names)
    for split in splits
  }
  known = {
    split: [pair for pair in group if pair in facts]
    for split, group in pairs.items()
  }
  left_out = sum(len(pairs[split]) - len(known[split]) for split in splits)
  match _FORMAT.value:
    case "text":
      _put(
        f"{dataset.name}, {len(dataset.class_names)} classes\n\n"
        f"{describe(statistics)}\n\n"
        + f"images with errors, in no figure: {left_out}\n" * (left_out > 0)
        + "".join(f"{part}\n" for part in (report(findings),) if part)
        + verdict(findings)
      )
    case "json":
      figures = {
        "data": dataset.name,
        "class_names": dataset.class_names,
        "images_left_out": left_out,
        "splits": {s: one.figures() for s, one in statistics.items()},
        "findings": [dataclasses.asdict(finding) for finding in findings],
      }
      _put(json.dumps(files.without_nan(figures), indent=2))
    case "html":
      made = thumbnails.make(
        list(itertools.chain(*known.values())),
        _MAX_MEGABYTES.value * 1_000_000 - _REST,
      )
      path = dataset_page.write_dataset(
        _OUTPUT.value, dataset, known, statistics, findings, made, left_out
      )
      print(
        f"{verdict(findings)}\n{path}: {len(made.shown)} of {made.images} "
        f"images, of at most {made.longest} pixels, "
        f"{path.stat().st_size / 1e6:.1f} MB"
      )


def _put(text: str) -> None:
  if not _OUTPUT.value:
    print(text)
    return
  path = pathlib.Path(_OUTPUT.value).expanduser()
  path.parent.mkdir(parents=True, exist_ok=True)
  with replacing(path) as temporary:
    temporary.write_text(text + "\n")


if __name__ == "__main__":
  cli.start(main)
