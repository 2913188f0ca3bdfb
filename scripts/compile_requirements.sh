#!/bin/sh
# Compile requirements*.txt from pyproject.toml, for every platform.
# Needs uv (`pip install uv`). Pass --upgrade to move to newer versions.
set -eu
compile() {
    uv pip compile pyproject.toml --universal --generate-hashes --python-version 3.11 \
        --no-header --quiet --extra trainer --extra control --extra dashboards "$@"
}
compile --output-file requirements.txt ${1+"$1"}
compile --extra dev --constraint requirements.txt --output-file requirements-dev.txt ${1+"$1"}
compile --extra bench --constraint requirements.txt --output-file requirements-bench.txt ${1+"$1"}
