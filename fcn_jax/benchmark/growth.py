"""Time and memory of the work on data sets, as the number of images grows.

  python -m fcn_jax.benchmark.growth 1000 4000

makes folders of so many images of 75x100 pixels, then prepares, checks and
explores them, trains a small network for one step, evaluates it on the
validation images and predicts these, each by its script in a process of its
own, and prints a table row by row.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from fcn_jax.text import count

_ROOT = pathlib.Path(__file__).parents[2]
_SCRIPTS = _ROOT / "scripts"
# One step of a network so small that the work on the data set shows.
_TRAINING = {
  "data.name": "grown",
  "data.max_canvases": 1,
  "data.part_size": 8,
  "model.width": 0.0625,
  "init.source": "random",
  "init.head": "gaussian",
  "duration": "1 steps",
  "validate_every": "0 steps",
  "report": False,
}
_CLASSES = ("ground", "tree", "house", "sky")
_SIZE = (75, 100)  # height and width


class Cost(NamedTuple):
  """Of one process.

  Attributes:
    seconds: from its start to its end.
    busy: seconds of all processor cores together, which others' work on the
      machine changes less.
    peak: most bytes it held.
  """

  seconds: float
  busy: float
  peak: int


def make_folders(root: pathlib.Path, images: int) -> None:
  """{train,val}/{images,labels} of made-up images, a quarter of them in val."""
  rng = np.random.default_rng(0)
  (root / "classes.txt").write_text("\n".join(_CLASSES))
  for split, number in (("train", images - images // 4), ("val", images // 4)):
    for kind in ("images", "labels"):
      (root / split / kind).mkdir(parents=True)
    for i in range(number):
      photo = rng.integers(0, 256, (7, 9, 3), np.uint8)
      label = rng.integers(0, len(_CLASSES), (3, 4), np.uint8)
      name = f"{split}_{i:07}"
      _enlarged(photo, Image.Resampling.BICUBIC).save(
        root / split / "images" / f"{name}.jpg"
      )
      _enlarged(label, Image.Resampling.NEAREST).save(
        root / split / "labels" / f"{name}.png"
      )


def _enlarged(array: np.ndarray, how: Image.Resampling) -> Image.Image:
  return Image.fromarray(array).resize(_SIZE[::-1], how)


def cost(script: str, *arguments: str) -> Cost:
  """Of a script of this project.

  Raises:
    RuntimeError: it failed; with the end of what it printed.
  """
  with tempfile.TemporaryFile() as said:
    start = time.perf_counter()
    process = subprocess.Popen(
      [sys.executable, str(_SCRIPTS / script), *arguments],
      stdout=said,
      stderr=said,
    )
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
      said.seek(0)
      end = said.read().decode(errors="replace")[-2000:]
      raise RuntimeError(f"{script}: exit code {process.returncode}\n{end}")
  busy = used.ru_utime + used.ru_stime
  return Cost(seconds, busy, used.ru_maxrss * 1024)


def costs(images: int) -> Iterator[tuple[str, Cost]]:
  """Of each piece of work on so many images, a quarter of them in val."""
  with tempfile.TemporaryDirectory(prefix="growth_") as folder:
    root = pathlib.Path(folder)
    make_folders(root, images)
    source = [
      "--dataset=folder",
      f"--class_names={root / 'classes.txt'}",
      *(
        f"--{split}_{kind}={root / split / kind}"
        for split in ("train", "val")
        for kind in ("images", "labels")
      ),
    ]
    sets = f"--data_dir={root / 'sets'}"
    page = f"--output={root / 'page.html'}"
    run = root / "run"
    given = _TRAINING | {"data.data_dir": root / "sets"}
    scripts = {
      "prepare": ["prepare_dataset.py", *source, "--name=grown", sets],
      "check": ["check_dataset.py", *source],
      "explore": ["explore_dataset.py", "--data=grown", sets, page],
      "train, one step": [
        "train.py",
        f"--config={_ROOT / 'configs/shapes_fcn_alexnet.py'}",
        f"--workdir={run}",
        *(f"--config.{name}={value}" for name, value in given.items()),
      ],
      "evaluate": ["evaluate.py", f"--checkpoint={run}", "--part_size=8"],
      "predict": [
        "predict.py",
        f"--checkpoint={run}",
        f"--images={root / 'val/images'}",
        f"--output_dir={root / 'masks'}",
      ],
    }
    for work, arguments in scripts.items():
      yield work, cost(*arguments)


def main(numbers: list[int]) -> None:
  print("| images | work | seconds | CPU seconds | peak |")
  print("|---:|---|---:|---:|---:|", flush=True)
  for images in numbers:
    for work, one in costs(images):
      seconds = f"{one.seconds:.1f} | {one.busy:.1f}"
      peak = f"{one.peak / 1e6:,.0f} MB"
      print(f"| {count(images)} | {work} | {seconds} | {peak} |", flush=True)


if __name__ == "__main__":
  main([int(number) for number in sys.argv[1:]])
