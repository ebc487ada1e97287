#!/usr/bin/env bash
# Checks and measures this package on a GPU: errors of each precision, speed and
# memory beside PyTorch, input, epochs, a resumed run, losses in bfloat16.
#   bash scripts/gpu_check.sh [--output=gpu_check] [--minutes=9] [--small]
# It goes on where it stopped (exit code 3: something is left; 1: something
# failed, which --again tries anew) and writes
# gpu_check/gpu_check.json and gpu_check.md. A machine without a network needs
# jax[cuda], and torch for the comparison; bring the rest in a folder wheels/:
#   pip download --dest wheels -r requirements-cpu.txt
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=.venv/bin/python
[ -x "$python" ] || python=python3
needed="flax optax orbax.checkpoint grain tensorflow_datasets ml_collections"
for module in $needed; do
  "$python" -c "import importlib.util as u; exit(not u.find_spec('$module'))" \
    2>/dev/null && continue
  "$python" -m pip install --quiet --no-index --find-links wheels \
    -r requirements-cpu.txt
  break
done
export XLA_PYTHON_CLIENT_PREALLOCATE=false # several processes share the device
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
exec "$python" -m fcn_jax.benchmark.gpu "$@"
