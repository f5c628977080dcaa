#!/bin/sh
# Make the virtual environment and install the locked packages. What the system lacks is said in the first line.
set -eu
python=$1
venv=$2
command -v "$python" >/dev/null 2>&1 || { echo "steiger: $python is missing. Fix: sudo apt-get install python3 python3-venv" >&2; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "steiger: Python 3.11 or newer is needed, $python is $("$python" -V). Fix: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
"$python" -c 'import venv, ensurepip' 2>/dev/null || { echo "steiger: the venv module is missing. Fix: sudo apt-get install python3-venv" >&2; exit 1; }
[ -x "$venv/bin/python" ] || { echo "Making $venv with $("$python" -V) …"; "$python" -m venv "$venv"; }
echo "Installing the locked packages (about 150 MB, one to five minutes the first time) …"
"$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
"$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
echo "Done. The command is $venv/bin/steiger"
