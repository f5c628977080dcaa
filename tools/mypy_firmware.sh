#!/bin/sh
# mypy --strict for what runs on the board, against the MicroPython ESP32 stubs instead of CPython's typeshed.
# The stubs lie in site-packages, which mypy refuses as a search path; they are linked into build/ first.
set -eu
bin=$1
site=$("$bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
rm -rf build/mpy-stubs build/mpy-typeshed
mkdir -p build/mpy-stubs build/mpy-typeshed
for stub in "$site"/*.pyi; do ln -s "$stub" build/mpy-stubs/; done
ln -s "$site/_mpy_shed" build/mpy-stubs/_mpy_shed
ln -s "$site/stdlib" build/mpy-typeshed/stdlib
ln -s "$site/stubs" build/mpy-typeshed/stubs
MYPYPATH=build/mpy-stubs exec "$bin/mypy" --config-file tools/mypy_firmware.ini \
  --custom-typeshed-dir build/mpy-typeshed -p firmware -p wire
