# Sourced by quickstart.sh and test.sh. Goes to the repository's root ($root);
# setup_environment then makes .venv there, installs what is needed, and sets
# $python to its Python.
#
# PYTHON=/path/to/python3.12 chooses the Python that .venv is made with.
# A file .venv/installed.* marks a finished installation of exactly these
# requirements; an interrupted one leaves no mark and is taken up again.

case ${PYTHON:-} in
  [!/]*/*) PYTHON=$PWD/$PYTHON ;;
esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$(pwd -P)
python=$root/.venv/bin/python
# Packages of another installation must not shadow those of .venv.
unset PYTHONPATH PYTHONHOME

fail() {
  echo "$*" >&2
  exit 1
}

# Whether $1 runs and is new enough.
is_supported() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# Prints a Python >= 3.11, or says in one sentence that there is none.
find_python() {
  local candidate found
  for candidate in ${PYTHON:+"$PYTHON"} ${PYTHON:-python3 python3.14 \
    python3.13 python3.12 python3.11}; do
    if is_supported "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  candidate=${PYTHON:-python3}
  found=$("$candidate" -V 2>/dev/null) || found="no working $candidate"
  fail "Python 3.11 or newer is needed, but here is $found:" \
    "install one, or name it with PYTHON=/path/to/python3.12."
}

# Whether .venv is whole, belongs here, and is of version $PYTHON if given.
is_usable() {
  local version=
  if [ -n "${PYTHON:-}" ]; then
    version=$("$PYTHON" -V 2>/dev/null) || return 1
  fi
  is_supported "$python" &&
    "$python" -m pip --version >/dev/null 2>&1 &&
    "$python" - "$root/.venv" "$version" <<'END'
import os, platform, sys
here = os.path.samefile(sys.prefix, sys.argv[1])
version = 'Python ' + platform.python_version()
sys.exit(not (here and sys.argv[2] in ('', version)))
END
}

make_venv() {
  local base version
  base=$(find_python)
  version=$("$base" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  "$base" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "Python $version is here without its venv module:" \
      "run 'apt-get install python$version-venv' as root, then this again."
  echo "Making $root/.venv with $("$base" -V)"
  "$base" -m venv --clear .venv
}

# Prints a hash of all that decides what is to be installed, and where.
fingerprint() {
  "$python" - "$root" "$1" <<'END'
import hashlib, pathlib, platform, sys
here = pathlib.Path()
parts = [platform.python_version(), *sys.argv[1:]]
for path in here / 'pyproject.toml', *sorted(here.glob('requirements*.txt')):
  parts += path.name, path.read_text()
print(hashlib.sha256('\0'.join(parts).encode()).hexdigest()[:16])
END
}

# setup_environment [requirements-test.txt]
setup_environment() {
  local began=$SECONDS wanted=requirements-cpu.txt hash path
  if nvidia-smi -L 2>/dev/null | grep '^GPU' >/dev/null; then
    wanted=requirements.txt
  fi
  is_usable || make_venv
  hash=$(fingerprint "$wanted")
  if [ -e ".venv/installed.$hash.${1:-base}" ]; then
    echo "Using $root/.venv ($wanted${1:+ and $1} installed)"
    return
  fi
  for path in .venv/installed.*; do
    [ "${path#.venv/installed."$hash"}" != "$path" ] || rm -f "$path"
  done
  set -- "$wanted" "$@"
  echo "Installing $* into $root/.venv (some minutes the first time)"
  "$python" -m pip install --quiet --disable-pip-version-check --no-input \
    "${@/#/--requirement=}"
  "$python" -m pip install --quiet --disable-pip-version-check --no-input \
    --no-deps --editable .
  touch ".venv/installed.$hash.${2:-base}"
  echo "Installed in $((SECONDS - began)) s"
}
