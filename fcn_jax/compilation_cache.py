"""Compiled programs are kept on disk, so that a second run starts at once."""

import os

import jax

from fcn_jax.weights.download import cache_dir


def use() -> None:
  """Keeps programs in `cache_dir()`/compiled, unless JAX was told a place.

  JAX_COMPILATION_CACHE_DIR names another place, JAX_ENABLE_COMPILATION_CACHE=0
  turns it off.
  """
  if jax.config.jax_compilation_cache_dir is None:
    place = os.fspath(cache_dir() / "compiled")
    jax.config.update("jax_compilation_cache_dir", place)
