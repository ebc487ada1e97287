"""Time before the work: processes that start, programs that are compiled."""

import itertools
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from PIL import Image

from fcn_jax.benchmark import compute
from fcn_jax.benchmark.machine import take_turns
from fcn_jax.data.classes import voc_palette
from fcn_jax.training import pretrain
from fcn_jax.weights import checkpoints, conversion

_SCRIPTS = pathlib.Path(__file__).parents[2] / "scripts"
_REPEATS = 5  # at most, of processes of several seconds
# What a user starts first, at the size of the quickstart.
_WIDTH, _SIZE = 0.25, (120, 160)


def measure_startup(setting) -> list[dict[str, Any]]:
  """Rows of whole processes, beside `import jax` in turns with them.

  Predictions are of one image by an FCN-AlexNet of a quarter of the width,
  with compiled programs at hand ('full cache') and without ('empty cache').
  """
  with tempfile.TemporaryDirectory(prefix="startup_") as name:
    folder = pathlib.Path(name)
    model = _write_model(folder)
    noise = np.random.default_rng(0).integers(0, 256, (*_SIZE, 3), np.uint8)
    Image.fromarray(noise).save(folder / "one.png")
    number = itertools.count()

    def predict(cache: pathlib.Path | None = None) -> float:
      script = str(_SCRIPTS / "predict.py")
      output = f"--output_dir={folder / 'masks'}{next(number)}"
      given = [f"--checkpoint={model}", f"--images={folder / 'one.png'}"]
      cache = cache or folder / f"cache{next(number)}"
      return _process([script, *given, output], cache)

    works: dict[str, Callable[[], float]] = {
      "import jax": lambda: _process(["-c", "import jax"]),
      "train.py --help": lambda: _process(
        [str(_SCRIPTS / "train.py"), "--help"], fails=True
      ),
      "fcn_jax.load": lambda: _process(["-c", "import fcn_jax; fcn_jax.load"]),
      "predict, full cache": lambda: predict(folder / "cache"),
      "predict, empty cache": predict,
    }
    timings = take_turns(works, min(setting.repeats, _REPEATS), warm_up=1)
  jax_alone = timings["import jax"].median
  return [
    {
      "what": "startup",
      "name": name,
      "seconds": timing.median,
      "least": timing.least,
      "most": timing.most,
      "times_import_jax": timing.median / jax_alone,
    }
    for name, timing in timings.items()
  ]


def _write_model(folder: pathlib.Path) -> pathlib.Path:
  """A converted FCN-AlexNet, its weights by chance."""
  net = compute.network("alexnet", "float32", _WIDTH)
  card = checkpoints.ModelCard(
    {"name": "alexnet", "classes": compute.CLASSES, "width": _WIDTH},
    [f"class {i}" for i in range(compute.CLASSES)],
    voc_palette().tolist(),
  )
  pretrain.write_classifier(net, card, folder)
  conversion.convert(
    folder / checkpoints.CLASSIFIER,
    folder / "model",
    "fcn_alexnet",
    card.class_names,
    card.palette,
    {"width": _WIDTH},
  )
  return folder / "model"


def with_cache(folder: str | os.PathLike) -> dict[str, str]:
  """The environment of a user whose cache folder this is.

  JAX is not told the place: that scripts do so is a part of what is measured.
  """
  environment = os.environ | {"XDG_CACHE_HOME": os.fspath(folder)}
  environment.pop("JAX_COMPILATION_CACHE_DIR", None)
  return environment


def _process(
  arguments: Sequence[str],
  cache: str | os.PathLike = "",
  fails: bool = False,
) -> float:
  """Seconds of Python with these arguments, from its start to its end."""
  began = time.perf_counter()
  done = subprocess.run(
    [sys.executable, *arguments],
    env=with_cache(cache) if cache else None,
    capture_output=True,
    text=True,
  )
  seconds = time.perf_counter() - began
  if done.returncode and not fails:
    raise OSError(done.stderr.strip().splitlines()[-1])
  return seconds


def measure_compiling(setting) -> list[dict[str, Any]]:
  """Rows of tracing and compiling, without the cache of programs."""
  net, given = setting.network(), setting.part()
  functions, state = compute.training(net, setting.batch)
  programs = {
    "forward": compute.forward_program(net, given),
    "step": (functions.train_step, (state, given)),
  }
  rows = []
  kept = jax.config.jax_enable_compilation_cache
  jax.config.update("jax_enable_compilation_cache", False)
  try:
    for name, (function, arguments) in programs.items():
      began = time.perf_counter()
      lowered = jax.jit(function).lower(*arguments)
      traced = time.perf_counter()
      lowered.compile()
      ended = time.perf_counter()
      for part, seconds in (
        ("traced", traced - began),
        ("compiled", ended - traced),
      ):
        row = {"what": "compile", "name": f"{name}, {part}"}
        rows.append(row | {"seconds": seconds})
  finally:
    jax.config.update("jax_enable_compilation_cache", kept)
  return rows
