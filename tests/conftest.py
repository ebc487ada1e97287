"""Every test runs with shapes, types and ranks checked."""

import gc
import pathlib
import shutil
import tempfile

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

from fcn_jax.data import looks  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")

# Networks here are so small that compiling them takes nearly all of the time;
# this halves it.
jax.config.update("jax_disable_most_optimizations", True)

# Runs that compile the same program again find it here.
_COMPILED = tempfile.TemporaryDirectory(prefix="compiled_")
jax.config.update("jax_compilation_cache_dir", _COMPILED.name)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)

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
  """What was imported stays: the garbage collector need not look at it."""
  gc.freeze()


def pytest_addoption(parser):
  parser.addoption(
    "--all", action="store_true", help="also the tests marked exhaustive"
  )


def pytest_collection_modifyitems(config, items):
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
