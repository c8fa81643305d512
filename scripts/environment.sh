#!/bin/sh
# Make the virtual environment: scripts/environment.sh DIRECTORY EXTRA
# Versions come from constraints.txt; torch is its CPU build where an index offers one.
set -eu
venv=$1
extra=$2
python=${PYTHON:-python3}

fail() { printf '%s\n  remedy    %s\n' "$1" "$2" >&2; exit 12; }

version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) ||
    fail "there is no $python" "install Python 3.10 to 3.12, or say  make PYTHON=/path/to/python3.11"
case $version in
3.10 | 3.11 | 3.12) ;;
*) fail "$python is Python $version; the embedded server needs 3.10 to 3.12" \
    "say  make PYTHON=python3.11" ;;
esac
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
    fail "Python $version has no venv" "on Debian and Ubuntu:  apt-get install python$version-venv"

began=$(date +%s)
if ! [ -x "$venv/bin/python" ]; then
    printf '  environment   installing into %s (a first time downloads some 300 MB, or 3 GB with CUDA)\n' "$venv"
    "$python" -m venv "$venv"
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --constraint constraints.txt --editable ".[$extra]" ||
    fail "the packages could not be installed" "read pip's message above; behind a proxy set PIP_INDEX_URL"
count=$("$venv/bin/python" -m pip list --format=freeze --disable-pip-version-check | wc -l)
printf '  environment   %s, %s packages, Python %s, %s s\n' "$venv" "$count" "$version" "$(($(date +%s) - began))"
