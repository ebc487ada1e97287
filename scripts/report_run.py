"""Draws the report of a training anew from its workdir, at any time.

  python scripts/report_run.py --workdir=runs/voc
  python scripts/report_run.py --workdir=runs/voc --png=charts

Training draws WORKDIR/report.html at every validation, unless config.report is
off; this is for runs without one, for a run that was killed, and for charts.
"""

from absl import flags

from fcn_jax import cli

_WORKDIR = flags.DEFINE_string("workdir", None, "Of the training.")
_OUTPUT = flags.DEFINE_string(
  "output", None, "The page; by default report.html in the workdir."
)
_PNG = flags.DEFINE_string(
  "png", None, "Folder for the charts as PNG files; made if absent."
)
flags.mark_flag_as_required("workdir")


def main() -> None:
  from fcn_jax.reports import training

  print(training.write_training(_WORKDIR.value, _OUTPUT.value))
  if _PNG.value:
    for path in training.write_charts(_WORKDIR.value, _PNG.value):
      print(path)


if __name__ == "__main__":
  cli.start(main)
