#!/usr/bin/env bash
# Makes .venv with the test tools, where that is still to do, and runs the
# test suite. Further arguments are pytest's: bash scripts/test.sh -k geometry
# With --all the exhaustive tests run too, which take minutes.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_environment.sh"
setup_environment requirements-test.txt
echo "Running the tests"
# On two cores in two thirds of the time; a file's tests share what they set up.
exec "$python" -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
