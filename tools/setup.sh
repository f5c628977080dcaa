#!/bin/sh
# Make the virtual environment and install the locked packages. What the system lacks is said in the first line.
set -eu
python=$1
venv=$2
say() { echo "steiger: $1" >&2; exit 1; }
# pip with one line of progress: what it is at, of how many. Its own words are shown where they say what failed.
show() {
    if [ -t 1 ]; then printf '\r\033[K  %s' "$1"; else echo "  $1"; fi
}
install() {
    { "$venv/bin/python" -m pip install --disable-pip-version-check --progress-bar off "$@" 2>&1 && echo "pip is done"; } | {
        count=0 failed=1
        while IFS= read -r line; do
            case $line in
                "pip is done") failed=0 ;;
                Collecting*)
                    count=$((count + 1)) name=${line#Collecting }
                    if [ -t 1 ] || [ $((count % 10)) = 1 ]; then show "package $count of $total: ${name%%[= ]*}"; fi ;;
                "Installing collected packages"*) show "unpacking $count packages (up to a minute) …" ;;
                ERROR* | "WARNING: Retrying"*) echo "$line" >&2 ;;
            esac
        done
        if [ -t 1 ]; then printf '\r\033[K'; fi
        exit $failed
    }
}
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
total=0
if [ -r requirements.lock ]; then
    while IFS= read -r line; do case $line in [a-zA-Z]*==*) total=$((total + 1)) ;; esac; done < requirements.lock
fi
install --require-hashes -r requirements.lock || say "$failed"
install --no-deps --no-build-isolation -e . || say "$failed"
echo "Done. The command is $venv/bin/steiger"
