"""Every test runs with shapes, types and ranks checked."""

import gc
import os
import pathlib
import shutil
import tempfile

# Networks here are so small that compiling them takes nearly all of the time:
# in haste that is half, and a program that some run has compiled is found by
# the others, workers of pytest-xdist and scripts as well, which inherit this.
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
if "PYTEST_XDIST_WORKER" not in os.environ:
  _COMPILED = tempfile.TemporaryDirectory(prefix="compiled_")
  os.environ["JAX_COMPILATION_CACHE_DIR"] = _COMPILED.name

import hypothesis
import jax
import jaxtyping
import pytest
from absl import flags
from browser import chromium, open_page  # noqa: F401
from places import SHARED

# Before the first import of the package: its signatures are checked at every
# call in the tests.
jaxtyping.install_import_hook("fcn_jax", "typechecker.check")

from fcn_jax import cli  # noqa: E402
from fcn_jax.data import looks  # noqa: E402

cli.set_up_compiler()

jax.config.update("jax_numpy_rank_promotion", "raise")

# grain asks for parsed flags before it starts a worker.
flags.FLAGS.mark_as_parsed()

# The same examples on every machine: a suite that passed passes again.
hypothesis.settings.register_profile(
  "small", max_examples=20, deadline=None, derandomize=True
)
hypothesis.settings.load_profile("small")


def pytest_configure(config):
  # flax's own type hints still name typing.Hashable.
  config.addinivalue_line(
    "filterwarnings",
    "ignore::beartype.roar.BeartypeDecorHintPep585DeprecationWarning",
  )


def pytest_collection_finish(session):
  """Garbage is collected after each file alone.

  JAX keeps what it traces and compiles, in so many objects that looking at them
  again and again takes a sixth of the time.
  """
  gc.freeze()
  gc.disable()


@pytest.fixture(scope="module", autouse=True)
def compiled_programs_go():
  """After each file: those of all files would take gigabytes."""
  yield
  jax.clear_caches()
  gc.collect()


def pytest_addoption(parser):
  parser.addoption(
    "--all", action="store_true", help="also the tests marked exhaustive"
  )


# Files that take a minute or more: they come first, so that all workers of
# pytest-xdist end together.
_LONGEST = (
  "test_loop",
  "test_parity",
  "test_end_to_end",
  "test_notebook",
  "test_benchmark",
  "test_losses",
  "test_convert_weights",
)


def pytest_collection_modifyitems(config, items):
  items.sort(key=lambda item: item.path.stem not in _LONGEST)
  if not config.getoption("--all"):
    for item in items:
      if item.get_closest_marker("exhaustive"):
        item.add_marker(pytest.mark.skip(reason="only with --all"))


@pytest.fixture(autouse=True)
def own_looks(tmp_path_factory, monkeypatch):
  """What a preparation has looked at is no other test's."""
  place = tmp_path_factory.getbasetemp() / "cache"
  shutil.rmtree(place, ignore_errors=True)
  monkeypatch.setattr(looks, "cache_dir", lambda: place)


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
  """The folder of data that is not ours to publish; skips without it."""
  if not SHARED.is_dir():
    pytest.skip(f"needs the data in {SHARED}, which is not published")
  return SHARED
