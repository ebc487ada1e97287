"""Compares trainings: curves over each other, scores, and what differs.

python scripts/compare_runs.py runs/a runs/b --output=comparison.html
python scripts/compare_runs.py runs/* --format=json

Where evaluate.py has scored two runs or more on a split, a paired bootstrap
over its images says whether they differ.
"""

import json

from absl import flags

from fcn_jax import cli, files

_OUTPUT = flags.DEFINE_string("output", None, "HTML file for the page.")
_PNG = flags.DEFINE_string(
  "png", None, "Folder for the charts as PNG files; made if absent."
)
_FORMAT = flags.DEFINE_enum(
  "format", "text", ["text", "json"], "Of what is printed."
)


def main(workdirs: list[str]) -> None:
  from fcn_jax.reports import comparison as page
  from fcn_jax.reports import training
  from fcn_jax.runs import comparison
  from fcn_jax.training import recipe

  compared = comparison.compare(workdirs, recipe.complete)
  if _FORMAT.value == "json":
    figures = files.without_nan(compared.figures())
    print(json.dumps(figures, indent=2, ensure_ascii=False))
  else:
    print(compared.text())
  if _OUTPUT.value:
    page.write_comparison(_OUTPUT.value, compared)
  if _PNG.value:
    training.save_charts(page.drawings(compared), _PNG.value)


if __name__ == "__main__":
  cli.start(main, "WORKDIR ...")
