#!/bin/sh
# Make .venv-bench: what the benchmarks compare with, on top of .venv, whose packages it sees.
set -eu
[ -x .venv-bench/bin/python ] || .venv/bin/python -m venv .venv-bench
site='import sysconfig; print(sysconfig.get_path("purelib"))'
.venv/bin/python -c "$site" >"$(.venv-bench/bin/python -c "$site")/midcourse.pth"
echo "Installing requirements-bench.txt into .venv-bench (a minute) ..."
.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
    --require-hashes --requirement requirements-bench.txt
