#!/bin/sh
# Make the virtual environment and install the locked packages. What the system lacks is said in the first line.
set -eu
python=$1
venv=$2
say() { echo "steiger: $1" >&2; exit 1; }
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

command -v "$python" >/dev/null 2>&1 || say "$python is missing. Fix: sudo apt-get install python3 python3-venv"
if ! new_enough "$python"; then
    fix="install a newer one, then make setup PYTHON=/path/to/python3.11"
    for other in python3.13 python3.12 python3.11 python3.14; do
        if command -v "$other" >/dev/null 2>&1 && new_enough "$other"; then fix="make setup PYTHON=$other"; break; fi
    done
    say "Python 3.11 or newer is needed, $python is $("$python" -V 2>&1). Fix: $fix"
fi
"$python" -c 'import venv, ensurepip' 2>/dev/null || say "the venv module is missing. Fix: sudo apt-get install python3-venv"

if ! [ -x "$venv/bin/python" ]; then
    echo "Making $venv with $("$python" -V) …"
    "$python" -m venv "$venv"
fi
echo "Installing the locked packages (about 150 MB to download the first time, one to five minutes) …"
failed="the packages could not be installed (see above). Fix: see that this machine reaches its package index, then make setup again"
"$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock || say "$failed"
"$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e . || say "$failed"
echo "Done. The command is $venv/bin/steiger"
