"""fcn_jax.compilation_cache: where compiled programs are kept."""

import os
import subprocess
import sys

SCRIPT = """
import jax
from fcn_jax import compilation_cache
compilation_cache.use()
print(jax.config.jax_compilation_cache_dir)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
print(jax.jit(lambda x: x + 1)(1.0))
"""


def run(**environment) -> list[str]:
  kept = {k: v for k, v in os.environ.items() if "JAX" not in k}
  done = subprocess.run(
    [sys.executable, "-c", SCRIPT],
    capture_output=True,
    text=True,
    env=kept | environment,
    check=True,
  )
  assert done.stderr == ""
  return done.stdout.split()


def test_programs_are_kept_and_found_again(tmp_path):
  for _ in range(2):
    place, result = run(XDG_CACHE_HOME=str(tmp_path))
    assert place == str(tmp_path / "fcn_jax/compiled")
    assert result == "2.0"
  kept = [p.name for p in (tmp_path / "fcn_jax/compiled").iterdir()]
  assert len([name for name in kept if name.endswith("-cache")]) > 0


def test_another_place_is_respected(tmp_path):
  elsewhere = str(tmp_path / "elsewhere")
  place, _ = run(
    XDG_CACHE_HOME=str(tmp_path), JAX_COMPILATION_CACHE_DIR=elsewhere
  )
  assert place == elsewhere
  assert not (tmp_path / "fcn_jax").exists()
